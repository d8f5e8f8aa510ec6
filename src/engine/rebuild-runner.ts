import type { Timer } from '../base/clock.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes } from '../base/units.js';
import type { SlabRegion } from '../memory/slab-region.js';
import type { Backup } from '../repository/backup.js';
import { CRC_LOST } from '../stripe/geometry.js';
import type { IntegrityTable } from '../member/integrity.js';
import type { Member } from '../member/member-api.js';
import type { RebuildTarget } from '../rebuild/rebuild-host.js';
import { Rebuilder } from '../rebuild/rebuilder.js';
import { outlineRebuild, type RebuildOutline } from '../rebuild/rebuild-plan.js';
import type { ArrayEngine } from './array-engine.js';
import { clearMemberAlarms } from './member-names.js';

const RETRY_MS = 2000;
/** Pause between rounds while clients' requests are in flight: rebuild gets about half of the devices' time then. */
const BUSY_PAUSE_MS = 2;

export interface RebuildProgress {
  readonly doneBytes: Bytes;
  readonly totalBytes: Bytes;
  readonly fromSurvivors: Bytes;
  readonly fromParity: Bytes;
  readonly fromJournal: Bytes;
  readonly fromBackup: Bytes;
  readonly secondsLeft: number | null;
  /** Given up by it: they were to be had from nowhere, and are errors until they are written again. */
  readonly lostBlocks: number;
  /** Nothing was rebuilt yet: so many more of the lost members must get a device first. */
  readonly waitsFor?: number;
}

/** Keeps a rebuild going whenever a member wants one: starts, restarts after trouble, and brings the members online at the end. */
export class RebuildRunner {
  readonly #engine: ArrayEngine;
  readonly #region: SlabRegion;
  #rebuilder: Rebuilder | null = null;
  /** Stripes that could not be rebuilt, and how often. */
  readonly #failures = new Map<number, number>();
  #running: Promise<void> | null = null;
  #again = false;
  #stopped = false;
  #retry: Timer | null = null;
  /** Asked for by hand: begins although too few of the lost members have a device. */
  #byHand = false;
  #reach = 0;
  #startedAt = 0;
  #targetCount = 1;
  /** Why the last attempt stopped. */
  lastError: KeelsonError | null = null;
  /** Figures of the last rebuild that ended well. */
  finished: RebuildProgress | null = null;
  /** Data of stripes that the last run without the backup got through in a second. */
  stripeBytesPerSecond: number | null = null;
  /** Sums of the runs before this one in the same episode: from the first member that wants a rebuild until none does. */
  #before: RebuildProgress | null = null;

  constructor(engine: ArrayEngine, region: SlabRegion) {
    this.#engine = engine;
    this.#region = region;
  }

  /** Members that want a rebuild or are getting one. */
  targets(): Member[] {
    const { state } = this.#engine;
    const targets: Member[] = [];
    for (let i = 0; i < state.shape.dataMembers; i++) {
      const member = state.members[i];
      if (member?.state === 'rebuilding') targets.push(member);
    }
    return targets;
  }

  /**
   * How many more of the lost members must get a device before the rebuild begins; 0: it may run. Of e lost shards e - m are fetched for each row, and the rest follow from
   * parity. So with no more than m of them left without a device nothing is ever fetched twice, whenever those come; with more, what is fetched now would be
   * fetched again for them. (And destaging could not go on after such a rebuild any more than before it.)
   */
  get waitsFor(): number {
    const { state } = this.#engine;
    const targets = this.targets().length;
    if (this.#byHand || targets === 0) return 0;
    return Math.max(0, state.lostDataMembers().length - targets - state.geometry.m);
  }

  /** Ring segments below it may have been written to the stripes by a rebuild. */
  get reachSeq(): number {
    return this.#reach;
  }

  /** Some member wants or is getting a rebuild. */
  get active(): boolean {
    return this.#running !== null || this.targets().length > 0;
  }

  kick(): void {
    if (this.#stopped) return;
    if (this.#running !== null) {
      this.#again = true;
      return;
    }
    if (this.targets().length === 0) this.#byHand = false;
    if (this.targets().length === 0 || this.waitsFor > 0) return;
    this.#retry?.cancel();
    this.#running = this.#run().finally(() => {
      this.#running = null;
      if (this.#again) {
        this.#again = false;
        this.kick();
      }
    });
  }

  /** By hand: now, with the devices that are there, though more may have to be fetched for it. */
  start(): void {
    this.#byHand = true;
    this.kick();
  }

  /** Resolves when nothing is left to rebuild, or when too few of the lost members have a device (waitsFor); rejects with what stops it. */
  async wait(): Promise<void> {
    while (this.#running !== null || (this.targets().length > 0 && this.waitsFor === 0)) {
      if (this.#stopped) throw stopping();
      if (this.#running === null) {
        if (this.lastError !== null) throw this.lastError;
        this.kick();
      }
      await this.#running;
    }
  }

  async #run(): Promise<void> {
    const { state, checkpointer, parts } = this.#engine;
    const rebuilder = new Rebuilder(this.#host(), this.#region, this.#failures);
    this.#rebuilder = rebuilder;
    this.#startedAt = parts.clock.now();
    this.lastError = null;
    try {
      this.#targetCount = this.targets().length;
      await rebuilder.run();
      if (this.#stopped) return;
      this.#measure(rebuilder);
      for (const member of this.targets()) {
        const { index } = member;
        if (member.rebuiltStripes < state.geometry.stripes) continue;
        member.state = 'online';
        state.integrityKnown[index] = 1;
        clearMemberAlarms(state, index);
        parts.log.info({ member: index }, 'member rebuilt');
      }
      await checkpointer.fence();
      this.#before = this.progress();
      if (this.targets().length === 0) {
        this.finished = this.#before;
        this.#before = null;
      }
      this.#engine.afterMembershipChange();
    } catch (error) {
      this.#before = this.progress();
      this.lastError = KeelsonError.from(error);
      if (!this.#stopped) {
        parts.log.warn({ error: this.lastError.describe() }, 'rebuild stopped; it goes on by itself');
        this.#retry = parts.clock.after(RETRY_MS, () => this.kick());
      }
    } finally {
      this.#rebuilder = null;
    }
  }

  #measure({ counters }: Rebuilder): void {
    const { geometry } = this.#engine.state;
    const ms = this.#engine.parts.clock.now() - this.#startedAt;
    if (counters.doneStripes === 0 || counters.fromBackup > 0 || ms <= 0) return;
    this.stripeBytesPerSecond = (counters.doneStripes * geometry.k * geometry.chunkBytes * 1000) / ms;
  }

  #host() {
    const engine = this.#engine;
    const { state, journal, reader, parts } = engine;
    return {
      geometry: state.geometry,
      journal,
      reader,
      pool: parts.pool,
      readable: (member: number, stripe: number) => state.readable(member, stripe),
      entry: (member: number, block: number) => {
        const entry = (state.integrity[member] as IntegrityTable).entries[block] as number;
        return state.integrityKnown[member] === 1 || entry === CRC_LOST ? entry : -1;
      },
      isUntrusted: (stripe: number) => state.isUntrusted(stripe),
      isUntrustedRow: (block: number) => state.isUntrustedRow(block),
      placeReadable: (place: number) => journal.table.memoryOf(place) >= 0 || journal.table.copies[journal.table.slotOfPlace(place)] !== 0,
      members: () => state.memberView(),
      nextWritten: (from: number, end: number) => state.nextWritten(from, end),
      changed: (stripe: number) => state.markChanged(stripe),
      destages: () => state.lostDataMembers().length <= state.geometry.m,
      takesFromRing: () => {
        this.#reach = journal.headSeq + 1;
      },
      gaveUp: (stripe: number) => state.lost.note(stripe),
      lostIn: (stripe: number) => state.lost.countIn(stripe),
      markLost: (member: number, block: number) => {
        (state.integrity[member] as IntegrityTable).entries[block] = CRC_LOST;
        state.lost.note(Math.floor(block / state.geometry.rows));
      },
      lock: (stripes: Float64Array) => engine.lock(stripes),
      unlock: engine.locks.release.bind(engine.locks),
      account: (...met: Parameters<ArrayEngine['account']>) => engine.account(...met),
      backup: () => this.#backup(),
      targets: () => (this.waitsFor === 0 ? this.targets() : []),
      progress: (targets: readonly RebuildTarget[], stripes: number) => {
        // A member that failed or was replaced meanwhile is not one of these any more.
        for (const member of this.targets()) if (targets.includes(member)) member.rebuiltStripes = Math.max(member.rebuiltStripes, stripes);
      },
      checkpoint: () => engine.checkpointer.settle(),
      throttle: async () => {
        if (this.#stopped) throw stopping();
        if (engine.volume.inFlight > 0) await new Promise<void>((resolve) => parts.clock.after(BUSY_PAUSE_MS, resolve));
      },
    };
  }

  /** null only when there is none: a backup that is out of reach makes the rebuild wait, or its blocks would be taken for lost. */
  #backup(): Backup | null {
    const { link, state } = this.#engine;
    if (link === null || state.protection !== 'full') return null;
    const backup = this.#engine.servingBackup();
    if (backup === null)
      throw (
        link.lastError ??
        new KeelsonError('BACKUP_UNREACHABLE', 'the backup is not connected yet', { action: 'rebuild goes on when it is' })
      );
    return backup;
  }

  async plan(): Promise<RebuildOutline> {
    return outlineRebuild(this.#host(), this.#backup());
  }

  /** Blocks that would be lost if nothing more were ever had from this member: not those that are lost already. */
  async blocksLostWithout(member: number): Promise<number> {
    const { state } = this.#engine;
    const host = this.#host();
    const without = { ...host, readable: (other: number, stripe: number) => other !== member && host.readable(other, stripe) };
    const { ranges, bytes } = await outlineRebuild(without, this.#backup());
    let lostAlready = 0;
    for (const { offset, length, from } of ranges) {
      if (from !== 'lost') continue;
      for (let at = offset; at < offset + length; at += BLOCK_BYTES) if (state.isLost(at / BLOCK_BYTES)) lostAlready++;
    }
    return bytes.lost / BLOCK_BYTES - lostAlready;
  }

  progress(): RebuildProgress | null {
    const rebuilder = this.#rebuilder;
    if (rebuilder === null) return null;
    const { counters } = rebuilder;
    const { chunkBytes } = this.#engine.state.geometry;
    const targets = this.#targetCount;
    const seconds = (this.#engine.parts.clock.now() - this.#startedAt) / 1000;
    const left = counters.totalStripes - counters.doneStripes;
    const before = this.#before;
    return {
      doneBytes: counters.doneStripes * chunkBytes * targets + (before?.doneBytes ?? 0),
      totalBytes: counters.totalStripes * chunkBytes * targets + (before?.totalBytes ?? 0),
      fromSurvivors: counters.fromSurvivors + (before?.fromSurvivors ?? 0),
      fromParity: counters.fromParity + (before?.fromParity ?? 0),
      fromJournal: counters.fromJournal + (before?.fromJournal ?? 0),
      fromBackup: counters.fromBackup + (before?.fromBackup ?? 0),
      lostBlocks: counters.lostBlocks + (before?.lostBlocks ?? 0),
      secondsLeft: counters.doneStripes === 0 ? null : (seconds / counters.doneStripes) * left,
    };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#retry?.cancel();
    await this.#running;
  }
}

function stopping(): KeelsonError {
  return new KeelsonError('SHUTTING_DOWN', 'the server is stopping', {
    action: 'the rebuild goes on by itself, from where it is, when the server is started again',
  });
}
