import { EXIT, KeelsonError } from '../base/errors.js';
import { FAULT_KINDS, type FaultKind, generateScenario, type Scenario } from './scenario.js';
import type { Outcome } from './run-outcome.js';
import { simulate } from './simulator.js';

export interface StressOptions {
  readonly firstSeed: number;
  /** Runs that many seeds, one after the other; Infinity: until `until` says so. */
  readonly seeds: number;
  readonly faults: readonly FaultKind[];
  /** How many times as often as usual it is tried what would be if everything stopped; 0: never. Left out: 1. */
  readonly rehearsals?: number;
  /** Looked at between two runs. */
  readonly until: () => boolean;
}

/** `--faults`: all, none, or a list of kinds. Throws USAGE. */
export function parseFaults(list: string | undefined): readonly FaultKind[] {
  if (list === undefined || list === 'all') return FAULT_KINDS;
  if (list === 'none') return [];
  return list.split(',').map((name) => {
    const kind = FAULT_KINDS.find((known) => known === name.trim());
    if (kind !== undefined) return kind;
    throw new KeelsonError('USAGE', 'no such fault', {
      found: name,
      expected: `all, none, or some of ${FAULT_KINDS.join(', ')}`,
      exit: EXIT.usage,
    });
  });
}

/** Runs seeds one after the other, each handed over when it has ended; stops after the first that fails. */
export async function stress(options: StressOptions, onOutcome: (outcome: Outcome, scenario: Scenario) => void): Promise<boolean> {
  for (let i = 0; i < options.seeds && (i === 0 || !options.until()); i++) {
    const scenario = generateScenario((options.firstSeed + i) >>> 0, options.faults);
    const outcome = await simulate(scenario, null, options.rehearsals);
    onOutcome(outcome, scenario);
    if (outcome.failure !== null) return false;
  }
  return true;
}
