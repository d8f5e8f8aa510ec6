import test from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { readDevice, writeDevice } from '../../src/device/promise-io.js';
import { MATRIX_VERSION } from '../../src/erasure/matrix.js';
import { COUNTERS_MAX, EPOCHS_MAX, SUPERBLOCK_BYTES, superblockOffsets } from '../../src/member/layout.js';
import { decodeSuperblock, encodeSuperblock } from '../../src/member/superblock.js';
import { readSuperblock, readSuperblockCopies, writeSuperblock } from '../../src/member/superblock-io.js';
import { loadAddon } from '../../src/native/load.js';
import { regionView } from '../../src/memory/slab-region.js';
import { memberBench, SHAPE, superblockOf } from './array-fixture.js';

test('a superblock comes back field for field, in exactly 4096 bytes', (t) => {
  for (const index of [0, 5, 7]) {
    const superblock = superblockOf(index, { epoch: EPOCHS_MAX - 2, generation: COUNTERS_MAX - 1 });
    const bytes = encodeSuperblock(superblock);
    t.is(bytes.length, SUPERBLOCK_BYTES);
    t.deepEqual(decodeSuperblock(bytes), superblock);
  }
  const named = superblockOf(1, { shape: { ...SHAPE, name: 'Gewölbe-1' } });
  t.is(decodeSuperblock(encodeSuperblock(named)).shape.name, 'Gewölbe-1');
});

test('every single flipped bit of a superblock is refused', (t) => {
  const bytes = encodeSuperblock(superblockOf(2));
  for (let bit = 0; bit < SUPERBLOCK_BYTES * 8; bit++) {
    bytes[bit >>> 3] = (bytes[bit >>> 3] as number) ^ (1 << (bit & 7));
    const code = codeOf(bytes);
    if (code !== 'SUPERBLOCK_CORRUPT' && code !== 'SUPERBLOCK_ABSENT') t.fail(`bit ${bit}: ${code}`);
    bytes[bit >>> 3] = (bytes[bit >>> 3] as number) ^ (1 << (bit & 7));
  }
  t.is(codeOf(bytes), 'decoded');
});

test('a superblock of another version, or with a feature flag that is not known, is refused by name; an unknown compatible flag is not', (t) => {
  t.is(codeOf(altered(8, 2)), 'SUPERBLOCK_VERSION');
  t.is(codeOf(altered(12, 1)), 'SUPERBLOCK_FEATURES');
  t.is(codeOf(altered(12, 0x8000_0000)), 'SUPERBLOCK_FEATURES');
  t.is(codeOf(altered(16, 0xffff_ffff)), 'decoded');
});

test('a superblock of an array with another erasure matrix is refused, and the version of this one is recorded', (t) => {
  t.is(new DataView(encodeSuperblock(superblockOf(0)).buffer).getUint32(104, true), MATRIX_VERSION);
  for (const version of [0, MATRIX_VERSION + 1, 0xffff_ffff]) t.is(codeOf(altered(104, version)), 'SUPERBLOCK_FEATURES');
});

test('a right checksum over impossible values is refused', (t) => {
  for (const [at, value] of [
    [28, COUNTERS_MAX / 2 ** 32],
    [32, EPOCHS_MAX - 1],
    [72, 7],
    [72, 8],
    [72, 64],
    [76, 1],
    [76, 2],
    [76, 9],
    [88, 65],
    [92, 59],
    [100, 0],
    [100, 3],
    [96, 0],
    [96, 6],
    [108, 4095],
    [108, 0x8000_0000],
    [112, 0],
    [116, 1],
    [124, 0x1f_ffff],
    [128, 4096],
    [128, MIB + 512],
    [140, 0xffff_ffff],
    [152, 8192],
    [184, MIB],
    [208, 4096],
  ] as const) {
    t.is(codeOf(altered(at, value)), 'SUPERBLOCK_INVALID', `value ${value} at ${at}`);
  }
  t.is(codeOf(altered(120, 7 * MIB, 7)), 'SUPERBLOCK_INVALID', 'another ring than its zone');
});

test('random bytes with a right magic and checksum never do more than refuse', (t) => {
  const seed = 20_260_301;
  t.log(`seed ${seed}`);
  const random = seededRandom(seed);
  const good = encodeSuperblock(superblockOf(0));
  for (let round = 0; round < 3000; round++) {
    const bytes = good.slice();
    if (round % 2 === 0) random.fill(bytes.subarray(24, SUPERBLOCK_BYTES - 4));
    for (let i = 0; i < 3; i++) bytes[24 + random.below(260)] = random.below(256);
    checksum(bytes);
    const code = codeOf(bytes);
    if (!['decoded', 'SUPERBLOCK_INVALID', 'SUPERBLOCK_FEATURES'].includes(code)) t.fail(`round ${round}: ${code}`);
  }
  t.pass();
});

test('each write goes to the other slot, at both ends, and the newest is read', async (t) => {
  const { device, region } = memberBench(t);
  const superblock = superblockOf(3);
  const member = await device('member', superblock.layout.totalBytes);
  for (let generation = 1; generation <= 4; generation++) {
    await writeSuperblock(member, { ...superblock, generation, epoch: 10 + generation }, region);
    t.deepEqual(await readSuperblock(member, region), { ...superblock, generation, epoch: 10 + generation });
  }
  const copies = await readSuperblockCopies(member, region);
  t.deepEqual(
    copies.map((copy) => copy.superblock?.generation),
    [4, 3, 4, 3],
  );
});

test('a superblock survives the loss of either end, and a torn write at both ends falls back to the one before', async (t) => {
  const { device, region } = memberBench(t);
  const superblock = superblockOf(3);
  const size = superblock.layout.totalBytes;
  const member = await device('member', size);
  const spoil = async (offset: number, from: number): Promise<void> => {
    await readDevice(member, region.offset, offset, SUPERBLOCK_BYTES);
    regionView(region, 0, SUPERBLOCK_BYTES).fill(0xa5, from);
    await writeDevice(member, region.offset, offset, SUPERBLOCK_BYTES);
  };
  const write = async (): Promise<void> => {
    await writeSuperblock(member, { ...superblock, generation: 6 }, region);
    await writeSuperblock(member, { ...superblock, generation: 7 }, region);
  };
  const [front6, end6] = superblockOffsets(size, 0);
  const [front7, end7] = superblockOffsets(size, 1);
  await write();
  await spoil(front6, 0);
  await spoil(front7, 0);
  t.is((await readSuperblock(member, region)).generation, 7, 'front gone');
  await write();
  await spoil(end6, 0);
  await spoil(end7, 0);
  t.is((await readSuperblock(member, region)).generation, 7, 'end gone');
  await write();
  await spoil(front7, 512);
  await spoil(end7, 512);
  t.is((await readSuperblock(member, region)).generation, 6, 'newest torn at both ends');
  await spoil(front6, 100);
  await spoil(end6, 100);
  const error = await t.throwsAsync(readSuperblock(member, region), { instanceOf: KeelsonError });
  t.is(error.code, 'SUPERBLOCK_CORRUPT');
});

test('a copy by newer software refuses the device, even beside older copies that can be read', async (t) => {
  const { device, region } = memberBench(t);
  const superblock = superblockOf(3);
  const member = await device('member', superblock.layout.totalBytes);
  await writeSuperblock(member, superblock, region);
  regionView(region, 0, SUPERBLOCK_BYTES).set(altered(12, 4));
  await writeDevice(member, region.offset, 0, SUPERBLOCK_BYTES);
  const error = await t.throwsAsync(readSuperblock(member, region), { instanceOf: KeelsonError });
  t.is(error.code, 'SUPERBLOCK_FEATURES');
});

test('an empty device, one too small, and one with two members are refused each by name', async (t) => {
  const { device, region } = memberBench(t);
  const superblock = superblockOf(3);
  const size = superblock.layout.totalBytes;
  const code = async (path: string, bytes: number, others: boolean): Promise<string> => {
    const member = await device(path, bytes);
    if (others) {
      await writeSuperblock(member, superblock, region);
      await writeSuperblock(member, superblockOf(4, { generation: 2 }), region);
    }
    return readSuperblock(member, region).then(
      () => 'read',
      (error: KeelsonError) => error.code,
    );
  };
  t.is(await code('empty', size, false), 'SUPERBLOCK_ABSENT');
  t.is(await code('small', 8192, false), 'SUPERBLOCK_ABSENT');
  t.is(await code('mixed', size, true), 'SUPERBLOCK_MIXED');
});

test('what a former member left in one of the four places, because a write was lost, does not keep the device from being what the other three say', async (t) => {
  const { device, region } = memberBench(t);
  const former = superblockOf(3, { generation: 9 });
  const member = await device('member', former.layout.totalBytes);
  for (let place = 0; place < 4; place++) {
    for (const generation of [1, 2]) await writeSuperblock(member, superblockOf(4, { generation }), region);
    regionView(region, 0, SUPERBLOCK_BYTES).set(encodeSuperblock(former));
    const offset = superblockOffsets(former.layout.totalBytes, place % 2)[place >> 1] as number;
    await writeDevice(member, region.offset, offset, SUPERBLOCK_BYTES);
    const { memberUuid, generation } = await readSuperblock(member, region);
    // Both places of the newer one are never lost to one write.
    t.deepEqual([memberUuid, generation], [superblockOf(4).memberUuid, 2], `place ${place}`);
  }
});

function checksum(bytes: Uint8Array): Uint8Array {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(4092, loadAddon().crc32c(bytes, 0, 4092, 0), true);
  return bytes;
}

/** A superblock with one 32-bit field changed and a right checksum. */
function altered(at: number, value: number, index = 2): Uint8Array {
  const bytes = encodeSuperblock(superblockOf(index));
  new DataView(bytes.buffer).setUint32(at, value, true);
  return checksum(bytes);
}

function codeOf(bytes: Uint8Array): string {
  try {
    decodeSuperblock(bytes);
    return 'decoded';
  } catch (error) {
    return error instanceof KeelsonError ? error.code : String(error);
  }
}
