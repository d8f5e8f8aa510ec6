import { assert } from '../base/assert.js';
import { RecordRangeError, RecordReader, RecordWriter } from '../base/codec.js';
import { KeelsonError } from '../base/errors.js';
import { MATRIX_VERSION } from '../erasure/matrix.js';
import { loadAddon } from '../native/load.js';
import { SUPERBLOCK_BYTES } from './layout.js';
import { superblockProblem } from './impossible.js';
import type { MemberRole, MemberState, Superblock } from './member-api.js';
import { UUID_BYTES, uuidFromBytes, uuidToBytes } from './uuid.js';

export const SUPERBLOCK_MAGIC = 'KEELSON\0';
export const SUPERBLOCK_VERSION = 1;
/** Feature flags without which this software would misread the member: any bit it does not know is refused. None exists yet. */
const KNOWN_INCOMPATIBLE_FLAGS = 0;
/** Bytes of the array's name, in UTF-8. */
export const NAME_BYTES_MAX = 64;
const CRC_AT = SUPERBLOCK_BYTES - 4;

const ROLES: readonly MemberRole[] = ['data', 'journal', 'both', 'spare'];
const STATES: readonly MemberState[] = ['online', 'failed', 'missing', 'rebuilding', 'spare'];

export function roleCode(role: MemberRole): number {
  return ROLES.indexOf(role);
}

/** undefined for a code that no role has. */
export function roleFromCode(code: number): MemberRole | undefined {
  return ROLES[code];
}

export function stateCode(state: MemberState): number {
  return STATES.indexOf(state);
}

/** undefined for a code that no state has. */
export function stateFromCode(code: number): MemberState | undefined {
  return STATES[code];
}

/** Exactly 4096 bytes; docs/on-disk-format.md, "Superblock". */
export function encodeSuperblock(superblock: Superblock): Uint8Array {
  const { shape, layout } = superblock;
  assert(superblockProblem(superblock) === '', 'a superblock that will be taken when it is read');
  const bytes = new Uint8Array(SUPERBLOCK_BYTES);
  const record = new RecordWriter(bytes);
  record.text(SUPERBLOCK_MAGIC, 8).u32(SUPERBLOCK_VERSION).u32(KNOWN_INCOMPATIBLE_FLAGS).u32(0).u32(0);
  record.u64(superblock.generation).u64(superblock.epoch);
  record.bytes(uuidToBytes(shape.arrayUuid)).bytes(uuidToBytes(superblock.memberUuid));
  record.u32(superblock.index).u32(roleCode(superblock.role));
  record.u64(shape.createdAt);
  record.u32(shape.dataMembers).u32(shape.journalMembers).u32(shape.parity).u32(shape.journalCopies);
  record.u32(shape.matrixVersion).u32(shape.chunkBytes);
  record.u64(shape.stripes).u64(shape.ringBytes).u64(shape.segmentBytes);
  record.u64(layout.checkpointOffset[0]).u64(layout.checkpointOffset[1]).u64(layout.checkpointBytes);
  record.u64(layout.integrityOffset).u64(layout.integrityPages);
  record.u64(layout.journalOffset).u64(layout.journalBytes);
  record.u64(layout.dataOffset).u64(layout.dataBytes).u64(layout.totalBytes);
  record.text(shape.name, NAME_BYTES_MAX);
  record.seek(CRC_AT).u32(loadAddon().crc32c(bytes, 0, CRC_AT, 0));
  return bytes;
}

/**
 * Throws KeelsonError: SUPERBLOCK_ABSENT (no magic), SUPERBLOCK_CORRUPT (checksum), SUPERBLOCK_VERSION and SUPERBLOCK_FEATURES
 * (written by newer software; a version of the erasure matrix is such a feature), SUPERBLOCK_INVALID (a right checksum over impossible values).
 */
export function decodeSuperblock(bytes: Uint8Array): Superblock {
  assert(bytes.length === SUPERBLOCK_BYTES, 'a superblock has 4096 bytes');
  const record = new RecordReader(bytes);
  // Compared as bytes: text() would stop at the zero and accept anything after it.
  if (Buffer.compare(record.bytes(8), Buffer.from(SUPERBLOCK_MAGIC, 'latin1')) !== 0) {
    throw new KeelsonError('SUPERBLOCK_ABSENT', 'no Keelson superblock here');
  }
  const crc = loadAddon().crc32c(bytes, 0, CRC_AT, 0);
  if (new RecordReader(bytes).seek(CRC_AT).u32() !== crc)
    throw new KeelsonError('SUPERBLOCK_CORRUPT', 'the superblock has a wrong checksum');
  const version = record.u32();
  if (version !== SUPERBLOCK_VERSION) {
    throw new KeelsonError('SUPERBLOCK_VERSION', 'the superblock has another version', {
      found: String(version),
      expected: String(SUPERBLOCK_VERSION),
      action: 'use the software that wrote it, or newer',
    });
  }
  const incompatible = record.u32();
  if ((incompatible & ~KNOWN_INCOMPATIBLE_FLAGS) !== 0) {
    throw unknownFeature(`flags 0x${incompatible.toString(16)}`, `only flags in 0x${KNOWN_INCOMPATIBLE_FLAGS.toString(16)}`);
  }
  record.u32();
  record.u32();
  try {
    return decodeFields(record);
  } catch (error) {
    if (error instanceof RecordRangeError) throw invalid(error.message);
    throw error;
  }
}

function unknownFeature(found: string, expected: string): KeelsonError {
  return new KeelsonError('SUPERBLOCK_FEATURES', 'the member uses features that this software does not know', {
    found,
    expected,
    action: 'use the software that wrote it, or newer',
  });
}

function invalid(found: string): KeelsonError {
  return new KeelsonError('SUPERBLOCK_INVALID', 'the superblock has a right checksum but impossible values', { found });
}

function decodeFields(record: RecordReader): Superblock {
  const generation = record.u64();
  const epoch = record.u64();
  const arrayUuid = uuidFromBytes(record.bytes(UUID_BYTES));
  const memberUuid = uuidFromBytes(record.bytes(UUID_BYTES));
  const index = record.u32();
  const role = roleFromCode(record.u32());
  const createdAt = record.u64();
  const dataMembers = record.u32();
  const journalMembers = record.u32();
  const parity = record.u32();
  const journalCopies = record.u32();
  const matrixVersion = record.u32();
  // With another matrix the parity would be garbage, and what is reconstructed from it too.
  if (matrixVersion !== MATRIX_VERSION) throw unknownFeature(`version ${matrixVersion} of the erasure matrix`, `version ${MATRIX_VERSION}`);
  const chunkBytes = record.u32();
  const stripes = record.u64();
  const ringBytes = record.u64();
  const segmentBytes = record.u64();
  const layout = {
    checkpointOffset: [record.u64(), record.u64()] as const,
    checkpointBytes: record.u64(),
    integrityOffset: record.u64(),
    integrityPages: record.u64(),
    journalOffset: record.u64(),
    journalBytes: record.u64(),
    dataOffset: record.u64(),
    dataBytes: record.u64(),
    totalBytes: record.u64(),
  };
  const name = record.text(NAME_BYTES_MAX);
  if (role === undefined) throw invalid('an unknown role');
  const superblock: Superblock = {
    shape: {
      arrayUuid,
      name,
      createdAt,
      dataMembers,
      journalMembers,
      parity,
      chunkBytes,
      stripes,
      ringBytes,
      segmentBytes,
      journalCopies,
      matrixVersion,
    },
    memberUuid,
    index,
    role,
    layout,
    epoch,
    generation,
  };
  const problem = superblockProblem(superblock);
  if (problem !== '') throw invalid(problem);
  return superblock;
}
