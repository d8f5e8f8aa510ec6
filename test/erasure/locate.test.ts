import test from 'ava';
import { type Random, seededRandom } from '../../src/base/random.js';
import { ErasureCodec, LOCATED_NOTHING, LOCATED_SEVERAL } from '../../src/erasure/index.js';

const seed = Number(process.env.KEELSON_SEED ?? Date.now() % 1_000_000);

function encoded(codec: ErasureCodec, random: Random, groups: number, length: number): { memory: Uint8Array; offsets: Float64Array } {
  const memory = new Uint8Array(groups * codec.n * length);
  random.fill(memory);
  const offsets = Float64Array.from({ length: groups * codec.n }, (_, i) => i * length);
  codec.encodeGroups(memory, offsets, groups, length);
  return { memory, offsets };
}

/** Adds an error that is not zero to one byte. */
function spoil(memory: Uint8Array, at: number, error: number): void {
  memory[at] = (memory[at] as number) ^ error;
}

test('verify names each parity that disagrees, and its first wrong byte, in every group', (t) => {
  const random = seededRandom(7);
  const codec = new ErasureCodec({ k: 4, m: 3 });
  // Longer than the pieces in which products are checked.
  const [groups, length] = [3, 30_001];
  const { memory, offsets } = encoded(codec, random, groups, length);
  t.deepEqual(codec.verifyGroups(memory, offsets, groups, length), { wrongGroups: 0, firstWrong: new Float64Array(9).fill(-1) });
  const first = (group: number, shard: number): number => offsets[group * 7 + shard] as number;
  spoil(memory, first(1, 2) + 29_000, 0x80);
  spoil(memory, first(1, 5) + 30_000, 1);
  spoil(memory, first(1, 5) + 12, 1);
  spoil(memory, first(2, 4) + 30_000, 1);
  const found = codec.verifyGroups(memory, offsets, groups, length);
  t.is(found.wrongGroups, 2);
  t.deepEqual([...found.firstWrong], [-1, -1, -1, 29_000, 12, 29_000, 30_000, -1, -1]);
  t.true(codec.verify(memory, offsets, length));
  t.false(codec.verify(memory, offsets.subarray(14), length));
});

test('verify sees any one wrong bit of any shard', (t) => {
  const random = seededRandom(8);
  for (const [k, m] of [
    [4, 1],
    [4, 2],
    [9, 4],
    [40, 12],
  ] as const) {
    const codec = new ErasureCodec({ k, m });
    const length = 77;
    const { memory, offsets } = encoded(codec, random, 1, length);
    for (let shard = 0; shard < k + m; shard++) {
      const [at, bit] = [shard * length + random.below(length), 1 << random.below(8)];
      spoil(memory, at, bit);
      if (codec.verify(memory, offsets, length)) return t.fail(`${k}+${m} byte ${at}`);
      spoil(memory, at, bit);
    }
    t.true(codec.verify(memory, offsets, length));
  }
  return t.pass();
});

test('every error of one shard in one column is located: all shards, all 255 errors, every shape with m >= 2 up to n = 9', (t) => {
  for (let n = 3; n <= 9; n++) {
    for (let m = 2; m < n; m++) {
      const codec = new ErasureCodec({ k: n - m, m });
      // One group for each shard and error, of one column.
      const groups = n * 255;
      const { memory, offsets } = encoded(codec, seededRandom(n), groups, 1);
      t.true(codec.locateGroups(memory, offsets, groups, 1).every((shard) => shard === LOCATED_NOTHING));
      for (let group = 0; group < groups; group++) spoil(memory, group * n + Math.floor(group / 255), 1 + (group % 255));
      const located = codec.locateGroups(memory, offsets, groups, 1);
      const wrong = located.findIndex((shard, group) => shard !== Math.floor(group / 255));
      if (wrong >= 0)
        return t.fail(`${n - m}+${m}: error ${1 + (wrong % 255)} of shard ${Math.floor(wrong / 255)} said to be in ${located[wrong]}`);
    }
  }
  return t.pass();
});

test('with m >= 3, errors of two shards in one column are never taken for one: all pairs of shards, all pairs of a third of the errors', (t) => {
  for (const [k, m] of [
    [1, 3],
    [3, 3],
    [4, 4],
  ] as const) {
    const codec = new ErasureCodec({ k, m });
    const n = k + m;
    const groups = 85 * 85;
    const { memory, offsets } = encoded(codec, seededRandom(k), groups, 1);
    for (let a = 0; a < n; a++) {
      for (let b = a + 1; b < n; b++) {
        const change = (): void => {
          for (let group = 0; group < groups; group++) {
            spoil(memory, group * n + a, 1 + 3 * (group % 85));
            spoil(memory, group * n + b, 1 + 3 * Math.floor(group / 85));
          }
        };
        change();
        if (codec.locateGroups(memory, offsets, groups, 1).some((shard) => shard !== LOCATED_SEVERAL))
          return t.fail(`${k}+${m}: ${a}, ${b}`);
        change();
      }
    }
  }
  return t.pass();
});

test(`random shapes: errors of one shard are located, those of more, up to m - 1 in a column, never are (KEELSON_SEED=${seed})`, (t) => {
  const random = seededRandom(seed);
  for (let round = 0; round < 300; round++) {
    const m = 2 + random.below(7);
    const k = 1 + random.below(round % 10 === 0 ? 255 - m : 30);
    const codec = new ErasureCodec({ k, m });
    const length = 1 + random.below(300);
    const { memory, offsets } = encoded(codec, random, 1, length);
    const alone = random.below(2) === 0 ? random.below(k + m) : -1;
    const wrong = new Set<number>();
    for (let column = 0; column < length; column++) {
      if (column > 0 && random.below(3) > 0) continue;
      const shards = new Set(Array.from({ length: 1 + random.below(m - 1) }, () => (alone >= 0 ? alone : random.below(k + m))));
      for (const shard of shards) {
        spoil(memory, shard * length + column, 1 + random.below(255));
        wrong.add(shard);
      }
    }
    const expected = wrong.size === 1 ? ([...wrong][0] as number) : LOCATED_SEVERAL;
    const located = codec.locate(memory, offsets, length);
    if (located !== expected) return t.fail(`round ${round}: ${k}+${m}, ${located} instead of ${expected}; wrong: ${[...wrong].join()}`);
  }
  return t.pass();
});

test('two shards wrong in different columns are several, however far apart the columns are', (t) => {
  const codec = new ErasureCodec({ k: 8, m: 2 });
  const length = 20_000;
  const { memory, offsets } = encoded(codec, seededRandom(9), 1, length);
  spoil(memory, 3 * length, 5);
  t.is(codec.locate(memory, offsets, length), 3);
  spoil(memory, 6 * length + 19_999, 5);
  t.is(codec.locate(memory, offsets, length), LOCATED_SEVERAL);
  spoil(memory, 3 * length, 5);
  t.is(codec.locate(memory, offsets, length), 6);
});

test('with one parity nothing can be located, and that is said', (t) => {
  const codec = new ErasureCodec({ k: 3, m: 1 });
  t.throws(() => codec.locate(new Uint8Array(4), new Float64Array([0, 1, 2, 3]), 1), { code: 'ERASURE_SHAPE' });
});
