import test, { type ExecutionContext } from 'ava';
import { BufferCodec, ErasureCodec } from '../../src/erasure/index.js';

const CANARY = 0x5a;
const LENGTH = 100;
const codec = new ErasureCodec({ k: 2, m: 2 });
const GOOD = new Float64Array([0, 100, 200, 300]);
const PRESENT = new Uint8Array([0, 1, 1, 1]);

/** Every operation on the same offsets of a group of n. */
const OPERATIONS: Readonly<Record<string, (memory: Uint8Array, offsets: Float64Array, groups: number, length: number) => unknown>> = {
  encode: (memory, offsets, groups, length) => codec.encodeGroups(memory, offsets, groups, length),
  update: (memory, offsets, groups, length) => codec.updateGroups(memory, [0, 1], offsets, groups, length),
  verify: (memory, offsets, groups, length) => codec.verifyGroups(memory, offsets, groups, length),
  locate: (memory, offsets, groups, length) => codec.locateGroups(memory, offsets, groups, length),
  reconstruct: (memory, offsets, groups, length) => codec.reconstructGroups(memory, offsets, groups, length, PRESENT, [0]),
};

/** The same refusal from every operation, on a memory that was never seen and on one that is bound to the kernels; no byte changes. */
function refused(
  t: ExecutionContext,
  code: string,
  offsets: Float64Array,
  groups = 1,
  length = LENGTH,
  operations = Object.keys(OPERATIONS),
): void {
  for (const name of operations) {
    const run = OPERATIONS[name] as (typeof OPERATIONS)[string];
    const memory = new Uint8Array(400).fill(CANARY);
    t.throws(() => run(memory, offsets, groups, length), { code }, name);
    // Length 0 touches nothing, and binds.
    for (let i = 0; i < 3; i++) run(memory, GOOD, 1, 0);
    t.throws(() => run(memory, offsets, groups, length), { code }, `${name}, bound`);
    t.true(
      memory.every((byte) => byte === CANARY),
      name,
    );
  }
}

test('counts and lengths that are none are refused', (t) => {
  for (const wrong of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
    refused(t, 'ERASURE_ARGUMENT', GOOD, wrong);
    refused(t, 'ERASURE_ARGUMENT', GOOD, 1, wrong);
  }
});

test('too few offsets are refused', (t) => {
  refused(t, 'ERASURE_ARGUMENT', GOOD.subarray(0, 3));
  refused(t, 'ERASURE_ARGUMENT', GOOD, 2);
});

test('offsets that leave the memory by one byte, or are no whole numbers, are refused', (t) => {
  for (const wrong of [301, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60]) {
    refused(t, 'ERASURE_OUTSIDE', new Float64Array([wrong, 100, 200, 300]), 1, LENGTH, ['encode', 'update', 'verify', 'locate']);
    refused(t, 'ERASURE_OUTSIDE', new Float64Array([0, 100, 200, wrong]), 1, LENGTH, ['encode', 'update', 'verify', 'locate']);
    // Reconstruct looks at the shards that it reads and writes: 0 from 1 and 2.
    for (const place of [0, 1, 2]) refused(t, 'ERASURE_OUTSIDE', GOOD.with(place, wrong), 1, LENGTH, ['reconstruct']);
  }
  refused(t, 'ERASURE_OUTSIDE', GOOD, 1, 401);
});

test('a shard that is written over another one of its group is refused, by one byte too', (t) => {
  for (const [data, parity] of [
    [0, 99],
    [99, 0],
    [200, 200],
  ] as const) {
    refused(t, 'ERASURE_OVERLAP', new Float64Array([data, 300, parity, 200]), 1, LENGTH, ['encode', 'update']);
    refused(t, 'ERASURE_OVERLAP', new Float64Array([data, 300, 200, parity]), 1, LENGTH, ['encode', 'update']);
  }
  refused(t, 'ERASURE_OVERLAP', new Float64Array([0, 100, 200, 250]), 1, LENGTH, ['encode', 'update']);
  refused(t, 'ERASURE_OVERLAP', new Float64Array([101, 200, 300, 0]), 1, LENGTH, ['reconstruct']);
  // In the second of two groups.
  refused(t, 'ERASURE_OVERLAP', new Float64Array([0, 100, 200, 300, 0, 100, 200, 200]), 2, LENGTH, ['encode', 'update']);
  t.notThrows(() => codec.encode(new Uint8Array(400), new Float64Array([0, 0, 200, 300]), LENGTH), 'inputs may be one and the same');
});

test('memory whose buffer was transferred away is refused, bound or not', (t) => {
  for (const [name, run] of Object.entries(OPERATIONS)) {
    for (const uses of [0, 3]) {
      const memory = new Uint8Array(new ArrayBuffer(400));
      for (let i = 0; i < uses; i++) run(memory, GOOD, 1, LENGTH);
      structuredClone(memory.buffer, { transfer: [memory.buffer] });
      for (const length of [LENGTH, 0])
        t.throws(() => run(memory, GOOD, 1, length), { code: 'ERASURE_DETACHED' }, `${name} after ${uses} uses`);
    }
  }
});

test('memory that was made smaller is refused where it ends now, and one that lost the whole view is gone', (t) => {
  const Resizable = ArrayBuffer as unknown as new (
    bytes: number,
    options: { maxByteLength: number },
  ) => ArrayBuffer & { resize(bytes: number): void };
  for (const [name, run] of Object.entries(OPERATIONS)) {
    const buffer = new Resizable(400, { maxByteLength: 800 });
    const [tracking, fixed] = [new Uint8Array(buffer), new Uint8Array(buffer, 0, 400)];
    for (const view of [tracking, fixed]) for (let i = 0; i < 3; i++) run(view, GOOD, 1, LENGTH);
    buffer.resize(399);
    const last = new Float64Array([300, 0, 100, 200]);
    t.throws(() => run(tracking, last, 1, LENGTH), { code: 'ERASURE_OUTSIDE' }, name);
    t.throws(() => run(fixed, GOOD, 1, LENGTH), { code: 'ERASURE_DETACHED' }, name);
    buffer.resize(800);
    t.notThrows(() => run(tracking, last, 1, LENGTH), name);
    t.notThrows(() => run(tracking, new Float64Array([400, 500, 600, 700]), 1, LENGTH), `${name} in what was added`);
  }
});

test('things of another kind are refused', (t) => {
  const wrong = (value: unknown): never => value as never;
  for (const [name, run] of Object.entries(OPERATIONS)) {
    for (const memory of [undefined, null, 7, [1, 2], new ArrayBuffer(400), new Uint16Array(400), new DataView(new ArrayBuffer(400))]) {
      t.throws(() => run(wrong(memory), GOOD, 1, LENGTH), { code: 'ERASURE_ARGUMENT' }, name);
    }
    for (const offsets of [undefined, [0, 100, 200, 300], new Uint32Array(4)]) {
      t.throws(() => run(new Uint8Array(400), wrong(offsets), 1, LENGTH), { code: 'ERASURE_ARGUMENT' }, name);
    }
  }
});

test('changed, wanted and present that make no sense are refused', (t) => {
  const memory = new Uint8Array(400).fill(CANARY);
  const argument = { code: 'ERASURE_ARGUMENT' };
  for (const changed of [[2], [0, 0], [], [-1], [0.5], [0, 1, 0]])
    t.throws(() => codec.update(memory, changed, new Float64Array(9), LENGTH), argument, changed.join());
  t.throws(() => codec.reconstruct(memory, GOOD, LENGTH, new Uint8Array([1, 1, 1]), [2]), argument, 'present too short');
  t.throws(() => codec.reconstruct(memory, GOOD, LENGTH, new Uint8Array([1, 1, 0, 1]), [1]), argument, 'wanted is present');
  t.throws(() => codec.reconstruct(memory, GOOD, LENGTH, new Uint8Array([1, 1, 0, 1]), [4]), argument);
  t.throws(() => codec.reconstruct(memory, GOOD, LENGTH, new Uint8Array([1, 1, 0, 1]), []), argument);
  t.throws(() => codec.reconstruct(memory, GOOD, LENGTH, new Uint8Array([1, 0, 0, 0]), [1]), { code: 'ERASURE_TOO_FEW' });
  t.throws(() => new ErasureCodec({ k: 2, m: 1, isa: 'abacus' }), { code: 'ERASURE_ISA' });
  for (const [k, m] of [
    [0, 1],
    [1, 0],
    [250, 6],
  ] as const)
    t.throws(() => new ErasureCodec({ k, m }), { code: 'ERASURE_SHAPE' });
  t.true(memory.every((byte) => byte === CANARY));
});

test('a pattern changed by the caller after a call is not taken for the one that is kept', (t) => {
  const memory = new Uint8Array(400);
  const [changed, wanted, present] = [[0], [0], new Uint8Array([0, 1, 1, 1])];
  codec.update(memory, changed, GOOD.subarray(1), LENGTH);
  codec.reconstruct(memory, GOOD, LENGTH, present, wanted);
  changed[0] = 7;
  wanted[0] = 9;
  t.throws(() => codec.update(memory, changed, GOOD.subarray(1), LENGTH), { code: 'ERASURE_ARGUMENT' });
  t.throws(() => codec.reconstruct(memory, GOOD, LENGTH, present, wanted), { code: 'ERASURE_ARGUMENT' });
  wanted[0] = 0;
  present[0] = 1;
  t.throws(() => codec.reconstruct(memory, GOOD, LENGTH, present, wanted), { code: 'ERASURE_ARGUMENT' });
});

test('separate Buffers: numbers, lengths, kinds, overlaps and detached ones are refused', (t) => {
  const buffers = new BufferCodec({ k: 2, m: 1 });
  const make = (n: number, length: number): Buffer[] => Array.from({ length: n }, () => Buffer.alloc(length, CANARY));
  const argument = { code: 'ERASURE_ARGUMENT' };
  t.throws(() => buffers.encode(make(2, 10)), argument);
  t.throws(() => buffers.encode([...make(2, 10), ...make(1, 11)]), argument);
  t.throws(() => buffers.encode([...make(2, 10), 'text' as never]), argument);
  t.throws(() => buffers.reconstruct([null, ...make(1, 10)]), argument);
  t.throws(() => buffers.reconstructOnly([null, ...make(2, 10)], [1]), argument);
  t.throws(() => buffers.reconstruct([null, null, ...make(1, 10)]), { code: 'ERASURE_TOO_FEW' });
  t.throws(() => buffers.update([{ shard: 2, before: Buffer.alloc(1), after: Buffer.alloc(1) }], make(1, 1)), argument);
  t.throws(() => buffers.update([{ shard: 0, before: Buffer.alloc(1), after: Buffer.alloc(2) }], make(1, 1)), argument);
  t.throws(() => buffers.update([{ shard: 0, before: Buffer.alloc(1), after: Buffer.alloc(1) }], make(2, 1)), argument);
  const whole = new Uint8Array(29).fill(CANARY);
  t.throws(() => buffers.encode([whole.subarray(0, 10), whole.subarray(10, 20), whole.subarray(19)]), { code: 'ERASURE_OVERLAP' });
  t.true(whole.every((byte) => byte === CANARY));
  const gone = new Uint8Array(10);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  t.throws(() => buffers.encode([gone, gone, gone]), { code: 'ERASURE_DETACHED' });
  t.throws(() => buffers.verify([...make(2, 10), gone]), { code: 'ERASURE_DETACHED' });
});
