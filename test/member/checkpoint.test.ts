import test from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { readDevice, writeDevice } from '../../src/device/promise-io.js';
import { checkpointBytesFor, decodeCheckpoint, encodeCheckpoint } from '../../src/member/checkpoint.js';
import { readNewestCheckpoint, writeCheckpoint } from '../../src/member/checkpoint-io.js';
import { loadAddon } from '../../src/native/load.js';
import { regionView, slabRegion } from '../../src/memory/slab-region.js';
import type { Checkpoint, MemberRecord, RingEnd } from '../../src/member/member-api.js';
import { COUNTERS_MAX, computeLayout, EPOCHS_MAX, LOST_RANGES_MAX, SHORT_SEGMENTS_MAX } from '../../src/member/layout.js';
import { newUuid } from '../../src/member/uuid.js';
import { checkpointOf, memberBench, SHAPE, superblockOf, tableOf } from './array-fixture.js';

function randomCheckpoint(seed: number, bitmapBytes: number, change: Partial<Checkpoint> = {}): Checkpoint {
  const stripeBitmap = new Uint8Array(bitmapBytes);
  seededRandom(seed).fill(stripeBitmap);
  return checkpointOf({ stripeBitmap, ...change });
}

test('a checkpoint comes back field for field, whatever the size of its bitmap', (t) => {
  for (const bitmapBytes of [0, 1, 25, 4096, 4097, 100_000]) {
    const members = tableOf([
      { index: 1, state: 'failed' },
      { index: 4, state: 'rebuilding', rebuiltStripes: 2 ** 35 },
      { index: 7, state: 'missing' },
    ]);
    const count = bitmapBytes % 2 === 0 ? LOST_RANGES_MAX : 3;
    const lost = { ranges: Array.from({ length: count }, (_, i) => ({ first: 2 ** 40 + i * 7, count: 1 + (i % 5) })), more: count > 3 };
    const short = Array.from({ length: bitmapBytes % 2 === 0 ? SHORT_SEGMENTS_MAX : 0 }, (_, i) => ({
      seq: 2 ** 41 + i,
      copies: (0xffff_ffff - i) >>> 0,
    }));
    const ring = { headSeq: 2 ** 42, positions: 0x8000_0001, short, more: short.length > 0 };
    const checkpoint = randomCheckpoint(3, bitmapBytes, {
      members,
      cleanShutdown: bitmapBytes % 2 === 0,
      protection: 'seeding',
      publishEpoch: 2 ** 50 + bitmapBytes,
      lost,
      ring,
      ...(bitmapBytes % 3 === 0 ? {} : { tornAsWholeBelow: bitmapBytes % 3 === 1 ? 2 ** 44 + 3 : Number.POSITIVE_INFINITY }),
    });
    const bytes = encodeCheckpoint(checkpoint, SHAPE.arrayUuid);
    t.is(bytes.length % 4096, 0);
    t.deepEqual(decodeCheckpoint(bytes, SHAPE.arrayUuid), checkpoint);
  }
});

test('the longest list of lost blocks has room in the slots of every array', (t) => {
  for (let stripes = 1; stripes < 2 ** 25; stripes = stripes * 3 + 5) {
    const { checkpointBytes } = computeLayout({ role: 'data', chunkBytes: 4096, stripes, journalBytes: 0 });
    t.true(checkpointBytesFor(Math.ceil(stripes / 8), LOST_RANGES_MAX) <= checkpointBytes, `${stripes} stripes`);
  }
});

test('software that does not know the list of lost blocks refuses a checkpoint with one', (t) => {
  const flagsOf = (change: Partial<Checkpoint>): number =>
    new DataView(encodeCheckpoint(checkpointOf(change), SHAPE.arrayUuid).buffer).getUint32(12, true);
  t.is(flagsOf({}), 0);
  t.is(flagsOf({ lost: { ranges: [{ first: 1, count: 1 }], more: false } }), 1);
  t.is(flagsOf({ lost: { ranges: [], more: true } }), 1);
});

test('a member table of 64 rows, the most there can be, comes back', (t) => {
  const random = seededRandom(5);
  const members: MemberRecord[] = Array.from({ length: 64 }, (_, index) => ({
    index,
    uuid: newUuid(random),
    role: 'both',
    state: 'spare',
    rebuiltStripes: index,
  }));
  const checkpoint = checkpointOf({ members });
  t.deepEqual(decodeCheckpoint(encodeCheckpoint(checkpoint, SHAPE.arrayUuid), SHAPE.arrayUuid), checkpoint);
});

test('every single flipped bit of a checkpoint is refused', (t) => {
  const bytes = encodeCheckpoint(randomCheckpoint(4, 25), SHAPE.arrayUuid);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >>> 3] = (bytes[bit >>> 3] as number) ^ (1 << (bit & 7));
    const code = codeOf(bytes);
    if (code !== 'CHECKPOINT_CORRUPT' && code !== 'CHECKPOINT_ABSENT') t.fail(`bit ${bit}: ${code}`);
    bytes[bit >>> 3] = (bytes[bit >>> 3] as number) ^ (1 << (bit & 7));
  }
  t.is(codeOf(bytes), 'decoded');
});

test('a checkpoint of another array, version or with an unknown feature is refused by name', (t) => {
  const bytes = encodeCheckpoint(checkpointOf(), SHAPE.arrayUuid);
  t.is(t.throws(() => decodeCheckpoint(bytes, newUuid(seededRandom(99))), { instanceOf: KeelsonError })?.code, 'CHECKPOINT_FOREIGN');
  const view = new DataView(bytes.buffer);
  view.setUint32(8, 7, true);
  t.is(codeOf(checksum(bytes)), 'CHECKPOINT_VERSION');
  view.setUint32(8, 1, true);
  view.setUint32(12, 2, true);
  t.is(codeOf(checksum(bytes)), 'CHECKPOINT_FEATURES');
});

test('random bytes with right checksums never do more than refuse', (t) => {
  const seed = 77_001;
  t.log(`seed ${seed}`);
  const random = seededRandom(seed);
  const good = encodeCheckpoint(randomCheckpoint(4, 25), SHAPE.arrayUuid);
  for (let round = 0; round < 2000; round++) {
    const bytes = good.slice();
    if (round % 3 === 0) random.fill(bytes.subarray(24, 24 + random.below(8000)));
    for (let i = 0; i < 4; i++) bytes[24 + random.below(i % 2 === 0 ? 100 : 5000)] = random.below(256);
    checksum(bytes);
    const code = codeOf(bytes);
    if (!['decoded', 'CHECKPOINT_INVALID', 'CHECKPOINT_FOREIGN'].includes(code)) t.fail(`round ${round}: ${code}`);
  }
  t.pass();
});

test('a checkpoint goes to every member, into the other slot each time, and the newest is read, also through little memory', async (t) => {
  const bench = memberBench(t);
  const small = slabRegion(bench.slab, 0, 8192);
  const stripes = 8 * 300_000;
  const layout = computeLayout({ role: 'journal', chunkBytes: 4096, stripes, journalBytes: 0 });
  const targets = [];
  for (const name of ['a', 'b', 'c']) targets.push({ device: await bench.device(name, layout.totalBytes), layout });
  for (let generation = 1; generation <= 3; generation++) {
    const checkpoint = randomCheckpoint(generation, stripes / 8, { generation });
    t.deepEqual(await writeCheckpoint(targets, checkpoint, SHAPE.arrayUuid, generation === 2 ? small : bench.region), [null, null, null]);
    for (const target of targets)
      t.deepEqual(await readNewestCheckpoint(target, { ...SHAPE, stripes }, generation === 1 ? small : bench.region), checkpoint);
  }
});

test('a torn checkpoint, in its header or in its body, falls back to the one before; two torn ones are refused', async (t) => {
  const { device, region } = memberBench(t);
  const { layout } = superblockOf(0);
  const target = { device: await device('member', layout.totalBytes), layout };
  for (const tornAt of [0, 512, 4096 + 512, 8192]) {
    for (const generation of [4, 5])
      await writeCheckpoint([target], randomCheckpoint(generation, 25, { generation }), SHAPE.arrayUuid, region);
    const spoil = async (slot: 0 | 1): Promise<void> => {
      await readDevice(target.device, region.offset, layout.checkpointOffset[slot], 12_288);
      const bytes = regionView(region, tornAt, 512);
      for (let i = 0; i < bytes.length; i++) bytes[i] = (bytes[i] as number) ^ 0xff;
      await writeDevice(target.device, region.offset, layout.checkpointOffset[slot], 12_288);
    };
    await spoil(1);
    t.is((await readNewestCheckpoint(target, SHAPE, region)).generation, 4, `torn at ${tornAt}`);
    await spoil(0);
    await t.throwsAsync(readNewestCheckpoint(target, SHAPE, region), { instanceOf: KeelsonError });
  }
});

test('a checkpoint with right checksums that cannot be in this array is refused, and the one before it is not taken in its place', async (t) => {
  const { device, region } = memberBench(t);
  const { layout } = superblockOf(0);
  const target = { device: await device('member', layout.totalBytes), layout };
  const shape = { ...SHAPE, stripes: 197 };
  const volumeBlocks = 197 * 16 * 4;
  const row = (change: Partial<MemberRecord>): Partial<Checkpoint> => ({ members: tableOf([{ index: 7, ...change }]) });
  const lost = (...ranges: [number, number][]): Partial<Checkpoint> => ({
    lost: { ranges: ranges.map(([first, count]) => ({ first, count })), more: false },
  });
  const ring = (change: Partial<RingEnd>): Partial<Checkpoint> => ({
    ring: { headSeq: 13, positions: 3, short: [], more: false, ...change },
  });
  const whole: Partial<Checkpoint>[] = [
    {},
    row({ rebuiltStripes: 197, state: 'rebuilding' }),
    { tailSeq: 4, drainedSeq: 4 },
    lost([0, 1], [1, 2], [volumeBlocks - 1, 1]),
    ring({ headSeq: 17, short: [{ seq: 17, copies: 3 }] }),
  ];
  const impossible: Partial<Checkpoint>[] = [
    { epoch: EPOCHS_MAX - 1 },
    { generation: COUNTERS_MAX + 1 },
    { stripeBitmap: new Uint8Array(24) },
    { stripeBitmap: new Uint8Array(26) },
    { stripeBitmap: new Uint8Array(25).fill(0x20, 24) },
    { destagedLsn: COUNTERS_MAX },
    { drainedLsn: COUNTERS_MAX },
    { tornAsWholeBelow: SHAPE.stripes + 1 },
    row({ rebuiltStripes: 198 }),
    row({ role: 'data' }),
    { members: tableOf([{ index: 0, role: 'journal' }]) },
    { members: [...tableOf(), { ...(tableOf()[7] as MemberRecord), index: 8 }] },
    { members: [...tableOf(), tableOf()[7] as MemberRecord] },
    { tailSeq: 0, drainedSeq: 0, destagedSeq: 1 },
    { tailSeq: 10 },
    { tailSeq: 13 },
    { tailSeq: 3, drainedSeq: 4 },
    lost([0, 0]),
    lost([4, 2], [5, 1]),
    lost([9, 1], [4, 2]),
    lost([volumeBlocks, 1]),
    lost([0, 2 ** 52]),
    ring({ headSeq: 11 }),
    ring({ headSeq: 18 }),
    ring({ positions: 4 }),
    ring({ short: [{ seq: 8, copies: 1 }] }),
    ring({ short: [{ seq: 14, copies: 1 }] }),
    ring({ short: [{ seq: 13, copies: 4 }] }),
  ];
  for (const change of [...whole, ...impossible]) {
    const right = whole.includes(change);
    const checkpoint = checkpointOf({ generation: 5, ...change });
    for (const each of [checkpointOf({ generation: 4 }), checkpoint])
      t.deepEqual(await writeCheckpoint([target], each, SHAPE.arrayUuid, region), [null]);
    if (right) t.is((await readNewestCheckpoint(target, shape, region)).generation, 5, JSON.stringify(change));
    else await t.throwsAsync(readNewestCheckpoint(target, shape, region), { code: 'CHECKPOINT_INVALID' }, JSON.stringify(change));
  }
});

test('a member that cannot be written is told apart from those that can', async (t) => {
  const { device, region, provider, folder } = memberBench(t);
  const { layout } = superblockOf(0);
  const good = { device: await device('good', layout.totalBytes), layout };
  await (await device('bad', layout.totalBytes)).close();
  const bad = { device: await provider.open(`${folder}/bad`, { readOnly: true }), layout };
  const results = await writeCheckpoint([bad, good], checkpointOf(), SHAPE.arrayUuid, region);
  t.is(results[0]?.code, 'DEVICE_WRITE');
  t.is(results[1], null);
  t.is((await readNewestCheckpoint(good, SHAPE, region)).generation, 1);
});

function checksum(bytes: Uint8Array): Uint8Array {
  const { crc32c } = loadAddon();
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(4088, crc32c(bytes, 0, 4088, 0), true);
  view.setUint32(4092, crc32c(bytes, 4096, bytes.length - 4096, crc32c(bytes, 0, 4092, 0)), true);
  return bytes;
}

function codeOf(bytes: Uint8Array): string {
  try {
    decodeCheckpoint(bytes, SHAPE.arrayUuid);
    return 'decoded';
  } catch (error) {
    return error instanceof KeelsonError ? error.code : String(error);
  }
}
