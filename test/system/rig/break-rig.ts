/**
 * node dist/test/system/rig/break-rig.js [WORDS]: runs the tests of the real engine on builds with one deliberate bug each (those whose name has WORDS): the tests that are said to catch it have to fail.
 * As root, with the packages of npm run test:system; a quarter of an hour for all.
 */
import { join } from 'node:path';
import { failedTests, Mutant } from '../../sim/mutants.js';
import { BREAKS } from './breaks.js';
import { SYSTEM_SEED } from './seed.js';

/** Shorter than in npm run test:system: a bug that needs more luck than that is not seen. */
const SHORTER: Readonly<Record<string, NodeJS.ProcessEnv>> = { crash: { KEELSON_SYSTEM_KILLS: '16' } };

/** '' when every test of the file passes, else the first line that says what is wrong. */
async function run(out: string, file: string): Promise<string> {
  const env = { KEELSON_TESTS: 'system', KEELSON_SYSTEM_SEED: String(SYSTEM_SEED), ...SHORTER[file] };
  const text = await failedTests(out, [join('system', file)], [], env);
  return text === '' ? '' : reason(text);
}

function reason(text: string): string {
  const lines = text.split('\n').map((line) => line.trim());
  const telling =
    /^\+?\s*'(sector|block)|permitted|^(Error|KeelsonError|message)|: P\d+[: ]|[A-Z]+_[A-Z]+\)|ended with|is failed|assertion failed/;
  return (lines.find((line) => telling.test(line)) ?? lines.find((line) => line.startsWith('✘')) ?? 'it fails').slice(0, 200);
}

const words = process.argv.slice(2).join(' ');
const mutant = new Mutant(['test']);
try {
  process.stdout.write(`seed ${SYSTEM_SEED}\n`);
  for (const { promise, mutation, by } of BREAKS.filter(({ mutation: { name } }) => name.includes(words))) {
    process.stdout.write(`${promise}: ${mutation.name}\n`);
    for (const file of by) {
      const why = await mutant.with(mutation, (out) => run(out, file));
      process.stdout.write(`  ${file.padEnd(16)}${why === '' ? 'PASSES, and should not' : `fails: ${why}`}\n`);
      if (why === '') process.exitCode = 1;
    }
  }
} finally {
  mutant.close();
}
