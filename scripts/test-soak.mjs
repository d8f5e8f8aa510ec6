// npm run test:soak -- --minutes N [--seed S]: for N minutes, on one processor the simulator, on the other the tests of the real engine and of its parsers, round after round, each with a seed of its own.
// Known seeds first, then fresh ones; every seed is printed. Goes on after a failure, and lists the failures at its end. What has begun when the time is over is finished. Needs what test:system needs.
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { runAva } from './count-tests.mjs';
import { root, setUp } from './set-up.mjs';
import { systemTroubles } from './system-packages.mjs';

const MINUTES = 60;
const KNOWN_SEED = 20261122;
/** Simulated runs come in parcels of so many seconds, so that one that fails costs no more than its parcel. */
const PARCEL_SECONDS = 600;
/** Tests with a seed. One after the other they take some five minutes. */
const SYSTEM = [
  'crash',
  'journal-copies',
  'power-failure',
  'yanked-members',
  'databases',
  'fio-verify',
  'filesystems',
  'bitrot',
  'restore',
  'hostile-clients',
];
const UNIT = ['test/fuzz/*.test.ts', 'test/nbd/*.test.ts', 'test/journal/*.test.ts', 'test/engine/*.test.ts', 'test/stripe/*.test.ts'];

const { minutes, seed: first } = options();
const troubles = systemTroubles();
for (const trouble of troubles) process.stdout.write(`${trouble}\n`);
if (troubles.length > 0) process.exit(1);
setUp();
process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
const until = performance.now() + minutes * 60_000;
const failures = [];
let passed = 0;
let simulated = 0;

await Promise.all([simulate(), test()]);
const sum = `${simulated} simulated runs, ${passed} tests passed, ${failures.length} failed`;
process.stdout.write(`\n== ${sum}\n${failures.map((line) => `FAILED: ${line}\n`).join('')}`);
process.exit(failures.length === 0 && passed > 0 && simulated > 0 ? 0 : 1);

function options() {
  try {
    const { values } = parseArgs({ options: { minutes: { type: 'string' }, seed: { type: 'string' } } });
    const numbers = { minutes: Number(values.minutes ?? MINUTES), seed: Number(values.seed ?? KNOWN_SEED) };
    if (!(numbers.minutes > 0) || !Number.isSafeInteger(numbers.seed)) throw new Error('--minutes and --seed are numbers');
    return numbers;
  } catch (error) {
    process.stderr.write(`${error.message}\nusage: npm run test:soak -- [--minutes N] [--seed S]\n`);
    return process.exit(2);
  }
}

function left_s() {
  return (until - performance.now()) / 1000;
}

async function simulate() {
  for (let seed = first; left_s() > 1; seed = randomInt(2 ** 32)) {
    const seconds = Math.ceil(Math.min(PARCEL_SECONDS, left_s()));
    const args = [join(root, 'dist', 'src', 'cli', 'main.js'), 'stress', '--seed', String(seed), '--seconds', String(seconds)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => {
      child.on('close', resolve);
    });
    let said = false;
    for await (const line of createInterface({ input: child.stdout })) {
      process.stdout.write(`simulator: ${line}\n`);
      simulated += Number(/^(\d+) runs, /.exec(line)?.[1] ?? 0);
      if (!/^seed \d+ broke /.test(line)) continue;
      said = true;
      failures.push(`simulator, ${line}`);
    }
    const status = await ended;
    if (status !== 0 && !said) failures.push(`keelson ${args.slice(1).join(' ')}: status ${status}`);
  }
}

async function test() {
  for (let seed = first; ; seed = randomInt(2 ** 32)) {
    process.stdout.write(`\n== tests with KEELSON_SEED=${seed} KEELSON_SYSTEM_SEED=${seed}\n`);
    const seeds = { KEELSON_SEED: String(seed), KEELSON_SYSTEM_SEED: String(seed) };
    for (const name of SYSTEM) {
      const file = `test/system/${name}.test.ts`;
      await count(`KEELSON_SYSTEM_SEED=${seed} npm run test:system -- ${file}`, ['--serial', file], { ...seeds, KEELSON_TESTS: 'system' });
      if (left_s() <= 0) return;
    }
    for (const files of UNIT) {
      await count(`KEELSON_SEED=${seed} npm test -- ${files}`, ['--serial', files], seeds);
      if (left_s() <= 0) return;
    }
  }
}

async function count(command, args, env) {
  const result = await runAva(args, env);
  passed += result.passed;
  if (result.failed > 0) failures.push(`${result.failed} of ${command}`);
}
