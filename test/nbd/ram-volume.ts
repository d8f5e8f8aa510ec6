import { KeelsonError } from '../../src/base/errors.js';
import { assert } from '../../src/base/assert.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import {
  SMALL_READ_BYTES,
  type BlockVolume,
  type Done,
  type ReadDone,
  type ReadPayload,
  type StatusExtent,
} from '../../src/engine/block-volume.js';

export interface RamVolumeOptions {
  readonly name?: string;
  readonly sizeBytes?: number;
  readonly readOnly?: boolean;
  /** 'now': callbacks before the call returns. 'later': in a later turn, all together. 'held': when the test calls release(). */
  readonly completes?: 'now' | 'later' | 'held';
}

interface Call {
  readonly kind: 'read' | 'write' | 'flush' | 'trim' | 'writeZeroes';
  readonly offset: number;
  readonly length: number;
  readonly fua: boolean;
  readonly noHole: boolean;
}

/**
 * A BlockVolume in ordinary memory. A write's payload is read only when the write completes, so that a payload changed too early shows as wrong
 * data; read payloads are private copies, overwritten on release, so that one used too late shows too.
 */
export class RamVolume implements BlockVolume {
  readonly name: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly readBytesMax = 64 * 1024 * 1024;
  readonly bytes: Buffer;
  /** Every call, in order; empty it as needed. Recorded only when `recording`. */
  readonly calls: Call[] = [];
  recording = true;
  payloadsOut = 0;
  /** Bytes of payloads that are large, of reads that are held included. */
  largeBytesOut = 0;
  statusCalls = 0;
  /** The next call of this kind fails with this code. */
  failNext: { kind: Call['kind']; code: string } | null = null;
  /** The next call throws this instead of calling back. */
  throwNext: Error | null = null;
  /** The next read comes back this many bytes short. */
  shortenNextRead = 0;
  completes: 'now' | 'later' | 'held';
  readonly #written: Uint8Array;
  readonly #undrained: Uint8Array;
  #waiting: (() => void)[] = [];

  constructor(options: RamVolumeOptions = {}) {
    this.name = options.name ?? 'ram';
    this.sizeBytes = options.sizeBytes ?? 1024 * 1024;
    this.readOnly = options.readOnly ?? false;
    this.completes = options.completes ?? 'later';
    this.bytes = Buffer.alloc(this.sizeBytes);
    const blocks = Math.ceil(this.sizeBytes / BLOCK_BYTES);
    this.#written = new Uint8Array(blocks);
    this.#undrained = new Uint8Array(blocks);
  }

  get heldCount(): number {
    return this.#waiting.length;
  }

  /** Completes what is held, in an order the test chooses. */
  release(order: (waiting: (() => void)[]) => (() => void)[] = (waiting) => waiting): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const finish of order(waiting)) finish();
  }

  /** Puts a completion back among those that wait. */
  hold(finish: () => void): void {
    this.#waiting.push(finish);
  }

  /** As if everything had reached the backup. */
  drainAll(): void {
    this.#undrained.fill(0);
  }

  #finish(finish: () => void): void {
    if (this.completes === 'now') {
      finish();
      return;
    }
    this.#waiting.push(finish);
    if (this.completes === 'later' && this.#waiting.length === 1) setImmediate(() => this.release());
  }

  #enter(kind: Call['kind'], offset: number, length: number, fua = false, noHole = false): KeelsonError | null {
    assert(offset >= 0 && (length > 0 || kind === 'flush') && offset + length <= this.sizeBytes, 'the range was checked before the volume');
    if (this.recording) this.calls.push({ kind, offset, length, fua, noHole });
    const thrown = this.throwNext;
    this.throwNext = null;
    if (thrown !== null) throw thrown;
    if (this.failNext?.kind !== kind) return null;
    const code = this.failNext.code;
    this.failNext = null;
    return new KeelsonError(code, `injected ${code}`);
  }

  #mark(offset: number, length: number, written: number): void {
    const first = Math.floor(offset / BLOCK_BYTES);
    const end = Math.ceil((offset + length) / BLOCK_BYTES);
    this.#undrained.fill(1, first, end);
    if (written === 1) this.#written.fill(1, first, end);
    else this.#written.fill(0, Math.ceil(offset / BLOCK_BYTES), Math.floor((offset + length) / BLOCK_BYTES));
  }

  read(offset: number, length: number, done: ReadDone): void {
    const error = this.#enter('read', offset, length);
    this.#finish(() => {
      if (error !== null) {
        done(error, null);
        return;
      }
      let released = false;
      this.payloadsOut++;
      if (length > SMALL_READ_BYTES) this.largeBytesOut += length;
      const bytes = Buffer.from(this.bytes.subarray(offset, offset + length - this.shortenNextRead));
      this.shortenNextRead = 0;
      const payload: ReadPayload = {
        bytes,
        release: () => {
          assert(!released, 'a payload is released once');
          released = true;
          this.payloadsOut--;
          if (length > SMALL_READ_BYTES) this.largeBytesOut -= length;
          bytes.fill(0xdd);
        },
      };
      done(null, payload);
    });
  }

  write(offset: number, payload: Uint8Array, fua: boolean, done: Done): void {
    const error = this.#enter('write', offset, payload.length, fua);
    this.#finish(() => {
      if (error === null) {
        this.bytes.set(payload, offset);
        this.#mark(offset, payload.length, 1);
      }
      done(error);
    });
  }

  flush(done: Done): void {
    const error = this.#enter('flush', 0, 0);
    this.#finish(() => done(error));
  }

  trim(offset: number, length: number, fua: boolean, done: Done): void {
    const error = this.#enter('trim', offset, length, fua);
    this.#finish(() => {
      if (error === null) this.#zero(offset, length, false);
      done(error);
    });
  }

  writeZeroes(offset: number, length: number, noHole: boolean, fua: boolean, done: Done): void {
    const error = this.#enter('writeZeroes', offset, length, fua, noHole);
    this.#finish(() => {
      if (error === null) this.#zero(offset, length, noHole);
      done(error);
    });
  }

  #zero(offset: number, length: number, keep: boolean): void {
    this.bytes.fill(0, offset, offset + length);
    this.#mark(offset, length, keep ? 1 : 0);
  }

  blockStatus(offset: number, length: number, limit: number): StatusExtent[] {
    this.statusCalls++;
    const extents: StatusExtent[] = [];
    let at = offset;
    while (at < offset + length && extents.length < limit) {
      const block = Math.floor(at / BLOCK_BYTES);
      const end = Math.min((block + 1) * BLOCK_BYTES, offset + length);
      const hole = this.#written[block] === 0;
      extents.push({ length: end - at, hole, zero: hole, undrained: this.#undrained[block] === 1 });
      at = end;
    }
    return extents;
  }
}
