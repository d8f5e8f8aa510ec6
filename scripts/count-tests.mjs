// Runs AVA, shows what it prints, and counts test by test for the closing line `N passed, N failed`.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from './set-up.mjs';

/** A source path names its compiled test: test/config/x.test.ts -> dist/test/config/x.test.js. */
function compiled(argument) {
  return /^(\.\/)?test\/.*\.ts$/.test(argument) ? join(process.env.KEELSON_OUT ?? 'dist', argument.replace(/\.ts$/, '.js')) : argument;
}

/**
 * Counts come from the lines of the tests, not from AVA's closing lines: a crash loses those. Every cross counts as a failure, so a file that crashes, times out
 * or holds no test does too. (AVA's TAP reporter would be easier to read, but throws at a timeout.) Skipped and todo tests count as neither.
 * Zero tests is a failure: it means that nothing was checked.
 */
export async function runAva(args, env = {}) {
  const ava = join(root, 'node_modules', 'ava', 'entrypoints', 'cli.mjs');
  const child = spawn(process.execPath, [ava, ...args.map(compiled)], {
    cwd: root,
    env: { ...process.env, FORCE_COLOR: '0', TERM: 'dumb', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const forward = (signal) => child.kill(signal);
  process.on('SIGINT', forward).on('SIGTERM', forward);
  const ended = new Promise((resolve) => {
    child.on('close', (code) => resolve(code ?? 1));
  });
  let passed = 0;
  let failed = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    process.stdout.write(`${line}\n`);
    if (/^ {2}[✔√] /.test(line)) passed++;
    else if (/^ {2}[✘×✖] /.test(line)) failed++;
  }
  const status = await ended;
  if (status !== 0 && failed === 0) {
    process.stdout.write(`the test runner ended with status ${status} although no test failed\n`);
    failed = 1;
  }
  if (passed + failed === 0) {
    process.stdout.write('no test was found\n');
    failed = 1;
  }
  return { passed, failed };
}

/** Prints the closing line and ends the process. */
export function conclude({ passed, failed }) {
  process.stdout.write(`${passed} passed, ${failed} failed\n`, () => process.exit(failed === 0 ? 0 : 1));
}
