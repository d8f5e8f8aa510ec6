import test from 'ava';
import { CRC_LOST } from '../../src/stripe/geometry.js';
import { newStripeLoss, rowLoss, stripeLoss } from '../../src/stripe/row-loss.js';
import { STRIPE_BEYOND, STRIPE_DONE, STRIPE_FAILED, type StripeOutcome } from '../../src/stripe/stripe-pool.js';
import { StripeBench } from './stripe-bench.js';
import { content, filled, random } from './stripe-content.js';

function everyStripe(bench: StripeBench): number[] {
  return Array.from({ length: bench.geometry.stripes }, (_, i) => i);
}

function finish(bench: StripeBench, targets: readonly number[]): void {
  for (const member of targets) {
    bench.view.rebuiltStripes[member] = Number.POSITIVE_INFINITY;
    bench.view.integrityKnown[member] = 1;
  }
}

async function rebuild(
  bench: StripeBench,
  targets: readonly number[],
  given: Map<number, Uint8Array | null | 'lost'> | null,
  dataOnly = false,
): Promise<StripeOutcome> {
  bench.resetPages();
  const stripes = everyStripe(bench);
  const provided = given === null ? null : bench.sources(stripes, given).sources;
  return bench.pool.rebuild({ members: bench.view, stripes: Float64Array.from(stripes), targets, provided, dataOnly });
}

test('one member is rebuilt from k survivors, whole chunks at a time', async (t) => {
  const bench = await filled(4, 2, 4, 6);
  bench.kill(3, false);
  bench.replace(3, random);
  bench.io.resetCounts();
  const outcome = await rebuild(bench, [3], null);
  t.true(outcome.status.every((status) => status === STRIPE_DONE));
  t.is(bench.io.reads, 6 * 4);
  t.is(bench.io.writes, 6);
  t.is(bench.io.batches, 2);
  finish(bench, [3]);
  t.is(bench.checkStored(), '');
  t.is(await bench.checkReads(), '');
});

test('rows without data need no I/O, whether the old table is known or not', async (t) => {
  for (const known of [true, false]) {
    const bench = new StripeBench({ k: 4, m: 2, rows: 4, stripes: 3 });
    bench.kill(3, known);
    bench.kill(1, known);
    bench.replace(3, random);
    bench.replace(1, random);
    bench.io.resetCounts();
    const outcome = await rebuild(bench, [1, 3], null);
    t.true(outcome.status.every((status) => status === STRIPE_DONE));
    t.is(bench.io.reads + bench.io.writes, 0);
    finish(bench, [1, 3]);
    t.is(bench.checkStored(), '');
    t.is(await bench.checkReads(), '');
  }
});

test('a rotten survivor met in a rebuild is one more erasure, and is put right', async (t) => {
  const bench = await filled(4, 2, 2, 3);
  bench.spoil(1, 2, 1, random);
  const rotten = bench.geometry.memberOf(1, 2);
  const dead = (rotten + 1) % 6;
  bench.kill(dead, true);
  bench.replace(dead, random);
  const outcome = await rebuild(bench, [dead], null);
  t.true(outcome.status.every((status) => status === STRIPE_DONE));
  finish(bench, [dead]);
  bench.refreshCorrupt();
  t.is(bench.corrupt.size, 0);
  t.is(bench.checkStored(), '');
});

test('beyond parity: only e - m of the lost blocks of a row have to be given, parity gives the others', async (t) => {
  for (const known of [true, false]) {
    const bench = await filled(4, 2, 2, 6);
    const dead = [0, 2, 3, 5];
    for (const member of dead) bench.kill(member, known);
    for (const member of dead) bench.replace(member, random);
    t.deepEqual([...(await rebuild(bench, dead, null)).status], new Array(6).fill(STRIPE_BEYOND));
    const given = new Map<number, Uint8Array | null>();
    const loss = newStripeLoss(bench.geometry);
    for (const stripe of everyStripe(bench)) {
      stripeLoss(bench.geometry, bench.view, bench.tables, stripe, false, loss);
      for (let row = 0; row < 2; row++) {
        let fetch = loss.fetch[row] as number;
        t.is(fetch, 2);
        for (let d = 0; d < 4 && fetch > 0; d++) {
          if (loss.block[d * 2 + row] !== 0) continue;
          given.set(bench.blockOf(stripe, d, row), bench.model[bench.blockOf(stripe, d, row)] ?? null);
          fetch -= 1;
        }
      }
    }
    const outcome = await rebuild(bench, dead, given);
    t.deepEqual([...outcome.status], new Array(6).fill(STRIPE_DONE));
    finish(bench, dead);
    t.is(bench.checkStored(), '');
    t.is(await bench.checkReads(), '');
  }
});

test('a stripe one block short is left untouched', async (t) => {
  const bench = await filled(2, 1, 1, 3);
  bench.kill(0, true);
  bench.kill(1, true);
  bench.replace(0, random);
  bench.replace(1, random);
  const before = bench.io.devices.map((device) => device.slice());
  const tables = bench.tables.map((table) => table.slice());
  const outcome = await rebuild(bench, [0, 1], null);
  t.deepEqual([...outcome.status], new Array(3).fill(STRIPE_BEYOND));
  t.deepEqual(bench.io.devices, before);
  t.deepEqual(bench.tables, tables);
});

test('a given block that does not fit a known entry is refused where parity is trusted', async (t) => {
  const bench = await filled(2, 1, 1, 1);
  bench.kill(0, true);
  bench.kill(1, true);
  bench.replace(0, random);
  bench.replace(1, random);
  t.is((await rebuild(bench, [0, 1], new Map([[0, content()]]))).status[0], STRIPE_BEYOND);
});

test('lost for good: marked as such, the other blocks and all parity consistent with zeroes in its place', async (t) => {
  const bench = await filled(4, 2, 1, 1);
  for (const member of [0, 1, 4]) bench.kill(member, false);
  for (const member of [0, 1, 4]) bench.replace(member, random);
  const given = new Map<number, Uint8Array | 'lost'>([
    [0, 'lost'],
    [1, bench.model[1] as Uint8Array],
  ]);
  // With one of the two data blocks given, four shards are there: the other one follows from parity and is not lost at all.
  t.is((await rebuild(bench, [0, 1, 4], given)).status[0], STRIPE_DONE);
  finish(bench, [0, 1, 4]);
  t.is(bench.checkStored(), '');
  for (const member of [0, 4, 5]) bench.kill(member, false);
  for (const member of [0, 4, 5]) bench.replace(member, random);
  t.is((await rebuild(bench, [0, 4, 5], new Map([[0, 'lost']]))).status[0], STRIPE_DONE);
  finish(bench, [0, 4, 5]);
  bench.lost.add(0);
  bench.model[0] = null;
  t.is((bench.tables[0] as Uint32Array)[0], CRC_LOST);
  t.is(bench.checkStored(), '');
  t.is(await bench.checkReads(), '');
});

test('dataOnly: torn parity is not read; what is given is newer than what members have, and all parity is made new', async (t) => {
  const bench = await filled(4, 2, 2, 2);
  const dead = 1;
  bench.kill(dead, true);
  bench.replace(dead, random);
  const given = new Map<number, Uint8Array | null>();
  for (const stripe of [0, 1]) {
    const shard = bench.geometry.shardOf(stripe, dead);
    for (let row = 0; row < 2; row++) {
      if (shard < 4) given.set(bench.blockOf(stripe, shard, row), content());
      // Torn parity, and a torn data block that the journal has.
      for (let p = 4; p < 6; p++) bench.stored(stripe, p, row).fill(7);
      const other = (shard + 1) % 4;
      bench.stored(stripe, other, row).fill(8);
      given.set(bench.blockOf(stripe, other, row), content());
    }
  }
  t.deepEqual([...(await rebuild(bench, [dead], new Map(), true)).status], [STRIPE_BEYOND, STRIPE_BEYOND]);
  const outcome = await rebuild(bench, [dead], given, true);
  t.deepEqual([...outcome.status], [STRIPE_DONE, STRIPE_DONE]);
  for (const [block, bytes] of given) bench.model[block] = bytes;
  finish(bench, [dead]);
  t.is(bench.checkStored(), '');
  t.is(await bench.checkReads(), '');
});

test('a target that fails its writes leaves the stripe not rebuilt', async (t) => {
  const bench = await filled(2, 1, 1, 2);
  bench.kill(1, true);
  bench.replace(1, random);
  bench.io.failWrites.add(1);
  const outcome = await rebuild(bench, [1], null);
  t.deepEqual([...outcome.status], [STRIPE_FAILED, STRIPE_FAILED]);
  t.is(outcome.writeErrors[1], 2);
  t.is(await bench.checkReads(), '');
});

test('losses are counted by row, and unwritten blocks are not losses where the table is known', async (t) => {
  const bench = new StripeBench({ k: 2, m: 2, rows: 2, stripes: 1 });
  await bench.apply(new Map([[0, content()]]));
  bench.kill(0, true);
  bench.kill(1, true);
  bench.kill(2, true);
  t.deepEqual(rowLoss(bench.geometry, bench.view, bench.tables, 0, 0), { data: 1, parity: 1 });
  t.deepEqual(rowLoss(bench.geometry, bench.view, bench.tables, 0, 1), { data: 0, parity: 0 });
  const loss = newStripeLoss(bench.geometry);
  t.is(stripeLoss(bench.geometry, bench.view, bench.tables, 0, false, loss), 0);
  t.is(stripeLoss(bench.geometry, bench.view, bench.tables, 0, true, loss), 1);
  bench.kill(0, false);
  bench.kill(1, false);
  bench.kill(2, false);
  t.is(stripeLoss(bench.geometry, bench.view, bench.tables, 0, false, loss), 2, 'one a row of three losses with two parities');
});
