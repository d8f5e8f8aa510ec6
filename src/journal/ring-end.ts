import type { SegmentSeq } from '../base/units.js';
import type { RingEnd } from '../member/member-api.js';
import { SHORT_SEGMENTS_MAX } from '../member/layout.js';
import type { SegmentTable } from './segment-table.js';

/** The journal positions that segment seq goes to: `copies` of those in mask, rotating. */
export function copiesFor(seq: SegmentSeq, positions: number, mask: number, copies: number): number {
  let chosen = 0;
  let count = 0;
  for (let i = 0; i < positions && count < copies; i++) {
    const position = (seq + i) % positions;
    if ((mask & (1 << position)) === 0) continue;
    chosen |= 1 << position;
    count++;
  }
  return chosen >>> 0;
}

/** What describeRingEnd asks of the journal. */
export interface RingState {
  readonly table: SegmentTable;
  readonly headSeq: SegmentSeq;
  onlineMask(): number;
  chooseCopies(seq: SegmentSeq): number;
}

/**
 * For a checkpoint: where segments are of which there may be something to find after a crash. Which segments lack a copy that they would get today is said one by one; all
 * others, and those that are opened later, are on the members that copiesFor names, since every change of these makes a new checkpoint before writes are acknowledged.
 */
export function describeRingEnd(ring: RingState, fromSeq: SegmentSeq): RingEnd {
  const short: { seq: SegmentSeq; copies: number }[] = [];
  for (let seq = fromSeq; seq <= ring.headSeq; seq++) {
    const slot = ring.table.slotOf(seq);
    if (ring.table.seq[slot] !== seq || ring.table.used[slot] === 0) continue;
    const copies = ring.table.copies[slot] as number;
    if ((ring.chooseCopies(seq) & ~copies) !== 0) short.push({ seq, copies });
  }
  const more = short.length > SHORT_SEGMENTS_MAX;
  return { headSeq: ring.headSeq, positions: ring.onlineMask(), short: short.slice(0, SHORT_SEGMENTS_MAX), more };
}

/**
 * False when segment seq, of which nothing was found, may have been written to members alone that are not here. online: positions that are here, a bit each;
 * positions, copies: of the array.
 */
export function endIsKnown(end: RingEnd, seq: SegmentSeq, online: number, positions: number, copies: number): boolean {
  const short = end.short.find((segment) => segment.seq === seq);
  if (short !== undefined) return (short.copies & online) !== 0;
  if (end.more && seq <= end.headSeq) return (end.positions & ~online) === 0;
  return (copiesFor(seq, positions, end.positions, copies) & online) !== 0;
}
