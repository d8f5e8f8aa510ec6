import type { KeelsonError } from '../base/errors.js';
import { type Bytes, KIB } from '../base/units.js';

export type Done = (error: KeelsonError | null) => void;

/** Reads up to this size have memory of their own: callers that hold large ones keep none of it from them. */
export const SMALL_READ_BYTES = 64 * KIB;
/** A larger read holds memory in parts of this size. */
export const READ_PIECE_BYTES = 128 * KIB;

/** A read's bytes: a view over slab memory that stays valid until release() is called, exactly once. */
export interface ReadPayload {
  readonly bytes: Buffer;
  release(): void;
}
export type ReadDone = (error: KeelsonError | null, payload: ReadPayload | null) => void;

/** One extent of a block status reply. */
export interface StatusExtent {
  readonly length: Bytes;
  /** base:allocation: never written or trimmed, reads as zeroes. */
  readonly hole: boolean;
  readonly zero: boolean;
  /** x-keelson:undrained: not yet off this host. */
  readonly undrained: boolean;
}

/**
 * The volume as block clients see it: what the NBD front end and the tests call. All offsets and lengths are bytes, any alignment,
 * already checked to lie inside the volume and to be positive. Callbacks may come before the call returns. Requests in flight at the same
 * time have no order among them, but each 4096-byte block of a request is atomic.
 *
 * Error codes a client must map: READ_ONLY (EPERM), NO_SPACE (ENOSPC), DATA_LOST / DATA_UNAVAILABLE / IO (EIO), SHUTTING_DOWN (ESHUTDOWN).
 */
export interface BlockVolume {
  readonly name: string;
  readonly sizeBytes: Bytes;
  readonly readOnly: boolean;
  /** Memory of reads larger than SMALL_READ_BYTES. What is asked for beyond it waits until payloads are released, in the order of the calls. */
  readonly readBytesMax: Bytes;
  read(offset: Bytes, length: Bytes, done: ReadDone): void;
  /** payload must not change until done is called. fua: acknowledged only when on stable media. Clients, each a number, take turns where writes have to wait. */
  write(offset: Bytes, payload: Uint8Array, fua: boolean, done: Done, client?: number): void;
  /** Every write acknowledged before this call, on any connection, is on stable media when done is called. */
  flush(done: Done): void;
  trim(offset: Bytes, length: Bytes, fua: boolean, done: Done, client?: number): void;
  /** noHole: false permits deallocation; the bytes read as zeroes either way. */
  writeZeroes(offset: Bytes, length: Bytes, noHole: boolean, fua: boolean, done: Done, client?: number): void;
  /** Extents covering [offset, offset + length) in order, at most `limit` of them; they may cover less, but not nothing. */
  blockStatus(offset: Bytes, length: Bytes, limit: number): StatusExtent[];
}
