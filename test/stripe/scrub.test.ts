import test from 'ava';
import { integrityEntry } from '../../src/stripe/geometry.js';
import { STRIPE_BEYOND, STRIPE_DONE } from '../../src/stripe/stripe-pool.js';
import type { StripeBench } from './stripe-bench.js';
import { content, filled, random } from './stripe-content.js';

function all(bench: StripeBench): Float64Array {
  return Float64Array.from({ length: bench.geometry.stripes }, (_, i) => i);
}

test('a sound array has nothing to repair, and a scrub writes nothing', async (t) => {
  const bench = await filled(4, 2, 3, 4);
  await bench.apply(
    new Map([
      [3, null],
      [20, content()],
    ]),
  );
  bench.io.resetCounts();
  const outcome = await bench.pool.scrub(bench.view, all(bench), true);
  t.is(outcome.parityErrors + outcome.repaired, 0);
  t.is(bench.io.writes, 0);
});

test('rot in any shard is found, and put right only when asked', async (t) => {
  const bench = await filled(4, 2, 2, 3);
  for (let stripe = 0; stripe < 3; stripe++) for (const shard of [stripe, stripe + 3]) bench.spoil(stripe, shard, 1, random);
  const found = await bench.pool.scrub(bench.view, all(bench), false);
  t.is(
    [...found.checksumErrors, ...found.readErrors].reduce((a, b) => a + b),
    6,
  );
  t.is(found.repaired, 0);
  bench.refreshCorrupt();
  t.is(bench.corrupt.size, 6);
  const repaired = await bench.pool.scrub(bench.view, all(bench), true);
  t.is(repaired.repaired, 6);
  bench.refreshCorrupt();
  t.is(bench.corrupt.size, 0);
  t.is(bench.checkStored(), '');
});

test('parity that is wrong with a right checksum is found and made new; so is parity wrongly marked unwritten', async (t) => {
  const bench = await filled(3, 2, 2, 2);
  const parity = bench.stored(1, 4, 0);
  parity[100] = (parity[100] as number) ^ 1;
  const table = bench.tables[bench.geometry.memberOf(1, 4)] as Uint32Array;
  table[bench.geometry.memberBlock(1, 0)] = integrityEntry(bench.crcOf(parity, bench.geometry.crcAddress(1, 4, 0)));
  (bench.tables[bench.geometry.memberOf(0, 3)] as Uint32Array)[1] = 0;
  t.not(bench.checkStored(), '');
  const found = await bench.pool.scrub(bench.view, all(bench), false);
  t.is(found.parityErrors, 2);
  const repaired = await bench.pool.scrub(bench.view, all(bench), true);
  t.is(repaired.repaired, 2);
  t.is(bench.checkStored(), '');
  t.is((await bench.pool.scrub(bench.view, all(bench), true)).parityErrors, 0);
});

test('a row beyond repair is reported and left alone; other rows of the stripe are repaired', async (t) => {
  const bench = await filled(4, 2, 2, 1);
  for (const shard of [0, 1, 2]) bench.spoil(0, shard, 0, random);
  bench.spoil(0, 3, 1, random);
  const outcome = await bench.pool.scrub(bench.view, all(bench), true);
  t.is(outcome.status[0], STRIPE_BEYOND);
  t.is(outcome.repaired, 1);
  bench.refreshCorrupt();
  t.is(bench.corrupt.size, 3);
});

test('a degraded array is scrubbed as far as it goes', async (t) => {
  const bench = await filled(4, 2, 2, 6);
  bench.kill(2, true);
  bench.spoil(3, 0, 1, random);
  const outcome = await bench.pool.scrub(bench.view, all(bench), true);
  t.true(outcome.status.every((status) => status === STRIPE_DONE));
  bench.refreshCorrupt();
  t.is(bench.corrupt.size, 0);
  t.is(await bench.checkReads(), '');
});
