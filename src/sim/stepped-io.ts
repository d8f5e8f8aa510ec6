import type { StripeIndex } from '../base/units.js';
import type { BlockingIo } from '../device/device.js';
import { RING_OP_WORDS, RING_READ } from '../native/addon-api.js';
import type { StripeContext } from '../stripe/stripe-pool.js';

interface Done {
  readonly result: number;
  /** Of a read: what it brought. */
  readonly bytes: Uint8Array | null;
}

interface Change {
  readonly table: Uint32Array;
  readonly at: number;
  readonly before: number;
  readonly after: number;
}

/** What is kept of a task from its first step to its second. */
class Step {
  readonly pauseAt: number;
  readonly done: Done[] = [];
  changes: Change[] = [];
  paused = false;
  resumed = false;

  constructor(pauseAt: number) {
    this.pauseAt = pauseAt;
  }
}

/**
 * Blocking I/O of stripe tasks that stop between two of their operations while other events happen. The task knows nothing of it: it is given up there, and done again from
 * its beginning, with what its operations gave the first time, and with its changes of the integrity tables taken back before.
 */
export class SteppedIo implements BlockingIo {
  readonly #io: BlockingIo;
  readonly #view: Buffer;
  readonly #tables: readonly Uint32Array[];
  readonly #rows: number;
  #step: Step | null = null;
  #operation = 0;

  constructor(io: BlockingIo, view: Buffer, context: StripeContext) {
    this.#io = io;
    this.#view = view;
    this.#tables = context.integrity.map((shared) => new Uint32Array(shared));
    this.#rows = context.geometry.rows;
  }

  /** Runs a task of these stripes, which stops before operation `pauseAt`, if it has so many, until the pause is over. */
  async task<T>(stripes: readonly StripeIndex[], pauseAt: number, pause: () => Promise<void>, run: () => Promise<T>): Promise<T> {
    const step = new Step(pauseAt);
    const entries = this.#entries(stripes);
    const first = this.#during(step, run);
    if (!step.paused) return first;
    first.catch(() => {});
    step.changes = this.#changes(stripes, entries);
    await pause();
    for (const { table, at, before, after } of step.changes) if (table[at] === after) table[at] = before;
    step.resumed = true;
    return this.#during(step, run);
  }

  /** A task has run when its call returns. */
  #during<T>(step: Step, run: () => Promise<T>): Promise<T> {
    this.#step = step;
    this.#operation = 0;
    try {
      return run();
    } finally {
      this.#step = null;
    }
  }

  run(ops: Float64Array, count: number, results: Int32Array): void {
    const step = this.#step;
    for (let i = 0; i < count; i++) {
      const operation = this.#operation++;
      const at = i * RING_OP_WORDS;
      const memory = ops[at + 2] as number;
      const early = step !== null && operation < step.pauseAt;
      if (early && step.resumed) {
        const { result, bytes } = step.done[operation] as Done;
        if (bytes !== null) this.#view.set(bytes, memory);
        results[i] = result;
        continue;
      }
      if (step !== null && operation === step.pauseAt && !step.resumed) {
        step.paused = true;
        throw new Error('the task goes on later');
      }
      this.#io.run(ops.subarray(at, at + RING_OP_WORDS), 1, results.subarray(i, i + 1));
      if (!early) continue;
      const result = results[i] as number;
      const read = ops[at] === RING_READ && result > 0;
      step.done.push({ result, bytes: read ? Uint8Array.from(this.#view.subarray(memory, memory + result)) : null });
    }
  }

  close(): void {
    this.#io.close();
  }

  /** The entries that the task may change. */
  #entries(stripes: readonly StripeIndex[]): Uint32Array[] {
    return this.#tables.flatMap((table) => stripes.map((stripe) => table.slice(stripe * this.#rows, (stripe + 1) * this.#rows)));
  }

  #changes(stripes: readonly StripeIndex[], before: readonly Uint32Array[]): Change[] {
    const changes: Change[] = [];
    for (const [i, table] of this.#tables.entries()) {
      for (const [j, stripe] of stripes.entries()) {
        const old = before[i * stripes.length + j] as Uint32Array;
        for (let row = 0; row < this.#rows; row++) {
          const at = stripe * this.#rows + row;
          if (table[at] !== old[row]) changes.push({ table, at, before: old[row] as number, after: table[at] as number });
        }
      }
    }
    return changes;
  }
}
