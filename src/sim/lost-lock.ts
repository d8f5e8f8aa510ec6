import { KeelsonError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { BLOCK_BYTES } from '../base/units.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import type { FaultAtlas } from './fault-atlas.js';
import { EVENT, type Scheduler, WORLD } from './scheduler.js';
import type { SimulatedDisk } from './simulated-disk.js';
import type { SimulatedProcess } from './simulated-process.js';
import type { Finding } from './volume-history.js';

/** The engine's look at its members holds for a second (engine/fence.ts): a shorter stop is not covered. */
const FROZEN_US = 1_000_000;
const FROZEN_MORE_US = 2_000_000;
const QUIET_LOOK_US = 500;
const QUIET_LOOKS_MAX = 4000;
/** It notices within this, or never. */
const NOTICES_US = 20_000_000;
const IO = [EVENT.read, EVENT.write, EVENT.sync, EVENT.task, EVENT.target] as const;

export interface LostLockNews {
  /** Clients ask for nothing more. */
  quiet(): void;
  /** Another process is started on the same members. */
  taken(): void;
  fired(kind: string): void;
  count(promise: string): void;
  fail(finding: Finding): void;
}

/**
 * A process stands still, and its lock does not keep another one from its members (two hosts; a lock that went with a container). The other one takes the array, with all that was
 * acknowledged; the first, when it goes on, acknowledges nothing, and stops (P10). The one that is covered stands still between two of its requests to the members.
 */
export class LostLock {
  readonly #atlas: FaultAtlas;
  readonly #scheduler: Scheduler;
  readonly #disks: readonly SimulatedDisk[];
  readonly #news: LostLockNews;
  #standing: {
    readonly process: SimulatedProcess;
    readonly engine: ArrayEngine;
    readonly until_us: number;
    readonly plugged: readonly number[];
  } | null = null;

  constructor(atlas: FaultAtlas, scheduler: Scheduler, disks: readonly SimulatedDisk[], news: LostLockNews) {
    this.#atlas = atlas;
    this.#scheduler = scheduler;
    this.#disks = disks;
    this.#news = news;
  }

  /** As soon as the process is between two requests, if the promises cover it then. ended: nothing is done to it any more. */
  lose(process: SimulatedProcess, random: Random, ended: () => boolean): void {
    this.#news.quiet();
    const look = (left: number): void => {
      const { engine } = this.#atlas;
      if (ended() || !process.alive || engine === null || left === 0) this.#news.count('spared');
      else if (!this.#isQuiet(process, engine) || !this.#atlas.mayCrash() || this.#standing !== null)
        this.#scheduler.after(QUIET_LOOK_US, WORLD, EVENT.fault, () => look(left - 1));
      else {
        process.frozen = true;
        const until_us = this.#scheduler.now_us + FROZEN_US + random.below(FROZEN_MORE_US);
        this.#standing = { process, engine, until_us, plugged: this.#disks.map((disk) => disk.plugged) };
        this.#news.fired('lost-lock');
        this.#news.taken();
      }
    };
    look(QUIET_LOOKS_MAX);
  }

  #isQuiet(process: SimulatedProcess, engine: ArrayEngine): boolean {
    const { journal, writes, volume, drainLoop, rebuild, link } = engine;
    return (
      this.#scheduler.pendingOf(process, IO) === 0 &&
      journal.idle &&
      writes.waiting + volume.inFlight === 0 &&
      drainLoop?.draining !== true &&
      (link === null || link.isOpen || link.lastError !== null) &&
      !rebuild.active
    );
  }

  /** The other process serves: the first one may go on. */
  served(): void {
    const standing = this.#standing;
    if (standing === null || !standing.process.frozen) return;
    const wait_us = Math.max(0, standing.until_us - this.#scheduler.now_us);
    this.#scheduler.after(wait_us, WORLD, EVENT.fault, () => {
      standing.process.frozen = false;
      this.#goesOn(standing.process, standing.engine, standing.plugged);
    });
  }

  #goesOn(process: SimulatedProcess, engine: ArrayEngine, plugged: readonly number[]): void {
    const { volume } = engine;
    const asked: Promise<KeelsonError | null>[] = [
      new Promise((resolve) => volume.write(0, new Uint8Array(BLOCK_BYTES).fill(0xee), false, resolve)),
      new Promise((resolve) => volume.write(BLOCK_BYTES, new Uint8Array(BLOCK_BYTES).fill(0xdd), true, resolve)),
      new Promise((resolve) => volume.flush(resolve)),
    ];
    for (const answer of asked.slice(0, 2)) {
      void answer.then((error) => {
        if (error === null)
          this.#news.fail({ promise: 'P10', message: 'a process acknowledged a write after another one had taken its array' });
      });
    }
    const late = this.#scheduler.after(NOTICES_US, WORLD, EVENT.fault, () =>
      this.#news.fail({ promise: 'P10', message: 'a process did not notice that another one has taken its array' }),
    );
    void Promise.all([engine.fatal, ...asked]).then(async ([fatal]) => {
      late.cancelled = true;
      const same = this.#disks.every((disk, i) => disk.plugged === plugged[i]);
      if (fatal.code !== 'EPOCH_FENCED' && same)
        this.#news.fail({ promise: 'P10', message: `a process whose array another one has taken stopped with ${fatal.describe()}` });
      this.#news.count('P10');
      await engine.stop().catch((error: unknown) => this.#news.fail({ promise: 'error', message: KeelsonError.from(error).describe() }));
      process.alive = false;
      this.#standing = null;
    });
  }
}
