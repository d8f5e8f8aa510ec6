import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { loadAddon } from '../../src/native/load.js';

const addon = loadAddon();
const BLOCK = 4096;

/** Bit by bit: shares nothing with the tables. */
function crcSlowly(data: Uint8Array, seed = 0): number {
  let state = ~seed >>> 0;
  for (const byte of data) {
    state ^= byte;
    for (let bit = 0; bit < 8; bit++) state = (state >>> 1) ^ (state & 1 ? 0x82f63b78 : 0);
  }
  return ~state >>> 0;
}

function seededBlock(address: number, block: Uint8Array): number {
  const message = Buffer.alloc(8 + BLOCK);
  message.writeBigUInt64LE(BigInt(address));
  message.set(block, 8);
  return crcSlowly(message);
}

test('the vectors of RFC 3720, appendix B.4, and the check value', (t) => {
  const of = (data: Uint8Array): number => addon.crc32c(data, 0, data.length, 0);
  t.is(of(Buffer.from('123456789')), 0xe3069283);
  t.is(of(new Uint8Array(32)), 0x8a9136aa);
  t.is(of(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  t.is(of(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  t.is(of(Uint8Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c);
  const read = '01c00000000000000000000000000000140000000000040000000014000000182800000000000000020000000000000000';
  t.is(of(Buffer.from(read.slice(0, 96), 'hex')), 0xd9963a56);
  t.is(of(new Uint8Array(0)), 0);
});

test('a checksum continues from the one of what came before', (t) => {
  const data = new Uint8Array(10_000);
  seededRandom(3).fill(data);
  const whole = addon.crc32c(data, 0, data.length, 0);
  for (const cut of [0, 1, 7, 255, 256, 4096, 9_999]) {
    t.is(addon.crc32c(data, cut, data.length - cut, addon.crc32c(data, 0, cut, 0)), whole, `cut at ${cut}`);
  }
});

for (const name of ['table', 'sse4.2', 'pclmul', 'vpclmul', 'armv8']) {
  test(`${name}: every length from 0 to 1,200, and longer ones, at any alignment equals the bitwise checksum`, (t) => {
    const child = spawnSync(process.execPath, [fileURLToPath(new URL('crc-child.js', import.meta.url))], {
      env: { ...process.env, KEELSON_CRC: name },
      encoding: 'utf8',
    });
    if (child.stdout.includes('NATIVE_ISA')) {
      t.log('this processor cannot run it');
      t.pass();
      return;
    }
    t.is(child.status, 0, child.stderr);
    const results = JSON.parse(child.stdout) as { implementation: string; cases: [number, number, number][] };
    t.is(results.implementation, name);
    const data = new Uint8Array(40_100);
    seededRandom(11).fill(data);
    for (const [offset, length, crc] of results.cases) {
      const expected = crcSlowly(data.subarray(offset, offset + length), 0xdeadbeef);
      if (crc !== expected) return t.fail(`offset ${offset} length ${length}: ${crc}, expected ${expected}`);
    }
    return t.true(results.cases.length > 1200);
  });
}

test('blocks are seeded with their own address', (t) => {
  const memory = new Uint8Array(4 * BLOCK + 100);
  seededRandom(4).fill(memory);
  const addresses = [0, 1, 0xffff_ffff + 5, 2 ** 53 - 1];
  const offsets = [3 * BLOCK + 100, 17, BLOCK, 2 * BLOCK + 1];
  const out = new Uint32Array(6).fill(9);
  addon.crcBlocks(memory, new Float64Array(offsets), new Float64Array(addresses), 4, out, 1);
  t.is(out[0], 9);
  t.is(out[5], 9);
  for (let i = 0; i < 4; i++) {
    const at = offsets[i] as number;
    t.is(out[1 + i], seededBlock(addresses[i] as number, memory.subarray(at, at + BLOCK)));
  }
  const run = new Uint32Array(3);
  addon.crcRun(memory, 5, 2 ** 40, 3, run, 0);
  for (let i = 0; i < 3; i++) t.is(run[i], seededBlock(2 ** 40 + i, memory.subarray(5 + i * BLOCK, 5 + (i + 1) * BLOCK)));
});

test('a copied run is copied, checksummed as crcRun does it, and touches nothing else', (t) => {
  // 20 blocks go past the cache, at aligned places.
  for (const [blocks, from, to] of [
    [1, 3, 64],
    [3, 64, 1],
    [20, 5, 128],
    [20, 0, 77],
  ] as const) {
    const source = new Uint8Array(blocks * BLOCK + 100);
    seededRandom(blocks + to).fill(source);
    const before = source.slice();
    const memory = new Uint8Array(blocks * BLOCK + 200).fill(7);
    const [out, expected] = [new Uint32Array(blocks + 1), new Uint32Array(blocks + 1)];
    addon.copyCrcRun(source, from, memory, to, 2 ** 40, blocks, out, 1);
    addon.crcRun(source, from, 2 ** 40, blocks, expected, 1);
    t.deepEqual(out, expected);
    t.deepEqual(source, before);
    const copied = new Uint8Array(blocks * BLOCK + 200).fill(7);
    copied.set(source.subarray(from, from + blocks * BLOCK), to);
    t.deepEqual(memory, copied);
  }
});

test('isZero sees a single bit anywhere', (t) => {
  for (const length of [0, 1, 15, 255, 256, 257, 700]) {
    const memory = new Uint8Array(length + 2).fill(1);
    memory.fill(0, 1, length + 1);
    t.true(addon.isZero(memory, 1, length));
    for (let i = 1; i <= length; i++) {
      memory[i] = 1 << (i % 8);
      if (addon.isZero(memory, 1, length)) return t.fail(`byte ${i} of ${length}`);
      memory[i] = 0;
    }
  }
  return t.pass();
});

test('wrong arguments of the checksum functions are refused', (t) => {
  const memory = new Uint8Array(BLOCK);
  const one = new Float64Array(1);
  t.throws(() => addon.crc32c(memory, 1, BLOCK, 0), { instanceOf: RangeError });
  t.throws(() => addon.crc32c(memory, 0, 1, -1), { instanceOf: RangeError });
  t.throws(() => addon.crc32c(new Uint32Array(4) as unknown as Uint8Array, 0, 4, 0), { instanceOf: TypeError });
  t.throws(() => addon.crcBlocks(memory, one, one, 2, new Uint32Array(2), 0), { instanceOf: RangeError });
  t.throws(() => addon.crcBlocks(memory, one, one, 1, new Uint32Array(1), 1), { instanceOf: RangeError });
  t.throws(() => addon.crcBlocks(memory, new Float64Array([1]), one, 1, new Uint32Array(1), 0), { instanceOf: RangeError });
  t.throws(() => addon.crcBlocks(memory, one, new Float64Array([2 ** 53]), 1, new Uint32Array(1), 0), { instanceOf: RangeError });
  t.throws(() => addon.crcRun(memory, 0, 0, 2, new Uint32Array(2), 0), { instanceOf: RangeError });
  const two = new Uint8Array(2 * BLOCK + 1);
  t.throws(() => addon.copyCrcRun(two, 0, two, BLOCK - 1, 0, 1, new Uint32Array(1), 0), { instanceOf: RangeError }, 'onto itself');
  t.throws(() => addon.copyCrcRun(two, BLOCK - 1, two, 0, 0, 1, new Uint32Array(1), 0), { instanceOf: RangeError }, 'onto itself');
  t.notThrows(() => addon.copyCrcRun(two, 0, two, BLOCK, 0, 1, new Uint32Array(1), 0));
  t.throws(() => addon.copyCrcRun(memory, 1, two, 0, 0, 1, new Uint32Array(1), 0), { instanceOf: RangeError });
  t.throws(() => addon.copyCrcRun(memory, 0, two, BLOCK + 2, 0, 1, new Uint32Array(1), 0), { instanceOf: RangeError });
  t.throws(() => addon.copyCrcRun(memory, 0, two, 0, 0, 1, new Uint32Array(1), 1), { instanceOf: RangeError });
  t.throws(() => addon.isZero(memory, 0, BLOCK + 1), { instanceOf: RangeError });
});
