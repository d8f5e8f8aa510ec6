import type { SlabOffset, StripeIndex } from '../base/units.js';
import type { StripeGeometry } from './geometry.js';

/** Source words of an ApplyTask: a slab page number (slab offset / 4096), or one of these. */
export const SOURCE_KEEP = 0xffff_ffff;
/** The block becomes unwritten (trim, zeroes). */
export const SOURCE_ZERO = 0xffff_fffe;

/** Everything a stripe worker needs that does not change while the array is assembled. */
export interface StripeContext {
  readonly geometry: StripeGeometry;
  /** The slab's SharedArrayBuffer (memory/slab.ts). */
  readonly slab: SharedArrayBuffer;
  /** Byte offset of the data zone on each data member. */
  readonly dataOffset: Float64Array;
  /** Per data member, its integrity table: one u32 a block of its data zone (geometry.ts). Shared, updated by whoever writes blocks. */
  readonly integrity: readonly SharedArrayBuffer[];
  /** 'ring' or 'fs': which BlockingIo the worker opens. */
  readonly io: 'ring' | 'fs';
}

/**
 * State of the data members at the moment a task is made. handle[i]: Device.handle, or -1 when the member is missing or failed.
 * For a member being rebuilt, its blocks are there below rebuiltStripes[i]; above, it takes writes but is not read. Infinity when whole.
 */
export interface MemberView {
  readonly handle: Int32Array;
  readonly rebuiltStripes: Float64Array;
  /**
   * Of rebuiltStripes, what a checkpoint says: above it a crash takes the member's blocks back. Left out: the same. A row of which a block that stays is not certain to
   * survive a crash (here, or its member is away) is not written before that block is journaled, even when it is known to be unwritten.
   */
  readonly durableStripes?: Float64Array;
  /**
   * 1: the integrity table of this member is known (loaded, or kept by us since), and believed also while the member is away: an UNWRITTEN entry is then no loss.
   * 0: every entry is an unknown checksum, except below a finite rebuiltStripes; so for a blank replacement whose predecessor's table is not at hand.
   */
  readonly integrityKnown: Uint8Array;
  /** Some blocks that are lost for good are not marked in the tables that are not known: zeroes derived there may be such a block, and count as one. */
  readonly zeroesDoubted?: boolean;
}

export const STRIPE_DONE = 0;
/** Nothing was written: more than m shards of some needed row are lost or corrupt. rows of the result says which. */
export const STRIPE_BEYOND = 1;
/**
 * Only apply: nothing was written: a data block of a touched row that is not given as a source is lost, or would be in a crash. It has to be recovered and journaled first
 * (the degraded write hole).
 */
export const STRIPE_NEEDS_LOST = 2;
/**
 * apply: all that could be written was written, but some data block of a touched row cannot be had from the stripe alone (writes failed, or more than m members are away):
 * the sources must be kept. rebuild: a write to a target failed.
 */
export const STRIPE_FAILED = 3;

export interface StripeOutcome {
  /** One STRIPE_* a stripe. */
  readonly status: Uint8Array;
  /** Per data member: I/O errors of reads, of writes, and checksum mismatches met in this task. */
  readonly readErrors: Uint32Array;
  readonly writeErrors: Uint32Array;
  /** Per data member: the number of the last error of a write; 0: none. */
  readonly writeErrno: Int32Array;
  readonly checksumErrors: Uint32Array;
  /** Of the read and checksum errors, those whose block was written again in this task. */
  readonly repairs: Uint32Array;
  /** Bytes read from and written to members. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

export interface ApplyTask {
  readonly members: MemberView;
  readonly stripes: Float64Array;
  /** stripes.length * k * rows source words (a page, SOURCE_KEEP, SOURCE_ZERO or SOURCE_LOST), in slot order (data shard * rows + row). */
  readonly sources: Uint32Array;
  /** The same shape: address-seeded CRC32C (not yet an integrity entry) of each source that is a page. */
  readonly crcs: Uint32Array;
  /** After a crash: parity of touched rows is not trusted; rows are written again from data, never by delta. */
  readonly rewrite: boolean;
}

export interface RecoverTask {
  readonly members: MemberView;
  /** Volume blocks wanted, ascending; block i is put at slab page pages[i]. */
  readonly blocks: Float64Array;
  readonly pages: Uint32Array;
  /** Write what was reconstructed back to members that are there but had a wrong checksum or a read error. */
  readonly repair: boolean;
  /**
   * A crash may have torn these rows: parity is used only of a row that proves whole. Every block of it that is there fits its entry, and when there are more than k of
   * them they fit each other. With k of them, none may be unwritten beside written ones: an entry tells an overwritten block from the one it was flushed for, but not
   * when there was none. 'spare': there have to be more than k, since blocks of the rows were trimmed, which leaves their content as it was.
   */
  readonly strict?: 'fits' | 'spare';
}

export interface RecoverOutcome extends Omit<StripeOutcome, 'status'> {
  /** Per block: 0 done, 1 unrecoverable from the stripes, 2 marked LOST. */
  readonly status: Uint8Array;
  /** Address-seeded CRC32C of each block recovered (0 for an unwritten one, whose page is zeroed). */
  readonly crcs: Uint32Array;
  readonly repaired: number;
}

export interface RebuildTask {
  readonly members: MemberView;
  readonly stripes: Float64Array;
  /** Data members to write (they have a handle and rebuiltStripes <= every stripe given). */
  readonly targets: readonly number[];
  /**
   * For losses beyond parity: stripes.length * k * rows words as in ApplyTask, of lost data blocks known from elsewhere (a page, SOURCE_ZERO,
   * SOURCE_LOST or SOURCE_KEEP = not given). null when no stripe has any.
   */
  readonly provided: Uint32Array | null;
  /** Parity on the members is not trusted: only data and provided blocks are. */
  readonly dataOnly: boolean;
}
/** The block is lost for good: it counts as zeroes for parity, and its entry becomes CRC_LOST. */
export const SOURCE_LOST = 0xffff_fffd;

/** Here STRIPE_BEYOND means that some row is beyond repair; other rows of the stripe are still repaired. */
export interface ScrubOutcome extends StripeOutcome {
  readonly parityErrors: number;
  readonly repaired: number;
}

/**
 * Stripe work over the Piscina pool. A task is a batch of stripes; payload stays in the slab. Tasks on the same stripe are never run at the same time:
 * callers hold the stripe lock (stripe-lock.ts).
 */
export interface StripePool {
  /** Stripes a task should carry: about scratch size / stripe size. */
  readonly stripesPerTask: number;
  readonly threads: number;
  apply(task: ApplyTask): Promise<StripeOutcome>;
  recover(task: RecoverTask): Promise<RecoverOutcome>;
  rebuild(task: RebuildTask): Promise<StripeOutcome>;
  scrub(members: MemberView, stripes: Float64Array, repair: boolean): Promise<ScrubOutcome>;
  close(): Promise<void>;
}

export interface StripePoolOptions {
  readonly context: StripeContext;
  /** Slab ranges that belong to the pool: one per thread, each at least two stripes. */
  readonly scratch: readonly { readonly offset: SlabOffset; readonly bytes: number }[];
}

export type StripeList = readonly StripeIndex[];
