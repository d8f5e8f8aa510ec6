import test, { type ExecutionContext } from 'ava';
import { type Random, seededRandom } from '../../src/base/random.js';
import { ErasureCodec } from '../../src/erasure/index.js';
import { multiply } from '../../src/erasure/field.js';

const CANARY = 0x5a;

/** A memory of `groups` x n shards of `length` bytes, each at a random unaligned place of its own slot; random data, parity as given by the codec. */
function layOut(random: Random, n: number, groups: number, length: number): { memory: Uint8Array; offsets: Float64Array } {
  const span = length + 40;
  const memory = new Uint8Array(new SharedArrayBuffer(span * n * groups)).fill(CANARY);
  const offsets = Float64Array.from({ length: n * groups }, (_, i) => i * span + random.below(40));
  for (const offset of offsets) random.fill(memory.subarray(offset, offset + length));
  return { memory, offsets };
}

function shard(memory: Uint8Array, offsets: Float64Array, index: number, length: number): Uint8Array {
  const offset = offsets[index] as number;
  return memory.subarray(offset, offset + length);
}

/** Subset numbers: bit i set = shard i lost. */
function lossPatterns(n: number, m: number): number[] {
  return Array.from({ length: 1 << n }, (_, pattern) => pattern).filter((pattern) => pattern !== 0 && bits(pattern, n).length <= m);
}

function bits(pattern: number, n: number): number[] {
  return Array.from({ length: n }, (_, i) => i).filter((i) => (pattern >> i) & 1);
}

test('parity is the matrix times the data, byte by byte', (t) => {
  const random = seededRandom(1);
  const codec = new ErasureCodec({ k: 5, m: 3 });
  const { memory, offsets } = layOut(random, 8, 2, 133);
  codec.encodeGroups(memory, offsets, 2, 133);
  for (let group = 0; group < 2; group++) {
    for (let row = 0; row < 3; row++) {
      for (let i = 0; i < 133; i++) {
        let expected = 0;
        for (let c = 0; c < 5; c++)
          expected ^= multiply(codec.matrix.values[row * 5 + c] as number, shard(memory, offsets, group * 8 + c, 133)[i] as number);
        if (shard(memory, offsets, group * 8 + 5 + row, 133)[i] !== expected) return t.fail(`group ${group} row ${row} byte ${i}`);
      }
    }
  }
  return t.pass();
});

function everyLoss(t: ExecutionContext, k: number, m: number, random: Random): void {
  const n = k + m;
  const length = 50 + random.below(60);
  const codec = new ErasureCodec({ k, m });
  const { memory, offsets } = layOut(random, n, 1, length);
  codec.encodeGroups(memory, offsets, 1, length);
  const whole = memory.slice();
  for (const pattern of lossPatterns(n, m)) {
    const lost = bits(pattern, n);
    for (const i of lost) shard(memory, offsets, i, length).fill(0xee);
    const present = Uint8Array.from({ length: n }, (_, i) => ((pattern >> i) & 1) ^ 1);
    codec.reconstruct(memory, offsets, length, present, lost);
    if (!Buffer.from(memory).equals(whole)) t.fail(`${k}+${m} lost ${lost.join()}`);
    memory.set(whole);
  }
}

test('every loss of up to m shards is reconstructed, bytes around them untouched: every shape up to n = 8, and 8+3', (t) => {
  const random = seededRandom(2);
  for (let n = 2; n <= 8; n++) for (let k = 1; k < n; k++) everyLoss(t, k, n - k, random);
  everyLoss(t, 8, 3, random);
  t.pass();
});

test('only the wanted ones of several lost shards are written', (t) => {
  const random = seededRandom(3);
  const codec = new ErasureCodec({ k: 4, m: 3 });
  const { memory, offsets } = layOut(random, 7, 1, 100);
  codec.encodeGroups(memory, offsets, 1, 100);
  const whole = memory.slice();
  for (const i of [1, 2, 5]) shard(memory, offsets, i, 100).fill(0xee);
  codec.reconstruct(memory, offsets, 100, new Uint8Array([1, 0, 0, 1, 1, 0, 1]), [5, 1]);
  t.deepEqual(shard(memory, offsets, 1, 100), shard(whole, offsets, 1, 100));
  t.deepEqual(shard(memory, offsets, 5, 100), shard(whole, offsets, 5, 100));
  t.true(shard(memory, offsets, 2, 100).every((byte) => byte === 0xee));
});

test('a random large shape survives a random loss of m shards in many groups at once', (t) => {
  const seed = 99;
  const random = seededRandom(seed);
  for (let round = 0; round < 20; round++) {
    // Every m from 1 to 8 with as many data shards as there can be, then other shapes.
    const m = round < 8 ? 1 + round : 1 + random.below(20);
    const k = round < 8 ? 255 - m : 1 + random.below(60);
    const n = k + m;
    const codec = new ErasureCodec({ k, m });
    const { memory, offsets } = layOut(random, n, 3, 70);
    codec.encodeGroups(memory, offsets, 3, 70);
    const whole = memory.slice();
    const present = new Uint8Array(n).fill(1);
    const lost: number[] = [];
    while (lost.length < m) {
      const i = random.below(n);
      if (present[i] === 0) continue;
      present[i] = 0;
      lost.push(i);
    }
    for (let group = 0; group < 3; group++) for (const i of lost) shard(memory, offsets, group * n + i, 70).fill(1);
    codec.reconstructGroups(memory, offsets, 3, 70, present, lost);
    if (!Buffer.from(memory).equals(whole)) return t.fail(`seed ${seed} round ${round}: ${k}+${m} lost ${lost.join()}`);
  }
  return t.pass();
});

test('updating parity by deltas gives what encoding again gives, for one, several and all data shards', (t) => {
  const random = seededRandom(6);
  const [k, m, n, groups, length] = [6, 3, 9, 2, 90];
  const codec = new ErasureCodec({ k, m });
  for (const changed of [[0], [5], [2, 0], [5, 1, 3], [0, 1, 2, 3, 4, 5]]) {
    const { memory, offsets } = layOut(random, n + 2 * k, groups, length);
    const stride = n + 2 * k;
    const shards = Float64Array.from({ length: groups * n }, (_, i) => offsets[Math.floor(i / n) * stride + (i % n)] as number);
    codec.encodeGroups(memory, shards, groups, length);
    const deltas: number[] = [];
    const update: number[] = [];
    for (let group = 0; group < groups; group++) {
      const at = (i: number): number => offsets[group * stride + i] as number;
      changed.forEach((c, i) => {
        deltas.push(at(c), at(n + i), at(n + k + i));
        update.push(at(n + k + i));
      });
      for (let row = 0; row < m; row++) update.push(at(k + row));
    }
    codec.deltaGroups(memory, new Float64Array(deltas), groups * changed.length, length);
    codec.updateGroups(memory, changed, new Float64Array(update), groups, length);
    for (let group = 0; group < groups; group++) {
      for (const [i, c] of changed.entries()) {
        const fresh = offsets[group * stride + n + i] as number;
        memory.copyWithin(shards[group * n + c] as number, fresh, fresh + length);
      }
    }
    const updated = memory.slice();
    codec.encodeGroups(memory, shards, groups, length);
    t.true(Buffer.from(memory).equals(updated), `changed ${changed.join()}`);
  }
});

test('more loss patterns than are cached still decode rightly', (t) => {
  const random = seededRandom(8);
  const codec = new ErasureCodec({ k: 10, m: 4 });
  const { memory, offsets } = layOut(random, 14, 1, 16);
  codec.encodeGroups(memory, offsets, 1, 16);
  const whole = memory.slice();
  for (let round = 0; round < 2; round++) {
    for (let a = 0; a < 14; a++) {
      for (let b = 0; b < 14; b++) {
        for (let c = 0; c < 14; c++) {
          if (a === b || b === c || a === c) continue;
          const lost = [a, b, c];
          const present = Uint8Array.from({ length: 14 }, (_, i) => (lost.includes(i) ? 0 : 1));
          for (const i of lost) shard(memory, offsets, i, 16).fill(3);
          codec.reconstruct(memory, offsets, 16, present, lost);
          if (!Buffer.from(memory).equals(whole)) return t.fail(lost.join());
        }
      }
    }
  }
  return t.pass();
});

test('sourcesFor names the k shards that are read: data first, then the lowest parities', (t) => {
  const codec = new ErasureCodec({ k: 4, m: 3 });
  t.deepEqual([...codec.sourcesFor(new Uint8Array([1, 0, 1, 1, 1, 1, 1]), [1])], [0, 2, 3, 4]);
  t.deepEqual([...codec.sourcesFor(new Uint8Array([0, 0, 1, 1, 0, 1, 1]), [0])], [2, 3, 5, 6]);
});
