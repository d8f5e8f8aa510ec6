import { createHash } from 'node:crypto';
import { RecordRangeError, RecordReader, RecordWriter } from '../../base/codec.js';
import type { Bytes } from '../../base/units.js';
import { HASH_BYTES } from './head.js';
import { corruptFile } from './sealed-file.js';

const MAGIC = 'KLSNTAIL';
export const TRAILER_BYTES = 112;
/** The part of the trailer that the segment hash covers. */
export const TRAILER_COVERED_BYTES = TRAILER_BYTES - HASH_BYTES;

export interface SegmentTrailer {
  readonly indexOffset: Bytes;
  /** Stored, with the tag when encrypted. */
  readonly indexBytes: Bytes;
  readonly entries: number;
  readonly dataBlocks: number;
  readonly holeBlocks: number;
  /** SHA-256 of the data region. */
  readonly dataHash: Uint8Array;
}

/**
 *   0  8  magic "KLSNTAIL"    8  8  index offset    16  8  index bytes    24  4  entries    28  4  reserved
 *  32  8  data blocks        40  8  hole blocks     48 32  SHA-256 of the data region
 *  80 32  segment hash = SHA-256(header, stored index, trailer bytes 0..79)
 * The data region is in the segment hash by its own hash, so the chain can be checked without reading any data.
 */
export function encodeSegmentTrailer(trailer: SegmentTrailer): Uint8Array {
  const bytes = new Uint8Array(TRAILER_BYTES);
  new RecordWriter(bytes)
    .text(MAGIC, 8)
    .u64(trailer.indexOffset)
    .u64(trailer.indexBytes)
    .u32(trailer.entries)
    .u32(0)
    .u64(trailer.dataBlocks)
    .u64(trailer.holeBlocks)
    .bytes(trailer.dataHash);
  return bytes;
}

/** Throws BACKUP_CORRUPT. fileBytes: size of the file whose last 112 bytes are given. */
export function decodeSegmentTrailer(name: string, bytes: Uint8Array, fileBytes: Bytes): SegmentTrailer {
  if (bytes.length !== TRAILER_BYTES) throw corruptFile(name, `${bytes.length} bytes of trailer`, `${TRAILER_BYTES} bytes`);
  const reader = new RecordReader(bytes);
  try {
    const magic = reader.text(8);
    if (magic !== MAGIC) throw corruptFile(name, `trailer magic ${JSON.stringify(magic)}`, MAGIC);
    const indexOffset = reader.u64();
    const indexBytes = reader.u64();
    const entries = reader.u32();
    if (reader.u32() !== 0) throw corruptFile(name, 'a reserved field that is set', '0');
    if (indexOffset + indexBytes + TRAILER_BYTES !== fileBytes) {
      throw corruptFile(name, `a file of ${fileBytes} bytes`, `${indexOffset + indexBytes + TRAILER_BYTES} bytes`);
    }
    return {
      indexOffset,
      indexBytes,
      entries,
      dataBlocks: reader.u64(),
      holeBlocks: reader.u64(),
      dataHash: reader.bytes(HASH_BYTES).slice(),
    };
  } catch (error) {
    if (error instanceof RecordRangeError) throw corruptFile(name, error.message, 'all fields in range');
    throw error;
  }
}

export function segmentHash(header: Uint8Array, storedIndex: Uint8Array, trailer: Uint8Array): Buffer {
  return createHash('sha256').update(header).update(storedIndex).update(trailer.subarray(0, TRAILER_COVERED_BYTES)).digest();
}
