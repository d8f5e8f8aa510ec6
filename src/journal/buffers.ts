import { assert } from '../base/assert.js';
import { BLOCK_BYTES, type Lsn, type SegmentSeq, type SlabOffset } from '../base/units.js';
import type { SegmentTable } from './segment-table.js';

/**
 * Slab buffers of one segment each. A segment keeps its buffer at least until it is destaged, so destaging never reads the journal and a
 * running engine that loses every journal member still has what is not in the stripes. Destaged segments stay until the buffer is wanted.
 */
export class SegmentBuffers {
  readonly #table: SegmentTable;
  readonly #free: number[] = [];
  readonly count: number;

  constructor(table: SegmentTable, offset: SlabOffset, count: number) {
    this.#table = table;
    this.count = count;
    const bytes = table.segmentBlocks * BLOCK_BYTES;
    for (let i = count - 1; i >= 0; i--) this.#free.push(offset + i * bytes);
  }

  /** Buffers that can be had now: free ones and those of destaged, unpinned segments. */
  available(tailSeq: SegmentSeq, destagedSeq: SegmentSeq): number {
    let n = this.#free.length;
    for (let seq = tailSeq; seq < destagedSeq; seq++) if (this.#reclaimable(seq)) n++;
    return n;
  }

  #reclaimable(seq: SegmentSeq): boolean {
    const slot = this.#table.slotOf(seq);
    return this.#table.seq[slot] === seq && (this.#table.memory[slot] as number) >= 0 && this.#table.pins[slot] === 0;
  }

  /** Gives slot a buffer; false when there is none. */
  assign(slot: number, tailSeq: SegmentSeq, destagedSeq: SegmentSeq): boolean {
    assert((this.#table.memory[slot] as number) < 0, 'slot has no buffer yet');
    for (let seq = tailSeq; this.#free.length === 0 && seq < destagedSeq; seq++) {
      if (this.#reclaimable(seq)) this.release(this.#table.slotOf(seq));
    }
    const offset = this.#free.pop();
    if (offset === undefined) return false;
    this.#table.memory[slot] = offset;
    return true;
  }

  /**
   * Gives up the buffer of the oldest closed segment from fromSeq on that is on a journal member: when destaging is blocked writes go on into the journal, and what is not
   * resident is read from there. False when there is none.
   */
  spill(fromSeq: SegmentSeq, headSeq: SegmentSeq, committedLsn: Lsn): boolean {
    for (let seq = fromSeq; seq < headSeq; seq++) {
      const slot = this.#table.slotOf(seq);
      if (!this.#reclaimable(seq) || this.#table.copies[slot] === 0 || (this.#table.lastLsn[slot] as number) > committedLsn) continue;
      this.release(slot);
      return true;
    }
    return false;
  }

  release(slot: number): void {
    const offset = this.#table.memory[slot] as number;
    if (offset < 0) return;
    assert(this.#table.pins[slot] === 0, 'a pinned segment buffer is not released');
    this.#table.memory[slot] = -1;
    this.#free.push(offset);
  }
}
