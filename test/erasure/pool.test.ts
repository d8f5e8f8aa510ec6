import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { ErasureCodec, ErasurePool } from '../../src/erasure/index.js';

const [k, m, n, groups, length] = [4, 2, 6, 9, 3001] as const;

function shards(seed: number): { memory: Uint8Array; offsets: Float64Array } {
  const memory = new Uint8Array(new SharedArrayBuffer(groups * n * length + 64), 64);
  seededRandom(seed).fill(memory);
  return { memory, offsets: Float64Array.from({ length: groups * n }, (_, i) => i * length) };
}

for (const [name, inlineBytesMax] of [
  ['on the threads', 0],
  ['inline', Number.POSITIVE_INFINITY],
] as const) {
  test(`work done ${name} gives what the codec gives`, async (t) => {
    const { memory, offsets } = shards(12);
    const pool = new ErasurePool(memory, { k, m, threads: 2, inlineBytesMax });
    t.teardown(() => pool.close());
    const expected = memory.slice();
    const codec = new ErasureCodec({ k, m });

    codec.encodeGroups(expected, offsets, groups, length);
    await pool.encodeGroups(offsets, groups, length);
    t.true(Buffer.from(expected).equals(memory));

    const present = new Uint8Array([1, 0, 1, 1, 0, 1]);
    for (let group = 0; group < groups; group++)
      for (const lost of [1, 4]) memory.fill(0, (group * n + lost) * length, (group * n + lost + 1) * length);
    await pool.reconstructGroups(offsets, groups, length, present, [1, 4]);
    t.true(Buffer.from(expected).equals(memory));

    const update = Float64Array.from({ length: groups * 3 }, (_, i) => (Math.floor(i / 3) * n + (i % 3 === 0 ? 2 : 3 + (i % 3))) * length);
    codec.updateGroups(expected, [2], update, groups, length);
    await pool.updateGroups([2], update, groups, length);
    t.true(Buffer.from(expected).equals(memory));

    await pool.encodeGroups(offsets, groups, length);
    t.is((await pool.verifyGroups(offsets, groups, length)).wrongGroups, 0);
    for (const [group, shard, at] of [
      [1, 2, 7],
      [8, 5, 3000],
      [3, 0, 0],
      [3, 1, 9],
    ] as const) {
      const byte = (group * n + shard) * length + at;
      memory[byte] = (memory[byte] as number) ^ 0x41;
    }
    const found = await pool.verifyGroups(offsets, groups, length);
    t.is(found.wrongGroups, 3);
    t.deepEqual(found, codec.verifyGroups(memory, offsets, groups, length));
    t.deepEqual([...(await pool.locateGroups(offsets, groups, length))], [-1, 2, -1, -2, -1, -1, -1, -1, 5]);
  });
}

test('streamed outputs are those of ordinary stores', async (t) => {
  const { memory, offsets } = shards(14);
  const pool = new ErasurePool(memory, { k, m, threads: 2, inlineBytesMax: 0 });
  t.teardown(() => pool.close());
  const expected = memory.slice();
  new ErasureCodec({ k, m }).encodeGroups(expected, offsets, groups, length);
  await pool.encodeGroups(offsets, groups, length, { nonTemporal: true });
  t.true(Buffer.from(expected).equals(memory));
});

test('a call with one wrong offset is refused whole: no thread has written anything', async (t) => {
  const { memory, offsets } = shards(15);
  const pool = new ErasurePool(memory, { k, m, threads: 2, inlineBytesMax: 0 });
  t.teardown(() => pool.close());
  const before = memory.slice();
  const outside = offsets.slice();
  outside[groups * n - 1] = memory.length - length + 1;
  await t.throwsAsync(pool.encodeGroups(outside, groups, length), { code: 'ERASURE_OUTSIDE' });
  const overlap = offsets.slice();
  overlap[groups * n - 1] = overlap[groups * n - 2] as number;
  await t.throwsAsync(pool.encodeGroups(overlap, groups, length), { code: 'ERASURE_OVERLAP' });
  await t.throwsAsync(pool.updateGroups([k], offsets, groups, length), { code: 'ERASURE_ARGUMENT' });
  await t.throwsAsync(pool.verifyGroups(outside, groups, length), { code: 'ERASURE_OUTSIDE' });
  await t.throwsAsync(pool.reconstructGroups(outside, groups, length, new Uint8Array([1, 1, 1, 1, 1, 0]), [5]), {
    code: 'ERASURE_OUTSIDE',
  });
  t.true(Buffer.from(before).equals(memory));
});

test('an error in a thread keeps its code, and the pool goes on working', async (t) => {
  const { memory, offsets } = shards(13);
  const pool = new ErasurePool(memory, { k, m, threads: 1, inlineBytesMax: 0 });
  t.teardown(() => pool.close());
  const wrong = offsets.slice();
  wrong[groups * n - 1] = memory.length;
  await t.throwsAsync(pool.encodeGroups(wrong, groups, length), { code: 'ERASURE_OUTSIDE' });
  await t.throwsAsync(pool.reconstructGroups(offsets, groups, length, new Uint8Array([1, 0, 0, 0, 1, 1]), [1]), {
    code: 'ERASURE_TOO_FEW',
  });
  await t.throwsAsync(pool.encodeGroups(offsets, groups + 1, length), { code: 'ERASURE_ARGUMENT' });
  await t.notThrowsAsync(pool.encodeGroups(offsets, groups, length));
});

test('a memory that threads cannot share is refused', (t) => {
  t.throws(() => new ErasurePool(new Uint8Array(100), { k, m }), { code: 'ERASURE_ARGUMENT' });
});
