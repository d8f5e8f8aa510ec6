import type { Clock } from '../base/clock.js';
import type { Request } from './request.js';
import type { Staging } from './staging.js';

/**
 * The write payload that is arriving on one connection. Whole within a chunk it is a view of that chunk, which nobody else uses;
 * in pieces it is assembled in a staging buffer that the request keeps until it is acknowledged.
 */
export class PayloadAssembly {
  readonly #staging: Staging;
  readonly #clock: Clock;
  #filled = 0;
  #since_ms = -1;
  /** Set by take() when the payload is complete. */
  complete: Buffer | null = null;

  constructor(staging: Staging, clock: Clock) {
    this.#staging = staging;
    this.#clock = clock;
  }

  /** Bytes assembled so far. */
  get filled(): number {
    return this.#filled;
  }

  /** When the payload began to wait for more input, on the clock; -1 while none does. */
  get since_ms(): number {
    return this.#since_ms;
  }

  /** Consumes from the chunk at `at` what belongs to the request's payload; returns how much that was. */
  take(request: Request, chunk: Buffer, at: number): number {
    const left = chunk.length - at;
    if (this.#filled === 0 && left >= request.length) {
      this.#since_ms = -1;
      this.complete = chunk.subarray(at, at + request.length);
      return request.length;
    }
    if (this.#since_ms < 0) this.#since_ms = this.#clock.now();
    if (left === 0) return 0;
    request.staging ??= this.#staging.take(request.length);
    const taken = Math.min(left, request.length - this.#filled);
    request.staging.bytes.set(taken === chunk.length ? chunk : chunk.subarray(at, at + taken), this.#filled);
    this.#filled += taken;
    if (this.#filled === request.length) {
      this.reset();
      this.complete = request.staging.bytes.subarray(0, request.length);
    }
    return taken;
  }

  /** Ready for the next payload; whatever was assembled is the request's to give back. */
  reset(): void {
    this.#filled = 0;
    this.#since_ms = -1;
    this.complete = null;
  }
}
