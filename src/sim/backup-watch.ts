import { KeelsonError } from '../base/errors.js';
import { seededRandom, type Random } from '../base/random.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import { attachBackup } from '../engine/backup-attach.js';
import { checkImage, simulatedRepository } from './backup-checks.js';
import { EVENT, type Scheduler } from './scheduler.js';
import { SimulatedProcess } from './simulated-process.js';
import { SimulatedHost } from './simulated-target.js';
import type { Finding, VolumeHistory } from './volume-history.js';

/** A drain that failed at the end of a run is tried again after this. */
const RETRY_US = 100_000;
/** So long after the last error of the host it may still be missed: a connection is opened again in many steps, and a slow host takes its time for each. */
export const TROUBLE_US = 10_000_000;

export interface BackupNews {
  readonly fail: (finding: Finding) => void;
  readonly count: (promise: string, times?: number) => void;
}

/** The backup host of a run, and what is known of its content: everything acknowledged before `floor` was said to be drained. */
export class BackupWatch {
  readonly host = new SimulatedHost();
  #floor = 0;
  #troubledAt_us = Number.NEGATIVE_INFINITY;
  onFault: (kind: string) => void = () => {};
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #news: BackupNews;

  constructor(scheduler: Scheduler, random: Random, news: BackupNews) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#news = news;
    this.host.onFault = (kind) => {
      this.#troubledAt_us = scheduler.now_us;
      this.onFault(kind);
    };
  }

  /** The host answered with an error not long ago. */
  get troubled(): boolean {
    return this.#scheduler.now_us - this.#troubledAt_us < TROUBLE_US;
  }

  attach(engine: ArrayEngine, process: SimulatedProcess, memory: Uint8Array): void {
    attachBackup(engine, simulatedRepository(this.host, process, memory));
  }

  /** A drain by hand, whose end nobody waits for. */
  drain(engine: ArrayEngine | null, history: VolumeHistory): void {
    const loop = engine?.drainLoop ?? null;
    if (loop === null) return;
    const from = history.moment();
    void loop.drainNow().then(
      () => {
        this.#floor = Math.max(this.#floor, from);
        this.#news.count('P9');
      },
      () => undefined,
    );
  }

  /** Everything acknowledged before this moment of the history was said to be drained. */
  get floor(): number {
    return this.#floor;
  }

  /** P3, P7, P9: what would be left if the host lost its power and everything else were gone. */
  async look(history: VolumeHistory, exact: boolean): Promise<void> {
    const reader = new SimulatedProcess(this.#scheduler, seededRandom(this.#random.u32()), new Map(), new Map());
    const finding = await checkImage(this.host, reader, history, this.#floor, exact, this.#random, this.#news.count);
    reader.alive = false;
    if (finding !== null) this.#news.fail(finding);
  }

  /** The end of a run: drains until nothing is left, then the backup alone has it all. */
  async finish(engine: ArrayEngine, process: SimulatedProcess, history: VolumeHistory): Promise<void> {
    for (;;) {
      const error = await (engine.drainLoop?.drainNow() ?? Promise.resolve()).then(
        () => null,
        (reason: unknown) => KeelsonError.from(reason),
      );
      if (error === null) break;
      if (engine.link?.isFinal === true) {
        this.#news.fail({ promise: 'P3', message: `the backup is given up: ${error.describe()}` });
        return;
      }
      await new Promise<void>((resolve) => void this.#scheduler.after(RETRY_US, process, EVENT.driver, resolve));
    }
    await this.look(history, true);
  }
}
