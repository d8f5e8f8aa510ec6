import { BLOCK_BYTES, type Bytes } from '../base/units.js';
import type { Backup } from '../repository/backup.js';
import { FROM_BACKUP, FROM_LOST, FROM_PARITY, FROM_RING, newStripeSources, planStripe, type SourceHost } from './stripe-sources.js';

export type RangeSource = 'survivor' | 'parity' | 'journal' | 'backup' | 'lost';

export interface PlannedRange {
  readonly offset: Bytes;
  length: Bytes;
  readonly from: RangeSource;
}

export interface RebuildOutline {
  readonly ranges: PlannedRange[];
  readonly bytes: Record<RangeSource, Bytes>;
}

export interface PlanHost extends SourceHost {
  nextWritten(from: number, end: number): number;
}

/** Ranges listed at most: past it only the sums go on. */
const RANGES_MAX = 100_000;

/** For every written stripe that is not whole: where each block of its data will come from. Reads nothing but the backup's map. */
export async function outlineRebuild(host: PlanHost, backup: Backup | null): Promise<RebuildOutline> {
  const { geometry } = host;
  const outline: RebuildOutline = { ranges: [], bytes: { survivor: 0, parity: 0, journal: 0, backup: 0, lost: 0 } };
  const sources = newStripeSources(geometry);
  const has = new Uint8Array(geometry.stripeBlocks);
  const end = geometry.stripes;
  for (let stripe = host.nextWritten(0, end); stripe < end; stripe = host.nextWritten(stripe + 1, end)) {
    let lost = 0;
    for (let member = 0; member < geometry.n; member++) if (!host.readable(member, stripe)) lost++;
    if (lost === 0) continue;
    if (backup !== null && lost > geometry.m) await backup.lookup(stripe * geometry.stripeBlocks, geometry.stripeBlocks, has);
    planStripe(host, stripe, backup === null ? null : has, sources);
    for (let slot = 0; slot < geometry.stripeBlocks; slot++) {
      const readable = host.readable(geometry.memberOf(stripe, Math.floor(slot / geometry.rows)), stripe);
      add(outline, (stripe * geometry.stripeBlocks + slot) * BLOCK_BYTES, readable ? 'survivor' : nameOf(sources.from[slot] as number));
    }
  }
  return outline;
}

function nameOf(from: number): RangeSource {
  if (from === FROM_RING) return 'journal';
  if (from === FROM_BACKUP) return 'backup';
  if (from === FROM_LOST) return 'lost';
  // A block known to be zeroes costs nothing, like one that parity gives.
  return from === FROM_PARITY ? 'parity' : 'survivor';
}

function add(outline: RebuildOutline, offset: Bytes, from: RangeSource): void {
  outline.bytes[from] += BLOCK_BYTES;
  const last = outline.ranges[outline.ranges.length - 1];
  if (last !== undefined && last.from === from && last.offset + last.length === offset) last.length += BLOCK_BYTES;
  else if (outline.ranges.length < RANGES_MAX) outline.ranges.push({ offset, length: BLOCK_BYTES, from });
}
