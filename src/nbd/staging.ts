import { assert } from '../base/assert.js';
import { PAYLOAD_BYTES_MAX } from './protocol.js';

/** Smallest assembly buffer: a block. Classes are powers of two up to the largest payload. */
const CLASS_SHIFT_MIN = 12;
const CLASS_COUNT = Math.log2(PAYLOAD_BYTES_MAX) - CLASS_SHIFT_MIN + 1;

/** Memory in which a payload that arrives in several pieces is assembled. */
export interface StagingBuffer {
  readonly bytes: Buffer;
  readonly classIndex: number;
}

/** Somebody who waits for payload budget. wake() must only schedule: it is called from inside a release. */
export interface BudgetWaiter {
  wake(): void;
}

/**
 * The global bound on write payloads between their header and their acknowledgement, first come first served, so that a large
 * write is not starved by small ones; and the assembly buffers, of which a bounded number of idle bytes is kept.
 */
export class Staging {
  readonly #bytesMax: number;
  readonly #cacheBytesMax: number;
  readonly #idle: StagingBuffer[][] = Array.from({ length: CLASS_COUNT }, () => []);
  readonly #waiters: BudgetWaiter[] = [];
  #usedBytes = 0;
  #cachedBytes = 0;

  constructor(bytesMax: number, cacheBytesMax: number) {
    assert(bytesMax >= PAYLOAD_BYTES_MAX, 'the payload budget admits the largest request');
    this.#bytesMax = bytesMax;
    this.#cacheBytesMax = cacheBytesMax;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get cachedBytes(): number {
    return this.#cachedBytes;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  /** Reserves budget. False: `waiter` is queued and woken when it is its turn; it then asks again. */
  reserve(bytes: number, waiter: BudgetWaiter): boolean {
    const first = this.#waiters[0];
    if ((first !== undefined && first !== waiter) || this.#usedBytes + bytes > this.#bytesMax) {
      if (!this.#waiters.includes(waiter)) this.#waiters.push(waiter);
      return false;
    }
    this.#usedBytes += bytes;
    if (first !== undefined) {
      this.#waiters.shift();
      this.#waiters[0]?.wake();
    }
    return true;
  }

  unreserve(bytes: number): void {
    this.#usedBytes -= bytes;
    assert(this.#usedBytes >= 0, 'payload budget is given back once');
    if (this.#waiters.length > 0) this.#waiters[0]?.wake();
  }

  /** A waiter that went away must not block those behind it. */
  forget(waiter: BudgetWaiter): void {
    const index = this.#waiters.indexOf(waiter);
    if (index < 0) return;
    this.#waiters.splice(index, 1);
    this.#waiters[0]?.wake();
  }

  take(length: number): StagingBuffer {
    const classIndex = Math.max(0, 32 - Math.clz32(length - 1) - CLASS_SHIFT_MIN);
    assert(length > 0 && classIndex < CLASS_COUNT, 'a payload of 1 byte to 32 MiB');
    const idle = this.#idle[classIndex]?.pop();
    if (idle === undefined) return { bytes: Buffer.allocUnsafeSlow(1 << (classIndex + CLASS_SHIFT_MIN)), classIndex };
    this.#cachedBytes -= idle.bytes.length;
    return idle;
  }

  give(buffer: StagingBuffer): void {
    if (this.#cachedBytes + buffer.bytes.length > this.#cacheBytesMax) return;
    this.#cachedBytes += buffer.bytes.length;
    this.#idle[buffer.classIndex]?.push(buffer);
  }
}
