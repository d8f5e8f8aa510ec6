import test from 'ava';
import { ENTRY_OF_LOST_PAGE } from '../../src/member/integrity.js';
import { CRC_UNKNOWN } from '../../src/stripe/geometry.js';
import { STRIPE_DONE } from '../../src/stripe/stripe-pool.js';
import type { StripeBench } from './stripe-bench.js';
import { content, filled, random } from './stripe-content.js';

/** A 4+2 array with every block written, of which one member's integrity entries are all lost. */
async function pageLost(member: number): Promise<{ bench: StripeBench; entries: Uint32Array }> {
  const bench = await filled(4, 2, 2, 3);
  const table = bench.tables[member] as Uint32Array;
  const entries = table.slice();
  table.fill(CRC_UNKNOWN);
  return { bench, entries };
}

test('an entry that is lost with its page has the same form in the integrity zone and in the stripes', (t) => {
  t.is(CRC_UNKNOWN, ENTRY_OF_LOST_PAGE);
});

test('blocks whose entries are lost with their page are read, and a repairing read finds the entries out again', async (t) => {
  const { bench, entries } = await pageLost(1);
  t.is(await bench.checkReads(), '');
  t.is(bench.tables[1]?.[0], CRC_UNKNOWN, 'a read without repair changes nothing');
  const wanted = bench.model.map((_, block) => block);
  const { repaired } = await bench.recover(wanted, bench.view, true);
  t.is(repaired, 2 * 2);
  for (const stripe of [0, 1, 2]) {
    const isData = bench.geometry.shardOf(stripe, 1) < 4;
    const at = bench.geometry.memberBlock(stripe, 0);
    t.is(bench.tables[1]?.[at], isData ? entries[at] : CRC_UNKNOWN, `stripe ${stripe}`);
  }
});

test('a degraded row whose survivor has lost its entries is still written, and its entries are found out', async (t) => {
  const { bench, entries } = await pageLost(1);
  // Stripe 0: shard 1 is on member 1; kept when shard 0 is given with 2 and 3.
  const outcome = await bench.apply(new Map([0, 2, 3].map((d) => [bench.blockOf(0, d, 0), content()])));
  t.deepEqual([...outcome.outcome.status], [STRIPE_DONE]);
  t.is(bench.tables[1]?.[0], entries[0]);
  t.is(await bench.checkReads(), '');
});

test('a member is rebuilt from a survivor whose entries are lost, and one whose own entries are lost is believed', async (t) => {
  for (const lost of [1, 2]) {
    const { bench } = await pageLost(1);
    bench.kill(lost, true);
    bench.replace(lost, random);
    const stripes = Float64Array.of(0, 1, 2);
    const outcome = await bench.pool.rebuild({ members: bench.view, stripes, targets: [lost], provided: null, dataOnly: false });
    t.deepEqual([...outcome.status], [STRIPE_DONE, STRIPE_DONE, STRIPE_DONE]);
    bench.view.rebuiltStripes[lost] = Number.POSITIVE_INFINITY;
    t.is(await bench.checkReads(), '');
  }
});

test('a scrub with repair finds out every entry that was lost', async (t) => {
  const { bench, entries } = await pageLost(1);
  const outcome = await bench.pool.scrub(bench.view, Float64Array.of(0, 1, 2), true);
  t.deepEqual([...outcome.status], [STRIPE_DONE, STRIPE_DONE, STRIPE_DONE]);
  t.deepEqual(bench.tables[1], entries);
  t.is(bench.checkStored(), '');
});
