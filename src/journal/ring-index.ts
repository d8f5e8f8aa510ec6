import { assert } from '../base/assert.js';
import type { BlockIndex, Bytes, SegmentSeq } from '../base/units.js';

/** lookup(): nothing of this block is in the ring. */
export const NOT_IN_RING = -1;
/** lookup(): the newest entry in the ring says the block reads as zeroes. */
export const ZEROED = -2;

/** A bound on trims held apart from each other in the ring; past it writers wait for destaging. */
export const ZERO_EXTENTS_MAX = 65_536;

/** Memory of the index of a ring of so many places. */
export function ringIndexBytes(places: number): Bytes {
  return places * 8 + hashSize(places) * 4;
}

/** At most half full: every place of the ring may be live at once. */
function hashSize(places: number): number {
  let size = 1024;
  while (size < places * 2) size *= 2;
  return size;
}

/**
 * The ring index: block -> newest place in the ring. A place is slot * segmentBlocks + block in segment; the block address of every place
 * is kept in `blockAt`, so the hash holds bare places (4 bytes each) and compares through it. Zeroed ranges are sorted extents beside it.
 * A block that is in the hash is always newer than any zero extent over it: zeroing takes the range out of the hash.
 */
export class RingIndex {
  /** Volume block at each place of the ring; -1 where there is no payload. */
  readonly blockAt: Float64Array;
  readonly #table: Uint32Array;
  readonly #mask: number;
  #live = 0;
  readonly #zeroFirst: number[] = [];
  readonly #zeroEnd: number[] = [];
  readonly #zeroSeq: number[] = [];

  constructor(places: number) {
    this.blockAt = new Float64Array(places).fill(-1);
    const size = hashSize(places);
    this.#table = new Uint32Array(size);
    this.#mask = size - 1;
  }

  /** Blocks that have a live place. */
  get live(): number {
    return this.#live;
  }

  get zeroExtents(): number {
    return this.#zeroFirst.length;
  }

  #hash(block: number): number {
    const low = block >>> 0;
    const high = (block - low) / 0x1_0000_0000;
    let h = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b);
    h ^= h >>> 15;
    h = Math.imul(h, 0xc2b2ae35);
    return (h ^ (h >>> 13)) & this.#mask;
  }

  /** The newest place of the block, ZEROED, or NOT_IN_RING. */
  lookup(block: BlockIndex): number {
    const table = this.#table;
    for (let i = this.#hash(block); ; i = (i + 1) & this.#mask) {
      const word = table[i] as number;
      if (word === 0) break;
      if (this.blockAt[word - 1] === block) return word - 1;
    }
    return this.#zeroFirst.length > 0 && this.#zeroAt(block) >= 0 ? ZEROED : NOT_IN_RING;
  }

  /** The segment of the zero extent over this block, -1 when there is none. */
  zeroSeq(block: BlockIndex): SegmentSeq {
    const i = this.#zeroAt(block);
    return i < 0 ? -1 : (this.#zeroSeq[i] as number);
  }

  /** First block at or after `block` and below `end` where a zero extent begins or ends; `end` when there is none. */
  nextZeroEdge(block: BlockIndex, end: BlockIndex): BlockIndex {
    const i = this.#firstEndingAfter(block);
    if (i < this.#zeroFirst.length) {
      const first = this.#zeroFirst[i] as number;
      if (first > block) return Math.min(first, end);
      return Math.min(this.#zeroEnd[i] as number, end);
    }
    return end;
  }

  /** Makes `place` the newest of `block`. blockAt[place] must be free or hold the block already. */
  put(block: BlockIndex, place: number): void {
    const table = this.#table;
    let i = this.#hash(block);
    for (; ; i = (i + 1) & this.#mask) {
      const word = table[i] as number;
      if (word === 0) break;
      if (this.blockAt[word - 1] === block) {
        this.blockAt[place] = block;
        table[i] = place + 1;
        return;
      }
    }
    this.blockAt[place] = block;
    table[i] = place + 1;
    this.#live++;
    assert(this.#live * 2 <= this.#mask + 1, 'ring index at most half full');
  }

  /** Takes the block out if `place` is its newest. True when it was. */
  removeIf(block: BlockIndex, place: number): boolean {
    const table = this.#table;
    for (let i = this.#hash(block); ; i = (i + 1) & this.#mask) {
      const word = table[i] as number;
      if (word === 0) return false;
      if (word === place + 1) {
        this.#erase(i);
        return true;
      }
    }
  }

  /** Deletion by shifting back: no tombstones, so lookups stay short however long the ring runs. */
  #erase(hole: number): void {
    const table = this.#table;
    this.#live--;
    let i = hole;
    for (let j = (i + 1) & this.#mask; ; j = (j + 1) & this.#mask) {
      const word = table[j] as number;
      if (word === 0) break;
      const home = this.#hash(this.blockAt[word - 1] as number);
      if (((j - home) & this.#mask) >= ((j - i) & this.#mask)) {
        table[i] = word;
        i = j;
      }
    }
    table[i] = 0;
  }

  /** The range reads as zeroes from segment seq on. */
  zero(first: BlockIndex, count: number, seq: SegmentSeq): void {
    const end = first + count;
    if (count <= this.#live) {
      for (let block = first; block < end; block++) this.#removeBlock(block);
    } else {
      for (let place = 0; place < this.blockAt.length; place++) {
        const block = this.blockAt[place] as number;
        if (block >= first && block < end) this.removeIf(block, place);
      }
    }
    this.#insertZero(first, end, seq);
  }

  #removeBlock(block: BlockIndex): void {
    const table = this.#table;
    for (let i = this.#hash(block); ; i = (i + 1) & this.#mask) {
      const word = table[i] as number;
      if (word === 0) return;
      if (this.blockAt[word - 1] === block) {
        this.#erase(i);
        return;
      }
    }
  }

  /** Index of the first zero extent whose end is after block. */
  #firstEndingAfter(block: number): number {
    let low = 0;
    let high = this.#zeroEnd.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#zeroEnd[middle] as number) > block) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #zeroAt(block: number): number {
    const i = this.#firstEndingAfter(block);
    return i < this.#zeroFirst.length && (this.#zeroFirst[i] as number) <= block ? i : -1;
  }

  #insertZero(first: number, end: number, seq: number): void {
    const from = this.#firstEndingAfter(first);
    let to = from;
    while (to < this.#zeroFirst.length && (this.#zeroFirst[to] as number) < end) to++;
    const firsts: number[] = [];
    const ends: number[] = [];
    const seqs: number[] = [];
    const keep = (a: number, b: number, s: number): void => {
      if (a >= b) return;
      firsts.push(a);
      ends.push(b);
      seqs.push(s);
    };
    if (from < to) keep(this.#zeroFirst[from] as number, Math.min(first, this.#zeroEnd[from] as number), this.#zeroSeq[from] as number);
    keep(first, end, seq);
    if (from < to) keep(Math.max(end, this.#zeroFirst[to - 1] as number), this.#zeroEnd[to - 1] as number, this.#zeroSeq[to - 1] as number);
    this.#zeroFirst.splice(from, to - from, ...firsts);
    this.#zeroEnd.splice(from, to - from, ...ends);
    this.#zeroSeq.splice(from, to - from, ...seqs);
  }

  /** Calls visit(first, end) for every live zero extent of segments in [fromSeq, toSeq), ascending. */
  forEachZero(fromSeq: SegmentSeq, toSeq: SegmentSeq, visit: (first: BlockIndex, end: BlockIndex) => void): void {
    for (let i = 0; i < this.#zeroFirst.length; i++) {
      const seq = this.#zeroSeq[i] as number;
      if (seq >= fromSeq && seq < toSeq) visit(this.#zeroFirst[i] as number, this.#zeroEnd[i] as number);
    }
  }

  /** Forgets the zero extents of segments before seq (they are removed from the ring). */
  dropZeroesBefore(seq: SegmentSeq): void {
    let kept = 0;
    for (let i = 0; i < this.#zeroFirst.length; i++) {
      if ((this.#zeroSeq[i] as number) < seq) continue;
      this.#zeroFirst[kept] = this.#zeroFirst[i] as number;
      this.#zeroEnd[kept] = this.#zeroEnd[i] as number;
      this.#zeroSeq[kept] = this.#zeroSeq[i] as number;
      kept++;
    }
    this.#zeroFirst.length = kept;
    this.#zeroEnd.length = kept;
    this.#zeroSeq.length = kept;
  }
}
