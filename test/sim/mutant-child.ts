import { generateScenario } from '../../src/sim/scenario.js';
import { FOUND } from './found.js';
import { simulate } from '../../src/sim/simulator.js';

/** Runs the scenarios that found something once, then the seeds of a list, then seeds [from, from + count), until one fails: the last line says which, and what it broke. */
const from = Number(process.argv[2]);
const count = Number(process.argv[3]);
let caught: { seed: number; runs: number; promise: string; message: string } | null = null;
for (const scenario of FOUND) {
  if (caught !== null) break;
  const { failure } = await simulate(scenario);
  if (failure !== null) caught = { seed: scenario.seed, runs: 0, promise: failure.promise, message: failure.message.split('\n')[0] ?? '' };
}
const named = (process.argv[4] ?? '').split(',').filter((text) => text !== '');
for (const seed of named.map(Number)) {
  if (caught !== null) break;
  const { failure } = await simulate(generateScenario(seed));
  if (failure !== null) caught = { seed, runs: 0, promise: failure.promise, message: failure.message.split('\n')[0] ?? '' };
}
for (let seed = from; seed < from + count && caught === null; seed++) {
  const { failure } = await simulate(generateScenario(seed));
  if (failure !== null) caught = { seed, runs: seed - from + 1, promise: failure.promise, message: failure.message.split('\n')[0] ?? '' };
}
process.stdout.write(`${JSON.stringify(caught)}\n`);
