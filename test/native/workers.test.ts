import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { loadAddon } from '../../src/native/load.js';

const WORKERS = 6;
const ROUNDS = 5;
const SHARD_BYTES = 256 * 1024;
const LOADERS = 40;
const entry = new URL('addon-worker.js', import.meta.url);

interface Work {
  readonly memory: Uint8Array;
  readonly state: Int32Array;
}

function work(): Work {
  const memory = new Uint8Array(new SharedArrayBuffer(5 * SHARD_BYTES));
  seededRandom(6).fill(memory.subarray(0, 3 * SHARD_BYTES));
  return { memory, state: new Int32Array(new SharedArrayBuffer(4)) };
}

function start({ memory, state }: Work): Worker {
  return new Worker(entry, { workerData: { memory, state, shardBytes: SHARD_BYTES } });
}

/** The first message of this kind. */
function told(worker: Worker, accept: (message: unknown) => boolean): Promise<unknown> {
  return new Promise((resolve) => {
    worker.on('message', (message) => {
      if (accept(message)) resolve(message);
    });
  });
}

/** What the worker gives when it is let to its end. */
function checksumOf(memory: Uint8Array): number {
  const addon = loadAddon();
  const expected = memory.slice();
  expected.fill(0, 3 * SHARD_BYTES);
  const offsets = Float64Array.from({ length: 5 }, (_, shard) => shard * SHARD_BYTES);
  addon.gfApply(addon.gfPrepare(new Uint8Array([1, 1, 1, 1, 2, 3]), 2, 3, 'scalar'), expected, offsets, 1, SHARD_BYTES, false, false);
  return addon.crc32c(expected, 3 * SHARD_BYTES, 2 * SHARD_BYTES, 0);
}

test('several workers load the addon at once, work, and end or are ended in the middle of it; those that are left work on', async (t) => {
  for (let round = 0; round < ROUNDS; round++) {
    const given = work();
    const workers = Array.from({ length: WORKERS }, () => start(given));
    const checksums = workers.map((worker) => told(worker, (message) => typeof message === 'object'));
    const exits = workers.map((worker) => once(worker, 'exit'));
    await Promise.all(workers.map((worker) => told(worker, (message) => message === 'at work')));
    // Every other one, while its native calls run: it would go on for ever.
    await Promise.all(workers.filter((_, i) => i % 2 === 0).map((worker) => worker.terminate()));
    Atomics.store(given.state, 0, 1);
    for (let i = 1; i < WORKERS; i += 2) {
      t.deepEqual(await checksums[i], { checksum: checksumOf(given.memory) });
      t.is((await (exits[i] as Promise<number[]>))[0], 0);
    }
  }
  t.is(loadAddon().selfTest(), '');
});

test('a worker may be terminated while it loads the addon: that does not end the process', async (t) => {
  const given = work();
  for (let i = 0; i < LOADERS; i++) {
    const worker = start(given);
    await told(worker, (message) => message === 'loading');
    // Each a little later within the loading.
    for (let turn = 0; turn < i % 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    await worker.terminate();
  }
  t.is(loadAddon().selfTest(), '');
});
