import test from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { ErasureCodec } from '../../src/erasure/index.js';
import { allGroups, onSharedMemory, shareOf, workOn } from '../../src/erasure/pool-share.js';
import type { PoolTask } from '../../src/erasure/pool-task.js';

const [k, m, n, groups, length] = [4, 2, 6, 61, 32_768] as const;
const THREADS = 3;
const codec = new ErasureCodec({ k, m });

function call(operation: PoolTask['operation']): { memory: Uint8Array; task: PoolTask } {
  const memory = new Uint8Array(new SharedArrayBuffer(groups * n * length));
  seededRandom(31).fill(memory);
  const offsets = Float64Array.from({ length: groups * n }, (_, i) => i * length);
  return { memory, task: { operation, offsets, groups, length, shards: [], present: new Uint8Array(0), nonTemporal: false } };
}

test('a thread whose fellows never come does the whole call, and those that come later find nothing left', (t) => {
  const { memory, task } = call('encode');
  const expected = memory.slice();
  codec.encodeGroups(expected, task.offsets, groups, length);
  const share = shareOf(codec, onSharedMemory(codec, task), THREADS);
  t.is(workOn(codec, memory, share, 1), groups);
  t.true(Buffer.from(expected).equals(memory));
  memory.fill(0);
  for (const part of [0, 1, 2]) t.is(workOn(codec, memory, share, part), 0);
  t.true(memory.every((byte) => byte === 0));
});

test('every group is done by one thread, whatever others have taken, and what was found lies where the call looks for it', (t) => {
  for (const operation of ['verify', 'locate'] as const) {
    const { memory, task } = call(operation);
    codec.encodeGroups(memory, task.offsets, groups, length);
    for (const group of [0, 19, 20, 40, 41, 60])
      memory[(group * n + (group % n)) * length + group] = ~(memory[(group * n + (group % n)) * length + group] ?? 0);
    const share = shareOf(codec, onSharedMemory(codec, task), THREADS);
    t.true(share.portionGroups < groups / THREADS, 'several portions a part');
    // The first portion of each part is done by somebody else, in another call of the same work.
    const taken = share.taken.slice();
    share.taken.fill(1);
    const most = workOn(codec, memory, share, 2);
    share.taken.set(taken);
    t.is(most, groups - THREADS * share.portionGroups);
    t.is(workOn(codec, memory, share, 0), groups);
    const found =
      operation === 'verify'
        ? codec.verifyGroups(memory, task.offsets, groups, length).firstWrong
        : codec.locateGroups(memory, task.offsets, groups, length);
    t.deepEqual([...(share.results ?? [])], [...found]);
  }
});

test('a call is done when its groups are, without those that still wait; a failure waits for all', async (t) => {
  const never = new Promise<number>(() => undefined);
  await t.notThrowsAsync(allGroups([Promise.resolve(3), never, Promise.resolve(4)], 7));
  let ended = false;
  const late = new Promise<number>((resolve) => {
    setImmediate(() => {
      ended = true;
      resolve(3);
    });
  });
  const refused = Promise.reject(new KeelsonError('ERASURE_POOL', 'no', { found: 'x', action: 'y' }));
  await t.throwsAsync(allGroups([refused, late], 7), { code: 'ERASURE_POOL' });
  t.true(ended);
});

test('the offsets of a call are its own: what the caller writes into his afterwards changes nothing', (t) => {
  const { task } = call('encode');
  const own = onSharedMemory(codec, task);
  task.offsets.fill(-1);
  t.is(own.offsets[1], length);
  t.throws(() => onSharedMemory(codec, { ...task, groups: groups + 1 }), { code: 'ERASURE_ARGUMENT' });
  t.throws(() => onSharedMemory(codec, { ...task, offsets: [1, 2] as unknown as Float64Array }), { code: 'ERASURE_ARGUMENT' });
});
