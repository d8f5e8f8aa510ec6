import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { multiply } from '../../src/erasure/field.js';
import { loadAddon } from '../../src/native/load.js';

const addon = loadAddon();
const kernels = addon.cpu().available;
const CANARY = 0xc7;

/** The product bit by bit: shares nothing with tables or kernels. */
function multiplySlowly(a: number, b: number): number {
  let shifted = a;
  let result = 0;
  for (let bit = 0; bit < 8; bit++) {
    if ((b >> bit) & 1) result ^= shifted;
    shifted <<= 1;
    if (shifted & 0x100) shifted ^= 0x11d;
  }
  return result;
}

test('the self-test passes', (t) => {
  t.is(addon.selfTest(), '');
});

test('the field used for matrices gives all 65,536 products', (t) => {
  for (let a = 0; a < 256; a++) {
    for (let b = 0; b < 256; b++) if (multiply(a, b) !== multiplySlowly(a, b)) return t.fail(`${a} x ${b}`);
  }
  return t.pass();
});

for (const isa of kernels) {
  test(`${isa}: all 65,536 products, in vectors and in the tail`, (t) => {
    // 256 bytes are whole vectors on every instruction set; from 255 on the bytes go through the tail as well.
    const memory = new Uint8Array(4096);
    for (let c = 0; c < 256; c++) {
      // A second row keeps coefficient one from being handled as a copy alone.
      const plan = addon.gfPrepare(new Uint8Array([c, c ^ 1]), 2, 1, isa);
      for (let i = 0; i < 256; i++) memory[i] = i;
      memory.copyWithin(600, 0, 255);
      addon.gfApply(plan, memory, new Float64Array([0, 1024, 2048, 600, 1400, 2400]), 1, 256, false, false);
      addon.gfApply(plan, memory, new Float64Array([600, 1400, 2400]), 1, 255, false, false);
      for (let i = 0; i < 256; i++) {
        if (memory[1024 + i] !== multiplySlowly(c, i)) return t.fail(`${c} x ${i} = ${memory[1024 + i]}`);
        if (memory[2048 + i] !== multiplySlowly(c ^ 1, i)) return t.fail(`${c ^ 1} x ${i} = ${memory[2048 + i]}`);
        if (i < 255 && memory[1400 + i] !== multiplySlowly(c, i)) return t.fail(`tail: ${c} x ${i}`);
      }
    }
    return t.pass();
  });

  test(`${isa}: every length from 0 to 300 at unaligned offsets gives the scalar result and touches no byte around it`, (t) => {
    const random = seededRandom(20260101);
    const k = 3;
    const m = 4;
    const matrix = new Uint8Array(k * m);
    random.fill(matrix);
    matrix.fill(1, 0, k);
    const span = 400;
    const reference = addon.gfPrepare(matrix, m, k, 'scalar');
    const plan = addon.gfPrepare(matrix, m, k, isa);
    const offsets = new Float64Array(k + m);
    for (let length = 0; length <= 300; length++) {
      const expected = new Uint8Array(span * (k + m)).fill(CANARY);
      random.fill(expected.subarray(0, span * k));
      for (let i = 0; i < k + m; i++) offsets[i] = i * span + random.below(span - length);
      const actual = expected.slice();
      addon.gfApply(reference, expected, offsets, 1, length, length % 2 === 0, false);
      addon.gfApply(plan, actual, offsets, 1, length, length % 2 === 0, length % 3 === 0);
      if (!Buffer.from(actual.buffer).equals(Buffer.from(expected.buffer))) return t.fail(`length ${length}, offsets ${offsets.join()}`);
    }
    return t.pass();
  });

  test(`${isa}: random shapes, groups and coefficients give the scalar result`, (t) => {
    const seed = 77;
    const random = seededRandom(seed);
    for (let round = 0; round < 120; round++) {
      const k = 1 + random.below(round % 10 === 0 ? 120 : 20);
      const m = 1 + random.below(round % 10 === 0 ? 30 : 8);
      const groups = 1 + random.below(3);
      const length = random.below(1500);
      const matrix = new Uint8Array(k * m);
      random.fill(matrix);
      // Zeroes and ones take paths of their own.
      for (let i = 0; i < matrix.length; i++) if (random.below(4) === 0) matrix[i] = random.below(2);
      if (random.below(2) === 0) matrix.fill(1, 0, k);
      const span = length + 64;
      const expected = new Uint8Array(span * (k + m) * groups);
      random.fill(expected);
      const actual = expected.slice();
      const offsets = Float64Array.from({ length: groups * (k + m) }, (_, i) => i * span + random.below(64));
      const accumulate = random.below(2) === 0;
      addon.gfApply(addon.gfPrepare(matrix, m, k, 'scalar'), expected, offsets, groups, length, accumulate, false);
      addon.gfApply(addon.gfPrepare(matrix, m, k, isa), actual, offsets, groups, length, accumulate, random.below(2) === 0);
      if (!Buffer.from(actual.buffer).equals(Buffer.from(expected.buffer)))
        return t.fail(`seed ${seed} round ${round}: ${k}+${m}, ${groups} x ${length} bytes`);
    }
    return t.pass();
  });

  test(`${isa}: non-temporal stores to aligned outputs give the same bytes`, (t) => {
    const memory = new Uint8Array(new SharedArrayBuffer(65536));
    const base = addon.alignedOffset(memory, 64);
    const random = seededRandom(5);
    random.fill(memory);
    const plan = addon.gfPrepare(new Uint8Array([1, 1, 1, 1, 7, 9]), 2, 3, isa);
    const inputs = [base, base + 4096, base + 8192];
    addon.gfApply(plan, memory, new Float64Array([...inputs, base + 12288, base + 16384]), 1, 4096, false, false);
    addon.gfApply(plan, memory, new Float64Array([...inputs, base + 20480, base + 24576]), 1, 4096, false, true);
    t.deepEqual(memory.slice(base + 20480, base + 28672), memory.slice(base + 12288, base + 20480));
  });
}

test('separate views give what offsets into one memory give', (t) => {
  const random = seededRandom(9);
  const memory = new Uint8Array(5000);
  random.fill(memory);
  const plan = addon.gfPrepare(new Uint8Array([1, 1, 1, 3, 5, 7]), 2, 3, '');
  const views = Array.from({ length: 5 }, (_, i) => memory.slice(i * 1000, (i + 1) * 1000));
  addon.gfApply(plan, memory, new Float64Array([0, 1000, 2000, 3000, 4000]), 1, 1000, false, false);
  addon.gfApplyViews(plan, views.slice(0, 3), views.slice(3), false);
  t.deepEqual(views[3], memory.slice(3000, 4000));
  t.deepEqual(views[4], memory.slice(4000, 5000));
});

test('wrong arguments are refused and touch nothing', (t) => {
  const plan = addon.gfPrepare(new Uint8Array([1, 2]), 1, 2, '');
  const memory = new Uint8Array(300).fill(CANARY);
  const apply = (offsets: number[], groups: number, length: number): void =>
    addon.gfApply(plan, memory, new Float64Array(offsets), groups, length, false, false);
  t.throws(() => apply([0, 100, 201], 1, 100), { instanceOf: RangeError });
  t.throws(() => apply([0, -1, 200], 1, 100), { instanceOf: RangeError });
  t.throws(() => apply([0, 0.5, 200], 1, 100), { instanceOf: RangeError });
  t.throws(() => apply([0, Number.NaN, 200], 1, 100), { instanceOf: RangeError });
  t.throws(() => apply([0, Number.POSITIVE_INFINITY, 200], 1, 100), { instanceOf: RangeError });
  t.throws(() => apply([0, 100], 1, 100), { instanceOf: RangeError });
  t.throws(() => apply([0, 100, 200], 2 ** 52, 100), { instanceOf: RangeError });
  t.throws(() => apply([0, 100, 200], 1, 2 ** 53), { instanceOf: RangeError });
  t.throws(() => apply([0, 0, 0, 0, 100, 250], 2, 100), { instanceOf: RangeError });
  t.throws(() => addon.gfPrepare(new Uint8Array(3), 2, 2, ''), { instanceOf: RangeError });
  t.throws(() => addon.gfPrepare(new Uint8Array(0), 0, 2, ''), { instanceOf: RangeError });
  t.throws(() => addon.gfPrepare(new Uint8Array(4), 2, 2, 'abacus'), { instanceOf: RangeError });
  t.throws(() => addon.gfApply({} as typeof plan, memory, new Float64Array(3), 1, 1, false, false), { instanceOf: TypeError });
  t.throws(() => addon.gfApplyViews(plan, [memory], [memory], false), { instanceOf: RangeError });
  t.throws(() => addon.gfApplyViews(plan, [memory, memory], [memory.subarray(1)], false), { instanceOf: RangeError });
  t.true(memory.every((byte) => byte === CANARY));
});

test('alignedOffset finds the next aligned byte of a shared memory', (t) => {
  const shared = new Uint8Array(new SharedArrayBuffer(3 << 20));
  const offset = addon.alignedOffset(shared, 4096);
  t.true(offset >= 0 && offset < 4096);
  t.is(addon.alignedOffset(shared.subarray(offset), 4096), 0);
  t.is(addon.alignedOffset(shared.subarray(offset + 1), 4096), 4095);
  t.is(addon.alignedOffset(shared, 1), 0);
  t.throws(() => addon.alignedOffset(shared, 3), { instanceOf: RangeError });
  t.throws(() => addon.alignedOffset(shared, 0), { instanceOf: RangeError });
});
