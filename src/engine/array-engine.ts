import type { Clock, Timer } from '../base/clock.js';
import { errnoName, KeelsonError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { BLOCK_BYTES } from '../base/units.js';
import type { Settings } from '../config/settings.js';
import { Destager } from '../destage/destager.js';
import type { DeviceProvider } from '../device/device.js';
import { Drainer } from '../drain/drainer.js';
import { Journal } from '../journal/journal.js';
import { Replicator } from '../journal/replicator.js';
import { RingReader } from '../journal/ring-reader.js';
import type { Member } from '../member/member-api.js';
import { PageAllocator } from '../memory/page-allocator.js';
import type { Slab } from '../memory/slab.js';
import type { Backup } from '../repository/backup.js';
import { StripeLock, type StripeHold } from '../stripe/stripe-lock.js';
import { AlarmLog } from './alarm-log.js';
import { alarmsOf } from './alarms.js';
import { absentMember, type ArrayState } from './array-state.js';
import type { BackupLink } from './backup-link.js';
import { Checkpointer } from './checkpointer.js';
import { DestageLoop } from './destage-loop.js';
import { DrainLoop } from './drain-loop.js';
import { Fence } from './fence.js';
import type { EngineLog } from './log.js';
import { clearMemberAlarms } from './member-names.js';
import { MemberErrors, type TaskErrors } from './member-errors.js';
import { ReadPages } from './read-pages.js';
import { ReadPath } from './read-path.js';
import { RebuildRunner } from './rebuild-runner.js';
import { Replacements } from './replacements.js';
import { BlockRecovery, HAD_NOWHERE } from './slow-read.js';
import type { SlabPlan } from './slab-plan.js';
import { maySpare } from './tolerance.js';
import type { TrackedPool } from './tracked-pool.js';
import { Volume } from './volume.js';
import { WritePath } from './write-path.js';

export interface EngineParts {
  readonly settings: Settings;
  readonly slab: Slab;
  readonly plan: SlabPlan;
  readonly provider: DeviceProvider;
  readonly state: ArrayState;
  readonly pool: TrackedPool;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: EngineLog;
  readonly arrayTag: number;
  readonly generation: number;
}

/** Segments without any copy are tried again after this. */
const COPIES_RETRY_MS = 2000;

/**
 * The running array: the two schemes, the three movers and the volume over them, put together. A write goes volume -> journal (acknowledged) -> destager -> stripes, and
 * journal -> drainer -> backup; the tail of the ring follows the slower of the two.
 */
export class ArrayEngine {
  readonly parts: EngineParts;
  readonly state: ArrayState;
  readonly journal: Journal;
  readonly reader: RingReader;
  readonly locks = new StripeLock();
  readonly replacements = new Replacements();
  readonly checkpointer: Checkpointer;
  readonly fence: Fence;
  readonly recovery: BlockRecovery;
  readonly reads: ReadPath;
  readonly writes: WritePath;
  readonly volume: Volume;
  readonly destager: Destager;
  readonly destageLoop: DestageLoop;
  readonly replicator: Replicator;
  readonly rebuild: RebuildRunner;
  readonly readPages: ReadPages;
  readonly errors: MemberErrors;
  readonly fetchPages: PageAllocator;
  link: BackupLink | null = null;
  drainer: Drainer | null = null;
  drainLoop: DrainLoop | null = null;
  /** Resolves when the array cannot go on. */
  readonly fatal: Promise<KeelsonError>;
  #fatal: (error: KeelsonError) => void = () => {};
  readonly #fencing = new Map<Member, Promise<void>>();
  readonly #alarmLog: AlarmLog;
  #running = false;
  #copiesRetry: Timer | null = null;

  constructor(parts: EngineParts) {
    const { slab, plan, state, clock, log, settings, pool } = parts;
    this.parts = parts;
    this.state = state;
    this.fatal = new Promise((resolve) => {
      this.#fatal = resolve;
    });
    const { shape } = state;
    const journalMembers = state.journalPositions().map((index) => state.members[index] ?? absentMember(index));
    this.journal = new Journal({
      slab,
      buffersAt: plan.segmentBuffersAt,
      buffers: plan.segmentBuffers,
      slots: shape.ringBytes / shape.segmentBytes,
      segmentBytes: shape.segmentBytes,
      copies: shape.journalCopies,
      parity: shape.parity,
      arrayTag: parts.arrayTag,
      epoch: state.epoch,
      members: journalMembers,
      clock,
      hooks: {
        memberFailed: (position, errno, doing) => this.#journalMemberFailed(position, errno, doing),
        fencing: () => (this.#fencing.size === 0 ? null : Promise.all(this.#fencing.values())),
        fence: () => this.fence.pass(),
        space: () => this.writes?.pump(),
        closed: () => this.#segmentClosed(),
      },
    });
    this.reader = new RingReader(this.journal, slab);
    this.checkpointer = new Checkpointer(state, this.journal, plan.meta, clock, parts.generation, (member, error) => {
      // The round that met it goes on by itself; until it is recorded nothing is acknowledged that the member does not have.
      void this.failMember(member, error);
    });
    const onRing = (): Member[] => state.present().filter(({ index }) => state.journalPositions().includes(index));
    this.fence = new Fence(onRing, clock, plan.fence, (error) => this.#taken(error));
    this.checkpointer.onTaken = (error) => this.fence.taken(error);
    pool.fence = () => this.fence.pass();
    this.checkpointer.settleTasks = () => pool.settled();
    this.checkpointer.stripesReach = () => Math.max(this.destager.reachSeq, this.rebuild.reachSeq);
    this.readPages = new ReadPages(plan.reads);
    this.fetchPages = new PageAllocator(plan.fetch.offset, plan.fetch.bytes);
    this.recovery = new BlockRecovery({
      state,
      journal: this.journal,
      reader: this.reader,
      pool,
      slab,
      backup: async () => {
        if (this.state.protection === 'full') await this.link?.connect();
        return this.servingBackup();
      },
      lock: (stripes) => this.lock(stripes),
      unlock: (hold) => this.locks.release(hold),
      account: (outcome, torn) => this.account(outcome, torn),
    });
    this.recovery.scratch = (pages) => this.#scratch(pages);
    this.reads = new ReadPath(slab, state, this.journal, this.readPages, (blocks, pages) => this.recovery.read(blocks, pages));
    this.writes = new WritePath(
      this.journal,
      (offset, length, done) => this.reads.read(offset, length, done),
      clock,
      settings.export.durability === 'sync',
    );
    this.writes.onStall = () => {
      this.destageLoop.urge();
      // Only when destaging alone would not make room: the slots that are kept for degraded rows, and little more, are all that is free.
      if (this.journal.room.freeSlots <= this.journal.room.slotsLow) this.drainLoop?.urge();
    };
    this.volume = new Volume(state, this.journal, this.reads, this.writes);
    this.destager = new Destager(
      this.journal,
      this.reader,
      {
        geometry: state.geometry,
        pool,
        members: () => state.memberView(),
        lock: (stripes) => this.lock(stripes),
        unlock: (hold) => this.locks.release(hold),
        account: (outcome, torn) => this.account(outcome, torn),
        isWritten: (stripe) => state.isWritten(stripe),
        changed: (stripe) => state.markChanged(stripe),
        isUntrusted: (stripe) => state.isUntrusted(stripe),
        recoverLost: (blocks, pages, crcs, stripes) => this.#recoverLost(blocks, pages, crcs, stripes),
        askedEverybody: () => this.link === null || state.protection !== 'full' || this.servingBackup() !== null,
        gaveUp: (stripes) => {
          for (const stripe of stripes) state.lost.note(stripe);
        },
        lostForGood: (blocks) => this.#lostForGood(blocks),
        checkpoint: async (destagedSeq) => {
          await this.checkpointer.advance({ destagedSeq });
          this.#trustWhatIsWritten();
          this.drainLoop?.kick();
        },
      },
      plan.lost,
    );
    this.destageLoop = new DestageLoop(this.journal, this.destager, clock, log, () => state.lostDataMembers().length <= state.geometry.m);
    this.destageLoop.onBlocked = () => this.writes.pump();
    const inStripes = { recover: (blocks: Float64Array, pages: Uint32Array) => this.#fromStripes(blocks, pages) };
    this.replicator = new Replicator(this.journal, shape.journalCopies, plan.replication.offset, inStripes, (position, errno) =>
      this.#journalMemberFailed(position, errno, 'journal copy'),
    );
    this.rebuild = new RebuildRunner(this, plan.rebuild);
    this.#alarmLog = new AlarmLog(() => alarmsOf(this), log);
    this.errors = new MemberErrors(state, this.journal, clock, log, {
      fail: (member, error) => this.failMember(member, error),
      maySpare: (member) => this.#running && maySpare(this, member),
    });
    this.destageLoop.onTick = () => {
      this.errors.look();
      this.#alarmLog.look();
    };
    state.onAlarms = () => this.#alarmLog.lookSoon();
  }

  /** Takes the backup into use; before it is called, or without it, the array is unprotected. */
  attach(link: BackupLink): void {
    const { clock, log, plan, settings } = this.parts;
    this.link = link;
    this.drainer = new Drainer(
      this.journal,
      this.reader,
      link.backup,
      {
        publishes: () => this.checkpointer.recordPublisher(link.state?.epoch ?? 0),
        advance: (drainedSeq) => this.checkpointer.advance({ drainedSeq }),
        recover: (blocks, pages) => this.#fromStripes(blocks, pages),
        isGone: (block) => {
          const place = this.journal.index.lookup(block);
          return (place >= 0 && this.journal.table.seqOfPlace(place) >= this.journal.destagedSeq) || this.state.isLost(block);
        },
        lost: (blocks) =>
          this.parts.log.error({ blocks: blocks.slice(0, 100), count: blocks.length }, 'blocks lost before they were drained'),
      },
      clock,
      plan.drain,
    );
    this.drainLoop = new DrainLoop(this.journal, this.drainer, link, settings.drain, clock, log, () => this.isDegraded());
  }

  #trustFrom = 0;

  /** Stripes that a crash may have torn are whole again once every segment before seq is destaged. */
  trustAfter(seq: number): void {
    this.#trustFrom = seq;
    this.#trustWhatIsWritten();
  }

  #trustWhatIsWritten(): void {
    if (this.#trustFrom === 0 || this.journal.destagedSeq < this.#trustFrom) return;
    this.#trustFrom = 0;
    this.state.trustAll();
  }

  /** Starts the movers. */
  start(): void {
    this.#running = true;
    this.errors.look();
    this.#alarmLog.start();
    this.destageLoop.start();
    this.drainLoop?.start();
    void this.link?.connect().then(() => this.drainLoop?.kick());
    this.#replicate();
    this.rebuild.kick();
  }

  lock(stripes: Float64Array): Promise<StripeHold> {
    return new Promise((granted) => this.locks.acquire(stripes, granted));
  }

  /** Resolves when every stripe task that was made before this call has ended. */
  async quiesceStripes(): Promise<void> {
    await this.parts.pool.settled();
  }

  isDegraded(): boolean {
    return this.state.members.some((member) => member === null || member.state === 'failed' || member.state === 'missing');
  }

  /** The backup for reading: only when its image is whole and the link is up. */
  servingBackup(): Backup | null {
    if (this.link === null || this.state.protection !== 'full') return null;
    if (!this.link.isOpen) {
      void this.link.connect();
      return null;
    }
    return this.link.backup;
  }

  #segmentClosed(): void {
    if (!this.#running) return;
    this.destageLoop.kick();
    this.drainLoop?.kick();
  }

  async #scratch(pages: number): Promise<{ offset: number; pages: number; release: () => void }> {
    // A fixed piece, whatever is asked: several slow reads can then go on at once.
    const granted = Math.min(pages, 256);
    return new Promise((resolve) => {
      this.fetchPages.allocate(granted, (offset) =>
        resolve({ offset, pages: granted, release: () => this.fetchPages.free(offset, granted) }),
      );
    });
  }

  async #recoverLost(blocks: Float64Array, pages: Uint32Array, crcs: Uint32Array, trusted: boolean): Promise<boolean[]> {
    const had = await this.recovery.recover(blocks, pages, { trusted, locked: true, repair: false, ringFirst: false });
    crcs.set(had.crcs);
    return Array.from(had.from, (from) => from !== HAD_NOWHERE);
  }

  /** What the stripes have of blocks whose journal copies are gone, or else the backup. */
  async #fromStripes(blocks: Float64Array, pages: Uint32Array): Promise<boolean> {
    const { from } = await this.recovery.recover(blocks, pages, { trusted: true, locked: false, repair: false, ringFirst: false });
    return !from.includes(HAD_NOWHERE);
  }

  #lostForGood(blocks: readonly number[]): void {
    this.parts.log.error({ blocks }, 'blocks lost for good');
  }

  /** Takes in what a stripe task met. Members whose writes failed are failed; resolves when that is recorded. */
  async account(outcome: TaskErrors, torn = false): Promise<void> {
    await Promise.all(this.errors.account(outcome, torn));
  }

  #journalMemberFailed(position: number, errno: number, doing: string): Promise<void> {
    const member = this.journal.members[position] as Member;
    member.writeErrors++;
    return this.failMember(
      member,
      new KeelsonError('DEVICE_WRITE', `${doing} on ${member.device.path} failed`, { found: errnoName(errno) }),
    );
  }

  /** Marks it at once; the epoch that leaves it out is written by whoever fences. */
  #markFailed(member: Member, error: KeelsonError): boolean {
    if (member.state === 'failed') return false;
    member.state = 'failed';
    this.state.whyFailed.set(member, error);
    if (member.index < this.state.shape.dataMembers) this.state.lostBeforeCrashFrom = Number.POSITIVE_INFINITY;
    this.state.tasksCountOnFailed = true;
    const path = member.device.path;
    this.parts.log.error({ member: member.index, path, error: error.describe() }, 'member failed');
    clearMemberAlarms(this.state, member.index);
    this.state.raise(
      `MEMBER_FAILED_${member.index}`,
      `member ${member.index} (${path}) failed: ${error.message}${error.found === undefined ? '' : `: ${error.found}`}`,
    );
    const position = this.journal.members.indexOf(member);
    if (position >= 0) this.journal.excludeMember(position);
    return true;
  }

  /** Another process has the array (P10): nothing is written or acknowledged any more. */
  #taken(error: KeelsonError): void {
    this.state.failure = error;
    this.parts.log.error({ error: error.describe() }, 'another process has the array; this one stops');
    this.journal.refuse(error);
    this.#fatal(error);
  }

  /** Fails a member. Resolves when every other member knows, so that writes may be acknowledged without it (P10). */
  failMember(member: Member, error: KeelsonError): Promise<void> {
    const under = this.#fencing.get(member);
    if (under !== undefined) return under;
    if (!this.#markFailed(member, error)) return Promise.resolve();
    const fenced = this.checkpointer
      .fence()
      .catch((reason: unknown) => {
        const failure = KeelsonError.from(reason);
        this.state.failure = failure;
        this.#fatal(failure);
      })
      .finally(() => {
        this.#fencing.delete(member);
        this.afterMembershipChange();
      });
    this.#fencing.set(member, fenced);
    return fenced;
  }

  /** Resolves when the failure of this member is in every other member's table. */
  failureRecorded(member: Member): Promise<void> {
    return this.#fencing.get(member) ?? Promise.resolve();
  }

  afterMembershipChange(): void {
    if (!this.#running) return;
    this.#replicate();
    if (this.destageLoop.blocked !== null) this.destageLoop.urge();
    else this.destageLoop.kick();
    this.drainLoop?.kick();
    this.rebuild.kick();
  }

  /** Segments get the copies that they lack. Again after a while when some have none at all: what the stripes cannot give now, they may give later. */
  #replicate(): void {
    this.#copiesRetry?.cancel();
    this.#copiesRetry = null;
    void this.replicator
      .run()
      .catch((error: unknown) => this.#log('replication failed', error))
      .then(() => {
        const { journal } = this;
        if (!this.#running || this.#copiesRetry !== null || journal.onlineMask() === 0) return;
        if (journal.segmentsWithoutCopy(journal.tailSeq) === 0) return;
        this.#copiesRetry = this.parts.clock.after(COPIES_RETRY_MS, () => this.#replicate());
      });
  }

  #log(message: string, error: unknown): void {
    this.parts.log.error({ error: KeelsonError.from(error).describe() }, message);
  }

  /** Bytes of the volume. */
  get volumeBytes(): number {
    return this.state.geometry.volumeBlocks * BLOCK_BYTES;
  }

  /** Writes that wait for room are refused from now on: nobody will make room for them. Before the clients are closed. */
  beginStop(): void {
    this.writes.refusal = new KeelsonError('SHUTTING_DOWN', 'the server is stopping');
    this.writes.pump();
  }

  /** Answers what is in flight, destages what can be, writes the last checkpoint, releases everything. */
  async stop(): Promise<void> {
    this.beginStop();
    await this.volume.stop();
    this.#running = false;
    this.#alarmLog.stop();
    this.#copiesRetry?.cancel();
    await this.drainLoop?.stop();
    await Promise.all([this.rebuild.stop(), this.replacements.ended()]);
    await this.replicator.run().catch((error: unknown) => this.#log('replication failed', error));
    if (this.state.failure === null) {
      await new Promise<void>((resolve) => this.journal.flush(() => resolve()));
      const whole = await this.destageLoop.drainAll().catch(() => false);
      await this.destageLoop.stop();
      if (whole) await this.checkpointer.finish().catch((error: unknown) => this.#log('last checkpoint failed', error));
    } else await this.destageLoop.stop();
    await this.link?.close();
    await this.parts.pool.close();
    await this.fence.settled();
    for (const member of this.state.members) if (member) await member.device.close();
    await this.parts.provider.close();
  }
}
