import { KeelsonError } from '../base/errors.js';
import type { Failure, Outcome } from './run-outcome.js';
import type { Scheduler } from './scheduler.js';
import type { Finding } from './volume-history.js';

/** What an error of the engine, or of the simulator itself, says of the run. */
export function findingOf(error: unknown): Finding {
  const known = KeelsonError.from(error);
  const stack = known.code === 'INTERNAL' || known.code === 'ASSERTION' ? `\n${(error as Error).stack ?? ''}` : '';
  return { promise: known.code === 'ASSEMBLY' ? 'recovery' : 'error', message: known.describe() + stack };
}

/** Does something, and hears of every rejection that nobody takes meanwhile. */
export async function takingRejections(broke: (error: unknown) => void, act: () => Promise<void>): Promise<void> {
  process.on('unhandledRejection', broke);
  try {
    await act();
  } finally {
    // One real turn more: a rejection that nobody took is reported then.
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', broke);
  }
}

/** What is counted in a run, and the first thing that was wrong. */
export class RunTally {
  readonly #scheduler: Scheduler;
  readonly #faults = new Map<string, number>();
  readonly #checks = new Map<string, number>();
  #failure: Failure | null = null;
  operations = 0;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  get failed(): boolean {
    return this.#failure !== null;
  }

  fired(kind: string): void {
    this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + 1);
  }

  readonly count = (promise: string, times = 1): void => {
    this.#checks.set(promise, (this.#checks.get(promise) ?? 0) + times);
  };

  readonly fail = ({ promise, message }: Finding): void => {
    this.#failure ??= { promise, message, step: this.#scheduler.steps };
  };

  report(finding: Finding | null): void {
    if (finding !== null) this.fail(finding);
  }

  outcome(seed: number): Outcome {
    const { steps, now_us, trace } = this.#scheduler;
    return {
      seed,
      operations: this.operations,
      steps,
      simulated_ms: Math.round(now_us / 1000),
      faults: Object.fromEntries([...this.#faults].sort()),
      checks: Object.fromEntries([...this.#checks].sort()),
      traceHash: trace.toString(),
      failure: this.#failure,
    };
  }
}
