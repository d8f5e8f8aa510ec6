import { CELLS_A_BLOCK, SECTOR_CUTS } from './cell-content.js';
import type { ClientRequest } from './client-requests.js';
import type { Outcome, RunWatcher } from './run-outcome.js';
import { type Scenario, type ScenarioEvent, type ScenarioShape, SHAPES } from './scenario.js';
import { cellsOf } from './script.js';

export type Run = (scenario: Scenario, watcher: RunWatcher | null) => Promise<Outcome>;

export interface ShrinkLimits {
  readonly runs: number;
  /** Looked at between two runs. */
  readonly until: () => boolean;
}

/** What is left of a failing run. */
export interface Shrunk {
  readonly scenario: Scenario;
  readonly outcome: Outcome;
  /** Runs that it took. */
  readonly runs: number;
  /** Before and after. */
  readonly events: readonly [number, number];
  readonly requests: readonly [number, number];
}

/**
 * Makes a failing run short: its requests are written down, and then whatever can be left out is left out (delta debugging: Zeller and Hildebrandt, 2002): events, requests,
 * members, sizes. Each candidate is run again, and stays when it breaks the same promise. The result fails like the seed; it need not be the shortest that does.
 */
export async function shrink(scenario: Scenario, outcome: Outcome, limits: ShrinkLimits, run: Run): Promise<Shrunk> {
  const shrinker = new Shrinker(scenario, outcome, limits, run);
  await shrinker.run();
  return shrinker.result();
}

/** The promise and, of an error, its code: another error is another failure. */
function failureKind({ failure }: Outcome): string {
  return failure === null ? '' : `${failure.promise} ${/\(([A-Z_]+)\)/.exec(failure.message)?.[1] ?? ''}`;
}

class Shrinker {
  readonly #limits: ShrinkLimits;
  readonly #run: Run;
  readonly #kind: string;
  readonly #eventsBefore: number;
  #requestsBefore = 0;
  #best: Scenario;
  #outcome: Outcome;
  #runs = 0;

  constructor(scenario: Scenario, outcome: Outcome, limits: ShrinkLimits, run: Run) {
    this.#best = scenario;
    this.#outcome = outcome;
    this.#limits = limits;
    this.#run = run;
    this.#kind = failureKind(outcome);
    this.#eventsBefore = scenario.events.length;
  }

  result(): Shrunk {
    return {
      scenario: this.#best,
      outcome: this.#outcome,
      runs: this.#runs,
      events: [this.#eventsBefore, this.#best.events.length],
      requests: [this.#requestsBefore, this.#best.requests?.length ?? this.#requestsBefore],
    };
  }

  async run(): Promise<void> {
    await this.#writeDown();
    // What is short is run fast: the most is left out first, and again whenever something else has become smaller.
    for (let before = Number.POSITIVE_INFINITY; this.#size() < before && !this.#spent(); ) {
      before = this.#size();
      await this.#leaveOut(
        () => this.#best.events,
        (events) => ({ ...this.#best, events }),
      );
      await this.#leaveOut(
        () => this.#best.requests ?? [],
        (requests) => (this.#best.requests === null ? null : { ...this.#best, requests }),
      );
      await this.#simpler();
    }
  }

  #size(): number {
    const { events, requests, shape } = this.#best;
    return events.length + (requests?.length ?? 0) + shape.dataMembers + shape.journalMembers + shape.stripes + shape.segments;
  }

  #spent(): boolean {
    return this.#runs >= this.#limits.runs || this.#limits.until();
  }

  async #attempt(candidate: Scenario | null): Promise<boolean> {
    if (candidate === null || this.#spent()) return false;
    this.#runs++;
    const outcome = await this.#run(candidate, null);
    if (failureKind(outcome) !== this.#kind) return false;
    this.#best = candidate;
    this.#outcome = outcome;
    return true;
  }

  /** Requests, and the moments of events, as they were: they stay where they are when something else is left out. */
  async #writeDown(): Promise<void> {
    const start = this.#best;
    const requests: ClientRequest[] = [];
    const events: ScenarioEvent[] = [];
    this.#runs++;
    await this.#run(start, {
      request: (request) => void requests.push(request),
      event: (event, at_us) => void events.push({ ...event, at: at_us }),
    });
    this.#requestsBefore = requests.length;
    if (start.requests !== null) return;
    const inTime: Scenario = { ...start, requests, events, unit: 'microseconds' };
    // The end of the clients comes with the last request, or where it was.
    for (const candidate of [{ ...inTime, steps: 0 }, inTime, { ...start, requests, steps: 0 }, { ...start, requests }])
      if (await this.#attempt(candidate)) return;
  }

  /** Pieces, at first half of all, then smaller ones, down to one thing alone. */
  async #leaveOut<T>(items: () => readonly T[], build: (left: readonly T[]) => Scenario | null): Promise<void> {
    if (items().length > 0 && (await this.#attempt(build([])))) return;
    for (let size = items().length >> 1; size >= 1 && !this.#spent(); size >>= 1) {
      // From the end: what came after the cause goes first.
      for (let end = items().length; end > 0; end -= size) {
        const all = items();
        await this.#attempt(build([...all.slice(0, Math.max(0, end - size)), ...all.slice(end)]));
      }
    }
  }

  /** The same with less: fewer members, a smaller volume, plain requests. */
  async #simpler(): Promise<void> {
    const shape = (change: Partial<ScenarioShape>): Scenario => this.#shaped({ ...this.#best.shape, ...change });
    for (const [dataMembers, parity, journalMembers, copies] of SHAPES) {
      const { shape: now } = this.#best;
      if (dataMembers + journalMembers >= now.dataMembers + now.journalMembers) continue;
      await this.#attempt(shape({ dataMembers, parity, journalMembers, copies }));
    }
    await this.#attempt(this.#best.shape.backup ? shape({ backup: false }) : null);
    await this.#attempt(this.#best.shape.sync ? shape({ sync: false }) : null);
    for (const stripes of [1, 4, 9]) await this.#attempt(stripes < this.#best.shape.stripes ? shape({ stripes }) : null);
    for (const segments of [8, 12]) await this.#attempt(segments < this.#best.shape.segments ? shape({ segments }) : null);
    await this.#attempt(this.#best.cuts === SECTOR_CUTS ? null : { ...this.#best, cuts: SECTOR_CUTS });
    await this.#requests((request) => ({ ...request, lane: 0 }));
    await this.#requests((request) => ({ ...request, fua: false }));
    await this.#requests((request) => ({ ...request, leaves: false }));
    await this.#requests((request) => ({ ...request, cells: Math.min(request.cells, CELLS_A_BLOCK) }));
  }

  /** Without the requests that would lie outside of the volume. */
  #shaped(shape: ScenarioShape): Scenario {
    const cells = cellsOf({ shape });
    const requests = this.#best.requests?.filter((request) => request.cell + request.cells <= cells) ?? null;
    return { ...this.#best, shape, requests };
  }

  async #requests(change: (request: ClientRequest) => ClientRequest): Promise<void> {
    const { requests } = this.#best;
    if (requests === null) return;
    const changed = requests.map(change);
    if (JSON.stringify(changed) !== JSON.stringify(requests)) await this.#attempt({ ...this.#best, requests: changed });
  }
}
