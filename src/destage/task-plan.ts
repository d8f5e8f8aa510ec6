import { assert } from '../base/assert.js';
import { BLOCK_SHIFT, type SegmentSeq } from '../base/units.js';
import type { Journal } from '../journal/journal.js';
import type { StripeGeometry } from '../stripe/geometry.js';
import { SOURCE_KEEP, SOURCE_LOST, SOURCE_ZERO } from '../stripe/stripe-pool.js';

/** Ordinals of places inside one group: the low part of a sort key. 2^22 places are 16 GiB of ring. */
const ORDINALS = 0x40_0000;

/** Stripes with, for each, k * rows source words and checksums: the arrays of an ApplyTask. */
export interface StripeBatch {
  readonly stripes: Float64Array;
  readonly sources: Uint32Array;
  readonly crcs: Uint32Array;
}

/**
 * The live payload of a group of closed segments, sorted by stripe; what is not resident is lost for good. "Live" = the newest entry of its block in the whole ring: what was superseded
 * by a later segment is left to that one.
 */
export class GroupPlan {
  readonly #journal: Journal;
  readonly #geometry: StripeGeometry;
  readonly #keys: Float64Array;
  readonly #places: Uint32Array;
  #next = 0;

  readonly #lost: ReadonlyMap<number, SegmentSeq>;

  /** lost: places that are lost although their segment is resident, each with its segment. */
  constructor(
    journal: Journal,
    geometry: StripeGeometry,
    fromSeq: SegmentSeq,
    toSeq: SegmentSeq,
    lost: ReadonlyMap<number, SegmentSeq> = new Map(),
  ) {
    this.#lost = lost;
    this.#journal = journal;
    this.#geometry = geometry;
    const { table, index } = journal;
    let room = 0;
    for (let seq = fromSeq; seq < toSeq; seq++) room += table.used[table.slotOf(seq)] as number;
    assert(room < ORDINALS, 'a group of fewer than 2^22 blocks');
    const keys = new Float64Array(room);
    this.#places = new Uint32Array(room);
    let n = 0;
    for (let seq = fromSeq; seq < toSeq; seq++) {
      const slot = table.slotOf(seq);
      assert(table.seq[slot] === seq, 'segments of a group are in the ring');
      const first = slot * table.segmentBlocks;
      for (let place = first; place < first + (table.used[slot] as number); place++) {
        const block = index.blockAt[place] as number;
        if (block < 0 || index.lookup(block) !== place) continue;
        keys[n] = geometry.stripeOf(block) * ORDINALS + n;
        this.#places[n] = place;
        n++;
      }
    }
    this.#keys = keys.subarray(0, n).sort();
  }

  /** Live blocks. */
  get blocks(): number {
    return this.#keys.length;
  }

  /** The next at most `limit` stripes, or null when all are out. */
  next(limit: number): StripeBatch | null {
    const keys = this.#keys;
    if (this.#next >= keys.length) return null;
    const { geometry, journal } = { geometry: this.#geometry, journal: this.#journal };
    const stripes = new Float64Array(limit);
    let count = 0;
    let end = this.#next;
    for (; end < keys.length; end++) {
      const stripe = Math.floor((keys[end] as number) / ORDINALS);
      if (count > 0 && stripes[count - 1] === stripe) continue;
      if (count === limit) break;
      stripes[count++] = stripe;
    }
    const sources = new Uint32Array(count * geometry.stripeBlocks).fill(SOURCE_KEEP);
    const crcs = new Uint32Array(sources.length);
    let at = 0;
    for (let i = this.#next; i < end; i++) {
      const key = keys[i] as number;
      const stripe = Math.floor(key / ORDINALS);
      if (stripes[at] !== stripe) at++;
      const place = this.#places[key - stripe * ORDINALS] as number;
      const word = at * geometry.stripeBlocks + geometry.slotOf(journal.index.blockAt[place] as number);
      const memory = journal.table.memoryOf(place);
      const lost = memory < 0 || (this.#lost.size > 0 && this.#lost.get(place) === journal.table.seqOfPlace(place));
      sources[word] = lost ? SOURCE_LOST : memory / (1 << BLOCK_SHIFT);
      crcs[word] = journal.table.crc[place] as number;
    }
    this.#next = end;
    return { stripes: stripes.subarray(0, count).slice(), sources, crcs };
  }
}

/**
 * The zeroed ranges of a group, as batches of stripes. Only stripes that were ever written matter; blocks with a newer write in the ring are left to it.
 */
export class ZeroPlan {
  readonly #journal: Journal;
  readonly #geometry: StripeGeometry;
  readonly #ranges: number[] = [];
  readonly #written: (stripe: number) => boolean;
  #range = 0;
  #stripe = -1;

  constructor(journal: Journal, geometry: StripeGeometry, fromSeq: SegmentSeq, toSeq: SegmentSeq, written: (stripe: number) => boolean) {
    this.#journal = journal;
    this.#geometry = geometry;
    this.#written = written;
    journal.index.forEachZero(fromSeq, toSeq, (first, end) => this.#ranges.push(first, end));
  }

  next(limit: number): StripeBatch | null {
    const { stripeBlocks } = this.#geometry;
    const stripes: number[] = [];
    const tables: Uint32Array[] = [];
    for (; this.#range < this.#ranges.length; this.#range += 2) {
      const first = this.#ranges[this.#range] as number;
      const end = this.#ranges[this.#range + 1] as number;
      const lastStripe = Math.floor((end - 1) / stripeBlocks);
      if (this.#stripe < 0) this.#stripe = Math.floor(first / stripeBlocks);
      for (; this.#stripe <= lastStripe; this.#stripe++) {
        const stripe = this.#stripe;
        if (!this.#written(stripe)) continue;
        const same = stripes[stripes.length - 1] === stripe;
        if (!same && stripes.length === limit) return this.#pack(stripes, tables);
        if (!same) {
          stripes.push(stripe);
          tables.push(new Uint32Array(stripeBlocks).fill(SOURCE_KEEP));
        }
        const table = tables[tables.length - 1] as Uint32Array;
        const base = stripe * stripeBlocks;
        for (let block = Math.max(first, base); block < Math.min(end, base + stripeBlocks); block++) {
          if (this.#journal.index.lookup(block) < 0) table[block - base] = SOURCE_ZERO;
        }
      }
      this.#stripe = -1;
    }
    return stripes.length === 0 ? null : this.#pack(stripes, tables);
  }

  #pack(stripes: number[], tables: Uint32Array[]): StripeBatch {
    const sources = new Uint32Array(stripes.length * this.#geometry.stripeBlocks);
    for (let i = 0; i < tables.length; i++) sources.set(tables[i] as Uint32Array, i * this.#geometry.stripeBlocks);
    return { stripes: Float64Array.from(stripes), sources, crcs: new Uint32Array(sources.length) };
  }
}
