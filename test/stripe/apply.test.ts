import test from 'ava';
import { CRC_LOST, CRC_UNWRITTEN } from '../../src/stripe/geometry.js';
import { STRIPE_BEYOND, STRIPE_DONE, STRIPE_FAILED, STRIPE_NEEDS_LOST } from '../../src/stripe/stripe-pool.js';
import { BLOCK, StripeBench } from './stripe-bench.js';
import { content, filled, fullStripes, random } from './stripe-content.js';

test('full stripes are written without reading, one write a chunk, one batch for all', async (t) => {
  const bench = new StripeBench({ k: 4, m: 2, rows: 4, stripes: 3 });
  const { outcome } = await bench.apply(fullStripes(bench, [0, 1, 2]));
  t.deepEqual([...outcome.status], [STRIPE_DONE, STRIPE_DONE, STRIPE_DONE]);
  t.is(bench.io.reads, 0);
  t.is(bench.io.writes, 18);
  t.is(bench.io.batches, 1);
  t.is(outcome.bytesWritten, 18 * 4 * BLOCK);
  t.is(bench.checkStored(), '');
});

test('one block of a wide row is read-modify-write: old data and the parities, nothing else', async (t) => {
  const bench = await filled(6, 2, 4, 2);
  const { outcome } = await bench.apply(new Map([[bench.blockOf(1, 3, 2), content()]]));
  t.is(outcome.status[0], STRIPE_DONE);
  t.is(bench.io.reads, 3);
  t.is(bench.io.writes, 3);
  t.is(outcome.bytesRead, 3 * BLOCK);
  t.is(bench.checkStored(), '');
});

test('most of a row is reconstruct-write: only the blocks not given are read', async (t) => {
  const bench = await filled(6, 2, 4, 2);
  await bench.apply(new Map([0, 1, 2, 3].map((d) => [bench.blockOf(0, d, 1), content()])));
  t.is(bench.io.reads, 2);
  t.is(bench.io.writes, 6);
  t.is(bench.checkStored(), '');
});

test('after a crash rows are written from data and parity is never read', async (t) => {
  const bench = await filled(6, 2, 4, 2);
  // Parity torn by the crash: neither right nor fitting its entry.
  bench.stored(1, 6, 2).fill(1);
  bench.stored(1, 7, 2).fill(2);
  const { outcome } = await bench.apply(new Map([[bench.blockOf(1, 3, 2), content()]]), true);
  t.is(outcome.status[0], STRIPE_DONE);
  t.is(bench.io.reads, 5);
  t.is(bench.checkStored(), '');
});

test('neighbouring rows become one operation, and reads of all stripes are one batch', async (t) => {
  const bench = await filled(6, 2, 8, 3);
  const writes = new Map<number, Uint8Array>();
  for (const stripe of [0, 1, 2]) for (let row = 2; row < 7; row++) writes.set(bench.blockOf(stripe, 1, row), content());
  await bench.apply(writes);
  t.is(bench.io.reads, 9);
  t.is(bench.io.writes, 9);
  t.is(bench.io.batches, 2);
  t.is(bench.checkStored(), '');
});

test('unwritten blocks of a row are never read', async (t) => {
  const bench = new StripeBench({ k: 4, m: 2, rows: 2, stripes: 1 });
  await bench.apply(new Map([[0, content()]]));
  t.is(bench.io.reads, 0);
  t.is(bench.io.writes, 3);
  await bench.apply(new Map([[2, content()]]));
  t.is(bench.io.reads, 1, 'the one other written block of the row');
  t.is(bench.checkStored(), '');
});

test('trimming the last data of a row makes its parity unwritten, without I/O', async (t) => {
  const bench = new StripeBench({ k: 2, m: 1, rows: 2, stripes: 1 });
  await bench.apply(
    new Map([
      [0, content()],
      [2, content()],
    ]),
  );
  bench.io.resetCounts();
  await bench.apply(
    new Map([
      [0, null],
      [2, null],
    ]),
  );
  t.is(bench.io.reads + bench.io.writes, 0);
  t.deepEqual(
    bench.tables.map((table) => table[0]),
    [CRC_UNWRITTEN, CRC_UNWRITTEN, CRC_UNWRITTEN],
  );
  t.is(await bench.checkReads(), '');
});

test('a trim of one block of a row updates parity', async (t) => {
  const bench = await filled(4, 2, 2, 2);
  await bench.apply(new Map([[bench.blockOf(0, 2, 1), null]]));
  t.is(bench.checkStored(), '');
  t.is(await bench.checkReads(), '');
});

test('parity is not polluted: a rotten block met by a write is reconstructed, counted and put right, never spread', async (t) => {
  for (const given of [1, 4]) {
    for (let shard = 0; shard < 8; shard++) {
      const bench = await filled(6, 2, 3, 2);
      bench.spoil(1, shard, 2, random);
      const writes = new Map(Array.from({ length: given }, (_, d) => [bench.blockOf(1, d, 2), content()] as const));
      const { outcome } = await bench.apply(writes);
      t.is(outcome.status[0], STRIPE_DONE);
      const met = outcome.checksumErrors.reduce((a, b) => a + b) + outcome.readErrors.reduce((a, b) => a + b);
      bench.refreshCorrupt();
      t.is(
        bench.corrupt.size > 0,
        met === 0 && shard >= given && shard < 6,
        `shard ${shard}, ${given} given: whatever was met is right again`,
      );
      t.is(bench.checkStored(), '');
      t.is(await bench.checkReads(), '');
    }
  }
});

test('what is mended for a row is on stable media before the row is touched', async (t) => {
  const bench = await filled(4, 2, 2, 1);
  bench.spoil(0, 3, 0, random);
  await bench.apply(new Map([0, 1, 2].map((d) => [bench.blockOf(0, d, 0), content()])));
  t.is(bench.io.syncs, 1);
  bench.refreshCorrupt();
  t.is(bench.corrupt.size, 0);
});

test('one unreadable sector in a merged read costs one block, not its neighbours', async (t) => {
  const bench = await filled(2, 1, 8, 1);
  const writes = new Map(Array.from({ length: 8 }, (_, row) => [bench.blockOf(0, 0, row), content()] as const));
  bench.corrupt.add(1 * 2 ** 20 + 3);
  bench.io.unreadable[1]?.add(8 + 3);
  const { outcome } = await bench.apply(writes);
  t.is(outcome.status[0], STRIPE_DONE);
  t.is(outcome.readErrors[1], 1);
  bench.refreshCorrupt();
  t.is(bench.corrupt.size, 0);
  t.is(bench.checkStored(), '');
});

test('a lost block of a touched row that is not given: STRIPE_NEEDS_LOST, and nothing of that stripe is written; other stripes are', async (t) => {
  for (const rewrite of [false, true]) {
    const bench = await filled(4, 2, 2, 2);
    bench.kill(bench.geometry.memberOf(0, 2), true);
    const before = bench.io.devices.map((device) => device.slice(0, (8 + 2) * BLOCK));
    const { outcome } = await bench.apply(
      new Map([
        [bench.blockOf(0, 1, 0), content()],
        [bench.blockOf(1, bench.geometry.shardOf(1, bench.geometry.memberOf(0, 2)) < 4 ? 1 : 0, 1), content()],
      ]),
      rewrite,
    );
    t.is(outcome.status[0], STRIPE_NEEDS_LOST);
    t.deepEqual(
      bench.io.devices.map((device) => device.slice(0, (8 + 2) * BLOCK)),
      before,
    );
    t.is(bench.checkStored(), '');
    t.is(await bench.checkReads(), '');
  }
});

test('a lost block that is overwritten is no obstacle; one known to be unwritten is, since a crash would forget it, until zeroes are given for it', async (t) => {
  const bench = new StripeBench({ k: 4, m: 2, rows: 2, stripes: 1 });
  await bench.apply(new Map([0, 1, 2].map((d) => [bench.blockOf(0, d, 0), content()])));
  bench.kill(1, true);
  bench.kill(3, true);
  const one: [number, Uint8Array] = [bench.blockOf(0, 1, 0), content()];
  t.is((await bench.apply(new Map([one]))).outcome.status[0], STRIPE_NEEDS_LOST);
  t.is((await bench.apply(new Map([one, [bench.blockOf(0, 3, 0), null]]))).outcome.status[0], STRIPE_DONE);
  t.is(bench.checkStored(), '');
  t.is(await bench.checkReads(), '');
});

test('lost parity is left out; with all parity lost the data alone are written and nothing is read', async (t) => {
  const bench = await filled(4, 2, 2, 1);
  bench.kill(4, true);
  bench.kill(5, false);
  const { outcome } = await bench.apply(new Map([[0, content()]]));
  t.is(outcome.status[0], STRIPE_DONE);
  t.is(bench.io.reads, 0);
  t.is(bench.io.writes, 1);
  t.is(await bench.checkReads(), '');
});

test('a bad block beyond parity: STRIPE_BEYOND, and nothing of the stripe is written', async (t) => {
  const bench = await filled(4, 2, 2, 1);
  for (const shard of [1, 2, 3]) bench.spoil(0, shard, 0, random);
  const before = bench.io.devices.map((device) => device.slice());
  const tables = bench.tables.map((table) => table.slice());
  const { outcome } = await bench.apply(
    new Map([
      [bench.blockOf(0, 0, 0), content()],
      [bench.blockOf(0, 0, 1), content()],
    ]),
  );
  t.is(outcome.status[0], STRIPE_BEYOND);
  t.deepEqual(
    bench.io.devices.map((device) => device.slice()),
    before,
  );
  t.deepEqual(bench.tables, tables);
});

test('after a crash a bad block that is not given is asked for, since parity may be half new', async (t) => {
  const bench = await filled(4, 2, 2, 1);
  bench.spoil(0, 1, 0, random);
  const { outcome } = await bench.apply(new Map([[bench.blockOf(0, 0, 0), content()]]), true);
  t.is(outcome.status[0], STRIPE_NEEDS_LOST);
});

test('more than m members lost, all their blocks given: the row is written, and said not to survive by itself (P3)', async (t) => {
  const bench = await filled(4, 2, 1, 1);
  for (const member of [0, 1, 2]) bench.kill(member, true);
  const { outcome } = await bench.apply(fullStripes(bench, [0]));
  t.is(outcome.status[0], STRIPE_FAILED);
  t.is(bench.io.writes, 3);
});

test('a member that fails its writes is counted, and the row is consistent on the others', async (t) => {
  for (let failing = 0; failing < 6; failing++) {
    const bench = await filled(4, 2, 3, 2);
    bench.io.failWrites.add(failing);
    const writes = fullStripes(bench, [0]);
    writes.set(bench.blockOf(1, 0, 0), content());
    const { outcome } = await bench.apply(writes);
    t.true(outcome.status.every((status) => status === STRIPE_DONE));
    t.is((outcome.writeErrors[failing] as number) > 0, true);
    t.is(
      outcome.writeErrors.reduce((a, b) => a + b),
      outcome.writeErrors[failing] as number,
    );
    // Before the caller fails the member: what did not arrive is an erasure by its checksum.
    t.is(await bench.checkReads(), '');
    bench.kill(failing, true);
    t.is(bench.checkStored(), '');
    t.is(await bench.checkReads(), '');
  }
});

test('more members failing their writes than parity covers: STRIPE_FAILED, and reads give an error, never old or wrong bytes (P5)', async (t) => {
  const bench = await filled(4, 2, 2, 1);
  const old = bench.model.slice();
  for (const member of [0, 1, 2]) bench.io.failWrites.add(member);
  const writes = fullStripes(bench, [0]);
  const { outcome } = await bench.apply(writes);
  t.is(outcome.status[0], STRIPE_FAILED);
  const { contents } = await bench.recover(
    old.map((_, block) => block),
    bench.view,
    false,
  );
  contents.forEach((got, block) => {
    if (got !== null) t.deepEqual(got, writes.get(block));
  });
  t.true(contents.some((got) => got === null));
});

test('a member being rebuilt takes writes above its mark and is not read there', async (t) => {
  const bench = await filled(4, 2, 2, 3);
  bench.kill(2, false);
  bench.replace(2, random);
  const stripe = 1;
  const lost = bench.geometry.shardOf(stripe, 2);
  t.true(lost < 4);
  const writes = new Map([[bench.blockOf(stripe, lost, 0), content()]]);
  const { outcome } = await bench.apply(writes);
  t.is(outcome.status[0], STRIPE_DONE);
  t.deepEqual(Uint8Array.from(bench.stored(stripe, lost, 0)), writes.get(bench.blockOf(stripe, lost, 0)));
  t.is(bench.checkStored(), '');
  t.is(await bench.checkReads(), '');
});

test('a block lost for good counts as zeroes for parity and is whole again once written', async (t) => {
  const bench = await filled(2, 1, 1, 1);
  await bench.apply(new Map([[0, null]]));
  (bench.tables[0] as Uint32Array)[0] = CRC_LOST;
  bench.lost.add(0);
  await bench.apply(new Map([[1, content()]]));
  t.is(bench.checkStored(), '');
  t.is(await bench.checkReads(), '');
  await bench.apply(new Map([[0, content()]]));
  t.is(bench.checkStored(), '');
  t.is(await bench.checkReads(), '');
});

test('a task larger than its scratch is worked off in parts', async (t) => {
  const bench = new StripeBench({ k: 4, m: 2, rows: 3, stripes: 9, scratchStripes: 1 });
  const all = Array.from({ length: 9 }, (_, i) => i);
  await bench.apply(fullStripes(bench, all));
  const writes = new Map(all.flatMap((stripe) => [0, 1, 2].map((row) => [bench.blockOf(stripe, row, row), content()] as const)));
  const { outcome } = await bench.apply(writes);
  t.true(outcome.status.every((status) => status === STRIPE_DONE));
  t.is(bench.checkStored(), '');
});

test('a reconstruction that does not fit its entry is not spread into parity: STRIPE_BEYOND', async (t) => {
  const bench = await filled(4, 2, 1, 1);
  (bench.tables[3] as Uint32Array)[0] = 12345;
  const before = bench.io.devices.map((device) => device.slice());
  const { outcome } = await bench.apply(new Map([0, 1, 2].map((d) => [d, content()])));
  t.is(outcome.status[0], STRIPE_BEYOND);
  t.deepEqual(bench.io.devices, before);
});
