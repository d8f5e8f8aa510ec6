import type { KeelsonError } from '../base/errors.js';
import { type BackupWatch, TROUBLE_US } from './backup-watch.js';
import type { FaultAtlas } from './fault-atlas.js';
import type { JournalLoss } from './journal-loss.js';
import { EVENT, type Scheduler } from './scheduler.js';
import type { SimulatedProcess } from './simulated-process.js';
import type { Finding } from './volume-history.js';

/** Until what was out of reach is asked for again. */
const AGAIN_US = 50_000;

/**
 * What only the backup has cannot be read while its host is away, or while another process has the repository, until this one is begun again with a newer epoch: when that was
 * so, and which errors it excuses. It is out of reach then, and not lost: it has to be there again. While there is no ring, what has to be journaled is an error.
 */
export class OutOfReach {
  readonly #atlas: FaultAtlas;
  readonly #backup: BackupWatch | null;
  readonly #journal: JournalLoss;
  readonly #scheduler: Scheduler;
  #last_us = Number.NEGATIVE_INFINITY;

  constructor(atlas: FaultAtlas, backup: BackupWatch | null, journal: JournalLoss, scheduler: Scheduler) {
    this.#journal = journal;
    this.#atlas = atlas;
    this.#backup = backup;
    this.#scheduler = scheduler;
  }

  /** Whether it is so now. Asked whenever it may have begun. */
  look(): boolean {
    this.#journal.look();
    const { engine, needsBackup } = this.#atlas;
    if (this.#backup === null || !(this.#backup.troubled || this.#backup.isTakenFrom(engine)) || !needsBackup) return false;
    this.#last_us = this.#scheduler.now_us;
    return true;
  }

  /** What is wrong with an error reply to what was asked for at began_us, and may have waited for room since; null: nothing. */
  judge(what: string, error: KeelsonError | null, began_us: number, stopping: boolean): Finding | null {
    if (stopping && error?.code === 'SHUTTING_DOWN') return null;
    if (this.#journal.excuses(what, error, began_us)) return null;
    const away = error?.code === 'DATA_UNAVAILABLE' || error?.code === 'BACKUP_UNREACHABLE';
    if (away && (this.look() || began_us <= this.#last_us + TROUBLE_US)) return null;
    const found = error?.describe() ?? 'nothing';
    return { promise: 'P5', message: `a ${what} was answered with an error, although the array has all that it needs: ${found}` };
  }

  /** After a while true, when what could not be read may be there again; restart: how a process that has lost the repository is begun again. */
  async again(process: SimulatedProcess, stopping: boolean, restart: () => boolean): Promise<boolean> {
    if (!stopping && !this.look()) return false;
    if (this.#atlas.engine !== null) this.#backup?.administer(this.#atlas.engine, restart);
    await new Promise<void>((resolve) => void this.#scheduler.after(AGAIN_US, process, EVENT.driver, resolve));
    return true;
  }
}
