import { KeelsonError } from '../base/errors.js';
import { seededRandom, type Random } from '../base/random.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import { attachBackup } from '../engine/backup-attach.js';
import type { BackupState } from '../repository/backup.js';
import { checkImage, simulatedRepository } from './backup-checks.js';
import type { ImageHistory } from './image-history.js';
import { NewerWriter } from './newer-writer.js';
import { EVENT, type Scheduler } from './scheduler.js';
import { SimulatedProcess } from './simulated-process.js';
import { SimulatedHost } from './simulated-target.js';
import { TargetPast } from './target-past.js';
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
  /** The history of a volume that is gone: what a restore gave in its place has not been read to its end yet. */
  #gone: ImageHistory | null = null;
  #troubledAt_us = Number.NEGATIVE_INFINITY;
  onFault: (kind: string) => void = () => {};
  readonly #past = new TargetPast(this.host, () => this.#floor);
  readonly #newer = new NewerWriter(this.host, () => this.onFault('newer-writer-published'));
  /** The host was put back to an earlier state, and the engine does not know yet; when. */
  #putBack = false;
  #putBackAt_us = 0;
  /** When each look of the engine at what the repository holds began. */
  readonly #lookedAt_us = new WeakMap<BackupState, number>();
  #findingOut: ArrayEngine | null = null;
  /** Is being stopped, or gone. */
  #ending: ArrayEngine | null = null;
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

  /** Another process has taken the repository, or gone on with it, and the engine knows: it reads nothing there any more. */
  isTakenFrom(engine: ArrayEngine | null): boolean {
    const code = engine?.link?.lastError?.code;
    return code === 'BACKUP_FENCED' || (code === 'BACKUP_AHEAD' && this.#newer.isForeign);
  }

  /** Who may not be stopped now has a member of which it does not know that it is gone: it is made to write to all. */
  #findOut(engine: ArrayEngine): void {
    if (this.#findingOut === engine) return;
    this.#findingOut = engine;
    const done = (): void => {
      this.#findingOut = null;
    };
    void engine.checkpointer.fence().then(done, done);
  }

  attach(engine: ArrayEngine, process: SimulatedProcess, memory: Uint8Array): void {
    const repository = simulatedRepository(this.host, process, memory);
    const open = repository.open.bind(repository);
    repository.open = async (options) => {
      const began_us = this.#scheduler.now_us;
      const state = await open(options);
      this.#lookedAt_us.set(state, began_us);
      return state;
    };
    attachBackup(engine, repository);
  }

  /** A drain by hand, whose end nobody waits for. */
  drain(engine: ArrayEngine | null, history: VolumeHistory): void {
    const loop = engine?.drainLoop ?? null;
    if (loop === null) return;
    // Before a restored volume was read to its end, the history still has what the restore did not bring back: a drain says nothing of that.
    const from = history.images === this.#gone ? 0 : history.moment();
    void loop.drainNow().then(
      () => {
        // Said in good faith, of a state that is no more.
        if (this.#putBack) return;
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

  /** A newer writer wants the repository or has it, or the host was put back to an earlier state that the array may not know of: what it gives is not known beforehand. */
  get unsettled(): boolean {
    return this.#newer.contends || this.#past.isBehind;
  }

  /** What was drained can be had from the host. */
  whole(engine: ArrayEngine): boolean {
    return !this.#putBack && engine.link?.isFinal !== true && !this.#newer.isNewerThan(engine) && !this.#newer.isForeign;
  }

  /** The host is restored from an earlier state of its own. False when it has none. */
  putBack(random: Random): boolean {
    const floor = this.#past.goBack(random, this.#floor, this.#scheduler.now_us);
    if (floor === null) return false;
    this.#floor = Math.min(floor, this.#floor);
    this.#putBack = true;
    this.#putBackAt_us = this.#scheduler.now_us;
    return true;
  }

  takeOver(engine: ArrayEngine, writer: SimulatedProcess, random: Random): Promise<boolean> {
    return this.#newer.take(writer, engine, random);
  }

  /** The members were made anew from what the host has: what was before is of another history, which begins when what they show is known. */
  restored(history: VolumeHistory): void {
    this.#gone = history.images;
    this.#past.forget();
  }

  /** Looks after the backup: a link that is given up for a reason is begun again by a new process, with the right files on the host. restart: false when it cannot be now. */
  administer(engine: ArrayEngine, restart: () => boolean): void {
    const { link } = engine;
    if (link === null || engine === this.#ending) return;
    // One that had begun before may have seen what was there then.
    const lookedAt_us = link.state === null ? 0 : (this.#lookedAt_us.get(link.state) ?? 0);
    if (this.#putBack && link.isOpen && lookedAt_us > this.#putBackAt_us) {
      this.#putBack = false;
      this.#past.accept();
      this.#news.count('P3');
    }
    const finding = this.#newer.look(engine);
    if (finding !== null) this.#news.fail(finding);
    if (!link.isFinal) {
      // An empty directory is not taken for a new repository once the ring does not have everything: the files are put back, and the link goes on by itself.
      if (link.lastError?.code === 'BACKUP_MISSING' && this.#past.isBehind) this.#undo();
      return;
    }
    if (this.isTakenFrom(engine)) this.#takeBack(engine, restart);
    else if (!this.#past.isBehind) this.#news.fail({ promise: 'P3', message: `the backup is given up: ${link.lastError?.describe()}` });
    else if (this.#saysNothing(engine))
      this.#news.fail({ promise: 'P9', message: 'the backup was put back to an earlier state, and status does not say so' });
    else if (this.#begins(engine, restart)) this.#undo();
  }

  /** What was taken from the host is there again. */
  #undo(): void {
    this.#floor = this.#past.undo();
    this.#putBack = false;
    this.#news.count('P3');
  }

  #saysNothing({ link, state }: ArrayEngine): boolean {
    return link?.lastError?.code === 'BACKUP_AHEAD' && !state.alarms.some(({ code }) => code === 'BACKUP_MISMATCH');
  }

  /** The administrator stops the other writer; puts back the files of the repository, when the array does not want what that has made of them; and begins the server anew. */
  #takeBack(engine: ArrayEngine, restart: () => boolean): void {
    const finding = this.#newer.judge(engine);
    if (!this.#newer.wasThere)
      this.#news.fail({ promise: 'P10', message: 'the engine was fenced off its backup, and no newer writer was there' });
    else if (finding !== null) this.#news.fail(finding);
    else if (this.#newer.stopIfNoticed(this.#scheduler.now_us) && this.#begins(engine, restart)) {
      if (this.#newer.isForeign && (this.#newer.known || engine.link?.lastError?.code === 'BACKUP_AHEAD')) {
        this.#newer.undo();
        this.#past.forget();
      }
      this.#news.count('P10');
    }
  }

  /** The server is begun anew, or as soon as that may be. */
  #begins(engine: ArrayEngine, restart: () => boolean): boolean {
    if (!restart()) {
      this.#findOut(engine);
      return false;
    }
    this.#ending = engine;
    return true;
  }

  /** P3, P7, P9: what would be left if the host lost its power and everything else were gone. */
  async look(history: VolumeHistory, exact: boolean): Promise<void> {
    if (this.#newer.isForeign) return;
    const reader = new SimulatedProcess(this.#scheduler, seededRandom(this.#random.u32()), new Map(), new Map());
    const finding = await checkImage(this.host, reader, history, this.#floor, exact, this.#random, this.#news.count);
    reader.alive = false;
    if (finding !== null) this.#news.fail(finding);
  }

  /** The end of a run: drains until nothing is left, then the backup alone has it all. */
  async finish(engine: ArrayEngine, process: SimulatedProcess, history: VolumeHistory, restart: () => boolean): Promise<void> {
    this.#newer.stop();
    // Without anything to drain nobody would ever look.
    if ((this.#putBack || this.#newer.isForeign) && engine.link?.isFinal === false)
      engine.link.failed(new KeelsonError('BACKUP_UNREACHABLE', 'the connection was cut'));
    for (;;) {
      const error = await (engine.drainLoop?.drainNow() ?? Promise.resolve()).then(
        () => null,
        (reason: unknown) => KeelsonError.from(reason),
      );
      this.administer(engine, restart);
      if (error === null && !this.#putBack && !this.#newer.isForeign) break;
      await new Promise<void>((resolve) => void this.#scheduler.after(RETRY_US, process, EVENT.driver, resolve));
    }
    await this.look(history, true);
  }
}
