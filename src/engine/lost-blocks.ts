import type { BlockIndex, StripeIndex } from '../base/units.js';
import type { IntegrityTable } from '../member/integrity.js';
import { LOST_RANGES_MAX } from '../member/layout.js';
import type { LostList, LostRange } from '../member/member-api.js';
import { CRC_LOST, CRC_UNKNOWN, type StripeGeometry } from '../stripe/geometry.js';

/**
 * Which blocks are lost for good. Their marks lie in the integrity table of the member that would hold them; the list of them goes into every checkpoint, so that a mark
 * outlives the member it lies on: without it, parity, for which a lost block counts as zeroes, would give zeroes in its place.
 */
export class LostBlocks {
  readonly #geometry: StripeGeometry;
  readonly #tables: readonly IntegrityTable[];
  /** A bit a stripe: it may have lost blocks. */
  readonly #stripes: Uint8Array;
  #marked = 0;
  #stale = false;
  #list: LostList = { ranges: [], more: false };
  readonly #known: Uint8Array;
  #moreBefore = false;
  #collectedUnlisted = false;

  /** known: by data member, 1 when its table is. */
  constructor(geometry: StripeGeometry, tables: readonly IntegrityTable[], known: Uint8Array) {
    this.#geometry = geometry;
    this.#tables = tables;
    this.#known = known;
    this.#stripes = new Uint8Array(Math.ceil(geometry.stripes / 8));
  }

  /** The list of the last run had no room for all, and a member that may hold marks is not there: of what is derived in its place zeroes are not to be believed. */
  get unlisted(): boolean {
    return this.#moreBefore && this.#known.includes(0);
  }

  #has(stripe: StripeIndex): boolean {
    return ((this.#stripes[stripe >>> 3] as number) & (1 << (stripe & 7))) !== 0;
  }

  /** This stripe was worked on in a way that may have given blocks up. */
  note(stripe: StripeIndex): void {
    this.#stale = true;
    if (this.#has(stripe)) return;
    this.#stripes[stripe >>> 3] = (this.#stripes[stripe >>> 3] as number) | (1 << (stripe & 7));
    this.#marked++;
  }

  /** Entries of this stripe have changed: lost blocks of it may have been written again. */
  changed(stripe: StripeIndex): void {
    if (this.#marked > 0 && this.#has(stripe)) this.#stale = true;
  }

  /** Data blocks of the stripe that are marked. */
  countIn(stripe: StripeIndex): number {
    if (!this.#has(stripe)) return 0;
    const { stripeBlocks } = this.#geometry;
    let marked = 0;
    for (let block = stripe * stripeBlocks; block < (stripe + 1) * stripeBlocks; block++) {
      const { entries, at } = this.#place(block);
      if (entries[at] === CRC_LOST) marked++;
    }
    return marked;
  }

  /** After the tables are loaded: notes every mark that is in them. Only where entries are: memory that nobody wrote to is not touched. */
  scan(): void {
    for (const table of this.#tables) {
      table.forEachUsed((first, end) => {
        const entries = table.entries.subarray(first, end);
        for (let at = entries.indexOf(CRC_LOST); at >= 0; at = entries.indexOf(CRC_LOST, at + 1))
          this.note(Math.floor((first + at) / this.#geometry.rows));
      });
    }
  }

  /**
   * Puts the marks of a checkpoint's list where nothing better is known: vouched(member, stripe) is false for members whose table is not, or not yet, theirs. Blocks
   * whose integrity page is lost are marked as well.
   */
  restore(list: LostList, vouched: (member: number, stripe: StripeIndex) => boolean): void {
    const geometry = this.#geometry;
    this.#moreBefore = list.more;
    for (const { first, count } of list.ranges) {
      for (let block = first; block < first + count && block < geometry.volumeBlocks; block++) {
        const { entries, at, member, stripe } = this.#place(block);
        if (vouched(member, stripe) && entries[at] !== CRC_UNKNOWN) continue;
        entries[at] = CRC_LOST;
        this.note(stripe);
      }
    }
  }

  #place(block: BlockIndex): { entries: Uint32Array; at: number; member: number; stripe: StripeIndex } {
    const geometry = this.#geometry;
    const stripe = geometry.stripeOf(block);
    const slot = geometry.slotOf(block);
    const member = geometry.memberOf(stripe, Math.floor(slot / geometry.rows));
    const { entries } = this.#tables[member] as IntegrityTable;
    return { entries, at: geometry.memberBlock(stripe, slot % geometry.rows), member, stripe };
  }

  /** What is lost now, ascending; at most LOST_RANGES_MAX ranges. */
  get list(): LostList {
    if (this.#stale || this.#collectedUnlisted !== this.unlisted) this.#list = this.#collect();
    this.#stale = false;
    this.#collectedUnlisted = this.unlisted;
    return this.#list;
  }

  #collect(): LostList {
    const { stripes, stripeBlocks } = this.#geometry;
    const ranges: { first: number; count: number }[] = [];
    for (let byte = 0; byte < this.#stripes.length; byte++) {
      if (this.#stripes[byte] === 0) continue;
      for (let stripe = byte * 8; stripe < Math.min(stripes, byte * 8 + 8); stripe++) {
        if (!this.#has(stripe)) continue;
        const any = this.#collectStripe(stripe * stripeBlocks, ranges);
        if (ranges.length > LOST_RANGES_MAX) return { ranges: ranges.slice(0, LOST_RANGES_MAX), more: true };
        if (any) continue;
        this.#stripes[byte] = (this.#stripes[byte] as number) & ~(1 << (stripe & 7));
        this.#marked--;
      }
    }
    return { ranges, more: this.unlisted };
  }

  #collectStripe(base: BlockIndex, ranges: { first: number; count: number }[]): boolean {
    let any = false;
    for (let block = base; block < base + this.#geometry.stripeBlocks; block++) {
      const { entries, at } = this.#place(block);
      if (entries[at] !== CRC_LOST) continue;
      any = true;
      const last = ranges[ranges.length - 1];
      if (last !== undefined && last.first + last.count === block) last.count++;
      else ranges.push({ first: block, count: 1 });
    }
    return any;
  }
}

/** Blocks of the ranges that are listed. */
export function lostBlocksOf(ranges: readonly LostRange[]): number {
  return ranges.reduce((sum, { count }) => sum + count, 0);
}
