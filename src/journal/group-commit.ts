import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes, type Lsn, type SlabOffset } from '../base/units.js';
import type { Member } from '../member/member-api.js';
import { LsnWaiters } from './lsn-waiters.js';
import type { RingTwin } from './ring-twin.js';
import type { SegmentTable } from './segment-table.js';

export interface JournalHooks {
  /** A journal copy failed. Resolves when its failure is recorded on the other members, after which writes may be acknowledged without it. */
  memberFailed(position: number, errno: number, doing: string): Promise<void>;
  /** The recording of failures that is under way: what went round a failed member is not acknowledged before it. null = none. */
  fencing?(): Promise<unknown> | null;
  /** What has to be awaited before anything is written to the ring, null = nothing: whether the array is still this process's. When it rejects the journal is refused. */
  fence?(): Promise<void> | null;
  /** Room may have appeared for writers that were refused. */
  space(): void;
  /** A segment was closed: the movers may take it. */
  closed(): void;
}

/** What group commit needs of the journal whose batches it writes. */
export interface CommitSource {
  readonly table: SegmentTable;
  readonly members: readonly Member[];
  /** By position. */
  readonly twins: ReadonlyMap<number, RingTwin>;
  readonly hooks: JournalHooks;
  isOnline(position: number): boolean;
  slotOffset(member: Member, slot: number, at: number): Bytes;
  pin(slot: number): void;
  unpin(slot: number): void;
  /** Ends the gathering batch, if there is one, and hands it to enqueue(). */
  seal(): void;
  nextLsn(): Lsn;
  /** Undestaged segments that no healthy journal member holds. */
  segmentsWithoutCopy(): number;
}

type Done = (error: KeelsonError | null) => void;

/** A range of sealed batches that waits for its write: contiguous blocks of one segment. */
interface Pending {
  readonly slot: number;
  readonly from: number;
  to: number;
  lastLsn: Lsn;
}

/**
 * Writes sealed batches to all their copies, one range at a time, and tells the waiters: while one is being written the next one gathers, so that no timer is
 * needed. And makes what was written durable: one round of fdatasync at a time, for all who wait.
 */
export class GroupCommit {
  /** Every write up to here is on every healthy copy, or was answered with an error. */
  committedLsn: Lsn = 0;
  /** Every write up to here is on stable media. */
  flushedLsn: Lsn = 0;
  readonly #source: CommitSource;
  readonly #pending: Pending[] = [];
  #writing: Pending | null = null;
  #writesLeft = 0;
  #failures: Promise<unknown>[] = [];
  #kicked = false;
  /** It is looked whether the array is still ours. */
  #held = false;
  /** The array is another process's: nobody is told that anything is there. */
  #refusal: KeelsonError | null = null;
  readonly #committed = new LsnWaiters();
  readonly #flushed = new LsnWaiters();
  #syncing = false;
  /** Per position: writes ended since the last fdatasync was asked for, on the member or its twin. */
  readonly #unsynced: Uint8Array;
  /** Per position: the member that the range under way is written to. */
  readonly #writingTo: Member[] = [];

  constructor(source: CommitSource) {
    this.#source = source;
    this.#unsynced = new Uint8Array(source.members.length);
  }

  /** Nothing waits or is being written or synced. */
  get idle(): boolean {
    return this.#pending.length === 0 && this.#writing === null && !this.#syncing && !this.#held;
  }

  /** Blocks [from, to) of a slot are sealed: their last write has lastLsn. Neighbours go out in one write. */
  enqueue(slot: number, from: number, to: number, lastLsn: Lsn): void {
    const last = this.#pending[this.#pending.length - 1];
    if (last !== undefined && last.slot === slot && last.to === from) {
      last.to = to;
      last.lastLsn = lastLsn;
    } else this.#pending.push({ slot, from, to, lastLsn });
  }

  /** Something gathers: it is written at the end of this turn, when nothing is being written. */
  kick(): void {
    if (this.#kicked || this.#writing !== null) return;
    this.#kicked = true;
    queueMicrotask(() => {
      this.#kicked = false;
      this.#writeNext();
    });
  }

  #writeNext(): void {
    if (this.#writing !== null || this.#held || this.#refusal !== null) return;
    if (this.#pending.length === 0) this.#source.seal();
    if (this.#pending.length > 0 && this.#mustWait()) return;
    const range = this.#pending.shift();
    if (range === undefined) return;
    const { table, members } = this.#source;
    this.#writing = range;
    const memory = (table.memory[range.slot] as number) + range.from * BLOCK_BYTES;
    const length = (range.to - range.from) * BLOCK_BYTES;
    this.#writesLeft = 1;
    this.#source.pin(range.slot);
    for (let position = 0; position < members.length; position++) {
      if (((table.copies[range.slot] as number) & (1 << position)) === 0 || !this.#source.isOnline(position)) continue;
      this.#writesLeft++;
      const member = members[position] as Member;
      this.#writingTo[position] = member;
      member.device.write(memory, this.#source.slotOffset(member, range.slot, range.from), length, this.#onWritten, position);
      const twin = this.#source.twins.get(position);
      if (twin !== undefined && twin.error === null) this.#writeTwin(twin.member, range, memory, length, position);
    }
    this.#onWritten(length, -1);
  }

  #writeTwin(member: Member, range: Pending, memory: SlabOffset, length: Bytes, position: number): void {
    this.#writesLeft++;
    const offset = this.#source.slotOffset(member, range.slot, range.from);
    member.device.write(memory, offset, length, (result) => this.#written(member, result, position), 0);
  }

  #mustWait(): boolean {
    const fence = this.#source.hooks.fence?.() ?? null;
    if (fence === null) return false;
    this.#held = true;
    const go = (): void => {
      this.#held = false;
      this.#writeNext();
    };
    // A rejection has refused the journal by then.
    fence.then(go, go);
    return true;
  }

  /** Nothing is written any more, and nothing is acknowledged. */
  refuse(error: KeelsonError): void {
    this.#refusal = error;
    this.#pending.length = 0;
    this.#committed.settle(Number.POSITIVE_INFINITY, error);
    this.#flushed.settle(Number.POSITIVE_INFINITY, error);
  }

  readonly #onWritten = (result: number, position: number): void => this.#written(this.#writingTo[position], result, position);

  #written(member: Member | undefined, result: number, position: number): void {
    if (result < 0) this.#failures.push(this.#deviceFailed(member, position, -result, 'journal write'));
    // Marked when the write has ended, not when it starts: a sync that is asked for in between does not cover it.
    else if (position >= 0) this.#unsynced[position] = 1;
    if (--this.#writesLeft > 0) return;
    const failures = this.#failures;
    this.#failures = [];
    this.#afterFencing(failures, () => this.#commit());
  }

  /** The member and its twin may have been exchanged since the device was asked. */
  #deviceFailed(member: Member | undefined, position: number, errno: number, doing: string): Promise<unknown> {
    const { members, twins, hooks } = this.#source;
    if (members[position] === member) return hooks.memberFailed(position, errno, doing);
    return twins.get(position)?.failed(errno, doing) ?? Promise.resolve();
  }

  /** Calls back at once when no member failed, else when that is recorded. */
  #afterFencing(failures: Promise<unknown>[], then: () => void): void {
    const fencing = this.#source.hooks.fencing?.() ?? null;
    if (fencing !== null) failures.push(fencing);
    if (failures.length === 0) then();
    else void Promise.allSettled(failures).then(then);
  }

  #commit(): void {
    const range = this.#writing as Pending;
    this.#writing = null;
    assert(range.lastLsn > this.committedLsn, 'batches commit in LSN order');
    const error = (this.#source.table.copies[range.slot] as number) === 0 ? gone('the write reached no journal member') : null;
    this.#source.unpin(range.slot);
    this.committedLsn = range.lastLsn;
    this.#committed.settle(range.lastLsn, error);
    if (error !== null) this.#flushed.settle(range.lastLsn, error);
    if (this.#flushed.first <= this.committedLsn) this.#startSync();
    // Asks the source as well: a batch may gather.
    this.#writeNext();
  }

  whenCommitted(lsn: Lsn, done: Done): void {
    if (this.#refusal !== null) {
      done(this.#refusal);
      return;
    }
    if (lsn <= this.committedLsn) done(null);
    else this.#committed.push(lsn, done);
  }

  whenFlushed(lsn: Lsn, done: Done): void {
    if (this.#refusal !== null) {
      done(this.#refusal);
      return;
    }
    if (lsn <= this.flushedLsn) {
      done(null);
      return;
    }
    this.#flushed.push(lsn, done);
    if (lsn <= this.committedLsn) this.#startSync();
  }

  flush(done: Done): void {
    // Waiters are kept in LSN order, so a flush of less than what a FUA write waits for joins that write.
    this.whenFlushed(this.#flushed.length > 0 ? this.#source.nextLsn() - 1 : this.committedLsn, done);
  }

  #startSync(): void {
    if (this.#syncing) return;
    this.#syncing = true;
    const cover = this.committedLsn;
    let left = 1;
    const failures: Promise<unknown>[] = [];
    const finish = (result: number, member: Member | undefined, position: number): void => {
      if (result < 0) failures.push(this.#deviceFailed(member, position, -result, 'journal fdatasync'));
      if (--left === 0) this.#afterFencing(failures, () => this.#synced(cover));
    };
    const sync = (member: Member, position: number): void => {
      left++;
      member.device.sync((result) => finish(result, member, position), position);
    };
    for (let position = 0; position < this.#source.members.length; position++) {
      if (this.#unsynced[position] === 0 || !this.#source.isOnline(position)) continue;
      this.#unsynced[position] = 0;
      sync(this.#source.members[position] as Member, position);
      const twin = this.#source.twins.get(position);
      if (twin !== undefined && twin.error === null) sync(twin.member, position);
    }
    finish(0, undefined, -1);
  }

  #synced(cover: Lsn): void {
    this.#syncing = false;
    // A sync that leaves some segment without any copy made nothing durable of it: what it covers stays unflushed until it is in the stripes or has a copy again.
    const error = this.#source.segmentsWithoutCopy() > 0 ? gone('journal copies failed before the flush was done') : null;
    if (error === null) this.flushedLsn = Math.max(this.flushedLsn, cover);
    this.#flushed.settle(cover, error);
    if (this.#flushed.first <= this.committedLsn) this.#startSync();
  }
}

function gone(what: string): KeelsonError {
  return new KeelsonError('JOURNAL_GONE', what, { action: 'keelson status says which member to replace; do not stop the server before' });
}
