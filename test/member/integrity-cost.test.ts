import test from 'ava';
import { KIB } from '../../src/base/units.js';
import { LostBlocks } from '../../src/engine/lost-blocks.js';
import { IntegrityTable } from '../../src/member/integrity.js';
import { computeLayout, INTEGRITY_ENTRIES } from '../../src/member/layout.js';
import { CRC_LOST, StripeGeometry } from '../../src/stripe/geometry.js';
import { MEMBER_UUIDS, memberBench, SHAPE } from './array-fixture.js';

const ROWS = 16;
/** A member of 16 GiB. */
const STRIPES = 2 ** 18;
const LAYOUT = computeLayout({ role: 'data', chunkBytes: 64 * KIB, stripes: STRIPES, journalBytes: 0 });
const WRITTEN = [100, 200_000];
/** A chunk of 16 blocks lies on two pages at most. */
const PAGES_MAX = WRITTEN.length * 2;

/** A table that counts the entries that are looked at or filled. */
function watchedTable(index: number): { table: IntegrityTable; touched: () => number } {
  const table = new IntegrityTable(LAYOUT, { arrayUuid: SHAPE.arrayUuid, memberUuid: MEMBER_UUIDS[index] as string, index });
  let touched = 0;
  class Watched extends Uint32Array<SharedArrayBuffer> {
    override indexOf(value: number, from = 0): number {
      touched += this.length - from;
      return super.indexOf(value, from);
    }
    override fill(value: number, from = 0, to = this.length): this {
      touched += to - from;
      return super.fill(value, from, to);
    }
  }
  Object.defineProperty(table, 'entries', { value: new Watched(table.shared) });
  return { table, touched: () => touched };
}

function bitmapOf(stripes: readonly number[]): Uint8Array {
  const bitmap = new Uint8Array(STRIPES / 8);
  for (const stripe of stripes) bitmap[stripe >>> 3] = (bitmap[stripe >>> 3] as number) | (1 << (stripe & 7));
  return bitmap;
}

test('looking for lost blocks touches the pages of written stripes alone, and finds all that are there', (t) => {
  const tables = [0, 1, 2].map(watchedTable);
  for (const { table } of tables) table.cover(bitmapOf(WRITTEN), ROWS);
  // Shard 0 of stripe s is on member s % 3.
  const [first, last] = WRITTEN as [number, number];
  for (const stripe of [first, last]) (tables[stripe % 3] as (typeof tables)[number]).table.entries[stripe * ROWS + 3] = CRC_LOST;
  const geometry = new StripeGeometry(2, 1, 64 * KIB, STRIPES);
  const lost = new LostBlocks(
    geometry,
    tables.map(({ table }) => table),
    new Uint8Array(3).fill(1),
  );
  lost.scan();
  t.deepEqual(
    lost.list.ranges,
    WRITTEN.map((stripe) => ({ first: stripe * geometry.stripeBlocks + 3, count: 1 })),
  );
  for (const { touched } of tables) t.true(touched() <= 2 * PAGES_MAX * INTEGRITY_ENTRIES, `${touched()} entries looked at`);
});

test('a table forgets by touching the pages that have entries', (t) => {
  const { table, touched } = watchedTable(0);
  for (const stripe of WRITTEN) {
    table.entries[stripe * ROWS] = 7;
    table.markStripe(stripe, ROWS);
  }
  table.forgetFrom(150 * ROWS);
  t.is(table.entries[100 * ROWS], 7);
  t.is(table.entries[200_000 * ROWS], 0);
  t.true(touched() <= PAGES_MAX * INTEGRITY_ENTRIES, `${touched()} entries filled`);
});

test('a new device gets the pages of written stripes, those of a member that could not be loaded too, and no others', async (t) => {
  const { device: open, region } = memberBench(t);
  const old = await open('old', LAYOUT.totalBytes);
  const { table } = watchedTable(0);
  for (const stripe of WRITTEN) {
    table.entries[stripe * ROWS] = 7;
    table.markStripe(stripe, ROWS);
  }
  t.is(await table.flush(old, 1, region), null);

  const loaded = watchedTable(0).table;
  await loaded.load(old, bitmapOf(WRITTEN), ROWS, region);
  const absent = watchedTable(0).table;
  absent.cover(bitmapOf(WRITTEN), ROWS);
  for (const [name, moved] of Object.entries({ table, loaded, absent })) {
    const identity = { arrayUuid: SHAPE.arrayUuid, memberUuid: MEMBER_UUIDS[1] as string, index: 0 };
    moved.moveTo(identity);
    t.true(moved.dirtyPages >= WRITTEN.length && moved.dirtyPages <= PAGES_MAX, `${name}: ${moved.dirtyPages} pages to be flushed`);
    const device = await open(name, LAYOUT.totalBytes);
    t.is(await moved.flush(device, 2, region), null);
    const again = new IntegrityTable(LAYOUT, identity);
    t.deepEqual(await again.load(device, bitmapOf(WRITTEN), ROWS, region), { lostPages: [], readErrors: 0 });
    t.deepEqual(again.entries[(WRITTEN[1] as number) * ROWS], moved.entries[(WRITTEN[1] as number) * ROWS], name);
  }
});
