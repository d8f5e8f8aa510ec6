import type { Clock } from '../base/clock.js';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { SegmentSeq } from '../base/units.js';
import type { Journal } from '../journal/journal.js';
import { describeRingEnd } from '../journal/ring-end.js';
import { writeCheckpoint } from '../member/checkpoint-io.js';
import { INTEGRITY_REGION_BYTES, type IntegrityTable } from '../member/integrity.js';
import { raiseEpoch, verifyEpoch } from '../member/member.js';
import type { Checkpoint, Member } from '../member/member-api.js';
import { type SlabRegion, slabRegion } from '../memory/slab-region.js';
import type { ArrayState } from './array-state.js';

const VERIFY_EVERY_MS = 1000;

interface Request {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Writes the array's durable state, one round at a time: flush the stripes, then the integrity pages that describe them, then the checkpoint whose cursors and
 * bitmap rest on both (DESIGN 12, checkpoint order). A member that fails on the way starts another round with a higher epoch; a request is
 * answered after a round in which nothing failed.
 */
export class Checkpointer {
  generation: number;
  readonly #state: ArrayState;
  readonly #journal: Journal;
  readonly #region: SlabRegion;
  readonly #clock: Clock;
  #checkedAt: number;
  readonly #onFailed: (member: Member, error: KeelsonError) => void;
  /** Resolves when the stripe tasks made so far have ended. */
  settleTasks: () => Promise<void> = () => Promise.resolve();
  /** Another process has the array. */
  onTaken: (error: KeelsonError) => void = () => {};
  /** Ring segments below it may have blocks in the stripes already. */
  stripesReach: () => SegmentSeq = () => 0;
  #requests: Request[] = [];
  #running = false;
  #wantEpoch = false;
  #destaged: SegmentSeq = 0;
  #drained: SegmentSeq = 0;
  #clean = false;
  #wantFlush = false;
  #exchanges: (() => void)[] = [];
  /** Bitmap and rebuild progress that the flushed integrity pages cover: the live ones may be ahead of them. */
  #durableBitmap: Uint8Array;
  #durableRebuilt: Map<Member, number>;

  constructor(
    state: ArrayState,
    journal: Journal,
    region: SlabRegion,
    clock: Clock,
    generation: number,
    onFailed: (member: Member, error: KeelsonError) => void,
  ) {
    this.#state = state;
    this.#journal = journal;
    this.#region = region;
    this.#clock = clock;
    this.#checkedAt = clock.now();
    this.generation = generation;
    this.#onFailed = onFailed;
    this.#durableBitmap = state.bitmap.slice();
    this.#durableRebuilt = this.#rebuiltNow();
  }

  #rebuiltNow(): Map<Member, number> {
    return new Map(this.#state.present().map((member) => [member, member.rebuiltStripes]));
  }

  /** Makes new cursors durable, then moves the tail. Throws ARRAY_FAILED when no member is left to write to. */
  advance(cursors: { destagedSeq?: SegmentSeq; drainedSeq?: SegmentSeq }): Promise<void> {
    if (cursors.destagedSeq !== undefined) this.#destaged = Math.max(this.#destaged, cursors.destagedSeq);
    if (cursors.drainedSeq !== undefined) this.#drained = Math.max(this.#drained, cursors.drainedSeq);
    return this.#request();
  }

  /** The repository turned out to hold less than was thought: what is drained is counted from here again, also after a crash, and the tail stays. */
  rewindDrained(seq: SegmentSeq): Promise<void> {
    this.#drained = seq;
    this.#journal.drainedSeq = seq;
    return this.#request();
  }

  /** Membership changed: the next round raises the epoch on every member that is there before anything more is acknowledged (P10). */
  fence(): Promise<void> {
    this.#wantEpoch = true;
    return this.#request();
  }

  /** Makes what was written to the stripes durable without moving a cursor: rebuild progress, a new protection state. */
  settle(): Promise<void> {
    this.#wantFlush = true;
    return this.#request();
  }

  /**
   * Another device, which holds all that the old one does, takes a member's place. change is called between two rounds, so that none says of the one what it flushed on the
   * other; the next one flushes and raises the epoch.
   */
  exchange(change: () => void): Promise<void> {
    this.#exchanges.push(change);
    return this.#request();
  }

  /** From now on segments of the repository may be ours that were published under this epoch. To be durable before the first one is. */
  recordPublisher(epoch: number): Promise<void> {
    if (this.#state.publishEpoch >= epoch) return Promise.resolve();
    this.#state.publishEpoch = epoch;
    return this.#request();
  }

  /** The journal has taken another member into use: from the next checkpoint on its copies are counted on. */
  recordRing(): Promise<void> {
    return this.#request();
  }

  /** The last checkpoint of an orderly stop. */
  finish(): Promise<void> {
    this.#clean = true;
    return this.#request();
  }

  #request(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#requests.push({ resolve, reject });
      if (!this.#running) {
        this.#running = true;
        void this.#loop();
      }
    });
  }

  async #loop(): Promise<void> {
    while (this.#requests.length > 0) {
      const requests = this.#requests;
      this.#requests = [];
      try {
        while (!(await this.#rounds())) this.#wantEpoch = true;
        for (const request of requests) request.resolve();
      } catch (error) {
        for (const request of requests) request.reject(error);
      }
    }
    this.#running = false;
  }

  /** A round; one that raised the epoch is followed by another that says so, or a device's older copy could pass for one that missed the raise. */
  async #rounds(): Promise<boolean> {
    for (const change of this.#exchanges.splice(0)) {
      change();
      this.#wantEpoch = true;
      this.#wantFlush = true;
    }
    const raises = this.#wantEpoch;
    return (await this.#round()) && (!raises || (await this.#round()));
  }

  /** One round; false when a member failed in it. */
  async #round(): Promise<boolean> {
    const state = this.#state;
    const journal = this.#journal;
    await this.#checkStillOurs();
    const destaged = Math.max(this.#destaged, journal.destagedSeq);
    const wanted = Math.max(this.#drained, journal.drainedSeq);
    // Without a backup nothing is drained: the cursor follows the other one (P3).
    const drained = state.protection === 'unprotected' ? Math.max(wanted, destaged) : wanted;
    const moved = destaged > journal.destagedSeq;
    let flush = moved || this.#clean || this.#wantFlush;
    do {
      // Rows that tasks of a moment ago may yet tear, and that a power failure may tear until they are flushed, still counted on the failed member: it is not called failed
      // before that, since from then on a crash leaves its blocks of torn rows in the ring (ArrayState.lostBeforeCrashFrom).
      while (state.tasksCountOnFailed) {
        state.tasksCountOnFailed = false;
        await this.settleTasks();
        flush = true;
      }
      if (!flush) break;
      flush = false;
      // Before the flush: one that is asked for while it runs has to follow it.
      this.#wantFlush = false;
      if (await this.#flushStripes()) continue;
      // The cursors, and the bitmap that belongs to them, rest on a flush of all who are left.
      this.#wantFlush = true;
      return false;
    } while (state.tasksCountOnFailed);
    const raise = this.#wantEpoch;
    if (raise) {
      this.#wantEpoch = false;
      state.epoch++;
    }
    const tail = Math.min(destaged, drained);
    const targets = state.present();
    if (targets.length === 0) {
      state.failure = new KeelsonError('ARRAY_FAILED', 'no member is left to write to', {
        action: 'bring the members back (power, cables), then start the server again: keelson serve',
        exit: EXIT.unavailable,
      });
      throw state.failure;
    }
    const marks = targets.map((member) => this.#rebuiltOf(member));
    const checkpoint = this.#compose(destaged, drained, tail, !raise);
    const failures = raise
      ? await raiseEpoch(targets, checkpoint, this.#region)
      : await writeCheckpoint(
          targets.map((member) => ({ device: member.device, layout: member.superblock.layout })),
          checkpoint,
          state.shape.arrayUuid,
          this.#region,
        );
    let whole = true;
    for (let i = 0; i < targets.length; i++) {
      const error = failures[i];
      if (error === null || error === undefined) continue;
      this.#onFailed(targets[i] as Member, error);
      whole = false;
    }
    if (!whole) return false;
    // From here on every member knows it. A batch that said it before could be left beside members that never heard of it, and recovery would refuse it.
    journal.epoch = state.epoch;
    for (const [i, mark] of marks.entries()) (targets[i] as Member).durableStripes = mark;
    if (destaged > journal.destagedSeq) journal.setDestaged(destaged);
    if (drained > journal.drainedSeq) journal.setDrained(drained);
    journal.removeBefore(tail);
    return true;
  }

  /** A stale writer stops here (P10): its members' superblocks have a newer epoch than it wrote. Looked at now and then, not before every round. */
  async #checkStillOurs(): Promise<void> {
    if (this.#state.failure?.code === 'EPOCH_FENCED') throw this.#state.failure;
    if (this.#clock.now() - this.#checkedAt < VERIFY_EVERY_MS) return;
    this.#checkedAt = this.#clock.now();
    for (const member of this.#state.present()) {
      try {
        await verifyEpoch(member, this.#region);
      } catch (error) {
        const failure = KeelsonError.from(error);
        if (failure.code !== 'EPOCH_FENCED') continue;
        this.onTaken(failure);
        throw failure;
      }
    }
  }

  #compose(destagedSeq: SegmentSeq, drainedSeq: SegmentSeq, tailSeq: SegmentSeq, epochSettled: boolean): Checkpoint {
    const state = this.#state;
    return {
      epoch: state.epoch,
      generation: ++this.generation,
      members: state.records.map((record, i) => {
        const member = state.members[i];
        if (member === null || member === undefined) return record;
        return {
          index: record.index,
          uuid: member.superblock.memberUuid,
          role: record.role,
          state: member.state,
          rebuiltStripes: this.#rebuiltOf(member),
        };
      }),
      destagedSeq,
      drainedSeq,
      tailSeq,
      destagedLsn: this.#lsnBefore(destagedSeq),
      drainedLsn: this.#lsnBefore(drainedSeq),
      // Without a journal member nothing can be written after this: once all is destaged the ring is of no more use.
      cleanShutdown:
        this.#clean || (destagedSeq === this.#journal.headSeq && !state.journalPositions().some((index) => this.#takesWrites(index))),
      epochSettled,
      ...(state.tornAsWholeBelow > 0 ? { tornAsWholeBelow: state.tornAsWholeBelow } : {}),
      protection: state.protection,
      publishEpoch: state.publishEpoch,
      stripeBitmap: this.#durableBitmap,
      lost: state.lost.list,
      ring: describeRingEnd(this.#journal, destagedSeq),
    };
  }

  /** Progress that is on stable media: never more than the member has, and 0 for a device that has just taken the place. */
  #rebuiltOf(member: Member): number {
    return Math.min(member.rebuiltStripes, this.#durableRebuilt.get(member) ?? 0);
  }

  #takesWrites(index: number): boolean {
    const member = this.#state.members[index];
    return member?.state === 'online' || member?.state === 'rebuilding';
  }

  /** Highest LSN of the segments before seq. */
  #lsnBefore(seq: SegmentSeq): number {
    const { table } = this.#journal;
    const slot = table.slotOf(seq - 1);
    if (seq > this.#journal.tailSeq && table.seq[slot] === seq - 1) return table.lastLsn[slot] as number;
    const next = table.slotOf(seq);
    if (table.seq[next] === seq) return (table.firstLsn[next] as number) - 1;
    return this.#journal.nextLsn - 1;
  }

  /**
   * Data of the stripes, then the integrity pages that describe them, durable on every data member; then bitmap and rebuild progress as they were before may go
   * into a checkpoint. A failed fdatasync is never retried: the member is failed.
   */
  async #flushStripes(): Promise<boolean> {
    const state = this.#state;
    const bitmap = state.bitmap.slice();
    const rebuilt = this.#rebuiltNow();
    const queue = state.present().filter((member) => member.index < state.shape.dataMembers);
    let whole = true;
    const lane = async (region: SlabRegion): Promise<void> => {
      for (let member = queue.shift(); member !== undefined; member = queue.shift()) {
        const error = await (state.integrity[member.index] as IntegrityTable).flush(member.device, state.epoch, region, this.stripesReach);
        if (error === null) continue;
        this.#onFailed(member, error);
        whole = false;
      }
    };
    const { slab, offset, bytes } = this.#region;
    const lanes = Math.floor(bytes / INTEGRITY_REGION_BYTES);
    await Promise.all(
      Array.from({ length: lanes }, (_, i) => lane(slabRegion(slab, offset + i * INTEGRITY_REGION_BYTES, INTEGRITY_REGION_BYTES))),
    );
    if (!whole) return false;
    this.#durableBitmap = bitmap;
    this.#durableRebuilt = rebuilt;
    return true;
  }
}
