import type { Member } from '../member/member-api.js';
import type { Bytes } from '../base/units.js';
import type { RebuildProgress } from './rebuild-runner.js';

/** How far a copy is. */
export interface CopyBytes {
  copiedBytes: Bytes;
  totalBytes: Bytes;
}

/** A member's content on its way to another device. */
export interface RunningCopy {
  readonly copy: Readonly<CopyBytes>;
  readonly startedAt: number;
  readonly ended: Promise<unknown>;
}

/** Devices that are on their way to become members. */
export class Replacements {
  /** Members that are online until the device with this path, which they are copied to, is whole. */
  readonly taking = new Map<number, string>();
  /** Those of them whose copy has begun. */
  readonly copies = new Map<number, RunningCopy>();
  /** What was copied to members that took their place so. */
  readonly copied = new WeakMap<Member, RebuildProgress>();
  #last: Promise<unknown> = Promise.resolve();

  /** One piece of work after the other: devices that are taken in share the memory for it, and each rests on the table that the one before it left. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn;
    turn.catch(() => undefined);
    return turn;
  }

  /** Resolves when the copies under way have ended, well or not. */
  async ended(): Promise<void> {
    await Promise.allSettled(Array.from(this.copies.values(), ({ ended }) => ended));
  }
}
