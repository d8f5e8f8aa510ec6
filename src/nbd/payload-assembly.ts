import type { Clock } from '../base/clock.js';
import { KIB } from '../base/units.js';
import type { Request } from './request.js';
import type { Staging, StagingBuffer } from './staging.js';

/** A payload with at least this much to come is read straight into its place: one more system call, and one copy less. */
const LANDING_BYTES_MIN = 32 * KIB;

/**
 * The write payload that is arriving on one connection. It is assembled in a staging buffer that the request keeps until it is acknowledged: from chunks, or by
 * reads of the socket that land in that buffer.
 */
export class PayloadAssembly {
  readonly #staging: Staging;
  readonly #clock: Clock;
  #filled = 0;
  #since_ms = -1;
  #receivedBytes = 0;
  /** The memory that the next read of the socket lands in, and whose it is. null: none was lent. */
  #lent: Uint8Array | null = null;
  #lentFrom: StagingBuffer | null = null;
  /** Set when the payload is complete. */
  complete: Buffer | null = null;

  constructor(staging: Staging, clock: Clock) {
    this.#staging = staging;
    this.#clock = clock;
  }

  /** Bytes assembled so far. */
  get filled(): number {
    return this.#filled;
  }

  /** Payload bytes of all requests so far. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** When the payload began to wait for more input, on the clock; -1 while none does. */
  get since_ms(): number {
    return this.#since_ms;
  }

  /** Consumes from the chunk at `at` what belongs to the request's payload; returns how much that was. */
  take(request: Request, chunk: Buffer, at: number): number {
    const left = chunk.length - at;
    if (this.#since_ms < 0 && left < request.length) this.#since_ms = this.#clock.now();
    if (left === 0) return 0;
    request.staging ??= this.#staging.take(request.length);
    const taken = Math.min(left, request.length - this.#filled);
    request.staging.bytes.set(taken === chunk.length ? chunk : chunk.subarray(at, at + taken), this.#filled);
    this.#grow(request, taken);
    return taken;
  }

  #grow(request: Request, bytes: number): void {
    this.#filled += bytes;
    this.#receivedBytes += bytes;
    if (this.#filled < request.length) return;
    this.reset();
    this.complete = (request.staging as StagingBuffer).bytes.subarray(0, request.length);
  }

  /** Lends the rest of the payload's memory to the next read of the socket; null when there is too little to come. */
  lend(request: Request): Uint8Array | null {
    this.#lent = null;
    this.#lentFrom = null;
    if (request.length - this.#filled < LANDING_BYTES_MIN) return null;
    request.staging ??= this.#staging.take(request.length);
    this.#lentFrom = request.staging;
    this.#lent = request.staging.bytes.subarray(this.#filled, request.length);
    return this.#lent;
  }

  /** Takes `length` bytes that a read has put into the memory lent for it; false when they are not in that memory, or it is not the payload's any more. */
  landed(request: Request, buffer: Uint8Array, length: number): boolean {
    if (buffer !== this.#lent || request.staging !== this.#lentFrom) return false;
    this.#lent = null;
    this.#lentFrom = null;
    this.#grow(request, length);
    return true;
  }

  /** True when the socket may yet read into this memory: nobody else must get it. */
  isLent(staging: StagingBuffer): boolean {
    return staging === this.#lentFrom;
  }

  /** Ready for the next payload; whatever was assembled is the request's to give back. */
  reset(): void {
    this.#filled = 0;
    this.#since_ms = -1;
    this.complete = null;
  }
}
