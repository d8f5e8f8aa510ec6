import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { loadAddon } from '../../src/native/load.js';

const WORKERS = 6;
const ROUNDS = 5;
const SHARD_BYTES = 256 * 1024;
const entry = new URL('addon-worker.js', import.meta.url);

test('several workers load the addon at once, work, and end or are ended in the middle of it; those that are left work on', async (t) => {
  const random = seededRandom(6);
  for (let round = 0; round < ROUNDS; round++) {
    const state = new Int32Array(new SharedArrayBuffer(4));
    const started = Array.from({ length: WORKERS }, (_, i) => {
      const memory = new Uint8Array(new SharedArrayBuffer(5 * SHARD_BYTES));
      random.fill(memory.subarray(0, 3 * SHARD_BYTES));
      const worker = new Worker(entry, { workerData: { memory, state, shardBytes: SHARD_BYTES } });
      return { memory, worker, terminated: i % 2 === 0, atWork: once(worker, 'message'), exit: once(worker, 'exit') };
    });
    await Promise.all(started.map(({ atWork }) => atWork));
    // Terminated while their native calls run: they would go on for ever.
    const ended = started.filter(({ terminated }) => terminated);
    await Promise.all(ended.map(({ worker }) => worker.terminate()));
    const left = started.filter(({ terminated }) => !terminated).map((one) => ({ ...one, checksum: once(one.worker, 'message') }));
    Atomics.store(state, 0, 1);
    for (const { memory, checksum, exit } of left) {
      const [found] = (await checksum) as [number];
      t.is((await exit)[0], 0);
      const expected = memory.slice();
      const addon = loadAddon();
      expected.fill(0, 3 * SHARD_BYTES);
      const offsets = Float64Array.from({ length: 5 }, (_, shard) => shard * SHARD_BYTES);
      addon.gfApply(addon.gfPrepare(new Uint8Array([1, 1, 1, 1, 2, 3]), 2, 3, 'scalar'), expected, offsets, 1, SHARD_BYTES, false, false);
      t.is(found, addon.crc32c(expected, 3 * SHARD_BYTES, 2 * SHARD_BYTES, 0));
    }
  }
  t.is(loadAddon().selfTest(), '');
});
