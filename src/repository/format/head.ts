import { RecordRangeError, RecordReader, RecordWriter } from '../../base/codec.js';
import { BLOCK_BYTES, type Bytes, type Lsn } from '../../base/units.js';
import { SEGMENTS_MAX } from './names.js';
import type { RepositoryKey } from './repository-key.js';
import { corruptFile, seal, unseal } from './sealed-file.js';

const MAGIC = 'KLSNHEAD';
const UUID_BYTES = 40;
export const HASH_BYTES = 32;
/** Numbers that are counted on from lie below this. */
const COUNTERS_MAX = 2 ** 52;
const BODY_BYTES = UUID_BYTES + 9 * 8 + HASH_BYTES;

/** What the repository holds, in one small file that is replaced atomically, last. */
export interface Head {
  readonly arrayUuid: string;
  readonly volumeBytes: Bytes;
  /** Epoch of the writer that wrote this HEAD: an older one is fenced. */
  readonly epoch: number;
  /** Newest durable segment; 0 = none yet. */
  readonly segment: number;
  /** Epoch in the name of that segment. */
  readonly segmentEpoch: number;
  /** Its segment hash; zeroes when there is none. */
  readonly segmentHash: Uint8Array;
  readonly headLsn: Lsn;
  /** The image is made of the segments firstSegment .. segment (the newest seed and what follows). 0 = none yet. */
  readonly firstSegment: number;
  /** Stored bytes of those segments. */
  readonly storedBytes: Bytes;
  /** Milliseconds since 1970; describes only. */
  readonly time: number;
}

export function encodeHead(head: Head, key: RepositoryKey | null): Uint8Array {
  const body = new Uint8Array(BODY_BYTES);
  new RecordWriter(body)
    .text(head.arrayUuid, UUID_BYTES)
    .u64(head.volumeBytes)
    .u64(head.epoch)
    .u64(head.segment)
    .u64(head.segmentEpoch)
    .bytes(head.segmentHash)
    .u64(head.headLsn)
    .u64(head.firstSegment)
    .u64(head.storedBytes)
    .u64(head.time)
    .u64(0);
  return seal(MAGIC, body, key);
}

/** Throws BACKUP_CORRUPT or BACKUP_VERSION. */
export function decodeHead(name: string, file: Uint8Array, key: RepositoryKey | null): Head {
  const body = unseal(MAGIC, name, file).authentic(key);
  if (body.length !== BODY_BYTES) throw corruptFile(name, `body of ${body.length} bytes`, `${BODY_BYTES} bytes`);
  try {
    const reader = new RecordReader(body);
    const head: Head = {
      arrayUuid: reader.text(UUID_BYTES),
      volumeBytes: reader.u64(),
      epoch: reader.u64(),
      segment: reader.u64(),
      segmentEpoch: reader.u64(),
      segmentHash: reader.bytes(HASH_BYTES).slice(),
      headLsn: reader.u64(),
      firstSegment: reader.u64(),
      storedBytes: reader.u64(),
      time: reader.u64(),
    };
    if (reader.u64() !== 0) throw corruptFile(name, 'a reserved field that is set', '0');
    if (head.firstSegment > head.segment || (head.segment > 0 && head.firstSegment === 0)) {
      throw corruptFile(name, `first segment ${head.firstSegment} of ${head.segment}`, 'a first segment not after the newest');
    }
    if (head.volumeBytes === 0 || head.volumeBytes % BLOCK_BYTES !== 0)
      throw corruptFile(name, `a volume of ${head.volumeBytes} bytes`, 'whole blocks');
    const { segment, headLsn, storedBytes } = head;
    if (segment > SEGMENTS_MAX || headLsn >= COUNTERS_MAX || storedBytes >= COUNTERS_MAX)
      throw corruptFile(name, `segment ${segment}, LSN ${headLsn}, ${storedBytes} bytes`, 'numbers that can be counted on from');
    return head;
  } catch (error) {
    if (error instanceof RecordRangeError) throw corruptFile(name, error.message, 'all fields in range');
    throw error;
  }
}
