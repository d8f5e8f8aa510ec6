import { CRC_LOST, CRC_UNWRITTEN } from './geometry.js';
import type { MemberView } from './stripe-pool.js';

/** What is known of one block of one shard. Zero: reads as zeroes without I/O (unwritten, or lost for good). */
export const SLOT_ABSENT = 0;
export const SLOT_ZERO = 1;
export const SLOT_READABLE = 2;
/** Read, checksum verified, content at its page. */
export const SLOT_LOADED = 3;
/** The member is there, but the read failed or the checksum is wrong: an erasure that can be repaired. */
export const SLOT_BAD = 4;
/** Reconstructed at its page. */
export const SLOT_DERIVED = 5;
/** Readable, and to be read by the next readWanted. */
export const SLOT_WANTED = 6;

export const NO_PAGE = 0xffff_ffff;

/** Bits that say what can be done with one member for one stripe. */
export const ACCESS_KNOWN = 1;
export const ACCESS_READ = 2;
export const ACCESS_WRITE = 4;

/**
 * Entry of a parity block whose new content was not computed, since its member is away or to be rebuilt anyway: by form a checksum, of nothing in
 * particular, so that neither the old content nor "unwritten" is claimed.
 */
export const CRC_STALE = 2;

/**
 * ACCESS_* bits of a member for a stripe. What a rebuild put below its mark is known by the table even when the rest is not; a block whose
 * checksum is not known is never read, since nothing could vouch for it.
 */
export function memberAccess(view: MemberView, member: number, stripe: number): number {
  const there = (view.handle[member] as number) >= 0;
  const mark = view.rebuiltStripes[member] as number;
  const known = view.integrityKnown[member] === 1 || (there && Number.isFinite(mark) && stripe < mark);
  return (known ? ACCESS_KNOWN : 0) | (there && known && stripe < mark ? ACCESS_READ : 0) | (there ? ACCESS_WRITE : 0);
}

/**
 * SLOT_ABSENT, SLOT_ZERO or SLOT_READABLE. A table of which nothing is known begins empty: that a block is lost for good was put there since, by whoever
 * made its row's parity without it.
 */
export function slotState(access: number, entry: number): number {
  if (entry === CRC_LOST || ((access & ACCESS_KNOWN) !== 0 && entry === CRC_UNWRITTEN)) return SLOT_ZERO;
  return (access & ACCESS_READ) !== 0 ? SLOT_READABLE : SLOT_ABSENT;
}

/** The member is there, and what it holds of this stripe is still there after a crash. */
export function certainBelow(view: MemberView, member: number, stripe: number): boolean {
  return (view.handle[member] as number) >= 0 && stripe < ((view.durableStripes ?? view.rebuiltStripes)[member] as number);
}
