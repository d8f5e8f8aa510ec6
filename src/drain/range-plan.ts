import { BLOCK_BYTES, type SegmentSeq } from '../base/units.js';
import type { Journal } from '../journal/journal.js';
import { RingIndex } from '../journal/ring-index.js';
import type { SegmentPiece } from '../repository/backup.js';

/**
 * What a drained range of segments amounts to: the newest entry of each block within the range, and the holes. A block superseded only by a later segment
 * stays in, or the backup would not be the exact image at the range's last LSN (P7).
 */
export class RangePlan {
  readonly fromSeq: SegmentSeq;
  readonly toSeq: SegmentSeq;
  /** Live payload blocks of the range. */
  readonly blocks: number;
  readonly #journal: Journal;
  readonly #index: RingIndex;

  constructor(journal: Journal, fromSeq: SegmentSeq, toSeq: SegmentSeq) {
    this.#journal = journal;
    this.fromSeq = fromSeq;
    this.toSeq = toSeq;
    const { table } = journal;
    // The same structure as the ring's own index, replayed over just this range, with places counted from the range's start.
    const index = new RingIndex((toSeq - fromSeq) * table.segmentBlocks);
    this.#index = index;
    for (let seq = fromSeq; seq < toSeq; seq++) {
      const slot = table.slotOf(seq);
      const zeroes = table.zeroes[slot];
      let z = 0;
      for (let at = 0; at <= (table.used[slot] as number); at++) {
        for (; zeroes && z < zeroes.first.length && (zeroes.order[z] as number) <= at; z++)
          index.zero(zeroes.first[z] as number, zeroes.count[z] as number, seq);
        const block = at < (table.used[slot] as number) ? (journal.index.blockAt[slot * table.segmentBlocks + at] as number) : -1;
        if (block >= 0) index.put(block, (seq - fromSeq) * table.segmentBlocks + at);
      }
    }
    this.blocks = index.live;
  }

  /** Live blocks of one segment as extents, its payload lying at slab offset `memory` as it lies in the ring. source: where else a block's data lie, or -1: it is left out. */
  piece(seq: SegmentSeq, memory: number, source?: (block: number, at: number) => number): SegmentPiece {
    const { table, index } = this.#journal;
    const slot = table.slotOf(seq);
    const used = table.used[slot] as number;
    const first = new Float64Array(used);
    const count = new Float64Array(used);
    const where = new Float64Array(used);
    const crcs = new Uint32Array(used);
    let extents = 0;
    let live = 0;
    let lastAt = -2;
    for (let at = 0; at < used; at++) {
      const place = slot * table.segmentBlocks + at;
      const block = index.blockAt[place] as number;
      if (block < 0 || this.#index.lookup(block) !== (seq - this.fromSeq) * table.segmentBlocks + at) continue;
      const from = source === undefined ? memory + at * BLOCK_BYTES : source(block, at);
      if (from < 0) continue;
      crcs[live++] = table.crc[place] as number;
      const previous = extents - 1;
      const joins = at === lastAt + 1 && previous >= 0 && (first[previous] as number) + (count[previous] as number) === block;
      if (joins && (where[previous] as number) + (count[previous] as number) * BLOCK_BYTES === from)
        count[previous] = (count[previous] as number) + 1;
      else {
        first[extents] = block;
        count[extents] = 1;
        where[extents] = from;
        extents++;
      }
      lastAt = at;
    }
    return {
      extents,
      first: first.slice(0, extents),
      count: count.slice(0, extents),
      memory: where.slice(0, extents),
      crcs: crcs.slice(0, live),
    };
  }

  /** The ranges that read as zeroes at the end of the range. */
  holes(): SegmentPiece {
    const first: number[] = [];
    const count: number[] = [];
    const live = this.#liveBlocks();
    const add = (from: number, end: number): void => {
      if (from >= end) return;
      first.push(from);
      count.push(end - from);
    };
    this.#index.forEachZero(this.fromSeq, this.toSeq, (from, end) => {
      let at = from;
      for (let i = lowerBound(live, from); i < live.length && (live[i] as number) < end; i++) {
        add(at, live[i] as number);
        at = (live[i] as number) + 1;
      }
      add(at, end);
    });
    const memory = new Float64Array(first.length).fill(-1);
    return { extents: first.length, first: Float64Array.from(first), count: Float64Array.from(count), memory, crcs: new Uint32Array(0) };
  }

  #liveBlocks(): Float64Array {
    if (this.#index.zeroExtents === 0) return new Float64Array(0);
    const live = new Float64Array(this.blocks);
    let n = 0;
    const { blockAt } = this.#index;
    for (let place = 0; place < blockAt.length; place++) {
      const block = blockAt[place] as number;
      if (block >= 0 && this.#index.lookup(block) === place) live[n++] = block;
    }
    return live.subarray(0, n).sort();
  }
}

function lowerBound(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
