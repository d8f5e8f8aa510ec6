import { KeelsonError } from '../base/errors.js';
import { seededRandom, type Random } from '../base/random.js';
import { BLOCK_BYTES } from '../base/units.js';
import type { Settings } from '../config/settings.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import type { EngineLog } from '../engine/log.js';
import { assembleOn, createOn, restoreOn, watchedLog } from './array-life.js';
import { BackupWatch } from './backup-watch.js';
import { checkAfterCrash, checkAtRest, checkRestored } from './checks.js';
import { type RequestSource, requestsOf } from './client-requests.js';
import { Clients } from './clients.js';
import { FaultAtlas } from './fault-atlas.js';
import { FormerDevices } from './former-devices.js';
import { JournalLoss } from './journal-loss.js';
import { LostLock } from './lost-lock.js';
import { MemberWatch } from './member-watch.js';
import { stopOrderly } from './orderly-stop.js';
import { OutOfReach } from './out-of-reach.js';
import { Died, ProcessLives } from './process-lives.js';
import type { Outcome, RunWatcher } from './run-outcome.js';
import { Rehearsals } from './rehearsal.js';
import { findingOf, RunTally, takingRejections } from './run-tally.js';
import type { Scenario, ScenarioEvent } from './scenario.js';
import { EVENT, Scheduler, WORLD } from './scheduler.js';
import { membersFor, settingsFor } from './settings.js';
import type { Crash, SimulatedDisk } from './simulated-disk.js';
import { strike, type StruckRun } from './strike.js';
import type { SimulatedProcess } from './simulated-process.js';
import { VolumeHistory } from './volume-history.js';

/*
 * The simulator: the real engine (journal, stripes, destaging, recovery) on simulated members, threads, time and randomness, all from one seed.
 *
 * Fault model.
 *   Members   have a volatile write cache. A write is in it when it has ended, and on the medium when an fdatasync that was asked for after that has ended. Requests
 *             end in any order. A write is not atomic beyond 512 bytes.
 *   Power     may fail between any two events, also during recovery, and twice in a row. Of everything not synced, and of every write on its way, any set of
 *             512-byte sectors is left.
 *   Process   may die between any two events (kill -9), and in the middle of a batch of a stripe thread. What ended stays; of each write on its way any set of sectors lands.
 *   Devices   give errors, once (reads, writes, fdatasync: what that covered may never reach the medium) or until they are written again; rot in every zone; acknowledge writes
 *             and lose them, or put them into another place; stall, are slow, go away and come back stale, or are replaced by empty ones. fault-atlas.ts keeps to what the
 *             promises cover, and goes as far as that. An administrator replaces what is lost and scrubs what is damaged.
 *   Losses    may be more than the parity covers, up to all stripe members, while ring and backup have everything; and everything but the backup: then it is restored onto
 *             empty devices or over the old ones, and crashes come during that too. All journal members may die while the process lives, or be out of reach together with a crash:
 *             the next start refuses until they are back. Devices from before a restore turn up again in the places of members.
 *   Target    connections break at any byte and after any effect, the host is down, full, slow, or denies permission, and loses its power: of a file what was synced is left, or more,
 *             of the directory what it was at its last sync, or since. It may be put back to an earlier state, and requests of a process that is dead arrive late.
 *   Others    want the members while they are in use, take them from a process that stands still and whose lock does not hold, or take the repository and publish what is not ours.
 *   Clients   keep many requests in flight, overlapping each other: writes, reads, flushes, FUA, trims and zeroes, aligned to blocks, to sectors or not at all, down to 8 bytes.
 *             They may go away before their reply.
 *   Time      is the scheduler's. The wall clock may jump, forwards and backwards; the machine may be suspended.
 *
 * What is checked, against a history of the requests that knows nothing of the engine: after every crash the whole volume (P1: acknowledged writes survive the death of the
 * process; P2: flushed ones survive a power failure; nothing is seen whose predecessor is gone), every reply to a read (P5), and at the end, when all is healed,
 * that everything is destaged and drained within a bounded number of steps (liveness), the whole volume again, the parity of every stripe (P6), and that nothing was left open. Of the
 * backup: that it alone is, at any moment, the volume of some moment (P7), with all that was said to be drained (P3, P9), that a restore gives exactly such a volume, and at the
 * end all there is. With more lost than the parity covers every read is still right, or an error while the backup's host is away, and the rebuild brings everything back (P8). A member that missed writes never
 * takes part, nor does a device from before a restore; one to which nothing was done does; a process whose array another one has taken acknowledges nothing and stops (P10). At moments that the seed draws
 * every block can be had from shards, ring or backup (P4), and would be had if everything stopped now.
 */

/** Events after the clients have stopped: what takes more would never end. */
const END_STEPS_MAX = 200_000;
const RESTART_US = 50_000;
/** Long enough for what failed to be known: the longest stall, and some more. */
const SETTLED_US = 4_000_000;

/** rehearsals: how many times as often as usual it is tried what would be if everything stopped (rehearsal.ts); the run goes the same way. */
export function simulate(scenario: Scenario, watcher: RunWatcher | null = null, rehearsals = 1): Promise<Outcome> {
  return new Simulation(scenario, watcher, rehearsals).run();
}

class Simulation {
  readonly #scenario: Scenario;
  readonly #random: Random;
  readonly #scheduler: Scheduler;
  readonly #settings: Settings;
  readonly #disks: ReadonlyMap<string, SimulatedDisk>;
  readonly #members: readonly SimulatedDisk[];
  readonly #atlas: FaultAtlas;
  readonly #watch: MemberWatch;
  readonly #backup: BackupWatch | null;
  readonly #outOfReach: OutOfReach;
  readonly #lives: ProcessLives;
  readonly #rehearsals: Rehearsals;
  readonly #events: ScenarioEvent[];
  readonly #tally: RunTally;
  readonly #watcher: RunWatcher | null;
  #history!: VolumeHistory;
  #requests!: RequestSource;
  /** When the array had been created: what happens to it is counted from here. */
  #created_us = 0;
  /** It is being stopped, and another one takes its place. */
  #stopping = false;
  /** Clients ask it for nothing more: another one is to take the array. */
  #quiet = false;
  readonly #rare: Pick<StruckRun, 'lostLock' | 'journal' | 'former'>;
  /** How the last process ended, for the check after it. */
  #crashed: Crash | null = null;
  /** The members were lost, all of them; 'restored': they are there again, as the backup had them. */
  #lost: 'everything' | 'restored' | null = null;
  #over = false;
  #stepsMax: number;
  /** Set at the end of the run: nothing more is done to the array. */
  #healed = false;

  constructor(scenario: Scenario, watcher: RunWatcher | null, rehearsals: number) {
    this.#watcher = watcher;
    this.#scenario = scenario;
    this.#random = seededRandom(scenario.seed ^ 0x5eed);
    this.#scheduler = new Scheduler(seededRandom(scenario.seed ^ 0x71e5));
    this.#tally = new RunTally(this.#scheduler);
    this.#settings = settingsFor(scenario.shape);
    this.#events = [...scenario.events];
    this.#stepsMax = scenario.steps + END_STEPS_MAX;
    this.#members = membersFor(scenario.shape, this.#settings);
    this.#disks = new Map(this.#members.map((disk) => [disk.path, disk]));
    this.#lives = new ProcessLives(scenario.seed, this.#scheduler, this.#disks);
    for (const [index, disk] of this.#members.entries()) {
      disk.onFault = (kind) => {
        this.#fired(kind);
        if (kind === 'read-error' || kind === 'write-error' || kind === 'sync-error') this.#watch.requestFailed(index, kind);
      };
    }
    this.#atlas = new FaultAtlas(scenario.shape, this.#members, () => this.#scheduler.now_us);
    const news = { fail: this.#tally.fail, count: this.#tally.count };
    this.#backup = scenario.shape.backup ? new BackupWatch(this.#scheduler, this.#random, news) : null;
    if (this.#backup !== null) this.#backup.onFault = (kind) => this.#fired(kind);
    this.#atlas.backupWhole = (engine) => this.#backup?.whole(engine) === true;
    const journal = new JournalLoss(this.#atlas, this.#scheduler, this.#members);
    const taken = { quiet: () => this.#beQuiet(), taken: () => this.#taken() };
    const lostLock = new LostLock(this.#atlas, this.#scheduler, this.#members, { ...news, ...taken, fired: (kind) => this.#fired(kind) });
    this.#rare = { lostLock, journal, former: new FormerDevices(this.#members, this.#atlas) };
    this.#outOfReach = new OutOfReach(this.#atlas, this.#backup, journal, this.#scheduler);
    this.#watch = new MemberWatch(this.#members, this.#atlas, this.#scheduler, {
      ...news,
      fired: (kind) => this.#fired(kind),
      broke: (error) => this.#broke(error),
      repair_ms: () => (this.#healed ? 5 : scenario.repair_ms),
      replacing: (index) => this.#rare.former.replacing(index),
    });
    const played = { settings: this.#settings, members: this.#members, backup: this.#backup, watch: this.#watch, tally: this.#tally };
    this.#rehearsals = new Rehearsals({ seed: scenario.seed, often: rehearsals, atlas: this.#atlas, lives: this.#lives, ...played });
  }

  async run(): Promise<Outcome> {
    await takingRejections(
      (error) => this.#broke(error),
      () => this.#play(),
    );
    return this.#tally.outcome(this.#scenario.seed);
  }

  async #play(): Promise<void> {
    const ended = (): void => {
      this.#over = true;
    };
    void this.#story().then(ended, (error: unknown) => this.#broke(error));
    while (!this.#over && !this.#tally.failed) {
      await this.#scheduler.turn();
      if (this.#over || this.#tally.failed) break;
      const rehearsable = this.#lost === null && !this.#rare.journal.isAway;
      const rehearsal = rehearsable ? this.#rehearsals.before(this.#scheduler, this.#history) : null;
      if (rehearsal !== null) this.#tally.report(await rehearsal);
      if (!this.#fireEvents()) this.#step();
    }
  }

  #step(): void {
    try {
      if (!this.#scheduler.step())
        this.#tally.fail({ promise: 'liveness', message: 'nothing can happen any more, and something is awaited' });
    } catch (error) {
      this.#broke(error);
    }
    if (this.#scheduler.steps > this.#stepsMax)
      this.#tally.fail({ promise: 'liveness', message: `not at rest ${END_STEPS_MAX} events after the clients had stopped` });
  }

  /** What happens, from the first superblock to the last check. */
  async #story(): Promise<void> {
    await this.#create();
    for (;;) {
      try {
        if (this.#lost === 'everything') await this.#restore();
        const engine = await this.#boot();
        await this.#serve(engine);
        await this.#finish(engine);
        return;
      } catch (error) {
        if (!(error instanceof Died)) throw error;
        await new Promise<void>((resolve) => void this.#scheduler.after(this.#random.below(RESTART_US), WORLD, EVENT.driver, resolve));
      }
    }
  }

  get #process(): SimulatedProcess {
    return this.#lives.current;
  }

  #newProcess(): SimulatedProcess {
    const next = this.#lives.begin();
    next.onDeath = () => this.#crash(this.#random.below(2) === 0 ? 'power-failure' : 'process-crash', 'crash-in-stripe-task');
    next.mayDie = () => this.#atlas.mayCrash();
    next.onWrong = (message) => this.#tally.fail({ promise: 'assertion', message });
    this.#stopping = false;
    this.#quiet = false;
    return next;
  }

  #alive<T>(work: Promise<T>): Promise<T> {
    return this.#lives.alive(work);
  }

  async #create(): Promise<void> {
    const process = this.#newProcess();
    const events = this.#events.splice(0);
    const created = await this.#alive(createOn(this.#settings, process));
    process.alive = false;
    const { cuts, unit } = this.#scenario;
    this.#history = new VolumeHistory(created.volumeBytes / BLOCK_BYTES, cuts);
    this.#requests = requestsOf(this.#scenario, this.#history.blocks, this.#watcher);
    // Steps and times count from here.
    this.#created_us = this.#scheduler.now_us;
    const from = unit === 'steps' ? this.#scheduler.steps : this.#created_us;
    for (const event of events) this.#events.push({ ...event, at: event.at + from });
    this.#stepsMax += this.#scheduler.steps;
  }

  /** A restore that a crash cut short is begun anew; what it left is never served as if it were whole. */
  async #restore(): Promise<void> {
    const process = this.#newProcess();
    await this.#alive(restoreOn((this.#backup as BackupWatch).host, this.#settings, process, this.#log(process)));
    process.alive = false;
    this.#backup?.restored(this.#history);
    this.#lost = 'restored';
  }

  async #boot(): Promise<ArrayEngine> {
    const process = this.#newProcess();
    this.#rare.journal.starts();
    const { engine, slab } = await this.#alive(assembleOn(this.#settings, process, this.#log(process))).catch((error: unknown) => {
      if (error instanceof Died) throw error;
      const known = KeelsonError.from(error);
      process.alive = false;
      // A second process had opened a member in the moment in which nobody served the array: it is refused the others and ends, and the server is started again.
      if (known.code === 'DEVICE_BUSY' && this.#lives.hadNeighbours) throw new Died('another process had a member');
      if (this.#rare.journal.refuses(known)) {
        this.#tally.count('refused');
        throw new Died('refused');
      }
      throw new KeelsonError('ASSEMBLY', `the array could not be assembled: ${known.describe()}`);
    });
    void engine.fatal.then((error) => {
      if (process.alive && process === this.#process) this.#broke(error);
    });
    this.#backup?.attach(engine, process, slab.view);
    this.#rare.journal.started();
    this.#watch.judge(engine);
    this.#tally.report(this.#rare.former.judge(engine));
    this.#atlas.engine = engine;
    engine.start();
    this.#rare.lostLock.served();
    return engine;
  }

  async #serve(engine: ArrayEngine): Promise<void> {
    const { count } = this.#tally;
    this.#watch.lookAfter(engine, this.#process);
    const again = (): Promise<boolean> => this.#outOfReach.again(this.#process, this.#stopping, () => this.#restart());
    if (this.#lost === 'restored') {
      this.#tally.report(await this.#alive(checkRestored(engine.volume, this.#history, this.#backup?.floor ?? 0, count, again)));
      this.#lost = null;
      this.#crashed = null;
    }
    if (this.#crashed !== null) {
      const promise = this.#crashed === 'power-failure' ? 'P2' : 'P1';
      this.#tally.report(await this.#alive(checkAfterCrash(engine.volume, this.#history, promise, count, again)));
      this.#crashed = null;
    }
    if (this.#clientsEnd() && this.#events.length === 0) return;
    const clients = new Clients(
      {
        history: this.#history,
        requests: this.#requests,
        now_us: () => this.#scheduler.now_us - this.#created_us,
        open: () => engine === this.#atlas.engine && !this.#stopping && !this.#quiet && (this.#scenario.steps === 0 || !this.#clientsEnd()),
        fail: this.#tally.fail,
        count,
        acknowledged: (kind, began_us) => {
          this.#watch.acknowledged(engine);
          if (kind === 'write') this.#tally.report(this.#rare.journal.acknowledged(began_us));
        },
        began: () => {
          this.#tally.operations++;
        },
        refused: (what, error, began_us) => this.#tally.report(this.#outOfReach.judge(what, error, began_us, this.#stopping)),
      },
      this.#process,
      engine.volume,
    );
    clients.start();
    const ends = (): boolean =>
      this.#clientsEnd() || (this.#scenario.steps === 0 && this.#events.length === 0 && engine.writes.waiting > 0);
    const atRest = (): boolean => {
      // Those that wait for room, with the stripes beyond parity, wait for devices.
      if (ends()) for (const disk of this.#members) disk.connected = true;
      return (clients.idle || !this.#process.alive) && this.#clientsEnd();
    };
    await this.#alive(this.#until(atRest));
  }

  #clientsEnd(): boolean {
    const { steps } = this.#scenario;
    return steps > 0 ? this.#scheduler.steps >= steps : this.#requests.exhausted && this.#events.length === 0;
  }

  /** Looks every millisecond of simulated time. */
  #until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        this.#rare.journal.look();
        if (this.#atlas.engine !== null) this.#backup?.administer(this.#atlas.engine, () => this.#restart());
        if (!this.#stopping && condition()) resolve();
        else this.#scheduler.after(1000, this.#process, EVENT.driver, look);
      };
      look();
    });
  }

  /** Everything is healed: the array has to come to rest, whole. */
  async #finish(engine: ArrayEngine): Promise<void> {
    this.#healed = true;
    for (const disk of this.#members) disk.heal();
    this.#backup?.host.heal();
    // What is still called online may have died: it is written to, and found out. Those that are lost are replaced, and rebuilt.
    await this.#alive(engine.checkpointer.fence().catch(() => undefined));
    await this.#alive(this.#until(() => engine.state.members.every((member) => member?.state === 'online')));
    const settled_us = this.#scheduler.now_us + SETTLED_US;
    await this.#alive(this.#until(() => this.#scheduler.now_us >= settled_us));
    this.#watch.checkOwed(SETTLED_US / 2);
    await this.#alive(new Promise<void>((resolve, reject) => engine.volume.flush((error) => (error === null ? resolve() : reject(error)))));
    const damaged = this.#members.filter((disk) => disk.damaged.size + disk.unreadable.size > 0).length;
    this.#tally.report(await this.#alive(checkAtRest(engine, this.#history, damaged, this.#tally.count)));
    if (this.#backup !== null) await this.#alive(this.#backup.finish(engine, this.#process, this.#history, () => this.#restart()));
    this.#tally.report(await this.#alive(stopOrderly(engine, this.#process, this.#watch)));
    this.#process.alive = false;
  }

  /** True when something was done, which the promises have to take in before the next step. */
  #fireEvents(): boolean {
    if (this.#healed) return false;
    const next = this.#events[0];
    const { steps, now_us } = this.#scheduler;
    if (next === undefined || next.at > (this.#scenario.unit === 'steps' ? steps : now_us)) return false;
    this.#events.shift();
    this.#watcher?.event(next, now_us - this.#created_us);
    strike(next, this.#struck());
    return true;
  }

  /** The run as seen by what is done to it. */
  #struck(): StruckRun {
    return {
      members: this.#members,
      atlas: this.#atlas,
      scheduler: this.#scheduler,
      backup: this.#backup,
      process: this.#process,
      history: this.#history,
      healed: () => this.#healed || this.#stopping,
      crash: (how, kind) => this.#crash(how, kind),
      loseEverything: (empty) => this.#loseEverything(empty),
      settings: this.#settings,
      ...this.#rare,
      stranger: (random) => this.#lives.stranger(random.u32()),
      neighbour: (random) => this.#lives.neighbour(random.u32()),
      report: (finding) => this.#tally.report(finding),
      fired: (kind) => this.#fired(kind),
      spared: () => this.#tally.count('spared'),
      broke: (error) => this.#broke(error),
    };
  }

  #crash(how: Crash, kind: string): void {
    this.#process.alive = false;
    this.#atlas.crashed();
    this.#fired(kind);
    this.#scheduler.trace.add(EVENT.fault, this.#scheduler.steps);
    for (const disk of this.#disks.values()) disk.crash(how, this.#random, this.#process);
    if (how === 'power-failure') this.#lives.powerFailure();
    this.#history.crash(how);
    // A power failure among several crashes before the next check is what counts.
    if (this.#crashed !== 'power-failure') this.#crashed = how;
    this.#lives.end(kind);
  }

  #beQuiet(): void {
    this.#quiet = true;
  }

  /** Another process is started on the members, as after a crash in which everything that was on its way has landed; the one that runs stands still. */
  #taken(): void {
    this.#atlas.crashed();
    this.#history.processCrash();
    this.#crashed ??= 'process-crash';
    this.#lives.end('lost-lock');
  }

  /** The server is to begin anew. Killed, or stopped when the promises do not cover a crash now: an orderly stop leaves nothing torn while no member is lost. */
  #restart(): boolean {
    const { engine } = this.#atlas;
    if (!this.#process.alive || engine === null || this.#stopping) return false;
    if (this.#atlas.mayCrash()) this.#crash('process-crash', 'restart');
    else if (this.#atlas.mayStop() && engine.state.members.every((member) => member?.state === 'online')) void this.#stop(engine);
    else return false;
    return true;
  }

  async #stop(engine: ArrayEngine): Promise<void> {
    const process = this.#process;
    this.#stopping = true;
    const finding = await stopOrderly(engine, process, this.#watch);
    if (!process.alive) return;
    this.#tally.report(finding);
    this.#crash('process-crash', 'orderly-stop');
  }

  #loseEverything(empty: boolean): void {
    this.#crash('power-failure', 'loss-of-everything');
    this.#atlas.everythingLost();
    this.#watch.renewed();
    this.#lost = 'everything';
    this.#rare.former.givenUp(empty);
    for (const disk of this.#members) disk.renew(empty);
  }

  #log(process: SimulatedProcess): EngineLog {
    return watchedLog(process, (message) => this.#tally.fail({ promise: 'assertion', message }));
  }

  #fired(kind: string): void {
    this.#outOfReach.look();
    this.#tally.fired(kind);
  }

  #broke(error: unknown): void {
    if (!(error instanceof Died)) this.#tally.fail(findingOf(error));
  }
}
