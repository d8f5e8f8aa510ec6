import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { RING_READ, RING_SYNC, RING_WRITE } from '../../src/native/addon-api.js';
import { loadAddon } from '../../src/native/load.js';
import { alignedMemory, makeFile, type Op, openDirect, operations, scratchFolder } from './ring-fixture.js';

const addon = loadAddon();
const ringTest = addon.ringAvailable() === '' ? test : test.skip;
const folder = scratchFolder();
const child = fileURLToPath(new URL('ring-child.js', import.meta.url));
test.after.always(() => folder.remove());

ringTest('completions come in batches, never before submit returns, each tag once, with its result', async (t) => {
  const memory = alignedMemory(1 << 20);
  const fd = openDirect(makeFile(join(folder.path, 'async'), 1 << 20));
  const ring = new addon.Ring(memory, 32);
  seededRandom(5).fill(memory.subarray(0, 1 << 19));
  const seen = new Map<number, number>();
  const completions = new Int32Array(2 * 16);
  let submitting = true;
  let expected = 0;
  let wake: () => void = () => undefined;
  ring.listen(completions, (pairs) => {
    t.false(submitting, 'no callback inside submit');
    t.true(pairs >= 1 && pairs <= 16);
    for (let i = 0; i < pairs; i++) {
      const tag = completions[2 * i] as number;
      t.false(seen.has(tag));
      seen.set(tag, completions[2 * i + 1] as number);
    }
    if (seen.size === expected) wake();
  });
  const runAll = async (ops: Op[]): Promise<void> => {
    seen.clear();
    expected = ops.length;
    const done = new Promise<void>((resolve) => {
      wake = resolve;
    });
    submitting = true;
    const packed = operations(ops);
    ring.submit(packed, 0, 1);
    ring.submit(packed, 1, ops.length - 1);
    submitting = false;
    await done;
  };
  await runAll(Array.from({ length: 128 }, (_, i): Op => [RING_WRITE, fd, i * 4096, i * 4096, 4096, i]));
  t.true([...seen.values()].every((result) => result === 4096));
  await runAll([
    [RING_SYNC, fd, 0, 0, 0, 1],
    [RING_READ, -1, 0, 0, 4096, -7],
    [RING_READ, fd, 0, 1 << 20, 4096, 3],
  ]);
  t.is(seen.get(1), 0);
  t.is(seen.get(-7), -9);
  t.is(seen.get(3), -5);
  await runAll(Array.from({ length: 128 }, (_, i): Op => [RING_READ, fd, (1 << 19) + i * 4096, i * 4096, 4096, i]));
  t.true(memory.subarray(1 << 19).equals(memory.subarray(0, 1 << 19)));
  ring.close();
  addon.closeDevice(fd);
});

ringTest('microtasks run after each batch, and a callback may submit and close', async (t) => {
  const memory = alignedMemory(8192);
  const fd = openDirect(makeFile(join(folder.path, 'nested'), 8192, 2));
  const ring = new addon.Ring(memory, 4);
  const ops = operations([[RING_READ, fd, 0, 0, 4096, 0]]);
  let rounds = 0;
  let microtasks = 0;
  await new Promise<void>((resolve) => {
    ring.listen(new Int32Array(2), () => {
      if (microtasks !== rounds) t.fail('the microtask of the batch before has not run');
      rounds++;
      void Promise.resolve().then(() => microtasks++);
      if (rounds < 100) return ring.submit(ops, 0, 1);
      ring.close();
      return resolve();
    });
    ring.submit(ops, 0, 1);
  });
  t.is(rounds, 100);
  t.throws(() => ring.submit(ops, 0, 1), { code: 'EBADF' });
  addon.closeDevice(fd);
});

ringTest('close finishes and reports what was accepted', (t) => {
  const memory = alignedMemory(1 << 18);
  const fd = openDirect(makeFile(join(folder.path, 'closing'), 1 << 18));
  const ring = new addon.Ring(memory, 4);
  let reported = 0;
  ring.listen(new Int32Array(8), (pairs) => {
    reported += pairs;
  });
  ring.submit(operations(Array.from({ length: 60 }, (_, i): Op => [RING_WRITE, fd, i * 4096, i * 4096, 4096, i])), 0, 60);
  ring.close();
  t.is(reported, 60);
  addon.closeDevice(fd);
});

ringTest('a second listen, run on a listening ring and a callback that is none are refused', (t) => {
  const ring = new addon.Ring(alignedMemory(4096), 4);
  t.throws(() => ring.listen(new Int32Array(1), () => undefined), { instanceOf: RangeError });
  t.throws(() => ring.listen(new Int32Array(2), 1 as unknown as () => void), { instanceOf: TypeError });
  ring.listen(new Int32Array(2), () => undefined);
  t.throws(() => ring.listen(new Int32Array(2), () => undefined), { message: /already/ });
  t.throws(() => ring.run(new Float64Array(6), 0, new Int32Array(1)), { message: /listen/ });
  ring.close();
});

ringTest('a worker can be terminated with operations in flight, again and again', async (t) => {
  const path = makeFile(join(folder.path, 'terminated'), 1 << 20);
  for (let i = 0; i < 12; i++) {
    const worker = new Worker(child, { argv: ['busy', path] });
    await once(worker, 'message');
    t.is(await worker.terminate(), 1);
  }
});

ringTest('a worker with an idle listening ring ends by itself', async (t) => {
  const worker = new Worker(child, { argv: ['idle', makeFile(join(folder.path, 'idle'), 4096)] });
  const [code] = (await once(worker, 'exit')) as [number];
  t.is(code, 0);
});

for (const [mode, status] of [
  ['idle', 0],
  ['exit', 3],
  ['throw', 7],
  ['taken', 9],
] as const) {
  ringTest(`a process ends as it should: ${mode}`, (t) => {
    const path = makeFile(join(folder.path, `process-${mode}`), 1 << 20);
    const result = spawnSync(process.execPath, [child, mode, path], { encoding: 'utf8', timeout: 60_000 });
    t.is(result.signal, null);
    t.is(result.status, status, result.stderr);
  });
}
