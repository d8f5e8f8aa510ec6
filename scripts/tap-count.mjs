// Runs AVA and reduces its TAP stream to what a person reads, ending with the line `N passed, N failed`.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from './set-up.mjs';

/** A source path names its compiled test: test/config/x.test.ts -> dist/test/config/x.test.js. */
function compiled(argument) {
  return /^(\.\/)?test\/.*\.ts$/.test(argument) ? join('dist', argument.replace(/\.ts$/, '.js')) : argument;
}

/**
 * Counts are taken from the stream itself, test by test, not from AVA's closing lines: a crash loses those. Skipped and todo tests count as neither.
 * Zero tests is a failure: it means that nothing was checked.
 */
export async function runAva(args, env = {}) {
  const ava = join(root, 'node_modules', 'ava', 'entrypoints', 'cli.mjs');
  const child = spawn(process.execPath, [ava, '--tap', ...args.map(compiled)], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const forward = (signal) => child.kill(signal);
  process.on('SIGINT', forward).on('SIGTERM', forward);
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  let details = false;
  for await (const line of createInterface({ input: child.stdout })) {
    const result = /^(not )?ok\b(?: \d+)?(?: - )?(.*)$/.exec(line);
    if (result === null) {
      // Details follow a failure; everything else of the protocol is noise.
      if (details && !/^\d+\.\.\d+$/.test(line)) process.stdout.write(`${line}\n`);
      else if (line.startsWith('# ') && /crash|timed out|exited|uncaught|unhandled/i.test(line)) process.stdout.write(`${line}\n`);
      continue;
    }
    const title = result[2] ?? '';
    details = result[1] !== undefined;
    if (/# (skip|todo)\b/i.test(title)) {
      skipped++;
      details = false;
      process.stdout.write(`skipped  ${title}\n`);
    } else if (details) {
      failed++;
      process.stdout.write(`FAILED   ${title}\n`);
    } else {
      passed++;
      process.stdout.write(`passed   ${title}\n`);
    }
  }
  const status = await new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve(child.exitCode ?? 1);
    else child.on('close', (code) => resolve(code ?? 1));
  });
  if (status !== 0 && failed === 0) {
    process.stdout.write(`FAILED   the test runner ended with status ${status} although no test failed\n`);
    failed = 1;
  }
  if (passed + failed === 0) {
    process.stdout.write('FAILED   no test was found\n');
    failed = 1;
  }
  if (skipped > 0) process.stdout.write(`${skipped} skipped\n`);
  return { passed, failed };
}

/** Prints the closing line and ends the process. */
export function conclude({ passed, failed }) {
  process.stdout.write(`${passed} passed, ${failed} failed\n`, () => process.exit(failed === 0 ? 0 : 1));
}
