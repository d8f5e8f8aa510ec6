import { assert } from '../base/assert.js';
import type { Bytes, SlabOffset } from '../base/units.js';
import { RING_READ, RING_SYNC, RING_WRITE } from '../native/addon-api.js';
import type { Device, IoDone } from './device.js';
import type { OpenedDevice } from './open-device.js';
import type { RequestOwner, RequestQueue } from './request-queue.js';

/** A device whose requests go through its provider's queue: all that ring and fs have in common. */
export class QueuedDevice implements Device, RequestOwner {
  readonly path: string;
  readonly sizeBytes: Bytes;
  readonly alignBytes: Bytes;
  readonly isBlockDevice: boolean;
  readonly handle: number;
  /** False where the file system refuses O_DIRECT and I/O goes through the page cache. */
  readonly direct: boolean;
  readonly #queue: RequestQueue;
  readonly #memoryBytes: Bytes;
  readonly #release: (device: QueuedDevice) => void;
  #inFlight = 0;
  #closing: Promise<void> | null = null;
  #idle: (() => void) | null = null;

  constructor(opened: OpenedDevice, queue: RequestQueue, memoryBytes: Bytes, release: (device: QueuedDevice) => void) {
    this.path = opened.path;
    this.sizeBytes = opened.sizeBytes;
    this.alignBytes = opened.alignBytes;
    this.isBlockDevice = opened.isBlockDevice;
    this.handle = opened.handle;
    this.direct = opened.direct;
    this.#queue = queue;
    this.#memoryBytes = memoryBytes;
    this.#release = release;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  read(memory: SlabOffset, offset: Bytes, length: Bytes, done: IoDone, tag: number): void {
    this.#push(RING_READ, memory, offset, length, done, tag);
  }

  write(memory: SlabOffset, offset: Bytes, length: Bytes, done: IoDone, tag: number): void {
    this.#push(RING_WRITE, memory, offset, length, done, tag);
  }

  sync(done: IoDone, tag: number): void {
    assert(this.#closing === null, 'a closed device takes no requests');
    this.#inFlight += 1;
    this.#queue.push(this, RING_SYNC, this.handle, 0, 0, 0, done, tag);
  }

  #push(opcode: number, memory: number, offset: number, length: number, done: IoDone, tag: number): void {
    assert(this.#closing === null, 'a closed device takes no requests');
    assert(length > 0 && length % this.alignBytes === 0, 'length a positive multiple of the alignment');
    assert(offset >= 0 && offset % this.alignBytes === 0 && offset + length <= this.sizeBytes, 'aligned range inside the device');
    assert(memory >= 0 && memory % this.alignBytes === 0 && memory + length <= this.#memoryBytes, 'aligned range inside the slab');
    this.#inFlight += 1;
    this.#queue.push(this, opcode, this.handle, memory, offset, length, done, tag);
  }

  requestDone(): void {
    this.#inFlight -= 1;
    if (this.#inFlight === 0 && this.#idle !== null) {
      // The last callback still has to run: close only after this turn's callbacks.
      queueMicrotask(this.#idle);
      this.#idle = null;
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    this.#release(this);
  }
}
