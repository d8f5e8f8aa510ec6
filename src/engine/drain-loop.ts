import type { Clock, Timer } from '../base/clock.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type SegmentSeq } from '../base/units.js';
import { nextCronTime, parseCron, type CronSchedule } from '../config/cron.js';
import type { DrainSettings } from '../config/settings.js';
import type { Drainer } from '../drain/drainer.js';
import type { Journal } from '../journal/journal.js';
import type { BackupLink } from './backup-link.js';
import type { EngineLog } from './log.js';

/** How often the conditions are looked at when no segment closes. */
const PERIOD_MS = 250;
/**
 * A backup host that was asked nothing for so long is asked whether it is there: an array that nobody writes to must not call a host reachable that went away hours ago. One small
 * file a minute is nothing to any host, and nobody looks at a status much more often.
 */
const CONFIRM_PERIOD_MS = 60_000;
/** A drain that met a block in nobody's hands is tried again after this: a rebuild may bring it, an error may pass. */
const LOST_RETRY_MS = 1000;

interface Waiter {
  /** Runs started before it: only one started after it speaks for it. */
  readonly after: number;
  readonly seq: SegmentSeq;
  readonly resolve: () => void;
  readonly reject: (error: KeelsonError) => void;
}

/** Decides when to drain: age, bytes, ring fill, schedule, degraded array, writers without room, or by hand. Any one of them triggers. */
export class DrainLoop {
  readonly #journal: Journal;
  readonly #drainer: Drainer;
  readonly #link: BackupLink;
  readonly #settings: DrainSettings;
  readonly #clock: Clock;
  readonly #log: EngineLog;
  readonly #degraded: () => boolean;
  readonly #crons: CronSchedule[];
  #nextCron_ms: number;
  #running: Promise<void> | null = null;
  #timer: Timer | null = null;
  #wanted: SegmentSeq = 0;
  #waiters: Waiter[] = [];
  #runs = 0;
  #stopped = false;
  #pausedUntil = 0;
  /** Why the last run did not end; null when it did, or when the link says it. */
  lastError: KeelsonError | null = null;

  constructor(
    journal: Journal,
    drainer: Drainer,
    link: BackupLink,
    settings: DrainSettings,
    clock: Clock,
    log: EngineLog,
    degraded: () => boolean,
  ) {
    this.#journal = journal;
    this.#drainer = drainer;
    this.#link = link;
    this.#settings = settings;
    this.#clock = clock;
    this.#log = log;
    this.#degraded = degraded;
    this.#crons = settings.schedule.map(parseCron).filter((cron) => cron !== undefined);
    this.#nextCron_ms = this.#cronAfter(clock.wall());
    link.onRetried = () => this.kick();
  }

  get draining(): boolean {
    return this.#running !== null;
  }

  start(): void {
    this.#timer = this.#clock.after(PERIOD_MS, () => {
      this.kick();
      this.#confirmNowAndThen();
      if (!this.#stopped) this.start();
    });
  }

  #cronAfter(wall_ms: number): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.#crons.map((cron) => nextCronTime(cron, wall_ms) ?? Number.POSITIVE_INFINITY));
  }

  /** Bytes of payload in segments that are not drained. */
  undrainedBytes(): number {
    const { table, drainedSeq, headSeq } = this.#journal;
    let blocks = 0;
    for (let seq = drainedSeq; seq <= headSeq; seq++) {
      const slot = table.slotOf(seq);
      if (table.seq[slot] === seq) blocks += table.used[slot] as number;
    }
    return blocks * BLOCK_BYTES;
  }

  /** Milliseconds since the first write of the oldest undrained segment; 0 when all is drained. */
  oldestUndrained_ms(): number {
    const { table, drainedSeq } = this.#journal;
    const slot = table.slotOf(drainedSeq);
    if (table.seq[slot] !== drainedSeq || (table.used[slot] as number) === 0) return 0;
    return Math.max(0, this.#clock.now() - (table.openedAt[slot] as number));
  }

  /** Looks at the conditions; starts draining when one holds. */
  kick(): void {
    if (this.#stopped || this.#running !== null || this.#clock.now() < this.#pausedUntil) return;
    const bytes = this.undrainedBytes();
    if (bytes > 0 && this.#triggered(bytes)) this.#want();
    // Closing a segment calls back here: the inner call may have started already.
    if (this.#running !== null || this.#wanted <= this.#journal.drainedSeq) return;
    this.#runs++;
    this.#running = this.#run().finally(() => {
      this.#running = null;
      this.#settleWaiters();
    });
  }

  #triggered(bytes: number): boolean {
    const { maxAge_ms, maxBytes, maxFill, onDegraded } = this.#settings;
    if (this.#clock.wall() >= this.#nextCron_ms) {
      this.#nextCron_ms = this.#cronAfter(this.#clock.wall());
      return true;
    }
    return (
      bytes >= maxBytes || this.#journal.fillRatio >= maxFill || this.oldestUndrained_ms() >= maxAge_ms || (onDegraded && this.#degraded())
    );
  }

  /** Everything written so far is to be drained. */
  #want(): void {
    if (this.#journal.deadReason === null) this.#journal.close();
    this.#wanted = this.#journal.headSeq;
  }

  /** Writers have no room. */
  urge(): void {
    this.#want();
    this.kick();
  }

  /** By hand. Resolves when everything acknowledged before is on the backup; rejects with the first failure. */
  drainNow(): Promise<void> {
    this.#want();
    const seq = this.#wanted;
    if (this.#journal.drainedSeq >= seq) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ after: this.#runs, seq, resolve, reject });
      this.kick();
    });
  }

  /**
   * As drainNow; and the host was heard of in the course of it, also when there was nothing to drain: what was drained in an earlier run, or hours ago, is on a backup that is
   * there and is what we left. Rejects with what keeps it from being so.
   */
  async drainAndConfirm(): Promise<void> {
    const { answers } = this.#link;
    await this.drainNow();
    while (this.#running !== null && this.#link.answers === answers) await this.#running;
    if (this.#link.answers > answers && this.#link.isOpen) return;
    if (!(await this.#link.connect())) throw this.#link.lastError ?? stopping();
    if (this.#link.answers > answers) return;
    if (this.#stopped) throw stopping();
    await this.#confirm();
  }

  #confirmNowAndThen(): void {
    const { isOpen, answeredAt_ms } = this.#link;
    if (this.#stopped || this.#running !== null || !isOpen || answeredAt_ms === null) return;
    if (this.#clock.now() - answeredAt_ms < CONFIRM_PERIOD_MS) return;
    this.#confirm().catch((error: unknown) => this.#log.warn({ error: KeelsonError.from(error).describe() }, 'the backup host was asked'));
  }

  /** Takes the place of a run: the repository answers no question while it publishes. */
  #confirm(): Promise<void> {
    const asked = this.#link.confirm();
    this.#running = asked
      .catch(() => undefined)
      .finally(() => {
        this.#running = null;
        this.#settleWaiters();
      });
    return asked;
  }

  #settleWaiters(): void {
    const error = this.lastError ?? this.#link.lastError;
    const left: Waiter[] = [];
    for (const waiter of this.#waiters) {
      if (this.#journal.drainedSeq >= waiter.seq) waiter.resolve();
      else if (error !== null && this.#runs > waiter.after) waiter.reject(error);
      else left.push(waiter);
    }
    this.#waiters = left;
    if (left.length > 0) this.kick();
  }

  async #run(): Promise<void> {
    let further = false;
    while (!this.#stopped && this.#journal.drainedSeq < this.#wanted) {
      if (!(await this.#link.connect())) return;
      try {
        const before = this.#clock.now();
        const segments = await this.#drainer.drain(this.#wanted);
        this.lastError = null;
        if (segments > 0) this.#link.answered();
        if (segments === 0) return;
        this.#log.debug({ segments, ms: Math.round(this.#clock.now() - before) }, 'drained');
      } catch (error) {
        const failure = KeelsonError.from(error);
        if (failure.code === 'DRAIN_SOURCE_LOST') {
          // The next attempt reaches to the end of the ring, where the block may have been written again. The repository is opened anew after any failure; it is not away:
          // others read from it.
          this.#link.failed(failure);
          await this.#link.connect();
          if (!further) {
            further = true;
            continue;
          }
          this.lastError = failure;
          this.#pausedUntil = this.#clock.now() + LOST_RETRY_MS;
          return;
        }
        this.#log.warn({ error: failure.describe() }, 'drain failed; the ring keeps everything');
        this.#link.failed(failure);
        return;
      }
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#running;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(stopping());
  }
}

function stopping(): KeelsonError {
  return new KeelsonError('SHUTTING_DOWN', 'the server is stopping');
}
