import { generateScenario, type Scenario } from '../../src/sim/scenario.js';
import { FOUND } from './found.js';
import { simulate } from '../../src/sim/simulator.js';
import type { Catch, Hunt } from './mutants.js';

/** Most mutations are caught by one of so few seeds. */
const FEW = 4;

/** Runs the seeds of a list, a few seeds from a number on, the scenarios that found something once, and the rest of the seeds, until one fails: the last line says which, and what it broke. */
const { from, count, first, rehearsals } = JSON.parse(process.argv[2] ?? '') as Hunt;

function* hunted(): Generator<readonly [scenario: Scenario, runs: number]> {
  for (const seed of first) yield [FOUND.find((scenario) => scenario.seed === seed) ?? generateScenario(seed), 0];
  for (let i = 0; i < count; i++) {
    if (i === FEW) for (const scenario of FOUND) yield [scenario, i];
    yield [generateScenario(from + i), i + 1];
  }
}

let caught: Catch | null = null;
for (const [scenario, runs] of hunted()) {
  const { failure } = await simulate(scenario, null, rehearsals);
  if (failure === null) continue;
  caught = { seed: scenario.seed, runs, promise: failure.promise, message: failure.message.split('\n')[0] ?? '' };
  break;
}
process.stdout.write(`${JSON.stringify(caught)}\n`);
