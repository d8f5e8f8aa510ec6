import type { Bytes } from '../base/units.js';
import { READ_PIECE_BYTES, SMALL_READ_BYTES } from '../engine/block-volume.js';
import { PAYLOAD_BYTES_MAX } from './protocol.js';

/** Requests longer than this are cut into pieces; those up to it are small. */
export const SMALL_BYTES = SMALL_READ_BYTES;
/** A piece ends where the volume has a multiple of this: memory comes in parts of one size, and no block is cut. */
export const PIECE_BYTES = READ_PIECE_BYTES;
/** The largest request, beginning and ending inside a piece. */
export const REQUEST_HELD_MAX = PAYLOAD_BYTES_MAX + PIECE_BYTES;

/** End of the piece that begins at `at` of a range that ends at `end`. */
export function pieceEnd(at: Bytes, end: Bytes): Bytes {
  return Math.min(end, (Math.floor(at / PIECE_BYTES) + 1) * PIECE_BYTES);
}

export function pieceCount(offset: Bytes, length: Bytes): number {
  return length <= SMALL_BYTES ? 1 : Math.ceil((offset + length) / PIECE_BYTES) - Math.floor(offset / PIECE_BYTES);
}

/** Memory that a read holds until the socket has its reply: small ones are copied, of the others each piece holds a whole piece of the slab. */
export function readHeldBytes(offset: Bytes, length: Bytes): Bytes {
  return length <= SMALL_BYTES ? length : pieceCount(offset, length) * PIECE_BYTES;
}
