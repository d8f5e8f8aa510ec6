import type { Outcome } from './run-outcome.js';
import { BACKUP_EVENT_KINDS, FAULT_KINDS, type FaultKind } from './scenario.js';

/** So many runs have every kind of fault in them. */
const FAULT_RUNS = 1000;
/** So many runs of all kinds of faults come by every state of the code: the rarest is met by a few of a thousand. */
const STATE_RUNS = 10_000;

/** What is missing in runs that were many enough to have it. */
export interface Gaps {
  /** Kinds of faults that were asked for and never came about. A check of nothing passes. */
  readonly faults: readonly string[];
  readonly states: readonly string[];
}

/** Sums of many runs. */
export class StressSummary {
  runs = 0;
  operations = 0;
  readonly faults = new Map<string, number>();
  readonly checks = new Map<string, number>();
  /** How often the code came by its states; null: not counted. */
  states: ReadonlyMap<string, number> | null = null;
  readonly #kinds: readonly FaultKind[];

  /** kinds: of the faults that were asked for. */
  constructor(kinds: readonly FaultKind[]) {
    this.#kinds = kinds;
  }

  add({ operations, faults, checks }: Outcome): void {
    this.runs++;
    this.operations += operations;
    for (const [kind, count] of Object.entries(faults)) this.faults.set(kind, (this.faults.get(kind) ?? 0) + count);
    for (const [promise, count] of Object.entries(checks)) this.checks.set(promise, (this.checks.get(promise) ?? 0) + count);
  }

  /** A run with any of these has failed. */
  gaps(): Gaps {
    const enough = FAULT_KINDS.every((kind) => this.#kinds.includes(kind)) && this.runs >= STATE_RUNS;
    return { faults: this.runs >= FAULT_RUNS ? this.#neverFired() : [], states: enough ? this.neverReached() : [] };
  }

  #neverFired(): FaultKind[] {
    const fired = [...this.faults.keys()];
    return this.#kinds.filter(
      (kind) => !BACKUP_EVENT_KINDS.some((other) => other === kind) && !fired.some((name) => name.startsWith(kind)),
    );
  }

  neverReached(): string[] {
    return [...(this.states ?? [])].filter(([, count]) => count === 0).map(([name]) => name);
  }

  toJSON(): object {
    const { runs, operations, faults, checks, states } = this;
    const plain = (counts: ReadonlyMap<string, number>): object => Object.fromEntries([...counts].sort());
    return {
      runs,
      operations,
      faults: plain(faults),
      checks: plain(checks),
      states: states === null ? null : plain(states),
      gaps: this.gaps(),
    };
  }

  text(seconds: number): string {
    const list = (counts: ReadonlyMap<string, number>): string =>
      [...counts]
        .sort()
        .map(([name, count]) => `${name} ${count}`)
        .join(', ') || 'none';
    return [
      `${this.runs} runs, ${this.operations} requests in ${seconds.toFixed(1)} s (${Math.round(this.operations / Math.max(seconds, 0.001))} a second)`,
      `injected: ${list(this.faults)}`,
      `checked:  ${list(this.checks)}`,
      ...this.#stateLines(),
      '',
    ].join('\n');
  }

  #stateLines(): string[] {
    if (this.states === null) return [];
    const never = this.neverReached();
    const reached = [...this.states].filter(([, count]) => count > 0);
    return [
      `states of the code: ${reached.length} of ${this.states.size} reached`,
      ...reached.map(([name, count]) => `${String(count).padStart(10)}  ${name}`),
      ...(never.length === 0 ? [] : [`never reached: ${never.join('; ')}`]),
    ];
  }
}
