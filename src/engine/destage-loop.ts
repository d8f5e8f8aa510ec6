import type { Clock, Timer } from '../base/clock.js';
import { KeelsonError } from '../base/errors.js';
import type { Destager } from '../destage/destager.js';
import type { Journal } from '../journal/journal.js';
import type { EngineLog } from './log.js';

/** A pass that could not go on is tried again after this, or when the array changes. */
const BLOCKED_RETRY_MS = 1000;
/** Nothing written for one period: what is journaled is destaged although it is little. */
const IDLE_PERIOD_MS = 1000;

/**
 * Decides when to destage: when enough closed segments have gathered, when writers wait for room, when nothing else goes on, or when asked to finish. The journal
 * holds the data, so waiting costs nothing and gathers neighbours.
 */
export class DestageLoop {
  readonly #journal: Journal;
  readonly #destager: Destager;
  readonly #clock: Clock;
  readonly #log: EngineLog;
  /** False while more members are lost than parity covers: rows could not be written whole. */
  readonly #possible: () => boolean;
  /**
   * Closed segments that start a pass, and the most that one takes: a third of the buffers. One group is applied, the one before it is checkpointed, and writers
   * fill the rest meanwhile.
   */
  readonly #group: number;
  #running: Promise<void> | null = null;
  #urgent = false;
  #timer: Timer | null = null;
  /** Of a pass that could not go on. */
  #retry: Timer | null = null;
  #lsnAtTick = 0;
  #stopped = false;
  #failing = false;
  /** Why the last pass did not go on; null while it does. */
  blocked: KeelsonError | null = null;
  /** Called once a second, whether there is anything to destage or not. */
  onTick: () => void = () => {};
  /** Called when a pass could not go on: writers may be waiting for room that only spilling gives. */
  onBlocked: () => void = () => {};

  constructor(journal: Journal, destager: Destager, clock: Clock, log: EngineLog, possible: () => boolean) {
    this.#possible = possible;
    this.#journal = journal;
    this.#destager = destager;
    this.#clock = clock;
    this.#log = log;
    this.#group = Math.max(1, Math.floor(journal.buffers.count / 3));
  }

  start(): void {
    this.#timer = this.#clock.after(IDLE_PERIOD_MS, () => this.#tick());
  }

  #tick(): void {
    if (this.#stopped) return;
    this.onTick();
    const idle = this.#lsnAtTick === this.#journal.nextLsn;
    this.#lsnAtTick = this.#journal.nextLsn;
    if (idle && this.#journal.nextLsn > 1) {
      if (this.#journal.deadReason === null) this.#journal.close();
      if (this.#journal.destagedSeq < this.#journal.headSeq) this.urge();
    }
    this.#timer = this.#clock.after(IDLE_PERIOD_MS, () => this.#tick());
  }

  /** A segment was closed. */
  kick(): void {
    if (this.#running !== null || this.#stopped) return;
    if (!this.#urgent && this.#journal.headSeq - this.#destager.appliedSeq < this.#group) return;
    // Started in a turn of its own: whoever asks for room may be asked again from inside the pass.
    this.#running = Promise.resolve()
      .then(() => this.#run())
      .finally(() => {
        this.#running = null;
        // What was asked for while the last checkpoint was awaited; a blocked pass is tried again by its timer.
        if (this.blocked === null) this.kick();
      });
  }

  /** Room is wanted now. */
  urge(): void {
    this.#urgent = true;
    this.kick();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const closed = this.#journal.headSeq - this.#destager.appliedSeq;
      if (closed === 0) this.#urgent = false;
      if (closed === 0 || (closed < this.#group && !this.#urgent)) break;
      if (closed <= this.#group) this.#urgent = false;
      if (!(await this.#pass())) return;
    }
    await this.#settle();
  }

  async #settle(): Promise<void> {
    try {
      await this.#destager.settled();
    } catch (error) {
      this.blocked = KeelsonError.from(error);
      this.#log.error({ error: this.blocked.describe() }, 'the checkpoint of destaged writes failed');
    }
  }

  async #pass(): Promise<boolean> {
    try {
      const done = this.#possible() ? await this.#destager.pass(this.#journal.headSeq, this.#group) : 0;
      if (done > 0) {
        this.blocked = null;
        this.#failing = false;
        this.#journal.spilling = false;
        return true;
      }
      this.blocked = new KeelsonError('DESTAGE_BLOCKED', 'journaled writes cannot be applied to the stripes now');
    } catch (error) {
      this.blocked = KeelsonError.from(error);
      if (!this.#failing) this.#log.error({ error: this.blocked.describe() }, 'destaging stopped');
      this.#failing = true;
    }
    this.#journal.spilling = true;
    this.onBlocked();
    this.#retry ??= this.#clock.after(BLOCKED_RETRY_MS, () => {
      this.#retry = null;
      this.#urgent = true;
      this.kick();
    });
    return false;
  }

  /** Destages everything written so far. False when it is blocked. */
  async drainAll(): Promise<boolean> {
    if (this.#journal.deadReason === null) this.#journal.close();
    for (;;) {
      // Passes run one at a time, whoever wants them.
      while (this.#running !== null) await this.#running;
      if (this.#destager.appliedSeq >= this.#journal.headSeq) break;
      let whole = false;
      this.#running = this.#pass()
        .then((done) => {
          whole = done;
        })
        .finally(() => {
          this.#running = null;
        });
      await this.#running;
      if (!whole) return false;
    }
    await this.#settle();
    return this.#journal.destagedSeq === this.#journal.headSeq;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#running;
    this.#retry?.cancel();
  }
}
