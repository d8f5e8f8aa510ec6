import test from 'ava';
import { CRC_LOST } from '../../src/stripe/geometry.js';
import { SOURCE_LOST, STRIPE_DONE, STRIPE_NEEDS_LOST } from '../../src/stripe/stripe-pool.js';
import { content, filled, random } from './stripe-content.js';

test('apply: a block given as lost for good counts as zeroes, is an error of its own, and stays one when its member is rebuilt, table known or not', async (t) => {
  for (const known of [true, false]) {
    const bench = await filled(4, 2, 2, 1);
    bench.kill(1, known);
    if (!known) bench.tables[1]?.fill(0);
    const lost = bench.blockOf(0, 1, 0);
    bench.resetPages();
    const { sources, crcs } = bench.sources([0], new Map([[bench.blockOf(0, 0, 0), content()]]));
    bench.model[bench.blockOf(0, 0, 0)] = Uint8Array.from(bench.page(sources[0] as number));
    sources[bench.geometry.slotOf(lost)] = SOURCE_LOST;
    const outcome = await bench.pool.apply({ members: bench.view, stripes: Float64Array.of(0), sources, crcs, rewrite: true });
    t.deepEqual([...outcome.status], [STRIPE_DONE]);
    bench.model[lost] = null;
    bench.lost.add(lost);
    t.is(bench.tables[1]?.[0], CRC_LOST);
    t.is(await bench.checkReads(), '');
    t.is(bench.checkStored(), '');
    bench.replace(1, random);
    const rebuilt = await bench.pool.rebuild({
      members: bench.view,
      stripes: Float64Array.of(0),
      targets: [1],
      provided: null,
      dataOnly: false,
    });
    t.deepEqual([...rebuilt.status], [STRIPE_DONE]);
    bench.view.rebuiltStripes[1] = Number.POSITIVE_INFINITY;
    bench.view.integrityKnown[1] = 1;
    t.is(await bench.checkReads(), '');
    t.is(bench.checkStored(), '');
    await bench.apply(new Map([[lost, content()]]));
    t.is(await bench.checkReads(), '');
    t.is(bench.checkStored(), '');
  }
});

test('apply: a lost block given as what it is already asks for none of the other lost blocks of its row', async (t) => {
  const bench = await filled(4, 2, 1, 1);
  bench.kill(0, true);
  bench.kill(1, true);
  const same = bench.model[0] as Uint8Array;
  t.deepEqual([...(await bench.apply(new Map([[0, same]]))).outcome.status], [STRIPE_DONE]);
  t.is(bench.io.writes, 0);
  t.is(await bench.checkReads(), '');
  t.deepEqual([...(await bench.apply(new Map([[0, content()]]))).outcome.status], [STRIPE_NEEDS_LOST], 'other content changes the row');
  t.deepEqual(
    [...(await bench.apply(new Map([[0, same]]), true)).outcome.status],
    [STRIPE_NEEDS_LOST],
    'after a crash nothing is taken for there',
  );
  bench.kill(2, true);
  t.deepEqual([...(await bench.apply(new Map([[0, same]]))).outcome.status], [STRIPE_NEEDS_LOST], 'beyond parity nothing is there already');
});

test('apply after a crash: a trim of what reads as zeroes makes the parity of its row new', async (t) => {
  const bench = await filled(2, 1, 1, 1);
  await bench.apply(new Map([[0, null]]));
  // The write that the crash tore: parity has it, its block and both entries do not say so.
  const parity = bench.stored(0, 2, 0);
  parity.set(content());
  (bench.tables[2] as Uint32Array)[0] = bench.crcOf(parity, bench.geometry.crcAddress(0, 2, 0));
  t.deepEqual([...(await bench.apply(new Map([[0, null]]), true)).outcome.status], [STRIPE_DONE]);
  t.is(bench.checkStored(), '');
  bench.kill(1, true);
  t.is(await bench.checkReads(), '');
});
