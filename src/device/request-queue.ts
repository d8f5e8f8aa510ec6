import { assert } from '../base/assert.js';
import type { IoDone } from './device.js';

/**
 * Requests that a provider holds at once, waiting and running. Each one pins at least a slab page, so this covers a slab of 256 MiB
 * written page by page; what comes on top is a caller that has lost its own bound.
 */
export const DEVICE_REQUESTS_MAX = 65_536;

/** Carries out requests: the ring or node:fs. It calls RequestQueue.complete once for each slot it was given, never before begin returns. */
export interface RequestBackend {
  /** Requests that may run at once; the others wait in the queue, in order. */
  readonly depth: number;
  begin(queue: RequestQueue, slots: Int32Array, count: number): void;
}

/** Whoever counts the requests of one device. */
export interface RequestOwner {
  requestDone(): void;
}

/**
 * The requests of all devices of one provider, as columns of typed arrays: a request is a slot number and no object is made for it.
 * Requests of one turn of the event loop are handed to the backend together, in a microtask.
 */
export class RequestQueue {
  readonly opcode = new Uint8Array(DEVICE_REQUESTS_MAX);
  readonly fd = new Int32Array(DEVICE_REQUESTS_MAX);
  readonly memory = new Float64Array(DEVICE_REQUESTS_MAX);
  readonly offset = new Float64Array(DEVICE_REQUESTS_MAX);
  readonly length = new Float64Array(DEVICE_REQUESTS_MAX);
  readonly #done: (IoDone | null)[] = [];
  readonly #owner: (RequestOwner | null)[] = [];
  readonly #tag = new Float64Array(DEVICE_REQUESTS_MAX);
  /** Slots given back, as a stack; slots from #touched on were never used. */
  readonly #free = new Int32Array(DEVICE_REQUESTS_MAX);
  #freeCount = 0;
  #touched = 0;
  /** Ring of waiting slots. */
  readonly #waiting = new Int32Array(DEVICE_REQUESTS_MAX);
  #waitingHead = 0;
  #waitingCount = 0;
  #running = 0;
  #scheduled = false;
  readonly #backend: RequestBackend;
  readonly #batch: Int32Array;
  readonly #flush = (): void => this.#begin();

  constructor(backend: RequestBackend) {
    this.#backend = backend;
    this.#batch = new Int32Array(backend.depth);
  }

  /** Requests handed to the backend and not yet completed. */
  get running(): number {
    return this.#running;
  }

  /** Requests that wait for the backend. */
  get waiting(): number {
    return this.#waitingCount;
  }

  push(owner: RequestOwner, opcode: number, fd: number, memory: number, offset: number, length: number, done: IoDone, tag: number): void {
    let slot: number;
    if (this.#freeCount > 0) {
      this.#freeCount -= 1;
      slot = this.#free[this.#freeCount] as number;
    } else {
      assert(this.#touched < DEVICE_REQUESTS_MAX, `at most ${DEVICE_REQUESTS_MAX} device requests at once`);
      slot = this.#touched;
      this.#touched += 1;
    }
    this.opcode[slot] = opcode;
    this.fd[slot] = fd;
    this.memory[slot] = memory;
    this.offset[slot] = offset;
    this.length[slot] = length;
    this.#done[slot] = done;
    this.#owner[slot] = owner;
    this.#tag[slot] = tag;
    this.#waiting[(this.#waitingHead + this.#waitingCount) % DEVICE_REQUESTS_MAX] = slot;
    this.#waitingCount += 1;
    this.#schedule();
  }

  /** result: the full length or -errno. Frees the slot before it calls back, so that the callback may ask for more. */
  complete(slot: number, result: number): void {
    const done = this.#done[slot];
    const owner = this.#owner[slot];
    assert(done !== null && done !== undefined && owner !== null && owner !== undefined, 'a device request completes once');
    const tag = this.#tag[slot] as number;
    this.#done[slot] = null;
    this.#owner[slot] = null;
    this.#free[this.#freeCount] = slot;
    this.#freeCount += 1;
    this.#running -= 1;
    if (this.#waitingCount > 0) this.#schedule();
    owner.requestDone();
    done(result, tag);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(this.#flush);
  }

  #begin(): void {
    this.#scheduled = false;
    const count = Math.min(this.#waitingCount, this.#backend.depth - this.#running);
    if (count <= 0) return;
    for (let i = 0; i < count; i++) this.#batch[i] = this.#waiting[(this.#waitingHead + i) % DEVICE_REQUESTS_MAX] as number;
    this.#waitingHead = (this.#waitingHead + count) % DEVICE_REQUESTS_MAX;
    this.#waitingCount -= count;
    this.#running += count;
    this.#backend.begin(this, this.#batch, count);
  }
}
