import type { Bytes, StripeIndex } from '../base/units.js';
import type { RingReader } from '../journal/ring-reader.js';
import type { Backup } from '../repository/backup.js';
import type { StripeHold } from '../stripe/stripe-lock.js';
import type { MemberView, StripeOutcome, StripePool } from '../stripe/stripe-pool.js';
import type { SourceHost } from './stripe-sources.js';

/** A member that is being rebuilt. The object stands for the device: one that takes its place is another object. */
export interface RebuildTarget {
  readonly index: number;
  /** Stripes below this are on it. */
  readonly rebuiltStripes: number;
}

export interface RebuildHost extends SourceHost {
  readonly pool: StripePool;
  readonly reader: RingReader;
  members(): MemberView;
  /** The first written stripe from `from` on and below `end`, else `end`. */
  nextWritten(from: StripeIndex, end: StripeIndex): StripeIndex;
  changed(stripe: StripeIndex): void;
  /** False while more members are not whole than parity covers: nothing is destaged then. */
  destages(): boolean;
  /** Rows are about to be written with what the ring has, undestaged segments included. */
  takesFromRing(): void;
  /** Blocks of the stripe may have been given up. */
  gaveUp(stripe: StripeIndex): void;
  /** Data blocks of the stripe that are marked as lost. */
  lostIn(stripe: StripeIndex): number;
  /** The block counts as zeroes for parity and is an error to its readers until it is written again. */
  markLost(member: number, memberBlock: number): void;
  lock(stripes: Float64Array): Promise<StripeHold>;
  unlock(hold: StripeHold): void;
  /** torn: a crash may have torn rows of the task. */
  account(outcome: StripeOutcome, torn?: boolean): Promise<void>;
  /** The backup, when it is configured and its image is whole. null: there is none and never was. Throws when it is only out of reach: then rebuild waits. */
  backup(): Backup | null;
  targets(): readonly RebuildTarget[];
  /** Every stripe below `stripes` is on these now. */
  progress(targets: readonly RebuildTarget[], stripes: StripeIndex): void;
  checkpoint(): Promise<void>;
  /** Lets foreground work go first. */
  throttle(): Promise<void>;
}

export interface RebuildCounters {
  doneStripes: number;
  totalStripes: number;
  fromSurvivors: Bytes;
  fromParity: Bytes;
  fromJournal: Bytes;
  fromBackup: Bytes;
  /** Stored bytes fetched from the backup. */
  backupStoredBytes: Bytes;
  /** Given up: to be had from nowhere. */
  lostBlocks: number;
}
