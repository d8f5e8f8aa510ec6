import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { loadAddon } from '../../src/native/load.js';

const allowed = (): string => /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/thread-self/status', 'utf8'))?.[1] ?? '';

test('a thread that is placed runs where it was put, and may still run everywhere it could', (t) => {
  const addon = loadAddon();
  const before = allowed();
  const seen = new Set<number>();
  for (let slot = 0; slot < 64; slot++) seen.add(addon.placeThread(slot));
  t.true([...seen].every((processor) => Number.isInteger(processor) && processor >= 0));
  t.is(allowed(), before);
  // Neighbouring slots are different processors as long as there are any.
  if (/[,-]/.test(before)) t.true(seen.size > 1);
  for (const wrong of [-1, 0.5, 'one', undefined]) t.throws(() => addon.placeThread(wrong as number));
});

test('only the calling thread is placed', async (t) => {
  const addon = loadAddon();
  const before = allowed();
  const child = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     import(workerData).then(({ loadAddon }) => { for (let i = 0; i < 100; i++) loadAddon().placeThread(i); parentPort.postMessage('done'); });`,
    { eval: true, workerData: new URL('../../src/native/load.js', import.meta.url).href },
  );
  await new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('error', reject);
  });
  await child.terminate();
  t.is(allowed(), before);
  t.true(addon.placeThread(0) >= 0);
});
