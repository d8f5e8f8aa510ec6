import type { Clock, Timer } from '../base/clock.js';
import { KeelsonError } from '../base/errors.js';
import type { Backup, BackupOpen, BackupState } from '../repository/backup.js';

const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 30_000;
/** These pass by themselves, or with the administrator's help on the other side: trying again does no harm. Others stop the link. */
const FINAL = new Set(['BACKUP_FOREIGN', 'BACKUP_FENCED', 'BACKUP_CORRUPT', 'BACKUP_PASSPHRASE', 'BACKUP_AHEAD']);

export type BackupReach = 'open' | 'connecting' | 'unreachable';

/** The connection to the backup target: opened in the background, tried again with growing pauses, its last error kept for status. */
export class BackupLink {
  readonly backup: Backup;
  state: BackupState | null = null;
  lastError: KeelsonError | null = null;
  readonly #clock: Clock;
  readonly #options: () => BackupOpen;
  /** Checks the repository against the array before the link counts as open; throws what is wrong. */
  readonly #accept: (state: BackupState) => Promise<void>;
  #opening: Promise<boolean> | null = null;
  #retry: Timer | null = null;
  #pause_ms = RETRY_FIRST_MS;
  #open = false;
  #closed = false;
  #settleFirst: (error: KeelsonError | null) => void = () => {};
  /** Resolves when the first attempt of this process has ended: null when the host answered, else what it met. */
  readonly firstAttempt: Promise<KeelsonError | null> = new Promise((resolve) => {
    this.#settleFirst = resolve;
  });
  /** Monotonic time of the host's last answer; null: none in this run. */
  answeredAt_ms: number | null = null;

  constructor(backup: Backup, clock: Clock, options: () => BackupOpen, accept: (state: BackupState) => Promise<void>) {
    this.backup = backup;
    this.#clock = clock;
    this.#options = options;
    this.#accept = accept;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** What may be said of the host now. connecting: nothing was heard of it in this run yet. */
  get reach(): BackupReach {
    return this.#open ? 'open' : this.lastError === null ? 'connecting' : 'unreachable';
  }

  get isFinal(): boolean {
    return this.lastError !== null && FINAL.has(this.lastError.code);
  }

  /** True when the link is open after this; never rejects. */
  connect(): Promise<boolean> {
    if (this.#open) return Promise.resolve(true);
    if (this.#closed || this.isFinal) return Promise.resolve(false);
    this.#retry?.cancel();
    this.#retry = null;
    this.#opening ??= this.#tryOpen().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #tryOpen(): Promise<boolean> {
    try {
      const state = await this.backup.open(this.#options());
      await this.#accept(state);
      this.state = state;
      this.lastError = null;
      this.#open = true;
      this.#pause_ms = RETRY_FIRST_MS;
      this.answered();
      this.#settleFirst(null);
      return true;
    } catch (error) {
      this.failed(KeelsonError.from(error));
      return false;
    }
  }

  /** How often the host did what was asked of it in this run, as far as that shows that it is there. */
  answers = 0;

  answered(): void {
    this.answers++;
    this.answeredAt_ms = this.#clock.now();
  }

  /** Asks the host, whose link is open, whether it still has what it took. Throws what it says; then the link is down. Not beside a publish. */
  async confirm(): Promise<void> {
    try {
      await this.backup.confirm();
      this.answered();
    } catch (error) {
      const failure = KeelsonError.from(error);
      this.failed(failure);
      throw failure;
    }
  }

  /** An operation failed: the link is down until it has been opened again. */
  failed(error: KeelsonError): void {
    this.lastError = error;
    this.#open = false;
    this.#settleFirst(error);
    if (this.#closed || FINAL.has(error.code) || this.#retry !== null) return;
    this.#retry = this.#clock.after(this.#pause_ms, () => {
      this.#retry = null;
      void this.connect().then(() => this.onRetried());
    });
    this.#pause_ms = Math.min(RETRY_MAX_MS, this.#pause_ms * 2);
  }

  /** Called after each attempt that was made by itself. */
  onRetried: () => void = () => {};

  async close(): Promise<void> {
    this.#closed = true;
    this.#retry?.cancel();
    await this.#opening;
    this.#open = false;
    await this.backup.close();
  }
}
