import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BufferCodec } from '../../src/erasure/index.js';

const random = seededRandom(31);

function shards(n: number, length: number): Buffer[] {
  return Array.from({ length: n }, () => {
    const buffer = Buffer.alloc(length);
    random.fill(buffer);
    return buffer;
  });
}

test('Buffers that were encoded verify, and do not when one bit is flipped', (t) => {
  const codec = new BufferCodec({ k: 4, m: 2 });
  // Longer than one piece of the verification.
  const set = shards(6, 150_000);
  t.false(codec.verify(set));
  codec.encode(set);
  t.true(codec.verify(set));
  for (const [i, at] of [
    [0, 0],
    [3, 65_536],
    [5, 149_999],
  ] as const) {
    const shard = set[i] as Buffer;
    shard[at] = (shard[at] as number) ^ 4;
    t.false(codec.verify(set));
    shard[at] = (shard[at] as number) ^ 4;
  }
});

test('missing Buffers come back, the given ones are returned as they are', (t) => {
  const codec = new BufferCodec({ k: 5, m: 3 });
  const set = shards(8, 1001);
  codec.encode(set);
  const result = codec.reconstruct(set.map((shard, i) => ([1, 4, 6].includes(i) ? null : shard)));
  for (const [i, shard] of result.entries()) t.true(Buffer.from(shard).equals(set[i] as Buffer), `shard ${i}`);
  t.is(result[0], set[0]);
  t.deepEqual(codec.reconstruct(set), set);
  t.throws(() => codec.reconstruct(set.map((shard, i) => (i < 4 ? null : shard))), { code: 'ERASURE_TOO_FEW' });
});

test('an update of some shards, or of more than one call takes, gives what encoding again gives', (t) => {
  for (const [k, changed] of [
    [5, [3, 1]],
    [200, Array.from({ length: 200 }, (_, i) => i)],
  ] as const) {
    const codec = new BufferCodec({ k, m: 2 });
    const set = shards(k + 2, 100);
    codec.encode(set);
    const fresh = shards(changed.length, 100);
    codec.update(
      changed.map((shard, i) => ({ shard, before: set[shard] as Buffer, after: fresh[i] as Buffer })),
      set.slice(k),
    );
    changed.forEach((shard, i) => {
      set[shard] = fresh[i] as Buffer;
    });
    t.true(codec.verify(set), `k = ${k}`);
  }
});

test('shards of wrong number or length are refused', (t) => {
  const codec = new BufferCodec({ k: 2, m: 1 });
  const argument = { code: 'ERASURE_ARGUMENT' };
  t.throws(() => codec.encode(shards(2, 10)), argument);
  t.throws(() => codec.encode([...shards(2, 10), ...shards(1, 11)]), argument);
  t.throws(() => codec.reconstruct([null, ...shards(1, 10)]), argument);
  t.throws(() => codec.update([{ shard: 2, before: Buffer.alloc(1), after: Buffer.alloc(1) }], shards(1, 1)), argument);
  t.throws(() => codec.update([{ shard: 0, before: Buffer.alloc(1), after: Buffer.alloc(2) }], shards(1, 1)), argument);
});
