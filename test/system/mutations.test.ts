import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { Script } from '../../src/sim/script.js';
import { Mutant } from '../sim/mutants.js';
import { MUTATIONS, type Mutation } from '../sim/mutations.js';
import { TESTED_MUTATIONS } from '../sim/mutations-by-test.js';

/** Seeds that a mutation may take to be caught, after the scenarios that found something once. */
const SEEDS = 100;

interface StressFailure {
  readonly promise: string;
  readonly message: string;
  readonly script: Script;
}

const mutant = new Mutant(['test']);
test.after.always(() => mutant.close());

test.serial('the simulator finds nothing wrong with the engine as it is', async (t) => {
  t.is(await mutant.run(null, 1, 4), null);
});

for (const mutation of MUTATIONS) {
  test.serial(`the simulator catches: ${mutation.name}`, async (t) => {
    const caught = await mutant.run(mutation, 1, SEEDS);
    t.truthy(caught, `none of ${SEEDS} seeds caught it`);
    if (caught !== null) t.log(`seed ${caught.seed}: ${caught.promise}: ${caught.message}`);
  });
}

for (const mutation of TESTED_MUTATIONS) {
  const { file, title } = mutation.by;
  test.serial(`test/${file} catches: ${mutation.name}`, async (t) => {
    t.true(await mutant.failsTest(mutation), `"${title}" passes`);
  });
}

test.serial(
  'keelson stress shrinks a seed that a deliberate bug fails to a few events, and the script fails the same way while the bug is there',
  async (t) => {
    const bug = MUTATIONS.find(({ name }) => name === 'answer a flush without fdatasync') ?? null;
    const folder = mkdtempSync(join(tmpdir(), 'keelson-shrink-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, 'script.json');
    const stress = async (mutation: Mutation | null, ...args: string[]): Promise<{ failure: StressFailure | null; traceHash: string }> => {
      const { output, stderr, failed } = await mutant.command(mutation, 'src/cli/main.js', [
        'stress',
        '--json',
        '--no-rehearsals',
        ...args,
      ]);
      // The sums of all runs come after them.
      const lines = output
        .trim()
        .split('\n')
        .filter((line) => line.includes('traceHash'));
      const last = JSON.parse(lines.at(-1) ?? '') as { failure: StressFailure | null; traceHash: string };
      t.is(failed, last.failure !== null, stderr);
      return last;
    };
    t.not(bug, null);
    const whole = await stress(bug, '--seed', '1', '--seconds', '60', '--no-shrink', '--save', file);
    const long = JSON.parse(readFileSync(file, 'utf8')) as Script;
    t.is(whole.failure?.promise, 'P2');
    t.is(long.scenario.requests, null);
    const found = await stress(bug, '--seed', String(long.scenario.seed), '--save', file);
    const short = JSON.parse(readFileSync(file, 'utf8')) as Script;
    t.log(`seed ${long.scenario.seed}: ${short.scenario.events.length} events, ${short.scenario.requests?.length} requests`);
    t.true(short.scenario.events.length <= 2);
    t.true((short.scenario.requests?.length ?? 1000) <= 10);
    const again = await stress(bug, '--script', file);
    t.is(again.failure?.promise, 'P2');
    t.is(again.failure?.message, short.expected.message);
    t.is(again.traceHash, short.expected.traceHash);
    t.is(again.traceHash, found.failure?.script.expected.traceHash ?? '');
    t.is((await stress(null, '--script', file)).failure, null);
  },
);
