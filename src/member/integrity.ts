import { assert } from '../base/assert.js';
import type { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes, type SegmentSeq, type StripeIndex } from '../base/units.js';
import type { Device } from '../device/device.js';
import { ioError } from '../device/promise-io.js';
import { regionView, type SlabRegion } from '../memory/slab-region.js';
import { PageSet } from './page-set.js';
import { stripeWritten } from './stripe-bitmap.js';
import {
  encodeIntegrityPage,
  type IntegrityIdentity,
  IntegritySeed,
  integrityPageGeneration,
  nextGeneration,
  reachesBeyond,
} from './integrity-page.js';
import {
  INTEGRITY_ENTRIES,
  INTEGRITY_GROUP_BYTES,
  INTEGRITY_GROUP_PAGES,
  INTEGRITY_HEADER_BYTES,
  INTEGRITY_PAGE_BYTES,
  integrityCopyOffset,
} from './layout.js';
import type { MemberLayout } from './member-api.js';

/** Smallest memory that load and flush work with: one group of pages, both copies. Each further such piece lets one more transfer run at a time. */
export const INTEGRITY_REGION_BYTES = INTEGRITY_GROUP_BYTES;

/**
 * Entry of every block of a page that has no whole copy left. Any value does as well: a block whose checksum happens to equal it is taken at its word once
 * in 2^32, which is what the checksum itself is worth. All others mismatch, so they are erasures, reconstructed and repaired like any wrong block.
 */
export const ENTRY_OF_LOST_PAGE = 0xffff_ffff;

export interface IntegrityLoad {
  /** Covered pages of which neither copy is whole, ascending. Their entries are ENTRY_OF_LOST_PAGE and `lost` holds them. */
  readonly lostPages: number[];
  /** Reads that failed; the pages they would have brought are lost as well. */
  readonly readErrors: number;
}

/** Memory of a table for so many bytes of data: an entry a block, and of each page its generation and its place in the sets below. */
export function integrityTableBytes(dataBytes: Bytes): Bytes {
  const blocks = dataBytes / BLOCK_BYTES;
  const pages = Math.ceil(blocks / INTEGRITY_ENTRIES);
  return blocks * 4 + pages * 8 + SETS_OF_PAGES * 4 * Math.ceil(pages / 32);
}

/** Of a table: used, lost, ahead, dirty and single pages; and while it is flushed or loaded one more. */
const SETS_OF_PAGES = 6;

/** What the generation of a page that is written says besides the order. */
interface PageAge {
  readonly epoch: number;
  readonly reach: () => SegmentSeq;
}

/**
 * The checksums of one member's data zone: one u32 a block in shared memory (stripe/geometry.ts), and the integrity zone where they are kept.
 *
 * The zone is never initialised: only pages with a stripe whose bit is set in the checkpoint are loaded, everything else is unwritten. So before a stripe's bit is
 * set, every page it lies on has to be flushed on every data member, whether or not this stripe changed there: mark first-written stripes on all tables.
 */
export class IntegrityTable {
  readonly shared: SharedArrayBuffer;
  readonly entries: Uint32Array;
  readonly pages: number;
  readonly blocks: number;
  /** Pages that were lost and not written since. */
  readonly lost: PageSet;
  /** Pages whose content may be ahead of the checkpoint that they were loaded under. */
  readonly ahead: PageSet;
  /** Pages that may have an entry other than unwritten: the cost of everything here follows them, not the size of the member. */
  readonly #used: PageSet;
  readonly #dirty: PageSet;
  /** Pages of which only one copy says what the table says. */
  readonly #single: PageSet;
  readonly #generations: Float64Array;
  readonly #layout: MemberLayout;
  #seed: IntegritySeed;
  #flushing = false;
  #loadedUnder: SegmentSeq = 0;

  /** like: a table whose entries these are too, in the same memory: of a device that is to take another's place. All of them are to be flushed. */
  constructor(layout: MemberLayout, identity: IntegrityIdentity, like?: IntegrityTable) {
    this.#layout = layout;
    this.#seed = new IntegritySeed(identity);
    this.pages = layout.integrityPages;
    this.blocks = layout.dataBytes / BLOCK_BYTES;
    assert(like === undefined || like.blocks === this.blocks, 'tables of members of one size');
    this.shared = like?.shared ?? new SharedArrayBuffer(this.blocks * 4);
    this.entries = new Uint32Array(this.shared);
    this.lost = new PageSet(this.pages);
    this.ahead = new PageSet(this.pages);
    this.#used = new PageSet(this.pages);
    this.#dirty = new PageSet(this.pages);
    this.#single = new PageSet(this.pages);
    this.#generations = new Float64Array(this.pages);
    like?.forEachUsed((first, end) => this.markBlocks(first, end - first));
    for (const page of like?.ahead.toArray() ?? []) this.ahead.add(page);
  }

  /** Pages to be flushed because their entries changed. */
  get dirtyPages(): number {
    return this.#dirty.count;
  }

  /** Entries of these blocks have changed. */
  markBlocks(first: number, count: number): void {
    assert(first >= 0 && count >= 1 && first + count <= this.blocks, 'blocks of the data zone');
    const last = Math.floor((first + count - 1) / INTEGRITY_ENTRIES);
    for (let page = Math.floor(first / INTEGRITY_ENTRIES); page <= last; page++) {
      this.#used.add(page);
      this.#dirty.add(page);
    }
  }

  /** Every page that this stripe's chunk lies on. */
  markStripe(stripe: StripeIndex, rows: number): void {
    this.markBlocks(stripe * rows, rows);
  }

  /** The pages of the stripes whose bit is set have entries, whether they are loaded or, the member being away, cannot be. Returns these pages. */
  cover(stripeBitmap: Uint8Array, rows: number): PageSet {
    const covered = coveredPages(stripeBitmap, rows, this.blocks, this.pages);
    for (let page = covered.next(0); page >= 0; page = covered.next(page + 1)) this.#used.add(page);
    return covered;
  }

  /** Calls visit(first, end) for the blocks that may have an entry other than unwritten, ascending: whole pages, as few ranges as there are. */
  forEachUsed(visit: (first: number, end: number) => void): void {
    for (let page = this.#used.next(0); page >= 0; ) {
      let end = page + 1;
      while (this.#used.has(end)) end++;
      visit(page * INTEGRITY_ENTRIES, Math.min(end * INTEGRITY_ENTRIES, this.blocks));
      page = this.#used.next(end);
    }
  }

  /** Entries from this block on say nothing: unwritten until somebody says otherwise. */
  forgetFrom(block: number): void {
    this.forEachUsed((first, end) => {
      if (end > block) this.entries.fill(0, Math.max(first, block), end);
    });
  }

  /**
   * The same blocks are on another device from now on, whose integrity zone holds nothing of ours yet: every page that has entries is to be flushed. The others are
   * flushed when a stripe on them is written for the first time, as on every member.
   */
  moveTo(identity: IntegrityIdentity): void {
    this.#seed = new IntegritySeed(identity);
    this.#generations.fill(0);
    for (let page = this.#used.next(0); page >= 0; page = this.#used.next(page + 1)) this.#dirty.add(page);
  }

  /**
   * Reads the pages of the stripes whose bit is set (bit s % 8 of byte s / 8), taking the newer whole copy of each. Entries of stripes
   * whose bit is not set become unwritten. Never rejects for the device: what cannot be read is lost. destagedSeq: of the checkpoint.
   */
  async load(
    device: Device,
    stripeBitmap: Uint8Array,
    rows: number,
    region: SlabRegion,
    destagedSeq: SegmentSeq = 0,
  ): Promise<IntegrityLoad> {
    this.#loadedUnder = destagedSeq;
    assert(region.bytes >= INTEGRITY_REGION_BYTES, 'memory for one group of pages');
    const covered = this.cover(stripeBitmap, rows);
    const groups: number[] = [];
    for (
      let page = covered.next(0);
      page >= 0;
      page = covered.next((groups[groups.length - 1] as number) * INTEGRITY_GROUP_PAGES + INTEGRITY_GROUP_PAGES)
    ) {
      groups.push(Math.floor(page / INTEGRITY_GROUP_PAGES));
    }
    let readErrors = 0;
    let next = 0;
    const lane = async (at: number): Promise<void> => {
      while (next < groups.length) {
        const group = groups[next] as number;
        next += 1;
        if (!(await this.#loadGroup(device, group, covered, region, at))) readErrors += 1;
      }
    };
    const lanes = Math.floor(region.bytes / INTEGRITY_GROUP_BYTES);
    await Promise.all(Array.from({ length: lanes }, (_, i) => lane(i * INTEGRITY_GROUP_BYTES)));
    this.#clearUnset(stripeBitmap, rows, covered);
    return { lostPages: this.lost.toArray(), readErrors };
  }

  /** False when the group could not be read as a whole; then page after page was tried. */
  async #loadGroup(device: Device, group: number, covered: PageSet, region: SlabRegion, at: number): Promise<boolean> {
    const first = group * INTEGRITY_GROUP_PAGES;
    const memory = regionView(region, at, INTEGRITY_GROUP_BYTES);
    const start = integrityCopyOffset(this.#layout, first, 0);
    const whole = await read(device, region.offset + at, start, INTEGRITY_GROUP_BYTES);
    if (!whole) {
      // A bad sector must not take its neighbours with it.
      for (let i = 0; i < INTEGRITY_GROUP_BYTES; i += INTEGRITY_PAGE_BYTES) {
        if (!(await read(device, region.offset + at + i, start + i, INTEGRITY_PAGE_BYTES))) memory.fill(0, i, i + INTEGRITY_PAGE_BYTES);
      }
    }
    const end = Math.min(first + INTEGRITY_GROUP_PAGES, this.pages);
    for (let page = covered.next(first); page >= 0 && page < end; page = covered.next(page + 1)) this.#take(page, memory, page - first);
    return whole;
  }

  #take(page: number, memory: Buffer, place: number): void {
    const a = place * INTEGRITY_PAGE_BYTES;
    const b = (INTEGRITY_GROUP_PAGES + place) * INTEGRITY_PAGE_BYTES;
    const generationA = integrityPageGeneration(memory, a, page, 0, this.#seed);
    const generationB = integrityPageGeneration(memory, b, page, 1, this.#seed);
    const generation = Math.max(generationA, generationB);
    const firstEntry = page * INTEGRITY_ENTRIES;
    const count = Math.min(INTEGRITY_ENTRIES, this.blocks - firstEntry);
    if (generation === 0) {
      this.entries.fill(ENTRY_OF_LOST_PAGE, firstEntry, firstEntry + count);
      this.lost.add(page);
      return;
    }
    const entriesOf = (at: number): Buffer => memory.subarray(at + INTEGRITY_HEADER_BYTES, at + INTEGRITY_PAGE_BYTES);
    const from = memory.byteOffset + (generation === generationA ? a : b) + INTEGRITY_HEADER_BYTES;
    this.entries.set(new Uint32Array(memory.buffer, from, count), firstEntry);
    this.#generations[page] = generation;
    if (reachesBeyond(generation, this.#loadedUnder)) this.ahead.add(page);
    // A crash before the second copy was written, or a copy that rotted: the next flush makes it whole.
    if (generationA === 0 || generationB === 0 || !entriesOf(a).equals(entriesOf(b))) this.#single.add(page);
    this.lost.delete(page);
  }

  /** What a crash left in the entries of stripes that no checkpoint knows. */
  #clearUnset(stripeBitmap: Uint8Array, rows: number, covered: PageSet): void {
    for (let page = covered.next(0); page >= 0; page = covered.next(page + 1)) {
      const first = page * INTEGRITY_ENTRIES;
      const end = Math.min(first + INTEGRITY_ENTRIES, this.blocks);
      for (let stripe = Math.floor(first / rows); stripe * rows < end; stripe++) {
        if (stripeWritten(stripeBitmap, stripe)) continue;
        this.entries.fill(0, Math.max(first, stripe * rows), Math.min(end, (stripe + 1) * rows));
      }
    }
  }

  /**
   * Writes every page marked before this call into the older of its two copies, syncs, and then writes them into the other copy too. All that a
   * checkpoint rests on is durable when it resolves to null (what the device completed before is synced with it); the second copies become durable with
   * the sync that follows the checkpoint, which has to be before the next flush. So a crash tears at most one copy of a page, and at rest both say the same:
   * a copy that rots later does not bring back an older state, in which written blocks would read as never written.
   *
   * Resolves to the first DEVICE_WRITE or DEVICE_SYNC error when there was one (the member is to be failed; its pages stay marked).
   * Entries may change meanwhile; whoever changes them marks their page again. epoch is the array's present one; reach: the end of the ring segments that
   * may have entries in a page, asked for when it is written. One flush at a time.
   */
  async flush(device: Device, epoch: number, region: SlabRegion, reach: () => SegmentSeq = () => 0): Promise<KeelsonError | null> {
    assert(!this.#flushing, 'one flush of an integrity table at a time');
    this.#flushing = true;
    try {
      const batch = this.#dirty.drain();
      const failure = await this.#writePages(batch, device, { epoch, reach }, region, this.#dirty);
      for (let page = batch.next(0); page >= 0; page = batch.next(page + 1)) this.#single.add(page);
      if (failure !== null) return failure;
      const synced = await new Promise<number>((resolve) => device.sync(resolve, 0));
      if (synced < 0) return ioError(device, 'sync', synced);
      return await this.#writePages(this.#single.drain(), device, { epoch, reach }, region, this.#single);
    } finally {
      this.#flushing = false;
    }
  }

  /** Writes the pages of the batch into the older of their copies; those that could not be written are put into `unwritten`. */
  async #writePages(batch: PageSet, device: Device, age: PageAge, region: SlabRegion, unwritten: PageSet): Promise<KeelsonError | null> {
    assert(region.bytes >= INTEGRITY_REGION_BYTES, 'memory for one group of pages');
    const laneBytes = INTEGRITY_GROUP_PAGES * INTEGRITY_PAGE_BYTES;
    let failure: KeelsonError | null = null;
    let cursor = 0;
    const lane = async (at: number): Promise<void> => {
      for (;;) {
        const first = batch.next(cursor);
        if (first < 0) return;
        const count = this.#runLength(batch, first, age.epoch);
        cursor = first + count;
        const error = failure ?? (await this.#writeRun(device, first, count, age, region, at));
        if (error === null) continue;
        failure ??= error;
        for (let page = first; page < first + count; page++) unwritten.add(page);
      }
    };
    await Promise.all(Array.from({ length: Math.floor(region.bytes / laneBytes) }, (_, i) => lane(i * laneBytes)));
    return failure;
  }

  /** Pages from first on that lie one after the other on the device: same group, same copy. */
  #runLength(batch: PageSet, first: number, epoch: number): number {
    const copy = nextGeneration(this.#generations[first] as number, epoch) % 2;
    const groupEnd = first - (first % INTEGRITY_GROUP_PAGES) + INTEGRITY_GROUP_PAGES;
    let end = first + 1;
    while (end < groupEnd && batch.has(end) && nextGeneration(this.#generations[end] as number, epoch) % 2 === copy) end += 1;
    return end - first;
  }

  async #writeRun(
    device: Device,
    first: number,
    count: number,
    { epoch, reach: reachNow }: PageAge,
    region: SlabRegion,
    at: number,
  ): Promise<KeelsonError | null> {
    const reach = reachNow();
    const bytes = count * INTEGRITY_PAGE_BYTES;
    const memory = regionView(region, at, bytes);
    for (let i = 0; i < count; i++) {
      const generation = nextGeneration(this.#generations[first + i] as number, epoch, reach);
      encodeIntegrityPage(memory, i * INTEGRITY_PAGE_BYTES, this.entries, first + i, generation, this.#seed);
    }
    const copy = nextGeneration(this.#generations[first] as number, epoch) % 2;
    const offset = integrityCopyOffset(this.#layout, first, copy);
    const result = await new Promise<number>((resolve) => device.write(region.offset + at, offset, bytes, resolve, 0));
    if (result < 0) return ioError(device, 'write', result, offset);
    for (let page = first; page < first + count; page++) {
      this.#generations[page] = nextGeneration(this.#generations[page] as number, epoch, reach);
      this.lost.delete(page);
    }
    return null;
  }
}

function read(device: Device, memory: number, offset: number, length: number): Promise<boolean> {
  return new Promise((resolve) => device.read(memory, offset, length, (result) => resolve(result >= 0), 0));
}

/** Pages that hold an entry of a stripe whose bit is set. */
function coveredPages(stripeBitmap: Uint8Array, rows: number, blocks: number, pages: number): PageSet {
  const covered = new PageSet(pages);
  for (let byte = 0; byte < stripeBitmap.length; byte++) {
    const bits = stripeBitmap[byte] as number;
    if (bits === 0) continue;
    for (let bit = 0; bit < 8; bit++) {
      const first = (byte * 8 + bit) * rows;
      if (((bits >>> bit) & 1) === 0 || first >= blocks) continue;
      const last = Math.floor((Math.min(first + rows, blocks) - 1) / INTEGRITY_ENTRIES);
      for (let page = Math.floor(first / INTEGRITY_ENTRIES); page <= last; page++) covered.add(page);
    }
  }
  return covered;
}
