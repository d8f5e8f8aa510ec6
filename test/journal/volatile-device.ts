import { constants } from 'node:os';
import type { Random } from '../../src/base/random.js';
import type { Bytes, SlabOffset } from '../../src/base/units.js';
import type { Device, IoDone } from '../../src/device/device.js';
import type { Slab } from '../../src/memory/slab.js';

/*
 * Fault model: a device with a volatile write cache. A write is in the cache when it is completed and on the medium when a sync that was asked for after that is completed.
 * Requests complete in any order, when the test says so. A process crash keeps the cache, and of each write in flight any set of its 512-byte sectors.
 * A power failure keeps, of everything not yet synced, any set of sectors. Any request may be made to fail; a dead device fails all of them.
 */

const SECTOR_BYTES = 512;
const EIO = -constants.errno.EIO;

interface Write {
  readonly order: number;
  readonly offset: Bytes;
  readonly bytes: Uint8Array;
}

interface Request {
  readonly kind: 'read' | 'write' | 'sync';
  readonly run: () => void;
  readonly write: Write | null;
}

export class VolatileDevice implements Device {
  readonly path: string;
  readonly sizeBytes: Bytes;
  readonly alignBytes = 4096;
  readonly isBlockDevice = false;
  readonly handle = -1;
  /** What reads see. */
  readonly cache: Uint8Array;
  /** What a power failure leaves at least. */
  readonly medium: Uint8Array;
  readonly waiting: Request[] = [];
  /** Requests of these kinds fail, this many times. */
  readonly failing = { read: 0, write: 0, sync: 0 };
  dead = false;
  writes = 0;
  syncs = 0;
  readonly #slab: Slab;
  #unsynced: Write[] = [];
  #order = 0;

  constructor(path: string, slab: Slab, image: Uint8Array) {
    this.path = path;
    this.#slab = slab;
    this.sizeBytes = image.length;
    this.cache = Uint8Array.from(image);
    this.medium = Uint8Array.from(image);
  }

  get inFlight(): number {
    return this.waiting.length;
  }

  read(memory: SlabOffset, offset: Bytes, length: Bytes, done: IoDone, tag: number): void {
    this.#ask('read', null, done, tag, () => {
      this.#slab.view.set(this.cache.subarray(offset, offset + length), memory);
      return length;
    });
  }

  write(memory: SlabOffset, offset: Bytes, length: Bytes, done: IoDone, tag: number): void {
    const write = { order: 0, offset, bytes: Uint8Array.from(this.#slab.view.subarray(memory, memory + length)) };
    this.writes++;
    this.#ask('write', write, done, tag, () => {
      this.cache.set(write.bytes, offset);
      this.#unsynced.push({ ...write, order: this.#order++ });
      return length;
    });
  }

  sync(done: IoDone, tag: number): void {
    const covered = this.#order;
    this.syncs++;
    this.#ask('sync', null, done, tag, () => {
      for (const write of this.#unsynced) if (write.order < covered) this.medium.set(write.bytes, write.offset);
      this.#unsynced = this.#unsynced.filter(({ order }) => order >= covered);
      return 0;
    });
  }

  #ask(kind: Request['kind'], write: Write | null, done: IoDone, tag: number, act: () => number): void {
    this.waiting.push({
      kind,
      write,
      run: () => {
        if (this.failing[kind] > 0) {
          this.failing[kind]--;
          return done(EIO, tag);
        }
        done(this.dead ? EIO : act(), tag);
      },
    });
  }

  /** Completes one waiting request. */
  complete(index: number): void {
    this.waiting.splice(index, 1)[0]?.run();
  }

  /** What is found after the process was killed. */
  afterProcessCrash(random: Random): Uint8Array {
    const image = Uint8Array.from(this.cache);
    for (const { write } of this.waiting) if (write !== null) someSectors(image, write, random, random.below(4));
    return image;
  }

  /** What is found after a power failure. */
  afterPowerFailure(random: Random): Uint8Array {
    const image = Uint8Array.from(this.medium);
    const kept = random.below(4);
    for (const write of this.#unsynced) someSectors(image, write, random, kept);
    for (const { write } of this.waiting) if (write !== null) someSectors(image, write, random, kept);
    return image;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** kept of 3: none, few, most or all sectors of a write. Whole writes are as likely as torn ones, or nothing would ever survive. */
function someSectors(image: Uint8Array, write: Write, random: Random, kept: number): void {
  const whole = random.below(3) === 0 ? random.below(3) < kept : null;
  for (let at = 0; at < write.bytes.length; at += SECTOR_BYTES) {
    if (whole ?? random.below(3) < kept) image.set(write.bytes.subarray(at, at + SECTOR_BYTES), write.offset + at);
  }
}
