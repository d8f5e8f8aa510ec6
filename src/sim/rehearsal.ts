import { KeelsonError } from '../base/errors.js';
import { type Random, seededRandom } from '../base/random.js';
import type { StripeIndex } from '../base/units.js';
import type { Settings } from '../config/settings.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import { attachBackup } from '../engine/backup-attach.js';
import { assembleOn, watchedLog } from './array-life.js';
import type { BackupWatch } from './backup-watch.js';
import { checkImage, simulatedRepository } from './backup-checks.js';
import { BlockSources } from './block-sources.js';
import { checkAfterCrash, checkVolume } from './checks.js';
import type { FaultAtlas } from './fault-atlas.js';
import type { MemberWatch } from './member-watch.js';
import type { ProcessLives } from './process-lives.js';
import { findingOf, type RunTally } from './run-tally.js';
import type { Scheduler } from './scheduler.js';
import type { Crash, SimulatedDisk } from './simulated-disk.js';
import { SimulatedProcess } from './simulated-process.js';
import type { SimulatedHost } from './simulated-target.js';
import type { Finding, VolumeHistory } from './volume-history.js';
import { CUT_SHORT, World } from './world.js';

/** Before one step in so many, while the array starts, is rebuilt or lacks members, it is tried what would be if everything stopped. A run takes a quarter longer for all of this. */
const ONE_IN_AT_RISK = 800;
/** Before one step in so many then the blocks of a stripe are looked for. */
const SOURCES_ONE_IN_AT_RISK = 32;
/** Else so many times less often. */
const ELSE_LESS = 5;
/** One step in so many, of those after which a power failure of the backup host could take back operations on its directory. */
const IMAGE_ONE_IN = 60;
/** Of the rest of a recovery nobody waits for more events than this. */
const EVENTS_MAX = 100_000;
/** The second time everything stops within so many events of the recovery. */
const AGAIN_WITHIN = 400;

/** The run that is rehearsed. */
export interface RehearsedRun {
  readonly seed: number;
  /** So many times as often as usual; 0: never. */
  readonly often: number;
  readonly settings: Settings;
  readonly members: readonly SimulatedDisk[];
  readonly atlas: FaultAtlas;
  readonly backup: BackupWatch | null;
  readonly watch: MemberWatch;
  readonly tally: RunTally;
  readonly lives: ProcessLives;
}

/**
 * P4, and what follows from it: at every moment all that was promised can be had from what is on the members and on the backup host then. Now and then it is tried, beside the run
 * and without a trace in it: everything stops, as many members as the atlas permits are gone for good, it stops once more while it recovers, and the real engine has to bring back the
 * volume from copies of what is left. Then as many members as the parity covers die.
 */
export class Rehearsals {
  readonly #run: RehearsedRun;
  readonly #sources: BlockSources;

  constructor(run: RehearsedRun) {
    this.#run = run;
    const { dataShards, parity } = run.settings.stripe;
    const { members, backup, tally, atlas } = run;
    const inSafeTask = (stripe: StripeIndex): boolean => run.lives.current.stripesInTask.has(stripe) && !atlas.mayCrash();
    this.#sources = new BlockSources({ members, host: backup?.host ?? null, count: tally.count, inSafeTask }, dataShards, parity);
  }

  /** Tries what would be if everything ended before this step, when it is one of those to be tried; else null. history: not there before the array is. */
  before({ steps, wallOffset_ms }: Scheduler, history: VolumeHistory | undefined): Promise<Finding | null> | null {
    if (history === undefined || this.#run.often === 0) return null;
    const { seed, atlas, backup } = this.#run;
    const host = backup?.host ?? null;
    const random = seededRandom(seed ^ Math.imul(steps, 0x9e3779b1));
    const again = atlas.engine === null ? null : this.#sources.lookAgain(atlas.engine, history, random, !atlas.journalSurvives);
    if (again !== null) return again;
    const unsettled = backup?.unsettled === true;
    if (host !== null && !unsettled && host.unsyncedChanges > 1 && this.#oneIn(random, IMAGE_ONE_IN))
      return this.#image(host, history, random, wallOffset_ms);
    const looks = atlas.engine !== null && this.#oneIn(random, SOURCES_ONE_IN_AT_RISK);
    const rehearses = !unsettled && this.#oneIn(random, ONE_IN_AT_RISK);
    if (!(looks || rehearses) || (atlas.engine !== null && !atlas.inDanger && random.below(ELSE_LESS) > 0)) return null;
    if (atlas.engine !== null && looks) {
      const looked = this.#sources.look(atlas.engine, history, random, !atlas.journalSurvives);
      if (looked !== null) return looked;
    }
    if (!rehearses) return null;
    if (!atlas.mayCrashWithout([])) return null;
    return this.#recovery(history, random, wallOffset_ms);
  }

  #oneIn(random: Random, steps: number): boolean {
    return random.below(Math.ceil(steps / this.#run.often)) === 0;
  }

  /** P3, P7, P9: all is gone but the backup, whose host has lost its power. */
  async #image(host: SimulatedHost, history: VolumeHistory, random: Random, wall_ms: number): Promise<Finding | null> {
    const { backup, tally } = this.#run;
    const world = new World(random, wall_ms);
    const reader = new SimulatedProcess(world.scheduler, random, new Map(), new Map());
    const left = host.copy();
    left.powerFailure(random);
    left.heal();
    const finding = await world.until(checkImage(left, reader, history, backup?.floor ?? 0, false, random, tally.count), EVENTS_MAX);
    reader.alive = false;
    if (finding === CUT_SHORT) return { promise: 'liveness', message: 'the backup is not read to its end' };
    return finding === null ? null : { ...finding, message: `had all but the backup been lost now: ${finding.message}` };
  }

  async #recovery(history: VolumeHistory, random: Random, wall_ms: number): Promise<Finding | null> {
    const { members, atlas } = this.#run;
    const stop: Crash = random.below(2) === 0 ? 'power-failure' : 'process-crash';
    const gone: number[] = [];
    if (random.below(2) === 0) {
      const most = 1 + random.below(members.length);
      for (let tries = members.length; tries > 0 && gone.length < most; tries--) {
        const index = random.below(members.length);
        if (!gone.includes(index) && atlas.mayCrashWithout([...gone, index])) gone.push(index);
      }
    }
    const tried = new Rehearsal(this.#run, history.fork(), random, gone, wall_ms);
    const finding = await tried.play(stop).catch((error: unknown) => findingOf(error));
    tried.end();
    if (finding === null) return null;
    return { ...finding, message: `had a ${stop} come now${tried.also}: ${finding.message}` };
  }
}

/** One recovery beside the run. */
class Rehearsal {
  readonly #run: RehearsedRun;
  readonly #history: VolumeHistory;
  readonly #random: Random;
  readonly #world: World;
  readonly #disks: readonly SimulatedDisk[];
  readonly #host: SimulatedHost | null;
  readonly #gone: readonly number[];
  #process: SimulatedProcess | null = null;
  #finding: Finding | null = null;
  /** What happens besides. */
  also: string;

  constructor(run: RehearsedRun, history: VolumeHistory, random: Random, gone: readonly number[], wall_ms: number) {
    this.#run = run;
    this.#history = history;
    this.#random = random;
    this.#world = new World(random, wall_ms);
    this.#disks = run.members.map((disk) => disk.copy());
    this.#host = run.backup?.host.copy() ?? null;
    if (random.below(2) === 0) this.#host?.powerFailure(random);
    this.#host?.heal();
    this.#gone = gone;
    this.also = gone.length === 0 ? '' : `, and members ${gone.join(', ')} been gone after it`;
  }

  end(): void {
    if (this.#process !== null) this.#process.alive = false;
  }

  async play(stop: Crash): Promise<Finding | null> {
    const random = this.#random;
    this.#stop(stop);
    for (const index of this.#gone) {
      const disk = this.#disks[index] as SimulatedDisk;
      disk.connected = false;
      disk.touched = true;
    }
    if (random.below(2) === 0) {
      const events = random.below(AGAIN_WITHIN);
      await this.#world.until(this.#assemble(), events);
      const again: Crash = random.below(3) > 0 ? 'power-failure' : 'process-crash';
      this.also += `, then a ${again} ${events} events later`;
      this.#stop(again);
      if (again === 'power-failure') stop = again;
    }
    const engine = await this.#world.until(this.#assemble(), EVENTS_MAX);
    if (engine === CUT_SHORT) return { promise: 'liveness', message: 'the array is not assembled' };
    const promise = stop === 'power-failure' ? 'P2' : 'P1';
    const checked = await this.#world.until(this.#checks(engine, promise), EVENTS_MAX);
    this.#run.tally.count('P4', this.#history.blocks);
    if (checked === CUT_SHORT) return { promise: 'liveness', message: 'the volume is not read to its end' };
    return checked ?? this.#finding;
  }

  #stop(how: Crash): void {
    this.end();
    for (const disk of this.#disks) disk.crash(how, this.#random, null);
    this.#history.crash(how);
  }

  async #assemble(): Promise<ArrayEngine> {
    const disks = new Map(this.#disks.map((disk) => [disk.path, disk]));
    const process = new SimulatedProcess(this.#world.scheduler, this.#random, disks, new Map());
    this.#process = process;
    const log = watchedLog(process, (message) => {
      this.#finding ??= { promise: 'assertion', message };
    });
    const { engine, slab } = await assembleOn(this.#run.settings, process, log).catch((error: unknown) => {
      throw new KeelsonError('ASSEMBLY', `the array could not be assembled: ${KeelsonError.from(error).describe()}`);
    });
    if (this.#host !== null) attachBackup(engine, simulatedRepository(this.#host, process, slab.view));
    void engine.fatal.then((error) => {
      if (process.alive) this.#finding ??= findingOf(error);
    });
    engine.start();
    return engine;
  }

  async #checks(engine: ArrayEngine, promise: 'P1' | 'P2'): Promise<Finding | null> {
    const count = (): void => undefined;
    const stranger = this.#misjudged(engine);
    if (stranger !== null) return stranger;
    const left = await checkAfterCrash(engine.volume, this.#history, promise, count, () => Promise.resolve(false));
    if (left !== null || !this.#loseCovered(engine)) return left;
    return checkVolume(engine.volume, this.#history, count);
  }

  /** P10: who missed acknowledged writes takes no part; to whom nothing was done does. */
  #misjudged({ state }: ArrayEngine): Finding | null {
    for (const [index, disk] of this.#disks.entries()) {
      const now = state.members[index]?.state ?? 'missing';
      if (now === 'online' && this.#run.watch.stale.has(index))
        return { promise: 'P10', message: `member ${index} was away while writes went on, and takes part` };
      if (now !== 'online' && !disk.touched) return { promise: 'P10', message: `member ${index}, to which nothing was done, is ${now}` };
    }
    return null;
  }

  /** As many stripe members as the parity still covers die, once nothing rests on the ring alone. False when none may. */
  #loseCovered({ state, journal }: ArrayEngine): boolean {
    const { dataMembers, parity } = state.shape;
    if (journal.destagedSeq < journal.headSeq || state.untrustedStripes > 0) return false;
    const harmed = (index: number): boolean => {
      const disk = this.#disks[index] as SimulatedDisk;
      return state.members[index]?.state !== 'online' || disk.damaged.size > 0 || disk.unreadable.size > 0;
    };
    const whole = Array.from({ length: dataMembers }, (_, index) => index).filter((index) => !harmed(index));
    let more = parity - (dataMembers - whole.length);
    if (more <= 0) return false;
    const died: number[] = [];
    for (; more > 0; more--) {
      const [index] = whole.splice(this.#random.below(whole.length), 1) as [number];
      const disk = this.#disks[index] as SimulatedDisk;
      disk.disconnect(this.#random);
      died.push(index);
    }
    this.also += `, and at the end the death of members ${died.join(', ')}`;
    return true;
  }
}
