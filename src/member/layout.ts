import { assert } from '../base/assert.js';
import { BLOCK_BYTES, type Bytes, MIB, roundDown, roundUp } from '../base/units.js';
import type { MemberLayout, MemberRole } from './member-api.js';

/** Rows of the member table in a checkpoint. */
export const MEMBERS_MAX = 64;

/** Members that hold the ring: copies of a segment are a bit each of one u32. */
export const JOURNAL_POSITIONS_MAX = 32;

/** Epochs lie below this, so that a generation of an integrity page, which counts 2^32 to an epoch, stays below 2^53. */
export const EPOCHS_MAX = 2 ** 21;
/** Counters that are read from a member (generations, LSNs, segment numbers) lie below this: they can be counted on from for ever. */
export const COUNTERS_MAX = 2 ** 52;
/** Stripes of an array lie below this: one bit each in a bitmap that is held in memory. */
export const STRIPES_MAX = 2 ** 32;

/** Its checksums are one typed array in memory, a u32 a block, of which Node 20 makes none of more than 2^32 elements. */
export const MEMBER_BYTES_MAX = 2 ** 32 * BLOCK_BYTES;

export const SUPERBLOCK_BYTES = 4096;
/** Superblock copies: two alternating slots at each end of the member. */
export const SUPERBLOCK_SLOTS = 2;
export const SUPERBLOCK_PAIR_BYTES = SUPERBLOCK_SLOTS * SUPERBLOCK_BYTES;

/** Checkpoint slot: header block, member table, bitmap, and room for fields of later versions. */
export const CHECKPOINT_HEADER_BYTES = 4096;
export const CHECKPOINT_MEMBER_BYTES = 64;
export const CHECKPOINT_TABLE_BYTES = MEMBERS_MAX * CHECKPOINT_MEMBER_BYTES;
const CHECKPOINT_ROOM_BYTES = 65_536;
/** Segments without all their copies that a checkpoint's header has room for. */
export const SHORT_SEGMENTS_MAX = 240;
/** A range of lost blocks in a checkpoint, and how many of them have room in every checkpoint slot: whole blocks of the room, less what the bitmap's padding takes. */
export const CHECKPOINT_LOST_BYTES = 16;
export const LOST_RANGES_MAX = (CHECKPOINT_ROOM_BYTES - BLOCK_BYTES) / CHECKPOINT_LOST_BYTES;

export const INTEGRITY_PAGE_BYTES = 4096;
export const INTEGRITY_HEADER_BYTES = 16;
/** Checksums in one integrity page. */
export const INTEGRITY_ENTRIES = (INTEGRITY_PAGE_BYTES - INTEGRITY_HEADER_BYTES) / 4;
/** The A copies of this many pages lie together, then their B copies: neighbours that are dirty together go out in one write. */
export const INTEGRITY_GROUP_PAGES = 64;
export const INTEGRITY_GROUP_BYTES = INTEGRITY_GROUP_PAGES * INTEGRITY_PAGE_BYTES * 2;

/** Zone boundaries: a multiple of every erase block and RAID stripe that devices ask to be aligned to. */
const ZONE_BYTES = MIB;

export interface LayoutInput {
  readonly role: MemberRole;
  readonly chunkBytes: Bytes;
  /** Stripes of the array: sizes the bitmap on every member, and the data and integrity zones on those that hold chunks. */
  readonly stripes: number;
  /** Bytes of the ring on this member; 0 on one that carries no journal. */
  readonly journalBytes: Bytes;
  /** Size of the device. Left out: the smallest size that fits. */
  readonly memberBytes?: Bytes;
}

/** Whether a member of this role has data and integrity zones. A spare is laid out like the data member that it will become. */
export function holdsChunks(role: MemberRole): boolean {
  return role !== 'journal';
}

/** Byte ranges of a member's zones. Throws AssertionFailure when memberBytes is too small: callers size with stripesFor or memberBytesFor. */
export function computeLayout(input: LayoutInput): MemberLayout {
  const { chunkBytes, stripes, journalBytes } = input;
  assert(chunkBytes >= BLOCK_BYTES && chunkBytes % BLOCK_BYTES === 0, 'chunk of whole blocks');
  assert(Number.isInteger(stripes) && stripes >= 1 && stripes < STRIPES_MAX, 'from 1 to 2^32 - 1 stripes');
  assert(Number.isSafeInteger(journalBytes) && journalBytes >= 0 && journalBytes % BLOCK_BYTES === 0, 'journal zone of whole blocks');

  const checkpointBytes = roundUp(checkpointBytesNeeded(stripes), ZONE_BYTES);
  const firstCheckpoint = ZONE_BYTES;
  const dataBytes = holdsChunks(input.role) ? stripes * chunkBytes : 0;
  const integrityPages = Math.ceil(dataBytes / BLOCK_BYTES / INTEGRITY_ENTRIES);
  const integrityOffset = firstCheckpoint + 2 * checkpointBytes;
  const journalOffset = integrityOffset + integrityZoneBytes(integrityPages);
  const dataOffset = journalOffset + roundUp(journalBytes, ZONE_BYTES);
  const needed = dataOffset + dataBytes + SUPERBLOCK_PAIR_BYTES;
  const totalBytes = input.memberBytes === undefined ? needed : roundDown(input.memberBytes, BLOCK_BYTES);
  assert(totalBytes >= needed, `a member of at least ${needed} bytes`);
  assert(Number.isSafeInteger(totalBytes), 'member offsets below 2^53');
  return {
    checkpointOffset: [firstCheckpoint, firstCheckpoint + checkpointBytes],
    checkpointBytes,
    integrityOffset,
    integrityPages,
    journalOffset,
    journalBytes,
    dataOffset,
    dataBytes,
    totalBytes,
  };
}

/** What a checkpoint slot of an array of this many stripes has room for, at the least. */
export function checkpointBytesNeeded(stripes: number): Bytes {
  return CHECKPOINT_HEADER_BYTES + CHECKPOINT_TABLE_BYTES + Math.ceil(stripes / 8) + CHECKPOINT_ROOM_BYTES;
}

/** Bytes of the integrity zone: whole groups, whole MiB. */
export function integrityZoneBytes(pages: number): Bytes {
  return roundUp(Math.ceil(pages / INTEGRITY_GROUP_PAGES) * INTEGRITY_GROUP_BYTES, ZONE_BYTES);
}

/** Byte offset of copy (0 = A, 1 = B) of an integrity page. */
export function integrityCopyOffset(layout: MemberLayout, page: number, copy: number): Bytes {
  const group = Math.floor(page / INTEGRITY_GROUP_PAGES);
  const within = (copy * INTEGRITY_GROUP_PAGES + (page % INTEGRITY_GROUP_PAGES)) * INTEGRITY_PAGE_BYTES;
  return layout.integrityOffset + group * INTEGRITY_GROUP_BYTES + within;
}

/** Byte offsets of a superblock slot (0 or 1): its copy at the front and its copy at the end of a member of totalBytes bytes. */
export function superblockOffsets(totalBytes: Bytes, slot: number): readonly [Bytes, Bytes] {
  return [slot * SUPERBLOCK_BYTES, roundDown(totalBytes, BLOCK_BYTES) - SUPERBLOCK_PAIR_BYTES + slot * SUPERBLOCK_BYTES];
}

/** Smallest device that holds this many stripes and this much journal. */
export function memberBytesFor(role: MemberRole, chunkBytes: Bytes, stripes: number, journalBytes: Bytes): Bytes {
  return computeLayout({ role, chunkBytes, stripes, journalBytes }).totalBytes;
}

/** The largest number of stripes that fits on a data member of memberBytes bytes beside journalBytes of journal; 0 when none does. */
export function stripesFor(memberBytes: Bytes, chunkBytes: Bytes, journalBytes: Bytes): number {
  let fits = 0;
  let tooMany = Math.min(Math.floor(memberBytes / chunkBytes) + 1, 2 ** 32);
  while (tooMany - fits > 1) {
    const stripes = Math.floor((fits + tooMany) / 2);
    if (memberBytesFor('data', chunkBytes, stripes, journalBytes) <= roundDown(memberBytes, BLOCK_BYTES)) fits = stripes;
    else tooMany = stripes;
  }
  return fits;
}

/** '' when the zones of a layout read from a device make sense, else what is wrong with them. */
export function layoutProblem(layout: MemberLayout): string {
  const zones: [string, number, number][] = [
    ['superblocks', 0, SUPERBLOCK_PAIR_BYTES],
    ['checkpoint slot 0', layout.checkpointOffset[0], layout.checkpointBytes],
    ['checkpoint slot 1', layout.checkpointOffset[1], layout.checkpointBytes],
    ['integrity zone', layout.integrityOffset, integrityZoneBytes(layout.integrityPages)],
    ['journal zone', layout.journalOffset, layout.journalBytes],
    ['data zone', layout.dataOffset, layout.dataBytes],
    ['last superblocks', layout.totalBytes - SUPERBLOCK_PAIR_BYTES, SUPERBLOCK_PAIR_BYTES],
  ];
  let end = 0;
  for (const [name, offset, bytes] of zones) {
    if (offset % BLOCK_BYTES !== 0 || bytes % BLOCK_BYTES !== 0) return `${name} is not made of whole blocks`;
    if (offset < end) return `${name} overlaps the zone before it`;
    end = offset + bytes;
  }
  if (layout.checkpointBytes < CHECKPOINT_HEADER_BYTES + CHECKPOINT_TABLE_BYTES) return 'checkpoint slots are too small';
  if (layout.integrityPages !== Math.ceil(layout.dataBytes / BLOCK_BYTES / INTEGRITY_ENTRIES))
    return 'integrity zone and data zone differ in size';
  if (!Number.isSafeInteger(end)) return 'offsets of 2^53 or more';
  return '';
}
