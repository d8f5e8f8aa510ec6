// npm run test:system [-- FILES]: real OpenSSH, NBD clients, loop devices, file systems, kill -9. Needs root and the packages below.
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { root, setUp } from './set-up.mjs';
import { systemTroubles } from './system-packages.mjs';
import { conclude, runAva } from './count-tests.mjs';

/** Keeps two processors busy by itself, and kills servers some milliseconds after their start: on a machine that does something else too, they would not have come as far. */
const ALONE = ['test/system/crash.test.ts'];
/** Most of the others wait half of the time, for a disk, for another program or on one thread: two at a time. */
const AT_A_TIME = Math.min(2, availableParallelism());

async function runAll() {
  const files = readdirSync(`${root}/test/system`).filter((name) => name.endsWith('.test.ts'));
  const others = files.map((name) => `test/system/${name}`).filter((file) => !ALONE.includes(file));
  const together = await runAva(['--concurrency', String(AT_A_TIME), ...others], SYSTEM);
  const alone = await runAva(['--serial', ...ALONE], SYSTEM);
  return { passed: together.passed + alone.passed, failed: together.failed + alone.failed };
}

const SYSTEM = { KEELSON_TESTS: 'system' };
const troubles = systemTroubles();
if (troubles.length > 0) {
  for (const trouble of troubles) process.stdout.write(`${trouble}\n`);
  // Not skipped: a green run means that the real thing was tried.
  conclude({ passed: 0, failed: troubles.length });
} else {
  setUp(() => process.stdout.write('0 passed, 1 failed\n'));
  process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
  const chosen = process.argv.slice(2);
  conclude(chosen.length === 0 ? await runAll() : await runAva(['--serial', ...chosen], SYSTEM));
}
