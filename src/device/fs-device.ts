import { fdatasync, read, write } from 'node:fs';
import { constants } from 'node:os';
import type { Slab } from '../memory/slab.js';
import { RING_READ, RING_SYNC } from '../native/addon-api.js';
import type { RequestBackend, RequestQueue } from './request-queue.js';

/** libuv runs four of them at a time; more would only keep other users of its threads waiting. */
const FS_DEPTH = 32;
/** A direct transfer that stops inside a sector has met the end of the file. */
const SECTOR_BYTES = 512;

type FsCallback = (error: NodeJS.ErrnoException | null, bytes?: number) => void;

/** Requests through node:fs and libuv's threads, where io_uring is not permitted. */
export class FsBackend implements RequestBackend {
  readonly depth = FS_DEPTH;
  readonly #view: Buffer;
  /** Per slot: bytes transferred so far, and the callback, made once. */
  readonly #moved: number[] = [];
  readonly #callbacks: FsCallback[] = [];

  constructor(slab: Slab) {
    this.#view = slab.view;
  }

  begin(queue: RequestQueue, slots: Int32Array, count: number): void {
    for (let i = 0; i < count; i++) {
      const slot = slots[i] as number;
      this.#moved[slot] = 0;
      this.#callbacks[slot] ??= (error, bytes) => this.#advance(queue, slot, error, bytes ?? 0);
      this.#issue(queue, slot);
    }
  }

  #issue(queue: RequestQueue, slot: number): void {
    const fd = queue.fd[slot] as number;
    const callback = this.#callbacks[slot] as FsCallback;
    if (queue.opcode[slot] === RING_SYNC) {
      fdatasync(fd, callback);
      return;
    }
    const moved = this.#moved[slot] as number;
    const memory = (queue.memory[slot] as number) + moved;
    const offset = (queue.offset[slot] as number) + moved;
    const length = (queue.length[slot] as number) - moved;
    if (queue.opcode[slot] === RING_READ) read(fd, this.#view, memory, length, offset, callback);
    else write(fd, this.#view, memory, length, offset, callback);
  }

  #advance(queue: RequestQueue, slot: number, error: NodeJS.ErrnoException | null, bytes: number): void {
    if (error !== null) {
      queue.complete(slot, error.errno ?? -constants.errno.EIO);
      return;
    }
    if (queue.opcode[slot] === RING_SYNC) {
      queue.complete(slot, 0);
      return;
    }
    const length = queue.length[slot] as number;
    const moved = (this.#moved[slot] as number) + bytes;
    this.#moved[slot] = moved;
    if (moved === length) queue.complete(slot, length);
    else if (bytes === 0 || bytes % SECTOR_BYTES !== 0) queue.complete(slot, -constants.errno.EIO);
    else this.#issue(queue, slot);
  }

  close(): void {
    this.#callbacks.length = 0;
  }
}
