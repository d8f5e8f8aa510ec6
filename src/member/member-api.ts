import type { Bytes, MemberIndex } from '../base/units.js';
import type { Device } from '../device/device.js';

export type MemberRole = 'data' | 'journal' | 'both' | 'spare';
export type MemberState = 'online' | 'failed' | 'missing' | 'rebuilding' | 'spare';

/** Byte ranges of a member's zones; every boundary is a multiple of 1 MiB except the last superblock pair. docs/on-disk-format.md. */
export interface MemberLayout {
  readonly checkpointOffset: readonly [Bytes, Bytes];
  readonly checkpointBytes: Bytes;
  readonly integrityOffset: Bytes;
  readonly integrityPages: number;
  readonly journalOffset: Bytes;
  readonly journalBytes: Bytes;
  readonly dataOffset: Bytes;
  readonly dataBytes: Bytes;
  readonly totalBytes: Bytes;
}

/** Fixed at create, the same in every superblock of the array. */
export interface ArrayShape {
  readonly arrayUuid: string;
  readonly name: string;
  readonly createdAt: number;
  /** Data members, in stripe order: member indices 0 .. dataMembers - 1. Journal members of their own follow. */
  readonly dataMembers: number;
  readonly journalMembers: number;
  readonly parity: number;
  readonly chunkBytes: Bytes;
  readonly stripes: number;
  /** Ring bytes per copy, a multiple of segmentBytes. */
  readonly ringBytes: Bytes;
  readonly segmentBytes: Bytes;
  readonly journalCopies: number;
  /** Version of the erasure matrix: 1 = normalised Cauchy over GF(2^8)/0x11D. */
  readonly matrixVersion: number;
}

export interface Superblock {
  readonly shape: ArrayShape;
  readonly memberUuid: string;
  readonly index: MemberIndex;
  readonly role: MemberRole;
  readonly layout: MemberLayout;
  readonly epoch: number;
  readonly generation: number;
}

/** One row of the member table that every checkpoint carries. */
export interface MemberRecord {
  readonly index: MemberIndex;
  readonly uuid: string;
  readonly role: MemberRole;
  readonly state: MemberState;
  /** Rebuilding: stripes below this are on the member. */
  readonly rebuiltStripes: number;
}

/** Blocks of the volume from `first` on. */
export interface LostRange {
  readonly first: number;
  readonly count: number;
}

/** Blocks that are lost for good, ascending. */
export interface LostList {
  readonly ranges: readonly LostRange[];
  /** There are more than are listed. */
  readonly more: boolean;
}

/** Where the end of the ring journal may lie after a crash. */
export interface RingEnd {
  /** The open segment, or the next to be opened. */
  readonly headSeq: number;
  /** Journal positions that segments opened from now on go to, a bit each: a member that was just added comes in once it is used. */
  readonly positions: number;
  /** Segments up to headSeq without a copy that they would get from `positions`, and the positions that do have one. */
  readonly short: readonly { readonly seq: number; readonly copies: number }[];
  /** There are more of them. */
  readonly more: boolean;
}

/** What a checkpoint says. It is written to every member that is there, in two alternating slots, after the flush of what it rests on. */
export interface Checkpoint {
  readonly epoch: number;
  /** Rises by one with each checkpoint of the array. */
  readonly generation: number;
  readonly members: readonly MemberRecord[];
  /** Segments below this sequence number are destaged; below tailSeq their slots are free. */
  readonly destagedSeq: number;
  readonly drainedSeq: number;
  readonly tailSeq: number;
  /** Highest LSN of a destaged / drained segment. */
  readonly destagedLsn: number;
  readonly drainedLsn: number;
  readonly cleanShutdown: boolean;
  /** The epoch is on every member that was there: not so in the checkpoint that raises it, true in all after it. No write is accepted before. */
  readonly epochSettled?: boolean;
  /**
   * Rows that a crash tore are not written again yet, and those of stripes below this one counted on a data member that is lost by now: of these its absence does not say that
   * their lost blocks are in the ring. Infinity: of all stripes. Left out: of none.
   */
  readonly tornAsWholeBelow?: number;
  readonly protection: 'full' | 'seeding' | 'unprotected';
  /** No segment of the repository that was published under a higher epoch is this array's. Left out by earlier versions. */
  readonly publishEpoch?: number;
  /** One bit a stripe: 1 = its integrity entries are valid; 0 = never written, reads as zeroes. */
  readonly stripeBitmap: Uint8Array;
  /** Left out: none. */
  readonly lost?: LostList;
  /** Left out by earlier versions, and before a ring was ever used. */
  readonly ring?: RingEnd;
}

/** A device that is open as a member of the running array. */
export interface Member {
  readonly index: MemberIndex;
  readonly role: MemberRole;
  readonly device: Device;
  superblock: Superblock;
  /** One that is being written: whoever reads the member may find it already. */
  nextSuperblock: Superblock | null;
  state: MemberState;
  rebuiltStripes: number;
  /** Of those, what a checkpoint says. */
  durableStripes: number;
  readErrors: number;
  writeErrors: number;
  checksumErrors: number;
  /** Of the read and checksum errors in the stripes, those that were not written again when they were met. */
  openErrors: number;
  /** The newest segment of the ring of which this member's copy gave an error; 0: none. */
  ringDamageSeq: number;
}
