import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BufferCodec, LOCATED_NOTHING, LOCATED_SEVERAL } from '../../src/erasure/index.js';

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

test('the parities that disagree are named, and the one corrupt Buffer is located', (t) => {
  const codec = new BufferCodec({ k: 5, m: 3 });
  const set = shards(8, 150_000);
  codec.encode(set);
  t.deepEqual(codec.disagreeing(set), []);
  t.is(codec.locate(set), LOCATED_NOTHING);
  const flip = (shard: number, at: number): void => {
    const bytes = set[shard] as Buffer;
    bytes[at] = (bytes[at] as number) ^ 0x10;
  };
  flip(6, 149_999);
  t.deepEqual(codec.disagreeing(set), [1]);
  t.is(codec.locate(set), 6);
  flip(6, 149_999);
  flip(3, 70_000);
  flip(3, 5);
  t.deepEqual(codec.disagreeing(set), [0, 1, 2]);
  t.is(codec.locate(set), 3);
  flip(2, 140_000);
  t.is(codec.locate(set), LOCATED_SEVERAL);
  t.throws(() => new BufferCodec({ k: 5, m: 1 }).locate(set.slice(0, 6)), { code: 'ERASURE_SHAPE' });
});

test('only the wanted ones of several missing Buffers are made', (t) => {
  const codec = new BufferCodec({ k: 4, m: 3 });
  const set = shards(7, 501);
  codec.encode(set);
  const [parity, data] = codec.reconstructOnly(
    set.map((shard, i) => ([0, 2, 5].includes(i) ? null : shard)),
    [5, 0],
  );
  t.true(Buffer.from(parity as Uint8Array).equals(set[5] as Buffer));
  t.true(Buffer.from(data as Uint8Array).equals(set[0] as Buffer));
});
