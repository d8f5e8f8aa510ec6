import test from 'ava';
import { CRC_UNWRITTEN, integrityEntry } from '../../src/stripe/geometry.js';
import { StripeBench } from './stripe-bench.js';
import { content, filled } from './stripe-content.js';

type Strict = 'fits' | 'spare';

/** Status of the recovery of one block, and whether it had the right content. */
async function recovered(bench: StripeBench, block: number, strict: Strict): Promise<{ status: number; right: boolean }> {
  bench.resetPages();
  const page = bench.takePage();
  const outcome = await bench.pool.recover({
    members: bench.view,
    blocks: Float64Array.of(block),
    pages: Uint32Array.of(page),
    repair: true,
    strict,
  });
  const expected = bench.model[block] ?? new Uint8Array(4096);
  return { status: outcome.status[0] as number, right: Buffer.compare(bench.page(page), expected) === 0 };
}

test('a row that may be torn but is not gives its lost blocks; with spare parity required only when there is some', async (t) => {
  const bench = await filled(4, 2, 2, 1);
  bench.kill(0, false);
  for (const strict of ['fits', 'spare'] as const) t.deepEqual(await recovered(bench, 0, strict), { status: 0, right: true });
  bench.kill(5, false);
  t.deepEqual(await recovered(bench, 0, 'fits'), { status: 0, right: true });
  t.is((await recovered(bench, 0, 'spare')).status, 1);
});

test('every way to tear the write of one block, its parity or its entries leaves a right block or none', async (t) => {
  // Bits: content of the data block, of parity 4 and of parity 5 is new; then the same of the three entries.
  for (let torn = 0; torn < 64; torn++) {
    for (const before of ['written', 'unwritten'] as const) {
      const bench = before === 'written' ? await filled(4, 2, 1, 1) : new StripeBench({ k: 4, m: 2, rows: 1, stripes: 1 });
      if (before === 'unwritten') await bench.apply(new Map([0, 2].map((block) => [block, content()])));
      const shards = [1, 4, 5];
      const old = shards.map((shard) => ({
        content: Uint8Array.from(bench.stored(0, shard, 0)),
        entry: bench.tables[shard]?.[0] as number,
      }));
      await bench.apply(new Map([[1, content()]]));
      shards.forEach((shard, bit) => {
        if (((torn >> bit) & 1) === 0) bench.stored(0, shard, 0).set(old[bit]?.content as Uint8Array);
        if (((torn >> (bit + 3)) & 1) === 0) (bench.tables[shard] as Uint32Array)[0] = old[bit]?.entry as number;
      });
      bench.kill(0, false);
      const { status, right } = await recovered(bench, 0, 'fits');
      t.true(status === 1 || (status === 0 && right), `tear ${torn}, block ${before} before: status ${status}`);
      if (torn === 63 || (torn === 0 && before === 'written')) t.is(status, 0, `tear ${torn} is none`);
    }
  }
});

test('with as many shards as are needed and no more, an unwritten block beside written ones proves nothing', async (t) => {
  const bench = await filled(2, 1, 1, 1);
  // Block 1 was unwritten; parity and its entry say it was written, its own entry was not flushed.
  (bench.tables[1] as Uint32Array)[0] = CRC_UNWRITTEN;
  bench.kill(0, false);
  t.is((await recovered(bench, 0, 'fits')).status, 1);
});

test('a wrong block makes a torn row unusable, not repaired', async (t) => {
  const bench = await filled(4, 2, 1, 1);
  bench.kill(0, false);
  const stored = bench.stored(0, 3, 0);
  stored.set(content());
  const before = Uint8Array.from(stored);
  t.is((await recovered(bench, 0, 'fits')).status, 1);
  t.deepEqual(bench.stored(0, 3, 0), before);
  (bench.tables[3] as Uint32Array)[0] = integrityEntry(bench.crcOf(before, 3));
  t.is((await recovered(bench, 0, 'fits')).status, 1, 'blocks that fit their entries but not each other');
});
