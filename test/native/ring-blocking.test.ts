import { join } from 'node:path';
import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { RING_READ, RING_SYNC, RING_WRITE } from '../../src/native/addon-api.js';
import { loadAddon } from '../../src/native/load.js';
import { alignedMemory, makeFile, type Op, openDirect, operations, scratchFolder } from './ring-fixture.js';

const addon = loadAddon();
const unavailable = addon.ringAvailable();
const ringTest = unavailable === '' ? test : test.skip;
const EIO = -5;
const EBADF = -9;
const folder = scratchFolder();
test.after.always(() => folder.remove());

test('ringAvailable says whether a ring can be made', (t) => {
  if (unavailable === '') t.notThrows(() => new addon.Ring(new Uint8Array(8), 1).close());
  else t.throws(() => new addon.Ring(new Uint8Array(8), 1));
});

ringTest('what is written and synced is read back, with far more operations than the queue holds', (t) => {
  const memory = alignedMemory(1 << 20);
  const fd = openDirect(makeFile(join(folder.path, 'plain'), 1 << 19));
  const ring = new addon.Ring(memory, 8);
  const random = seededRandom(21);
  random.fill(memory.subarray(0, 1 << 19));
  const blocks = 128;
  const order = Array.from({ length: blocks }, (_, i) => (i * 37) % blocks);
  const results = new Int32Array(blocks);
  ring.run(operations(order.map((i): Op => [RING_WRITE, fd, i * 4096, i * 4096, 4096, 0])), blocks, results);
  t.true(results.every((result) => result === 4096));
  ring.run(operations([[RING_SYNC, fd, 0, 0, 0, 0]]), 1, results);
  t.is(results[0], 0);
  ring.run(operations(order.map((i): Op => [RING_READ, fd, (1 << 19) + i * 4096, i * 4096, 4096, 0])), blocks, results);
  t.true(results.every((result) => result === 4096));
  t.true(memory.subarray(1 << 19).equals(memory.subarray(0, 1 << 19)));
  ring.run(operations([[RING_READ, fd, 0, 0, 1 << 19, 0]]), 1, results);
  t.is(results[0], 1 << 19);
  ring.close();
  addon.closeDevice(fd);
});

ringTest('each operation fails alone: bad descriptor, past the end, across the end, unaligned', (t) => {
  const memory = alignedMemory(65_536);
  const fd = openDirect(makeFile(join(folder.path, 'short'), 8192, 5));
  const odd = openDirect(makeFile(join(folder.path, 'odd'), 4096 + 100, 6));
  const ring = new addon.Ring(memory, 4);
  const results = new Int32Array(7);
  const ops: Op[] = [
    [RING_READ, -1, 0, 0, 4096, 0],
    [RING_READ, fd, 0, 8192, 4096, 0],
    [RING_READ, fd, 4096, 4096, 8192, 0],
    [RING_READ, odd, 16_384, 0, 8192, 0],
    [RING_READ, fd, 32_768, 4096, 4096, 0],
    [RING_WRITE, 1_000_000, 0, 0, 4096, 0],
    [RING_SYNC, -1, 0, 0, 0, 0],
  ];
  ring.run(operations(ops), ops.length, results);
  t.deepEqual([...results], [EBADF, EIO, EIO, EIO, 4096, EBADF, EBADF]);
  t.true(memory.subarray(32_768, 32_768 + 4096).every((byte) => byte === 5));
  ring.close();
  addon.closeDevice(fd);
  addon.closeDevice(odd);
});

ringTest('descriptors outside the memory or without sense are refused before anything runs', (t) => {
  const memory = alignedMemory(8192);
  const fd = openDirect(makeFile(join(folder.path, 'refused'), 8192, 1));
  const ring = new addon.Ring(memory, 4);
  const results = new Int32Array(2);
  const first: Op = [RING_WRITE, fd, 0, 0, 4096, 0];
  const wrong: Op[] = [
    [RING_READ, fd, 4097, 0, 4096, 0],
    [RING_READ, fd, -1, 0, 4096, 0],
    [RING_READ, fd, 0, -1, 4096, 0],
    [RING_READ, fd, 0, 0.5, 4096, 0],
    [RING_READ, fd, 0, 0, -1, 0],
    [RING_READ, fd, 0, 0, 2 ** 31, 0],
    [9, fd, 0, 0, 4096, 0],
    [RING_READ, 2 ** 40, 0, 0, 4096, 0],
    [RING_READ, fd + 0.5, 0, 0, 4096, 0],
  ];
  for (const op of wrong) t.throws(() => ring.run(operations([first, op]), 2, results), { instanceOf: RangeError }, String(op));
  t.throws(() => ring.run(operations([first]), 2, results), { instanceOf: RangeError });
  t.throws(() => ring.run(operations([first, first]), 2, new Int32Array(1)), { instanceOf: RangeError });
  t.throws(() => ring.submit(operations([first]), 0, 1), { message: /listen/ });
  ring.run(operations([[RING_READ, fd, 4096, 0, 4096, 0]]), 1, results);
  t.true(
    memory.subarray(4096).every((byte) => byte === 1),
    'no write came through',
  );
  ring.close();
  t.throws(() => ring.run(operations([first]), 1, results), { code: 'EBADF' });
  t.notThrows(() => ring.close());
  addon.closeDevice(fd);
});

ringTest('a memory that was given away, or shrunk, is not touched any more', (t) => {
  const fd = openDirect(makeFile(join(folder.path, 'detached'), 4096, 1));
  const op = operations([[RING_READ, fd, 0, 0, 512, 0]]);
  const results = new Int32Array(1);
  const given = new Uint8Array(8192);
  const resizable = new (ArrayBuffer as unknown as new (bytes: number, options: object) => ArrayBuffer & { resize(bytes: number): void })(
    8192,
    {
      maxByteLength: 16_384,
    },
  );
  for (const [memory, take] of [
    [given, () => structuredClone(given.buffer, { transfer: [given.buffer] })],
    [new Uint8Array(resizable, 0, 8192), () => resizable.resize(4096)],
  ] as const) {
    const ring = new addon.Ring(memory, 4);
    take();
    t.throws(() => ring.run(op, 1, results), { instanceOf: TypeError });
    ring.close();
  }
  addon.closeDevice(fd);
});

ringTest('rings can be opened and closed hundreds of times', (t) => {
  const memory = alignedMemory(65_536);
  const fd = openDirect(makeFile(join(folder.path, 'cycles'), 4096, 3));
  const results = new Int32Array(1);
  for (let i = 0; i < 300; i++) {
    const ring = new addon.Ring(memory, 16);
    ring.run(operations([[RING_READ, fd, 0, 0, 4096, 0]]), 1, results);
    if (results[0] !== 4096) return t.fail(`cycle ${i}: ${results[0]}`);
    ring.close();
  }
  addon.closeDevice(fd);
  return t.pass();
});
