import test, { type ExecutionContext } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { KIB } from '../../src/base/units.js';
import type { Device } from '../../src/device/device.js';
import { readDevice, writeDevice } from '../../src/device/promise-io.js';
import { ENTRY_OF_LOST_PAGE, IntegrityTable } from '../../src/member/integrity.js';
import { type IntegrityIdentity, nextGeneration, reachesBeyond } from '../../src/member/integrity-page.js';
import { computeLayout, INTEGRITY_ENTRIES, INTEGRITY_PAGE_BYTES, integrityCopyOffset } from '../../src/member/layout.js';
import { regionView, type SlabRegion } from '../../src/memory/slab-region.js';
import { MEMBER_UUIDS, memberBench, SHAPE } from './array-fixture.js';

const ROWS = 16;
const STRIPES = 9000;
const LAYOUT = computeLayout({ role: 'data', chunkBytes: 64 * KIB, stripes: STRIPES, journalBytes: 0 });
const IDENTITY: IntegrityIdentity = { arrayUuid: SHAPE.arrayUuid, memberUuid: MEMBER_UUIDS[0] as string, index: 0 };

interface Zone {
  readonly device: Device;
  readonly region: SlabRegion;
  /** Flips a byte of a copy of a page. */
  spoil(page: number, copy: number, at?: number): Promise<void>;
}

async function zone(t: ExecutionContext): Promise<Zone> {
  const { device: open, region } = memberBench(t);
  const device = await open('member', LAYOUT.totalBytes);
  return {
    device,
    region,
    async spoil(page, copy, at = 2000) {
      const offset = integrityCopyOffset(LAYOUT, page, copy);
      await readDevice(device, region.offset, offset, INTEGRITY_PAGE_BYTES);
      const bytes = regionView(region, 0, INTEGRITY_PAGE_BYTES);
      bytes[at] = (bytes[at] as number) ^ 1;
      await writeDevice(device, region.offset, offset, INTEGRITY_PAGE_BYTES);
    },
  };
}

function newTable(change: Partial<IntegrityIdentity> = {}): IntegrityTable {
  return new IntegrityTable(LAYOUT, { ...IDENTITY, ...change });
}

/** Sets the bit and random entries of a stripe, and marks it. */
function writeStripe(table: IntegrityTable, bitmap: Uint8Array, stripe: number, seed = stripe + 1): void {
  bitmap[stripe >>> 3] = (bitmap[stripe >>> 3] as number) | (1 << (stripe & 7));
  const random = seededRandom(seed);
  for (let row = 0; row < ROWS; row++) table.entries[stripe * ROWS + row] = random.u32();
  table.markStripe(stripe, ROWS);
}

function newBitmap(): Uint8Array {
  return new Uint8Array(Math.ceil(STRIPES / 8));
}

test('entries come back through the zone, first and last ones too, and what was never written is unwritten', async (t) => {
  const { device, region } = await zone(t);
  const table = newTable();
  const bitmap = newBitmap();
  for (const stripe of [0, 1, 63, 64, 127, 2000, 4500, 4501, STRIPES - 1]) writeStripe(table, bitmap, stripe);
  t.true(table.dirtyPages > 0);
  t.is(await table.flush(device, 3, region), null);
  t.is(table.dirtyPages, 0);
  const loaded = newTable();
  t.deepEqual(await loaded.load(device, bitmap, ROWS, region), { lostPages: [], readErrors: 0 });
  t.deepEqual(loaded.entries, table.entries);
});

test('at rest both copies say the same: either one may rot, and the next flush makes it whole', async (t) => {
  const { device, region, spoil } = await zone(t);
  const table = newTable();
  const bitmap = newBitmap();
  for (let flush = 0; flush < 5; flush++) {
    writeStripe(table, bitmap, 10, 100 + flush);
    await table.flush(device, 1, region);
    for (const copy of [0, 1]) {
      await spoil(0, copy);
      const loaded = newTable();
      t.deepEqual((await loaded.load(device, bitmap, ROWS, region)).lostPages, []);
      t.deepEqual(loaded.entries, table.entries, `flush ${flush}, copy ${copy} rotten`);
      // Nothing was marked: this only writes the rotten copy anew.
      await loaded.flush(device, 2 + flush, region);
    }
    await table.load(device, bitmap, ROWS, region);
  }
});

test('a crash between any two requests of a flush, with the last one torn, leaves the state before or after', async (t) => {
  const { device, region } = await zone(t);
  const bitmap = newBitmap();
  const table = newTable();
  for (const stripe of [1, 70, 5000]) writeStripe(table, bitmap, stripe, stripe);
  await table.flush(device, 1, region);
  const before = table.entries.slice();
  let survived = 0;
  for (let epoch = 2, steps = 0; ; epoch++, steps++) {
    const running = newTable();
    t.deepEqual((await running.load(device, bitmap, ROWS, region)).lostPages, []);
    for (const stripe of [1, 70, 5000]) writeStripe(running, bitmap, stripe, stripe + 1);
    const failure = await running.flush(crashingAfter(device, steps, region), epoch, region);
    const loaded = newTable();
    t.deepEqual((await loaded.load(device, bitmap, ROWS, region)).lostPages, [], `${steps} requests, then a torn one`);
    for (const stripe of [1, 70, 5000]) {
      const part = (entries: Uint32Array): string => entries.slice(stripe * ROWS, (stripe + 1) * ROWS).join();
      t.true([part(before), part(running.entries)].includes(part(loaded.entries)), `stripe ${stripe} after ${steps} requests`);
      if (part(before) === part(loaded.entries)) survived += 1;
    }
    if (failure === null) break;
    // Back to the state before, whole, for the next step.
    for (const stripe of [1, 70, 5000]) writeStripe(loaded, bitmap, stripe, stripe);
    t.is(await loaded.flush(device, epoch, region), null);
  }
  t.true(survived > 0);
});

test('a page without a whole copy is told as lost; its entries mismatch, its neighbours are untouched, and the next flush heals it', async (t) => {
  const { device, region, spoil } = await zone(t);
  const table = newTable();
  const bitmap = newBitmap();
  for (let stripe = 0; stripe < 200; stripe++) writeStripe(table, bitmap, stripe);
  await table.flush(device, 1, region);
  for (const copy of [0, 1]) await spoil(1, copy);
  const loaded = newTable();
  t.deepEqual(await loaded.load(device, bitmap, ROWS, region), { lostPages: [1], readErrors: 0 });
  t.true(loaded.lost.has(1));
  const inPage = (block: number): boolean => Math.floor(block / INTEGRITY_ENTRIES) === 1;
  for (let block = 0; block < 200 * ROWS; block++) {
    if (loaded.entries[block] !== (inPage(block) ? ENTRY_OF_LOST_PAGE : table.entries[block])) t.fail(`block ${block}`);
  }
  for (let stripe = 60; stripe < 130; stripe++) writeStripe(loaded, bitmap, stripe);
  t.is(await loaded.flush(device, 2, region), null);
  t.is(loaded.lost.count, 0);
  const again = newTable();
  t.deepEqual((await again.load(device, bitmap, ROWS, region)).lostPages, []);
  t.deepEqual(again.entries, table.entries);
});

test('every byte of a page is guarded, header and padding included', async (t) => {
  const { device, region, spoil } = await zone(t);
  const table = newTable();
  const bitmap = newBitmap();
  writeStripe(table, bitmap, STRIPES - 1);
  await table.flush(device, 1, region);
  const page = LAYOUT.integrityPages - 1;
  await spoil(page, 0);
  for (const at of [0, 3, 4, 7, 8, 12, 15, 16, 20, 4095]) {
    await spoil(page, 1, at);
    t.deepEqual((await newTable().load(device, bitmap, ROWS, region)).lostPages, [page], `byte ${at}`);
    await spoil(page, 1, at);
  }
  t.deepEqual((await newTable().load(device, bitmap, ROWS, region)).lostPages, []);
});

test('pages of another array, another member, another index or another place are refused', async (t) => {
  const { device, region } = await zone(t);
  const table = newTable();
  const bitmap = newBitmap();
  writeStripe(table, bitmap, 0);
  writeStripe(table, bitmap, 100);
  await table.flush(device, 1, region);
  for (const change of [{ arrayUuid: MEMBER_UUIDS[5] as string }, { memberUuid: MEMBER_UUIDS[1] as string }, { index: 1 }]) {
    t.deepEqual((await newTable(change).load(device, bitmap, ROWS, region)).lostPages, [0, 1]);
  }
  for (const copy of [0, 1]) {
    await readDevice(device, region.offset, integrityCopyOffset(LAYOUT, 0, copy), INTEGRITY_PAGE_BYTES);
    await writeDevice(device, region.offset, integrityCopyOffset(LAYOUT, 1, copy), INTEGRITY_PAGE_BYTES);
  }
  t.deepEqual((await newTable().load(device, bitmap, ROWS, region)).lostPages, [1]);
});

test('what a crash left on stripes that no checkpoint knows is unwritten after it, and never outlives what is written then', async (t) => {
  const { device, region } = await zone(t);
  const known = newBitmap();
  const crashed = newTable();
  writeStripe(crashed, known, 3);
  for (let flush = 0; flush < 4; flush++) {
    writeStripe(crashed, newBitmap(), 4, 50 + flush);
    writeStripe(crashed, newBitmap(), 500, 60 + flush);
    await crashed.flush(device, 1, region);
  }
  const after = newTable();
  await after.load(device, known, ROWS, region);
  t.deepEqual(after.entries.slice(3 * ROWS, 4 * ROWS), crashed.entries.slice(3 * ROWS, 4 * ROWS));
  t.true(after.entries.slice(4 * ROWS, 5 * ROWS).every((entry) => entry === 0));
  t.true(after.entries.slice(500 * ROWS, 501 * ROWS).every((entry) => entry === 0));
  // The crashed run reached a higher count on the page of stripe 500 than one flush of the next epoch does.
  writeStripe(after, known, 500, 70);
  await after.flush(device, 2, region);
  const last = newTable();
  t.deepEqual((await last.load(device, known, ROWS, region)).lostPages, []);
  t.deepEqual(last.entries, after.entries);
});

test('a generation always rises, goes to the other copy, and starts higher in each epoch', (t) => {
  const seed = 31;
  t.log(`seed ${seed}`);
  const random = seededRandom(seed);
  let generation = 0;
  let epoch = 1;
  for (let i = 0; i < 2000; i++) {
    if (random.below(10) === 0) epoch += 1 + random.below(3);
    const next = nextGeneration(generation, epoch);
    t.true(next > generation && next >= epoch * 2 ** 32);
    t.is(next % 2, (generation + 1) % 2);
    generation = next;
  }
});

test('a page says how far into the ring its entries may reach, up to where a checkpoint covers them', (t) => {
  const seed = 33;
  t.log(`seed ${seed}`);
  const random = seededRandom(seed);
  let generation = 0;
  let reach = 1;
  let epoch = 1;
  for (let i = 0; i < 2000; i++) {
    reach += random.below(4);
    if (random.below(20) === 0) epoch++;
    generation = nextGeneration(generation, epoch, reach);
    t.true(reachesBeyond(generation, reach - 1));
    t.true(reachesBeyond(generation, Math.max(0, reach - 100)));
    t.false(reachesBeyond(generation, reach + 125), 'however often it was written with this reach');
    if (random.below(8) === 0) t.false(reachesBeyond(nextGeneration(0, epoch, reach), reach));
  }
  t.false(reachesBeyond(5 * 2 ** 32 + 3, 7), 'a page of a version that does not say it');
});

test('a failed flush says so and leaves its pages marked', async (t) => {
  const { device: open, provider, folder, region } = memberBench(t);
  await (await open('member', LAYOUT.totalBytes)).close();
  const readOnly = await provider.open(`${folder}/member`, { readOnly: true });
  const table = newTable();
  const bitmap = newBitmap();
  for (const stripe of [0, 1000, 8000]) writeStripe(table, bitmap, stripe);
  const marked = table.dirtyPages;
  t.is((await table.flush(readOnly, 1, region))?.code, 'DEVICE_WRITE');
  t.is(table.dirtyPages, marked);
});

test('an entry changed and marked while a flush runs is in the next one', async (t) => {
  const { device, region } = await zone(t);
  const table = newTable();
  const bitmap = newBitmap();
  writeStripe(table, bitmap, 0, 1);
  const flushing = table.flush(device, 1, region);
  writeStripe(table, bitmap, 0, 2);
  await flushing;
  t.is(table.dirtyPages, 1);
  await table.flush(device, 1, region);
  const loaded = newTable();
  await loaded.load(device, bitmap, ROWS, region);
  t.deepEqual(loaded.entries, table.entries);
});

/** The device of a process that dies: `steps` requests are done, the next write is torn after its first 512 bytes, and everything from then on fails. */
function crashingAfter(device: Device, steps: number, region: SlabRegion): Device {
  let left = steps;
  const torn = region.slab.view;
  return {
    ...device,
    path: device.path,
    read: device.read.bind(device),
    sync(done, tag) {
      left -= 1;
      if (left >= 0) device.sync(done, tag);
      else queueMicrotask(() => done(-5, tag));
    },
    write(memory, offset, length, done, tag) {
      left -= 1;
      if (left >= 0) return device.write(memory, offset, length, done, tag);
      if (left < -1) return queueMicrotask(() => done(-5, tag));
      // Page 0 of the slab lies outside the region.
      torn.copy(torn, 0, memory, memory + 512);
      torn.fill(0x5a, 512, 4096);
      return device.write(0, offset, 4096, () => done(-5, tag), tag);
    },
  } as Device;
}
