import type { Figure } from '../base/figure.js';
import type { Bytes, Lsn } from '../base/units.js';
import type { ArrayStatus, RebuildPlan, RebuildStatus } from './status.js';

/** Progress of long work. Called at most a few times a second; total may still grow. */
export interface Progress {
  /** What is being done, for people: "rebuild of member 3". */
  readonly task: string;
  readonly doneBytes: Bytes;
  readonly totalBytes: Bytes;
}
export type OnProgress = (progress: Progress) => void;

/** M of the command line: a member's index, or its path as configured. */
export type MemberName = string;

export interface FailOptions {
  /** Insists although acknowledged data would be lost. Without it: KeelsonError with exit status 3 that says which flag insists. */
  readonly force: boolean;
}

export interface ReplaceOptions {
  /** Insists although the device holds something other than a member of this array. Without it: KeelsonError with exit status 3 that says what it holds. */
  readonly force: boolean;
  /** A member whose content is given up, though the device may be its only copy. Without it: exit status 3. */
  readonly giveUp?: MemberName;
}

export interface Drained {
  readonly drainedLsn: Lsn;
  /** With wait: blocks that this drain had to call lost, since nobody had them any more. */
  readonly lostBlocks?: number;
}

/** What the control socket may ask of a running array. Every method throws KeelsonError. */
export interface ControlTarget {
  status(): ArrayStatus;
  /** What the metrics have beyond status(): totals since assembly, levels of queues and memories. */
  figures(): readonly Figure[];
  /** Resolves when every write acknowledged before is on stable media. */
  flush(): Promise<void>;
  /** Starts a drain of everything journaled so far; wait: resolves when it is on the backup. DRAIN_NO_TARGET without a backup. */
  drain(wait: boolean, onProgress: OnProgress): Promise<Drained>;
  fail(member: MemberName, options: FailOptions): Promise<void>;
  /** Replaces a failed or missing member and rebuilds it; a stripe member that is online is copied to the device first. Resolves when it is whole. */
  replace(member: MemberName, device: string, options: ReplaceOptions, onProgress: OnProgress): Promise<RebuildStatus>;
  rebuildPlan(): Promise<RebuildPlan>;
  /** Follows the running rebuild, or starts what is pending, until every present member is whole. null: nothing to rebuild. */
  rebuild(onProgress: OnProgress): Promise<RebuildStatus | null>;
}
