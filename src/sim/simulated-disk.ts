import { constants } from 'node:os';
import { assert } from '../base/assert.js';
import type { Random } from '../base/random.js';
import { BLOCK_BYTES, type Bytes } from '../base/units.js';
import type { Owner } from './scheduler.js';
import { isZeroPage, ZERO_PAGE } from './zero-page.js';

export type Crash = 'power-failure' | 'process-crash';

/** What a device writes whole or not at all. */
const SECTOR_BYTES = 512;
const EIO = -constants.errno.EIO;

export type Page = Uint8Array | undefined;

interface CachedPage {
  readonly order: number;
  readonly page: number;
  readonly bytes: Page;
}

/** A write that a process has asked for and that has not ended. */
export interface WriteInFlight {
  readonly owner: Owner;
  readonly offset: Bytes;
  readonly bytes: Uint8Array;
}

/** What may be done to one disk; numbers count requests that are still to be spoilt. */
export interface DiskFaults {
  /** Reads that fail once. */
  failReads: number;
  failWrites: number;
  failSyncs: number;
  /** Writes that are acknowledged and go nowhere. */
  loseWrites: number;
  /** Writes that are acknowledged and land in another place. */
  misdirectWrites: number;
  /** Requests take this many times as long. */
  slowness: number;
  /** No request ends before this moment of simulated time, microseconds. */
  stalledUntil_us: number;
}

/** Nothing is done to requests. */
const NO_FAULTS: Readonly<DiskFaults> = {
  failReads: 0,
  failWrites: 0,
  failSyncs: 0,
  loseWrites: 0,
  misdirectWrites: 0,
  slowness: 1,
  stalledUntil_us: 0,
};

/**
 * One device, which outlives the processes that use it: pages on the medium, and what a volatile cache adds. A write is in the cache when it has ended, and on the medium
 * when a sync that was asked for after that has ended. A power failure keeps any set of the sectors that were only in the cache or on their way. Pages are
 * never changed in place: cache, medium and writes under way share them.
 */
export class SimulatedDisk {
  readonly path: string;
  readonly handle: number;
  readonly sizeBytes: Bytes;
  readonly #cache: Page[];
  readonly #medium: Page[];
  /** Pages that were ever written: a page of zeroes may be content. */
  readonly #written: Uint8Array;
  #unsynced: CachedPage[] = [];
  #order = 0;
  readonly inFlight = new Set<WriteInFlight>();
  /** false: it cannot be reached; what is on it stays. */
  connected = true;
  /** Rises when it goes away: what was opened before is of no use any more, even when it comes back. */
  plugged = 0;
  /** Something was done to it since it last became a member. */
  touched = false;
  readonly faults: DiskFaults = { ...NO_FAULTS };
  /** Pages that cannot be read until they are written again. */
  readonly unreadable = new Set<number>();
  /** Pages whose medium does not hold what it should, and the order of the first write that can mend it: a power failure brings back what was not synced over it. */
  readonly damaged = new Map<number, number>();
  /** Called when a fault took effect. */
  onFault: (kind: string) => void = () => {};

  constructor(path: string, handle: number, sizeBytes: Bytes) {
    assert(sizeBytes % BLOCK_BYTES === 0, 'a disk of whole pages');
    this.path = path;
    this.handle = handle;
    this.sizeBytes = sizeBytes;
    this.#cache = new Array<Page>(sizeBytes / BLOCK_BYTES).fill(undefined);
    this.#written = new Uint8Array(sizeBytes / BLOCK_BYTES);
    this.#medium = new Array<Page>(sizeBytes / BLOCK_BYTES).fill(undefined);
  }

  /** Order of the next write: a sync covers what ended before it was asked for. */
  get order(): number {
    return this.#order;
  }

  get unsyncedPages(): number {
    return this.#unsynced.length;
  }

  /** What a read of the page would bring, null when it would fail. For the model: nothing is done to it. */
  look(page: number): Uint8Array | null {
    return this.connected && !this.unreadable.has(page) ? (this.#cache[page] ?? ZERO_PAGE) : null;
  }

  /** It is there, all of it can be read, and all of it is zeroes. */
  isBlank(): boolean {
    return this.connected && this.unreadable.size === 0 && this.faults.failReads === 0 && this.#cache.every((page) => page === undefined);
  }

  /** The length, or -errno. */
  read(memory: Buffer, at: number, offset: Bytes, length: Bytes): number {
    if (!this.connected) return EIO;
    if (this.faults.failReads > 0) {
      this.faults.failReads--;
      this.onFault('read-error');
      return EIO;
    }
    const first = offset / BLOCK_BYTES;
    const count = length / BLOCK_BYTES;
    if (this.unreadable.size > 0) {
      for (let i = 0; i < count; i++) {
        if (!this.unreadable.has(first + i)) continue;
        this.onFault('latent-sector-error');
        return EIO;
      }
    }
    for (let i = 0; i < count; i++) {
      const page = this.#cache[first + i];
      if (page === undefined) memory.fill(0, at + i * BLOCK_BYTES, at + (i + 1) * BLOCK_BYTES);
      else memory.set(page, at + i * BLOCK_BYTES);
      if (this.damaged.size > 0 && this.damaged.has(first + i)) this.onFault('damage-read');
    }
    return length;
  }

  /** The length, or -errno. random: of faults. */
  write({ offset, bytes }: Omit<WriteInFlight, 'owner'>, random: Random): number {
    if (!this.connected) return EIO;
    const { faults } = this;
    const first = offset / BLOCK_BYTES;
    const count = bytes.length / BLOCK_BYTES;
    if (faults.failWrites > 0) {
      faults.failWrites--;
      this.onFault('write-error');
      // Some of it may have landed.
      for (let i = 0; i < random.below(count + 1); i++) this.#put(first + i, bytes, i);
      return EIO;
    }
    if (faults.loseWrites > 0) {
      faults.loseWrites--;
      this.onFault('lost-write');
      for (let i = 0; i < count; i++) this.damaged.set(first + i, this.#order);
      return bytes.length;
    }
    if (faults.misdirectWrites > 0) {
      faults.misdirectWrites--;
      this.onFault('misdirected-write');
      const elsewhere = this.#elsewhere(first, count, random);
      for (let i = 0; i < count; i++) {
        this.damaged.set(first + i, this.#order);
        const overwrites = this.#written[elsewhere + i] === 1;
        this.#put(elsewhere + i, bytes, i);
        // What lands where nothing was harms nobody.
        if (overwrites) this.damaged.set(elsewhere + i, this.#order);
      }
      return bytes.length;
    }
    for (let i = 0; i < count; i++) this.#put(first + i, bytes, i);
    return bytes.length;
  }

  #elsewhere(first: number, count: number, random: Random): number {
    // A near miss, as a flipped address bit makes it.
    const flipped = first ^ (1 << random.below(6));
    return flipped >= 0 && flipped + count <= this.#cache.length ? flipped : Math.max(0, first - count);
  }

  #put(page: number, bytes: Uint8Array, index: number): void {
    const content = bytes.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
    const kept = isZeroPage(content) ? undefined : content;
    this.#cache[page] = kept;
    this.#written[page] = 1;
    this.#unsynced.push({ order: this.#order++, page, bytes: kept });
    this.unreadable.delete(page);
  }

  /** Makes what was written before `covered` durable. 0 or -errno; after a failure what it covered may never reach the medium (as Linux does it). */
  sync(covered: number): number {
    if (!this.connected) return EIO;
    const failed = this.faults.failSyncs > 0;
    if (failed) {
      this.faults.failSyncs--;
      this.onFault('sync-error');
    }
    let kept = 0;
    for (const cached of this.#unsynced) {
      if (cached.order >= covered) this.#unsynced[kept++] = cached;
      else if (!failed) {
        this.#medium[cached.page] = cached.bytes;
        if (cached.order >= (this.damaged.get(cached.page) ?? Number.POSITIVE_INFINITY)) this.damaged.delete(cached.page);
      }
    }
    this.#unsynced.length = kept;
    return failed ? EIO : 0;
  }

  /** Flips bits of one page, in the cache and on the medium. False when there is nothing to rot. */
  rot(page: number, random: Random): boolean {
    const content = this.#cache[page];
    if (content === undefined || this.#unsynced.some((cached) => cached.page === page)) return false;
    const bytes = Uint8Array.from(content);
    for (let flips = 1 + random.below(3); flips > 0; flips--) {
      const at = random.below(BLOCK_BYTES);
      bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    }
    if (Buffer.compare(bytes, content) === 0) return false;
    this.#cache[page] = bytes;
    this.#medium[page] = bytes;
    this.damaged.set(page, this.#order);
    return true;
  }

  /** Pages of [from, to) that hold something. */
  pagesWithContent(from: number, to: number): number[] {
    const pages: number[] = [];
    for (let page = from; page < to; page++) if (this.#cache[page] !== undefined) pages.push(page);
    return pages;
  }

  /** The same content and the same damage, for what is tried beside the run; nothing more is done to its requests. */
  copy(): SimulatedDisk {
    const copy = new SimulatedDisk(this.path, this.handle, this.sizeBytes);
    for (let page = 0; page < this.#cache.length; page++) {
      copy.#cache[page] = this.#cache[page];
      copy.#medium[page] = this.#medium[page];
    }
    copy.#written.set(this.#written);
    copy.#unsynced = [...this.#unsynced];
    copy.#order = this.#order;
    for (const write of this.inFlight) copy.inFlight.add(write);
    for (const page of this.unreadable) copy.unreadable.add(page);
    for (const [page, order] of this.damaged) copy.damaged.set(page, order);
    copy.connected = this.connected;
    copy.touched = this.touched;
    return copy;
  }

  /** How everything stops; owner: of the writes that a process crash cuts short, null: all. */
  crash(how: Crash, random: Random, owner: Owner | null): void {
    if (how === 'power-failure') this.powerFailure(random);
    else this.processCrash(random, owner);
  }

  /** The process is killed, or with null all of them: of each write on its way any set of sectors has landed. */
  processCrash(random: Random, owner: Owner | null): void {
    for (const write of this.inFlight) if (owner === null || write.owner === owner) this.#endInPart(write, random);
  }

  #endInPart(write: WriteInFlight, random: Random): void {
    this.#someSectors(write, random, random.below(4), this.#cache, true);
    this.inFlight.delete(write);
  }

  /** The power fails: of everything not synced, and of what was on its way, any set of sectors is left. */
  powerFailure(random: Random): void {
    const kept = random.below(5);
    const survivors = this.#unsynced;
    this.#unsynced = [];
    for (const { page, bytes } of survivors) this.#tornPage(page, bytes, random, kept);
    for (const write of this.inFlight) this.#someSectors(write, random, kept, this.#medium, false);
    this.inFlight.clear();
    for (let page = 0; page < this.#medium.length; page++) this.#cache[page] = this.#medium[page];
  }

  /** kept of 4: none, few, half, most, all. Whole pages are as likely as torn ones, or nothing would ever survive. */
  #tornPage(page: number, bytes: Page, random: Random, kept: number): void {
    if (random.below(3) > 0) {
      if (random.below(4) < kept) this.#medium[page] = bytes;
      return;
    }
    this.#medium[page] = mixed(this.#medium[page], bytes, random, kept);
  }

  #someSectors(write: WriteInFlight, random: Random, kept: number, pages: Page[], cached: boolean): void {
    const first = write.offset / BLOCK_BYTES;
    for (let i = 0; i < write.bytes.length / BLOCK_BYTES; i++) {
      const page = first + i;
      const content = write.bytes.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
      const result = random.below(3) > 0 ? (random.below(4) < kept ? content : pages[page]) : mixed(pages[page], content, random, kept);
      pages[page] = result;
      if (cached) this.#unsynced.push({ order: this.#order++, page, bytes: result });
    }
  }

  /** It goes away, perhaps without its cache. */
  disconnect(random: Random): void {
    this.plugged++;
    this.connected = false;
    if (random.below(2) > 0) this.powerFailure(random);
    else for (const write of this.inFlight) this.#endInPart(write, random);
  }

  /** Everything on it is gone: another, empty device in its place. */
  wipe(): void {
    this.#cache.fill(undefined);
    this.#medium.fill(undefined);
    this.#unsynced = [];
    this.unreadable.clear();
    this.damaged.clear();
  }

  /** Nothing is done to requests any more; damage that was done stays. */
  heal(): void {
    Object.assign(this.faults, NO_FAULTS);
    this.connected = true;
  }

  /** What is on it, for another life: pages are never changed in place. */
  content(): readonly Page[] {
    return [...this.#medium];
  }

  /** Another device in its place, which holds this. */
  insert(content: readonly Page[], random: Random): void {
    this.disconnect(random);
    this.wipe();
    for (const [page, bytes] of content.entries()) {
      this.#cache[page] = bytes;
      this.#medium[page] = bytes;
    }
    this.connected = true;
  }

  /** It cannot be reached for a while; nothing happens to it. */
  unplug(): void {
    this.plugged++;
    this.connected = false;
  }

  /** Is to become a member again: an empty device, or this one as it is. */
  renew(empty: boolean): void {
    if (empty) this.wipe();
    this.heal();
    this.touched = true;
  }
}

function mixed(under: Page, over: Page, random: Random, kept: number): Page {
  const bytes = new Uint8Array(BLOCK_BYTES);
  if (under !== undefined) bytes.set(under);
  for (let at = 0; at < BLOCK_BYTES; at += SECTOR_BYTES) {
    if (random.below(4) >= kept) continue;
    if (over === undefined) bytes.fill(0, at, at + SECTOR_BYTES);
    else bytes.set(over.subarray(at, at + SECTOR_BYTES), at);
  }
  return bytes;
}
