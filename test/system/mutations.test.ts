import test from 'ava';
import { Mutant } from '../sim/mutants.js';
import { MUTATIONS } from '../sim/mutations.js';

/** Seeds that a mutation may take to be caught, after the scenarios that found something once. */
const SEEDS = 100;

const mutant = new Mutant();
test.after.always(() => mutant.close());

test.serial('the simulator finds nothing wrong with the engine as it is', async (t) => {
  t.is(await mutant.run(null, 1, 10), null);
});

for (const mutation of MUTATIONS) {
  test.serial(`the simulator catches: ${mutation.name}`, async (t) => {
    const caught = await mutant.run(mutation, 1, SEEDS);
    t.truthy(caught, `none of ${SEEDS} seeds caught it`);
    if (caught !== null) t.log(`seed ${caught.seed}: ${caught.promise}: ${caught.message}`);
  });
}
