import test from 'ava';
import { type Random, seededRandom } from '../../src/base/random.js';
import { divide } from '../../src/erasure/field.js';
import { generatorRows, invert, MATRIX_VERSION, multiplyMatrices, parityMatrix } from '../../src/erasure/matrix.js';

/** Every subset of `size` of the numbers 0 .. n - 1. */
function* subsets(n: number, size: number, first = 0): Generator<number[]> {
  if (size === 0) {
    yield [];
    return;
  }
  for (let i = first; i <= n - size; i++) for (const rest of subsets(n, size - 1, i + 1)) yield [i, ...rest];
}

/** `size` different numbers below n. */
function pick(random: Random, n: number, size: number): number[] {
  const picked = new Set<number>();
  while (picked.size < size) picked.add(random.below(n));
  return [...picked];
}

test('matrix version 1 is what members on disk were written with', (t) => {
  t.is(MATRIX_VERSION, 1);
  const hex = (k: number, m: number): string => Buffer.from(parityMatrix(k, m).values).toString('hex');
  t.is(hex(1, 3), '010101');
  t.is(hex(4, 2), GOLDEN_4_2);
  t.is(hex(8, 3), GOLDEN_8_3);
  t.is(hex(10, 4), GOLDEN_10_4);
});

const GOLDEN_4_2 = '0101010101e7fd02';
const GOLDEN_8_3 = '010101010101010101e7fd02b7abe85e01fdbe2c9627849d';
const GOLDEN_10_4 = '0101010101010101010101e7fd02b7abe85e90bd01fdbe2c9627849dd18801022c58cec92b2e6cae';

test('the first row and the first column are ones for every shape', (t) => {
  for (let n = 2; n <= 255; n += 11) {
    for (let k = 1; k < n; k += 7) {
      const { values } = parityMatrix(k, n - k);
      for (let j = 0; j < k; j++) if (values[j] !== 1) return t.fail(`${k}+${n - k} row 0`);
      for (let i = 0; i < n - k; i++) if (values[i * k] !== 1) return t.fail(`${k}+${n - k} column 0`);
    }
  }
  return t.pass();
});

test('a larger shape contains every smaller one', (t) => {
  const large = parityMatrix(20, 6);
  const small = parityMatrix(7, 3);
  for (let i = 0; i < 3; i++) for (let j = 0; j < 7; j++) t.is(small.values[i * 7 + j], large.values[i * 20 + j]);
});

test('any k of the n shards determine the data: every subset of every shape up to n = 12', (t) => {
  for (let n = 2; n <= 12; n++) {
    for (let k = 1; k < n; k++) {
      const parity = parityMatrix(k, n - k);
      for (const shards of subsets(n, k))
        if (invert(generatorRows(parity, shards)) === undefined) return t.fail(`${k}+${n - k}: ${shards.join()}`);
    }
  }
  return t.pass();
});

test('any k of the n shards determine the data: random subsets of random large shapes', (t) => {
  const seed = 4242;
  const random = seededRandom(seed);
  for (let round = 0; round < 60; round++) {
    const n = 13 + random.below(243);
    const k = 1 + random.below(Math.min(n - 1, 100));
    const shards = Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = random.below(i + 1);
      [shards[i], shards[j]] = [shards[j] as number, shards[i] as number];
    }
    if (invert(generatorRows(parityMatrix(k, n - k), shards.slice(0, k))) === undefined)
      return t.fail(`seed ${seed} round ${round}: ${k}+${n - k}`);
  }
  return t.pass();
});

test('square submatrices are invertible in the largest shapes: all entries and 2 x 2 of 247+8, random ones of every m from 1 to 8', (t) => {
  const [k, m] = [247, 8];
  const { values } = parityMatrix(k, m);
  const at = (row: number, column: number): number => values[row * k + column] as number;
  t.true(values.every((value) => value !== 0));
  for (let a = 0; a < m; a++) {
    for (let b = a + 1; b < m; b++) {
      // Two rows have all their 2 x 2 determinants when no two columns have the same ratio.
      const ratios = new Set(Array.from({ length: k }, (_, column) => divide(at(a, column), at(b, column))));
      if (ratios.size !== k) return t.fail(`rows ${a} and ${b}`);
    }
  }
  const seed = Number(process.env.KEELSON_SEED ?? Date.now() % 1_000_000);
  const random = seededRandom(seed);
  for (let round = 0; round < 20_000; round++) {
    const size = 1 + (round % 8);
    const [rows, columns] = [pick(random, m, size), pick(random, k, size)];
    const square = Uint8Array.from({ length: size * size }, (_, i) =>
      at(rows[Math.floor(i / size)] as number, columns[i % size] as number),
    );
    if (invert({ rows: size, columns: size, values: square }) === undefined)
      return t.fail(`KEELSON_SEED=${seed}: ${rows.join()} x ${columns.join()}`);
  }
  return t.pass();
});

test('an inverse times its matrix is the identity, and a singular matrix has none', (t) => {
  const matrix = generatorRows(parityMatrix(5, 4), [1, 3, 5, 7, 8]);
  const inverse = invert(matrix);
  t.truthy(inverse);
  if (inverse === undefined) return;
  const { values } = multiplyMatrices(inverse, matrix);
  for (let i = 0; i < 25; i++) t.is(values[i], i % 6 === 0 ? 1 : 0);
  t.is(invert({ rows: 2, columns: 2, values: new Uint8Array([1, 2, 1, 2]) }), undefined);
});

test('shapes that no code has are refused', (t) => {
  for (const [k, m] of [
    [0, 2],
    [2, 0],
    [-1, 3],
    [1.5, 2],
    [Number.NaN, 2],
    [200, 56],
  ] as const) {
    t.throws(() => parityMatrix(k, m), { code: 'ERASURE_SHAPE' });
  }
  t.notThrows(() => parityMatrix(200, 55));
});
