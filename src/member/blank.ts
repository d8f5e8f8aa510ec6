import { BLOCK_BYTES, type Bytes, KIB, MIB, roundDown } from '../base/units.js';
import type { Device } from '../device/device.js';
import { readDevice } from '../device/promise-io.js';
import { regionView, type SlabRegion } from '../memory/slab-region.js';

/** A device of up to this size is read from end to end: half a second of a slow disk. */
export const READ_WHOLE_BYTES_MAX = 64 * MIB;
/** Of a larger one: so much at each end, where boot sectors, labels and tables lie, */
const END_BYTES = MIB;
/** and a piece of this size at each of 63 places between: less than a second of a slow disk. */
const PIECE_BYTES = 64 * KIB;
/** Of a device that is one tenth full the places miss everything once in 800 times. */
const PARTS = 64;

/** A range of a device. */
export interface Place {
  readonly offset: Bytes;
  readonly length: Bytes;
}

/** What is looked at, ascending, to say that a device of this size is blank. The 32nd place between the ends is its middle. */
export function lookedAt(sizeBytes: Bytes): readonly Place[] {
  const readable = roundDown(sizeBytes, BLOCK_BYTES);
  if (readable === 0) return [];
  if (readable <= READ_WHOLE_BYTES_MAX) return [{ offset: 0, length: readable }];
  const places: Place[] = [{ offset: 0, length: END_BYTES }];
  for (let part = 1; part < PARTS; part++) {
    const offset = roundDown((readable / PARTS) * part, BLOCK_BYTES);
    places.push({ offset, length: Math.min(PIECE_BYTES, readable - END_BYTES - offset) });
  }
  places.push({ offset: readable - END_BYTES, length: END_BYTES });
  return places;
}

/**
 * Offset of the first byte that is not zero in the places that are looked at, or null: the device is blank as far as that tells.
 * Any memory of one block or more will do. Rejects with DEVICE_READ.
 */
export async function firstData(device: Device, region: SlabRegion): Promise<Bytes | null> {
  if (device.knownBlank?.() === true) return null;
  const pieceBytes = roundDown(region.bytes, BLOCK_BYTES);
  for (const { offset, length } of lookedAt(device.sizeBytes)) {
    for (let at = 0; at < length; at += pieceBytes) {
      const bytes = Math.min(pieceBytes, length - at);
      await readDevice(device, region.offset, offset + at, bytes);
      const found = firstNonZero(regionView(region, 0, bytes));
      if (found >= 0) return offset + at + found;
    }
  }
  return null;
}

const ZEROES = Buffer.alloc(PIECE_BYTES);

/** Index of the first byte that is not zero, or -1. Whole pieces are compared first: that is as fast as memory. */
function firstNonZero(bytes: Uint8Array): number {
  for (let at = 0; at < bytes.length; at += ZEROES.length) {
    const piece = bytes.subarray(at, at + ZEROES.length);
    if (Buffer.compare(piece, ZEROES.subarray(0, piece.length)) !== 0) return at + piece.findIndex((byte) => byte !== 0);
  }
  return -1;
}
