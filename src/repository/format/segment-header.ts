import { RecordRangeError, RecordReader, RecordWriter } from '../../base/codec.js';
import { KeelsonError } from '../../base/errors.js';
import { BLOCK_BYTES, type Bytes, type Lsn } from '../../base/units.js';
import { HASH_BYTES } from './head.js';
import { corruptFile } from './sealed-file.js';

const MAGIC = 'KLSNSEGM';
export const SEGMENT_VERSION = 1;
export const HEADER_BYTES = 256;
export const SALT_BYTES = 32;
const UUID_BYTES = 40;
const RESERVED_BYTES = 64;
const FLAG_ENCRYPTED = 1;
const FLAG_SEED = 2;

/** The first 256 bytes of a segment file. */
export interface SegmentFileHeader {
  readonly encrypted: boolean;
  /** The image before this segment is replaced, not added to. */
  readonly seed: boolean;
  readonly frameBlocksMax: number;
  readonly segment: number;
  readonly epoch: number;
  readonly firstLsn: Lsn;
  readonly lastLsn: Lsn;
  readonly time: number;
  readonly volumeBytes: Bytes;
  /** Epoch in the name of segment - 1; 0 for the first segment. */
  readonly previousEpoch: number;
  readonly previousLsn: Lsn;
  /** Segment hash of segment - 1; zeroes for the first segment. */
  readonly previousHash: Uint8Array;
  /** Salt of the segment's key; zeroes when not encrypted. */
  readonly salt: Uint8Array;
  readonly arrayUuid: string;
}

/**
 *   0  8  magic "KLSNSEGM"      8  2  version      10  2  flags (1 encrypted, 2 seed)      12  4  blocks of a frame, at most
 *  16  8  segment number       24  8  epoch        32  8  first LSN      40  8  last LSN   48  8  time (ms)     56  8  volume bytes
 *  64  8  previous epoch       72  8  previous last LSN                  80 32  previous segment hash          112 32  salt
 * 144 40  array uuid          184  8  reserved    192 64  reserved, zero
 */
export function encodeSegmentHeader(header: SegmentFileHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  new RecordWriter(bytes)
    .text(MAGIC, 8)
    .u16(SEGMENT_VERSION)
    .u16((header.encrypted ? FLAG_ENCRYPTED : 0) | (header.seed ? FLAG_SEED : 0))
    .u32(header.frameBlocksMax)
    .u64(header.segment)
    .u64(header.epoch)
    .u64(header.firstLsn)
    .u64(header.lastLsn)
    .u64(header.time)
    .u64(header.volumeBytes)
    .u64(header.previousEpoch)
    .u64(header.previousLsn)
    .bytes(header.previousHash)
    .bytes(header.salt)
    .text(header.arrayUuid, UUID_BYTES);
  return bytes;
}

/** Throws BACKUP_CORRUPT or BACKUP_VERSION. */
export function decodeSegmentHeader(name: string, bytes: Uint8Array): SegmentFileHeader {
  if (bytes.length < HEADER_BYTES) throw corruptFile(name, `${bytes.length} bytes of header`, `${HEADER_BYTES} bytes`);
  const reader = new RecordReader(bytes.subarray(0, HEADER_BYTES));
  try {
    const magic = reader.text(8);
    if (magic !== MAGIC) throw corruptFile(name, `magic ${JSON.stringify(magic)}`, MAGIC);
    const version = reader.u16();
    if (version !== SEGMENT_VERSION) {
      throw new KeelsonError('BACKUP_VERSION', `${name} was written by another version of keelson`, {
        found: `format ${version}`,
        expected: `format ${SEGMENT_VERSION}`,
        action: 'use the version that wrote the repository',
      });
    }
    const flags = reader.u16();
    if ((flags & ~(FLAG_ENCRYPTED | FLAG_SEED)) !== 0) throw corruptFile(name, `flags ${flags}`, 'only flags 1 and 2');
    const header: SegmentFileHeader = {
      encrypted: (flags & FLAG_ENCRYPTED) !== 0,
      seed: (flags & FLAG_SEED) !== 0,
      frameBlocksMax: reader.u32(),
      segment: reader.u64(),
      epoch: reader.u64(),
      firstLsn: reader.u64(),
      lastLsn: reader.u64(),
      time: reader.u64(),
      volumeBytes: reader.u64(),
      previousEpoch: reader.u64(),
      previousLsn: reader.u64(),
      previousHash: reader.bytes(HASH_BYTES).slice(),
      salt: reader.bytes(SALT_BYTES).slice(),
      arrayUuid: reader.text(UUID_BYTES),
    };
    if (reader.bytes(8 + RESERVED_BYTES).some((byte) => byte !== 0)) throw corruptFile(name, 'reserved bytes that are set', 'zeroes');
    if (header.volumeBytes % BLOCK_BYTES !== 0) throw corruptFile(name, `a volume of ${header.volumeBytes} bytes`, 'whole blocks');
    return header;
  } catch (error) {
    if (error instanceof RecordRangeError) throw corruptFile(name, error.message, 'all fields in range');
    throw error;
  }
}
