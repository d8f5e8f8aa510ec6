import { assert } from '../base/assert.js';
import type { KeelsonError } from '../base/errors.js';
import type { Lsn } from '../base/units.js';

type Done = (error: KeelsonError | null) => void;

/** Callbacks waiting for an LSN, in LSN order: a queue of two arrays, so that a wait costs no object of its own. */
export class LsnWaiters {
  #lsn: number[] = [];
  #done: Done[] = [];
  #head = 0;

  get length(): number {
    return this.#lsn.length - this.#head;
  }

  /** The lowest LSN waited for; Infinity when nobody waits. */
  get first(): Lsn {
    return this.#lsn[this.#head] ?? Number.POSITIVE_INFINITY;
  }

  push(lsn: Lsn, done: Done): void {
    const last = this.#lsn[this.#lsn.length - 1];
    assert(this.length === 0 || (last as number) <= lsn, 'waiters arrive in LSN order');
    this.#lsn.push(lsn);
    this.#done.push(done);
  }

  /** Calls back everyone who waits for an LSN up to and including lsn. */
  settle(lsn: Lsn, error: KeelsonError | null): void {
    while (this.#head < this.#lsn.length && (this.#lsn[this.#head] as number) <= lsn) {
      const done = this.#done[this.#head] as Done;
      this.#head++;
      done(error);
    }
    if (this.#head === this.#lsn.length) {
      this.#lsn = [];
      this.#done = [];
      this.#head = 0;
    } else if (this.#head > 4096) {
      this.#lsn = this.#lsn.slice(this.#head);
      this.#done = this.#done.slice(this.#head);
      this.#head = 0;
    }
  }
}
