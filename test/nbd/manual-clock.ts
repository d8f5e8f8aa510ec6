import type { Clock } from '../../src/base/clock.js';

interface Waiting {
  readonly at_ms: number;
  readonly callback: () => void;
}

/** Time that moves only when the test says so. */
export class ManualClock implements Clock {
  #now_ms = 1000;
  readonly #waiting = new Set<Waiting>();

  now(): number {
    return this.#now_ms;
  }

  wall(): number {
    return this.#now_ms;
  }

  after(delay_ms: number, callback: () => void): { cancel(): void } {
    const waiting = { at_ms: this.#now_ms + delay_ms, callback };
    this.#waiting.add(waiting);
    return { cancel: () => this.#waiting.delete(waiting) };
  }

  /** Timers that have neither fired nor been cancelled. */
  get pending(): number {
    return this.#waiting.size;
  }

  /** Timers due within the time fire in order, each at its own moment. */
  advance(delay_ms: number): void {
    const end_ms = this.#now_ms + delay_ms;
    for (;;) {
      const due = [...this.#waiting].filter((waiting) => waiting.at_ms <= end_ms).sort((a, b) => a.at_ms - b.at_ms)[0];
      if (due === undefined) break;
      this.#waiting.delete(due);
      this.#now_ms = due.at_ms;
      due.callback();
    }
    this.#now_ms = end_ms;
  }
}
