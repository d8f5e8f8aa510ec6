import { Buffer } from 'node:buffer';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes } from '../base/units.js';
import { segmentName } from './format/names.js';
import type { RepositoryKey, SegmentCipher } from './format/repository-key.js';
import { corruptFile } from './format/sealed-file.js';
import { decodeSegmentHeader, HEADER_BYTES, type SegmentFileHeader } from './format/segment-header.js';
import { decodeSegmentIndex, INDEX_BYTES_MAX, type SegmentIndex } from './format/segment-index.js';
import { decodeSegmentTrailer, segmentHash, TRAILER_BYTES, TRAILER_COVERED_BYTES } from './format/segment-trailer.js';
import { TARGET_FILE_MISSING, type Target } from '../target/target.js';

/** Header, index and trailer of a published segment, all checked against its segment hash. */
export interface LoadedSegment {
  readonly name: string;
  readonly fileBytes: Bytes;
  readonly header: SegmentFileHeader;
  readonly hash: Uint8Array;
  readonly index: SegmentIndex;
  readonly cipher: SegmentCipher | null;
}

/** The last bytes of a file that are read at once: most indexes are in them. */
const TAIL_BYTES = 64 * 1024;

/** Throws BACKUP_CORRUPT (also for a missing file), BACKUP_VERSION, BACKUP_UNREACHABLE. Reads no data. */
export async function loadSegment(target: Target, name: string, key: RepositoryKey | null): Promise<LoadedSegment> {
  const fileBytes = await presentFile(name, target.stat(name));
  if (fileBytes < HEADER_BYTES + TRAILER_BYTES)
    throw corruptFile(name, `${fileBytes} bytes`, `at least ${HEADER_BYTES + TRAILER_BYTES} bytes`);
  const tailBytes = Math.min(TAIL_BYTES, fileBytes - HEADER_BYTES);
  const [headerBytes, tail] = await Promise.all([
    readExactly(target, name, 0, HEADER_BYTES),
    readExactly(target, name, fileBytes - tailBytes, tailBytes),
  ]);
  const trailerBytes = tail.subarray(tailBytes - TRAILER_BYTES);
  const trailer = decodeSegmentTrailer(name, trailerBytes, fileBytes);
  if (trailer.indexOffset < HEADER_BYTES || trailer.indexBytes > INDEX_BYTES_MAX + BLOCK_BYTES) {
    throw corruptFile(
      name,
      `an index of ${trailer.indexBytes} bytes at ${trailer.indexOffset}`,
      `at most ${INDEX_BYTES_MAX} bytes after the header`,
    );
  }
  const stored =
    trailer.indexBytes + TRAILER_BYTES <= tailBytes
      ? tail.subarray(tailBytes - TRAILER_BYTES - trailer.indexBytes, tailBytes - TRAILER_BYTES)
      : await readExactly(target, name, trailer.indexOffset, trailer.indexBytes);
  const hash = segmentHash(headerBytes, stored, trailerBytes);
  if (!hash.equals(trailerBytes.subarray(TRAILER_COVERED_BYTES)))
    throw corruptFile(name, 'a segment hash that does not match', 'an undamaged header, index and trailer');
  const header = decodeSegmentHeader(name, headerBytes);
  if (segmentName(header.segment, header.epoch) !== name)
    throw corruptFile(name, `segment ${header.segment} of epoch ${header.epoch}`, 'the segment that its name says');
  if (header.encrypted !== (key !== null))
    throw corruptFile(name, header.encrypted ? 'an encrypted segment' : 'a segment in the clear', 'one like its repository');
  const cipher = key === null ? null : key.segmentCipher(header.salt);
  const covered = Buffer.concat([headerBytes, trailerBytes.subarray(0, TRAILER_COVERED_BYTES)]);
  const indexBytes = cipher === null ? stored : cipher.openIndex(stored, covered);
  if (indexBytes === null) throw corruptFile(name, 'an index that does not decrypt', 'an index written with this repository’s key');
  const index = decodeSegmentIndex(name, indexBytes, {
    ...trailer,
    volumeBlocks: header.volumeBytes / BLOCK_BYTES,
    frameBlocksMax: header.frameBlocksMax,
    encrypted: header.encrypted,
  });
  return { name, fileBytes, header, hash, index, cipher };
}

/** Reads a range of a published file that must be there in full. Throws BACKUP_CORRUPT when it is not. */
export async function readExactly(target: Target, name: string, offset: Bytes, length: Bytes): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  await readExactlyInto(target, name, offset, bytes);
  return bytes;
}

export async function readExactlyInto(target: Target, name: string, offset: Bytes, into: Uint8Array): Promise<void> {
  const got = await presentFile(name, target.read(name, offset, into));
  if (got !== into.length) throw corruptFile(name, `${got} bytes at ${offset}`, `${into.length} bytes`);
}

async function presentFile<T>(name: string, operation: Promise<T | null>): Promise<T> {
  try {
    const result = await operation;
    if (result !== null) return result;
  } catch (error) {
    if (!(error instanceof KeelsonError && error.code === TARGET_FILE_MISSING)) throw error;
  }
  throw corruptFile(name, 'no such file', 'a file that HEAD or a later segment names');
}
