import type { Clock } from '../base/clock.js';
import { BLOCK_BYTES, type Bytes, KIB } from '../base/units.js';
import type { BudgetShare } from './memory-budget.js';
import { pieceEnd, SMALL_BYTES } from './pieces.js';
import type { Request } from './request.js';
import { Staging, type StagingBuffer } from './staging.js';

/** A payload with at least this much to come is read straight into its place: one more system call, and one copy less. */
const LANDING_BYTES_MIN = 32 * KIB;

/**
 * The write payload that is arriving on one connection. It is assembled in staging buffers, a piece each, that are taken when their first bytes come and that the request
 * keeps until it is acknowledged: from chunks, or by reads of the socket that land in them.
 */
export class PayloadAssembly {
  readonly #staging: Staging;
  readonly #share: BudgetShare;
  readonly #clock: Clock;
  #filled = 0;
  /** The last piece begins here in the payload and ends there. */
  #pieceFrom = 0;
  #pieceTo = 0;
  #since_ms = -1;
  #receivedBytes = 0;
  /** The memory that the next read of the socket lands in, and whose it is. null: none was lent. */
  #lent: Uint8Array | null = null;
  #lentFrom: StagingBuffer | null = null;
  complete = false;

  constructor(staging: Staging, share: BudgetShare, clock: Clock) {
    this.#staging = staging;
    this.#share = share;
    this.#clock = clock;
  }

  /** Bytes assembled so far. */
  get filled(): Bytes {
    return this.#filled;
  }

  /** Payload bytes of all requests so far. */
  get receivedBytes(): Bytes {
    return this.#receivedBytes;
  }

  /** When the payload began to wait for more input, on the clock; -1 while none does. */
  get since_ms(): number {
    return this.#since_ms;
  }

  /** Waiting for memory is no fault of the peer's: its time begins anew. */
  restartClock(): void {
    if (this.#since_ms >= 0) this.#since_ms = this.#clock.now();
  }

  /** Consumes from the chunk at `at` what belongs to the request's payload and has memory; returns how much that was. */
  take(request: Request, chunk: Buffer, at: number): Bytes {
    const wanted = Math.min(chunk.length - at, request.length - this.#filled);
    if (this.#since_ms < 0 && wanted < request.length) this.#since_ms = this.#clock.now();
    let taken = 0;
    while (taken < wanted && this.#hasRoom(request, false)) {
      const count = Math.min(wanted - taken, this.#pieceTo - this.#filled);
      const from = at + taken;
      this.#last(request).bytes.set(count === chunk.length ? chunk : chunk.subarray(from, from + count), this.#filled - this.#pieceFrom);
      taken += count;
      this.#grow(request, count);
    }
    return taken;
  }

  #last(request: Request): StagingBuffer {
    return request.staging[request.staging.length - 1] as StagingBuffer;
  }

  /** Takes the next piece's memory when the last piece is full. False when there is none now. early: nothing of it has come. */
  #hasRoom(request: Request, early: boolean): boolean {
    if (this.#filled < this.#pieceTo) return true;
    const { offset, length } = request;
    const end = length <= SMALL_BYTES ? length : pieceEnd(offset + this.#filled, offset + length) - offset;
    const bytes = Staging.bytesFor(end - this.#filled);
    const { heldBytes } = request;
    if (!(early ? this.#share.takeEarly(bytes, heldBytes) : this.#share.take(bytes, heldBytes))) return false;
    request.heldBytes += bytes;
    request.staging.push(this.#staging.take(end - this.#filled));
    this.#pieceFrom = this.#filled;
    this.#pieceTo = end;
    return true;
  }

  #grow(request: Request, bytes: Bytes): void {
    this.#filled += bytes;
    this.#receivedBytes += bytes;
    if (this.#filled < request.length) return;
    this.reset();
    this.complete = true;
  }

  /** Lends the rest of the piece's memory to the next read of the socket; null when there is too little to come, or no memory now. */
  lend(request: Request): Uint8Array | null {
    this.#lent = null;
    this.#lentFrom = null;
    if (request.length - this.#filled < LANDING_BYTES_MIN || !this.#hasRoom(request, true)) return null;
    if (this.#pieceTo - this.#filled < BLOCK_BYTES && this.#pieceTo < request.length) return null;
    this.#lentFrom = this.#last(request);
    this.#lent = this.#lentFrom.bytes.subarray(this.#filled - this.#pieceFrom, this.#pieceTo - this.#pieceFrom);
    return this.#lent;
  }

  /** Takes `length` bytes that a read has put into the memory lent for it; false when they are not in that memory, or it is not the payload's any more. */
  landed(request: Request, buffer: Uint8Array, length: Bytes): boolean {
    if (buffer !== this.#lent || this.#lentFrom === null || this.#last(request) !== this.#lentFrom) return false;
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
    this.#pieceFrom = 0;
    this.#pieceTo = 0;
    this.#since_ms = -1;
    this.complete = false;
  }
}
