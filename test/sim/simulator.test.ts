import test from 'ava';
import { generateScenario } from '../../src/sim/scenario.js';
import { simulate } from '../../src/sim/simulator.js';
import { failureText } from '../../src/sim/stress-text.js';
import { FOUND } from './found.js';

const SEED = Number(process.env.KEELSON_SEED ?? Date.now() % 0x1_0000_0000);
const SEEDS = 25;

test.serial(`P1, P2, P5, P6: ${SEEDS} seeds with crashes and power failures lose nothing and come to rest`, async (t) => {
  t.log(`seeds from ${SEED}`);
  for (let i = 0; i < SEEDS; i++) {
    const scenario = generateScenario((SEED + i) >>> 0);
    const outcome = await simulate(scenario);
    t.is(failureText(outcome, scenario), '');
  }
});

test.serial('a seed goes the same way each time, and another one goes another way', async (t) => {
  const first = await simulate(generateScenario(7));
  const again = await simulate(generateScenario(7));
  const other = await simulate(generateScenario(8));
  t.deepEqual(again, first);
  t.true(first.operations > 0);
  t.not(other.traceHash, first.traceHash);
});

for (const scenario of FOUND) {
  test.serial(`what seed ${scenario.seed} found stays mended`, async (t) => {
    t.is(failureText(await simulate(scenario), scenario), '');
  });
}
