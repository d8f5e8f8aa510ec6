import { assert } from '../base/assert.js';
import { RecordRangeError, RecordReader, RecordWriter } from '../base/codec.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes, roundUp } from '../base/units.js';
import { loadAddon } from '../native/load.js';
import {
  CHECKPOINT_HEADER_BYTES,
  CHECKPOINT_LOST_BYTES,
  CHECKPOINT_MEMBER_BYTES,
  CHECKPOINT_TABLE_BYTES,
  LOST_RANGES_MAX,
  MEMBERS_MAX,
  SHORT_SEGMENTS_MAX,
} from './layout.js';
import type { Checkpoint, LostList, MemberRecord, RingEnd } from './member-api.js';
import { roleCode, roleFromCode, stateCode, stateFromCode } from './superblock.js';
import { UUID_BYTES, uuidFromBytes, uuidToBytes } from './uuid.js';

export const CHECKPOINT_MAGIC = 'KEELCKPT';
export const CHECKPOINT_VERSION = 1;
/** There are lost blocks: who does not know their list would read zeroes in their place. */
const INCOMPATIBLE_LOST = 1;
const KNOWN_INCOMPATIBLE_FLAGS = INCOMPATIBLE_LOST;
/** CRC32C of the header before it. */
const HEADER_CRC_AT = CHECKPOINT_HEADER_BYTES - 8;
/** CRC32C of the header before it and of everything after the header. */
const WHOLE_CRC_AT = CHECKPOINT_HEADER_BYTES - 4;
const PROTECTIONS: readonly Checkpoint['protection'][] = ['full', 'seeding', 'unprotected'];
const FLAG_CLEAN = 1;
const FLAG_EPOCH_SETTLED = 2;
const FLAG_MORE_LOST = 4;
const FLAG_MORE_SHORT = 8;
const FLAG_TORN_AS_WHOLE = 16;
const RING_END_AT = 120;
/** Behind the longest list of short segments. */
const TORN_BELOW_AT = RING_END_AT + 16 + 16 * SHORT_SEGMENTS_MAX;
const NONE_LOST: LostList = { ranges: [], more: false };

/** Bytes of an encoded checkpoint: whole blocks. */
export function checkpointBytesFor(bitmapBytes: Bytes, lostRanges = 0): Bytes {
  return lostAt(bitmapBytes) + roundUp(lostRanges * CHECKPOINT_LOST_BYTES, BLOCK_BYTES);
}

/** Where the list of lost ranges begins. */
function lostAt(bitmapBytes: Bytes): Bytes {
  return CHECKPOINT_HEADER_BYTES + CHECKPOINT_TABLE_BYTES + roundUp(bitmapBytes, BLOCK_BYTES);
}

/** Whole blocks; docs/on-disk-format.md, "Checkpoint". The array's UUID is in it, so that what another array left behind is not taken for ours. */
export function encodeCheckpoint(checkpoint: Checkpoint, arrayUuid: string): Uint8Array {
  const { members, stripeBitmap, lost = NONE_LOST, tornAsWholeBelow: tornBelow = 0 } = checkpoint;
  const anyLost = lost.ranges.length > 0 || lost.more;
  assert(members.length <= MEMBERS_MAX, `at most ${MEMBERS_MAX} members`);
  assert(lost.ranges.length <= LOST_RANGES_MAX, 'lost ranges that have room in the slot');
  const bytes = new Uint8Array(checkpointBytesFor(stripeBitmap.length, lost.ranges.length));
  const record = new RecordWriter(bytes);
  record
    .text(CHECKPOINT_MAGIC, 8)
    .u32(CHECKPOINT_VERSION)
    .u32(anyLost ? INCOMPATIBLE_LOST : 0)
    .u64(checkpoint.publishEpoch ?? 0);
  record.u64(checkpoint.generation).u64(checkpoint.epoch);
  record.bytes(uuidToBytes(arrayUuid));
  record.u64(checkpoint.destagedSeq).u64(checkpoint.drainedSeq).u64(checkpoint.tailSeq);
  record.u64(checkpoint.destagedLsn).u64(checkpoint.drainedLsn);
  record
    .u32(
      (checkpoint.cleanShutdown ? FLAG_CLEAN : 0) |
        (checkpoint.epochSettled === true ? FLAG_EPOCH_SETTLED : 0) |
        (lost.more ? FLAG_MORE_LOST : 0) |
        (checkpoint.ring?.more === true ? FLAG_MORE_SHORT : 0) |
        (tornBelow > 0 ? FLAG_TORN_AS_WHOLE : 0),
    )
    .u32(PROTECTIONS.indexOf(checkpoint.protection));
  record.u32(members.length).u32(lost.ranges.length).u64(stripeBitmap.length);
  if (checkpoint.ring) encodeRingEnd(record, checkpoint.ring);
  record.seek(TORN_BELOW_AT).u64(Number.isFinite(tornBelow) ? tornBelow : 0);
  record.seek(CHECKPOINT_HEADER_BYTES);
  for (const member of members) encodeMember(record, member);
  record.seek(CHECKPOINT_HEADER_BYTES + CHECKPOINT_TABLE_BYTES).bytes(stripeBitmap);
  record.seek(lostAt(stripeBitmap.length));
  for (const { first, count } of lost.ranges) record.u64(first).u64(count);

  const { crc32c } = loadAddon();
  const header = crc32c(bytes, 0, HEADER_CRC_AT, 0);
  record.seek(HEADER_CRC_AT).u32(header);
  record
    .seek(WHOLE_CRC_AT)
    .u32(crc32c(bytes, CHECKPOINT_HEADER_BYTES, bytes.length - CHECKPOINT_HEADER_BYTES, crc32c(bytes, 0, WHOLE_CRC_AT, 0)));
  return bytes;
}

function encodeMember(record: RecordWriter, member: MemberRecord): void {
  const start = record.position;
  assert(member.index >= 0 && member.index < MEMBERS_MAX, 'member index inside the member table');
  record.u32(member.index).u16(roleCode(member.role)).u16(stateCode(member.state));
  record.bytes(uuidToBytes(member.uuid)).u64(member.rebuiltStripes);
  record.seek(start + CHECKPOINT_MEMBER_BYTES);
}

/** What the header alone says; enough to choose the newest and to know how much to read. */
export interface CheckpointHeader {
  readonly generation: number;
  readonly epoch: number;
  readonly arrayUuid: string;
  readonly members: number;
  readonly bitmapBytes: Bytes;
  readonly lostRanges: number;
  /** Bytes of the whole checkpoint, header and padding included. */
  readonly totalBytes: Bytes;
}

/**
 * Checks the first 4096 bytes of a checkpoint slot of slotBytes bytes. Throws KeelsonError CHECKPOINT_ABSENT, CHECKPOINT_CORRUPT, CHECKPOINT_VERSION,
 * CHECKPOINT_FEATURES or CHECKPOINT_INVALID.
 */
export function decodeCheckpointHeader(bytes: Uint8Array, slotBytes: Bytes): CheckpointHeader {
  assert(bytes.length >= CHECKPOINT_HEADER_BYTES, 'a whole checkpoint header');
  const record = new RecordReader(bytes.subarray(0, CHECKPOINT_HEADER_BYTES));
  if (Buffer.compare(record.bytes(8), Buffer.from(CHECKPOINT_MAGIC, 'latin1')) !== 0)
    throw new KeelsonError('CHECKPOINT_ABSENT', 'no checkpoint here');
  const crc = loadAddon().crc32c(bytes, 0, HEADER_CRC_AT, 0);
  if (new RecordReader(bytes).seek(HEADER_CRC_AT).u32() !== crc) throw corrupt('the header');
  const version = record.u32();
  if (version !== CHECKPOINT_VERSION) {
    throw new KeelsonError('CHECKPOINT_VERSION', 'the checkpoint has another version', {
      found: String(version),
      expected: String(CHECKPOINT_VERSION),
    });
  }
  const incompatible = record.u32();
  if ((incompatible & ~KNOWN_INCOMPATIBLE_FLAGS) !== 0) {
    throw new KeelsonError('CHECKPOINT_FEATURES', 'the checkpoint uses features that this software does not know', {
      found: `flags 0x${incompatible.toString(16)}`,
    });
  }
  try {
    const generation = record.seek(24).u64();
    const epoch = record.u64();
    const arrayUuid = uuidFromBytes(record.bytes(UUID_BYTES));
    const members = record.seek(record.position + 48).u32();
    const lostRanges = record.u32();
    const bitmapBytes = record.u64();
    if (lostRanges > LOST_RANGES_MAX) throw invalid(`${lostRanges} lost ranges`);
    const totalBytes = checkpointBytesFor(bitmapBytes, lostRanges);
    if (members > MEMBERS_MAX) throw invalid(`${members} members`);
    if (totalBytes > slotBytes) throw invalid(`a bitmap of ${bitmapBytes} bytes`);
    return { generation, epoch, arrayUuid, members, bitmapBytes, lostRanges, totalBytes };
  } catch (error) {
    if (error instanceof RecordRangeError) throw invalid(error.message);
    throw error;
  }
}

/** Decodes a whole checkpoint (at least header.totalBytes bytes) of this array; errors as decodeCheckpointHeader, and CHECKPOINT_FOREIGN. */
export function decodeCheckpoint(bytes: Uint8Array, arrayUuid: string): Checkpoint {
  const header = decodeCheckpointHeader(bytes, bytes.length);
  const { crc32c } = loadAddon();
  const bodyBytes = header.totalBytes - CHECKPOINT_HEADER_BYTES;
  const crc = crc32c(bytes, CHECKPOINT_HEADER_BYTES, bodyBytes, crc32c(bytes, 0, WHOLE_CRC_AT, 0));
  if (new RecordReader(bytes).seek(WHOLE_CRC_AT).u32() !== crc) throw corrupt('the whole');
  if (header.arrayUuid !== arrayUuid) {
    throw new KeelsonError('CHECKPOINT_FOREIGN', 'the checkpoint belongs to another array', {
      found: header.arrayUuid,
      expected: arrayUuid,
    });
  }
  try {
    const record = new RecordReader(bytes).seek(16);
    const publishEpoch = record.u64();
    record.seek(56);
    const destagedSeq = record.u64();
    const drainedSeq = record.u64();
    const tailSeq = record.u64();
    const destagedLsn = record.u64();
    const drainedLsn = record.u64();
    const flags = record.u32();
    const protection = PROTECTIONS[record.u32()];
    if (protection === undefined) throw invalid('an unknown protection');
    const ring = decodeRingEnd(record.seek(RING_END_AT), (flags & FLAG_MORE_SHORT) !== 0);
    // Earlier versions did not say below which stripe.
    const tornBelow = record.seek(TORN_BELOW_AT).u64() || Number.POSITIVE_INFINITY;
    record.seek(CHECKPOINT_HEADER_BYTES);
    const members: MemberRecord[] = [];
    for (let i = 0; i < header.members; i++) members.push(decodeMember(record));
    const bitmapAt = CHECKPOINT_HEADER_BYTES + CHECKPOINT_TABLE_BYTES;
    const lost = { ranges: decodeLost(bytes, lostAt(header.bitmapBytes), header.lostRanges), more: (flags & FLAG_MORE_LOST) !== 0 };
    return {
      epoch: header.epoch,
      generation: header.generation,
      members,
      destagedSeq,
      drainedSeq,
      tailSeq,
      destagedLsn,
      drainedLsn,
      cleanShutdown: (flags & FLAG_CLEAN) !== 0,
      ...((flags & FLAG_EPOCH_SETTLED) !== 0 ? { epochSettled: true } : {}),
      ...((flags & FLAG_TORN_AS_WHOLE) !== 0 ? { tornAsWholeBelow: tornBelow } : {}),
      protection,
      ...(publishEpoch === 0 ? {} : { publishEpoch }),
      stripeBitmap: bytes.slice(bitmapAt, bitmapAt + header.bitmapBytes),
      ...(lost.ranges.length > 0 || lost.more ? { lost } : {}),
      ...(ring === null ? {} : { ring }),
    };
  } catch (error) {
    if (error instanceof RecordRangeError) throw invalid(error.message);
    throw error;
  }
}

function encodeRingEnd(record: RecordWriter, ring: RingEnd): void {
  assert(ring.headSeq > 0 && ring.short.length <= SHORT_SEGMENTS_MAX, 'the end of a ring that fits the header');
  record.seek(RING_END_AT).u64(ring.headSeq).u32(ring.positions).u32(ring.short.length);
  for (const { seq, copies } of ring.short) record.u64(seq).u32(copies).u32(0);
}

/** null when the checkpoint was written by a version without it: segment numbers begin at 1. */
function decodeRingEnd(record: RecordReader, more: boolean): RingEnd | null {
  const headSeq = record.u64();
  if (headSeq === 0) return null;
  const positions = record.u32();
  const count = record.u32();
  if (count > SHORT_SEGMENTS_MAX) throw invalid(`${count} segments without all their copies`);
  const short: { seq: number; copies: number }[] = [];
  for (let i = 0; i < count; i++) {
    short.push({ seq: record.u64(), copies: record.u32() });
    record.u32();
  }
  return { headSeq, positions, short, more };
}

function decodeLost(bytes: Uint8Array, at: number, count: number): LostList['ranges'] {
  const record = new RecordReader(bytes).seek(at);
  const ranges: LostList['ranges'][number][] = [];
  for (let i = 0; i < count; i++) ranges.push({ first: record.u64(), count: record.u64() });
  return ranges;
}

function decodeMember(record: RecordReader): MemberRecord {
  const start = record.position;
  const index = record.u32();
  const role = roleFromCode(record.u16());
  const state = stateFromCode(record.u16());
  const uuid = uuidFromBytes(record.bytes(UUID_BYTES));
  const rebuiltStripes = record.u64();
  if (index >= MEMBERS_MAX || role === undefined || state === undefined) throw invalid(`a member with index ${index}`);
  record.seek(start + CHECKPOINT_MEMBER_BYTES);
  return { index, uuid, role, state, rebuiltStripes };
}

function corrupt(what: string): KeelsonError {
  return new KeelsonError('CHECKPOINT_CORRUPT', 'the checkpoint has a wrong checksum', { found: `a mismatch over ${what}` });
}

/** Right checksums over values that cannot be. */
export function invalid(found: string): KeelsonError {
  return new KeelsonError('CHECKPOINT_INVALID', 'the checkpoint has a right checksum but impossible values', { found });
}
