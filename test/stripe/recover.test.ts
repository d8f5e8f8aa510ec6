import test from 'ava';
import { CRC_LOST } from '../../src/stripe/geometry.js';
import { BLOCK, StripeBench } from './stripe-bench.js';
import { content, filled, random } from './stripe-content.js';

test('a healthy read touches only the members asked for, neighbours merged', async (t) => {
  const bench = await filled(4, 2, 8, 2);
  const { contents } = await bench.recover([2, 3, 4, 5], bench.view, false);
  t.is(bench.io.reads, 1);
  t.deepEqual(contents, bench.model.slice(2, 6));
});

test('a degraded stripe is read from k members, no more', async (t) => {
  const bench = await filled(4, 2, 8, 2);
  bench.kill(1, true);
  const blocks = Array.from({ length: 32 }, (_, block) => block);
  const { contents } = await bench.recover(blocks, bench.view, false);
  t.deepEqual(contents, bench.model.slice(0, 32));
  t.is(bench.io.reads, 4);
});

test('every loss of up to m members of every row is reconstructed, with the integrity table known or not', async (t) => {
  for (const [k, m] of [
    [2, 1],
    [4, 2],
    [3, 3],
  ] as const) {
    const bench = await filled(k, m, 1, k + m);
    for (let mask = 0; mask < 1 << (k + m); mask++) {
      const lost = Array.from({ length: k + m }, (_, i) => i).filter((i) => (mask >> i) & 1);
      const view = bench.copyView();
      for (const member of lost) {
        view.handle[member] = -1;
        view.integrityKnown[member] = member % 2;
      }
      const blocks = bench.model.map((_, block) => block);
      const { status, contents } = await bench.recover(blocks, view, false);
      for (const block of blocks) {
        const stripe = bench.geometry.stripeOf(block);
        const survives = lost.length <= m || !lost.includes(bench.geometry.memberOf(stripe, block % k));
        t.is(status[block], survives ? 0 : 1, `${k}+${m} without ${lost}: block ${block}`);
        if (survives) t.deepEqual(contents[block], bench.model[block]);
      }
    }
  }
});

test('repair writes back what was rotten or unreadable, also blocks only met on the way', async (t) => {
  const bench = await filled(4, 2, 2, 1);
  bench.kill(0, true);
  bench.spoil(0, 2, 1, random);
  const { contents, repaired } = await bench.recover([bench.blockOf(0, 0, 1)], bench.view, true);
  t.deepEqual(contents[0], bench.model[bench.blockOf(0, 0, 1)]);
  t.is(repaired, 1);
  bench.refreshCorrupt();
  t.is(bench.corrupt.size, 0);
  t.is(bench.checkStored(), '');
});

test("a misdirected write is seen: content of another block with that block's checksum is an erasure", async (t) => {
  const bench = await filled(4, 2, 2, 1);
  bench.stored(0, 1, 0).set(bench.stored(0, 1, 1));
  const { contents } = await bench.recover([bench.blockOf(0, 1, 0)], bench.view, false);
  t.deepEqual(contents[0], bench.model[bench.blockOf(0, 1, 0)]);
});

test('a reconstruction that does not fit its entry is an error, not data (P5)', async (t) => {
  const bench = await filled(2, 1, 1, 1);
  bench.kill(0, true);
  (bench.tables[0] as Uint32Array)[0] = 12345;
  const { status } = await bench.recover([0], bench.view, true);
  t.is(status[0], 1);
});

test('a block lost for good has status 2, an unwritten one is zeroes with checksum 0', async (t) => {
  const bench = new StripeBench({ k: 2, m: 1, rows: 2, stripes: 1 });
  await bench.apply(new Map([[1, content()]]));
  (bench.tables[0] as Uint32Array)[0] = CRC_LOST;
  const { status, contents } = await bench.recover([0, 1, 2], bench.view, false);
  t.deepEqual([...status], [2, 0, 0]);
  t.deepEqual(contents[2], new Uint8Array(BLOCK));
});
