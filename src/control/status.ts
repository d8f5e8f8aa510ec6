import type { Bytes, Lsn, MemberIndex } from '../base/units.js';

/** What `status --json` prints and others may rely on. Fields are added, never renamed or removed. */
export interface ArrayStatus {
  readonly name: string;
  readonly uuid: string;
  readonly state: ArrayState;
  readonly protection: 'full' | 'seeding' | 'unprotected';
  /** How many more devices may die at this moment without losing an acknowledged write, and what that rests on. */
  readonly tolerance: { readonly devices: number; readonly because: string };
  readonly volume: { readonly bytes: Bytes; readonly blockBytes: number };
  readonly members: readonly MemberStatus[];
  readonly journal: JournalStatus;
  readonly drain: DrainStatus;
  readonly rebuild: RebuildStatus | null;
  readonly scrub: ScrubStatus | null;
  /** Blocks that are lost for good: reading them is an error until they are written again. Left out by older servers. */
  readonly lost?: LostStatus;
  readonly alarms: readonly Alarm[];
  /** What is not a trouble but should be known: what other hosts can reach in clear. Left out by older servers. */
  readonly hints?: readonly Alarm[];
}

/** failed: data are unavailable. beyond-parity: more than m stripe members are gone, everything is still served. */
export type ArrayState = 'online' | 'degraded' | 'beyond-parity' | 'failed';

export interface MemberStatus {
  readonly index: MemberIndex;
  /** Of the device in this place, or of the one that belongs there. Left out by older servers. */
  readonly uuid?: string;
  /** Of a member that is not there: where it was expected, or "unknown". */
  readonly path: string;
  readonly role: 'data' | 'journal' | 'both' | 'spare';
  readonly state: 'online' | 'failed' | 'missing' | 'rebuilding' | 'spare';
  readonly readErrors: number;
  readonly writeErrors: number;
  readonly checksumErrors: number;
  /** Of the read and checksum errors in the stripes, those that were not repaired. Left out by older servers. */
  readonly unrepairedErrors?: number;
}

export interface JournalStatus {
  readonly copies: number;
  readonly bytes: Bytes;
  readonly usedBytes: Bytes;
  readonly fillRatio: number;
  readonly headLsn: Lsn;
  readonly destagedLsn: Lsn;
}

export interface DrainStatus {
  readonly drainedLsn: Lsn;
  /** What losing everything but the backup would lose now (P9). */
  readonly undrainedBytes: Bytes;
  readonly oldestUndrainedSeconds: number;
  readonly lastError: string | null;
  /** The URL without secrets; null: no backup. */
  readonly target: string | null;
  /** connecting: the backup host has not answered yet since the server started, nor failed to. What it holds is known by the array's own record alone. */
  readonly state: 'idle' | 'draining' | 'connecting' | 'unreachable' | 'none';
  /** Since the backup host last did what was asked of it; null: not yet since the server started. Left out by older servers. */
  readonly answeredSecondsAgo?: number | null;
}

export interface RebuildStatus {
  readonly doneBytes: Bytes;
  readonly totalBytes: Bytes;
  readonly fromSurvivors: Bytes;
  readonly fromParity: Bytes;
  readonly fromJournal: Bytes;
  readonly fromBackup: Bytes;
  readonly secondsLeft: number | null;
  /** Given up: to be had from nowhere, errors until they are written again. A command that gave up any ends with status 5. Left out by older servers. */
  readonly lostBlocks?: number;
  /** Only in what `replace` resolves to: the path of the configuration in whose place the new one belongs; null: several could be meant. */
  readonly replaces?: string | null;
  /** Only in what `replace` resolves to: so many more of the lost members must get a device before the rebuild begins. */
  readonly waitsFor?: number;
}

export interface LostStatus {
  /** Ascending. */
  readonly ranges: readonly { readonly offset: Bytes; readonly length: Bytes }[];
  /** Of the ranges listed. */
  readonly bytes: Bytes;
  /** There are more than are listed. */
  readonly more: boolean;
}

export interface ScrubStatus {
  readonly state: 'running' | 'paused';
  readonly doneBytes: Bytes;
  readonly totalBytes: Bytes;
  readonly errorsFound: number;
  readonly errorsRepaired: number;
}

/** A trouble, with what to do about it. code: upper snake case, stable. */
export interface Alarm {
  readonly code: string;
  readonly message: string;
  readonly action: string;
}

/** What `rebuild --plan --json` prints: for every range that is not whole, where it will come from. */
export interface RebuildPlan {
  readonly ranges: readonly { readonly offset: Bytes; readonly length: Bytes; readonly from: RebuildSource }[];
  readonly bytes: Readonly<Record<RebuildSource, Bytes>>;
  readonly secondsEstimated: number;
  /** What the seconds rest on. Left out by older servers. */
  readonly rates?: {
    /** Data of stripes that a rebuild gets through in a second; null: there was nothing to measure. */
    readonly stripeBytesPerSecond: number | null;
    /** The last rebuild of the running server, or a sample that was read for this plan. */
    readonly measuredBy: 'rebuild' | 'sample';
    readonly backupBytesPerSecond: number | null;
  };
}
/** lost: to be had from nowhere, an error from then on. */
export type RebuildSource = 'survivor' | 'parity' | 'journal' | 'backup' | 'lost';
