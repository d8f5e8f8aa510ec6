import { renameSync } from 'node:fs';
import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { replaceMember } from '../../src/engine/membership-change.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';
import { isLost, replaceAll, settleAfterLoss } from './loss-scenario.js';

const SEED = Number(process.env.KEELSON_SEED ?? Date.now() % 0x1_0000_0000);

function modelOf(fixture: ArrayFixture): BlockModel {
  return new BlockModel(() => fixture.engine.volume, fixture.engine.volumeBytes / BLOCK_BYTES);
}

test.serial(
  'P5, P9: writes that were in the journal alone, in segments that no memory holds, are errors when every copy is gone; all else goes on',
  async (t) => {
    t.log(`seed ${SEED}`);
    const random = seededRandom(SEED);
    const fixture = await ArrayFixture.create(t, { buffers: 5 });
    const { engine } = fixture;
    const model = modelOf(fixture);
    await model.fill();
    await model.flush();
    await fixture.drain();
    await engine.destageLoop.drainAll();
    // Beyond parity nothing is destaged: the ring takes the writes, more than the slab keeps.
    fixture.kill([1, 3, 4]);
    await settleAfterLoss(fixture);
    const target = model.acknowledgements + 160;
    await model.load(random, 4, () => model.acknowledgements >= target);
    t.deepEqual(model.errors, []);
    t.deepEqual((await model.verify()).wrong, []);
    fixture.kill([6, 7]);
    await settleAfterLoss(fixture);
    const lost = new Set<number>();
    for (let block = 0; block < model.blocks; block++) if (isLost(engine, block)) lost.add(block);
    t.true(lost.size > 0, 'some segments were in the journal alone');
    const online = await model.verify((block) => lost.has(block));
    t.deepEqual(online.wrong, []);
    t.deepEqual(
      [...online.unreadable].sort((a, b) => a - b),
      [...lost].sort((a, b) => a - b),
    );
    await replaceAll(fixture, [1, 3, 4, 6, 7]);
    await engine.destageLoop.drainAll();
    t.is(engine.journal.destagedSeq, engine.journal.headSeq, 'what is lost does not hold up the rest');
    const after = await model.verify((block) => lost.has(block));
    t.deepEqual(after.wrong, []);
    t.is(arrayStatus(engine).state, 'online');
    for (const block of lost) await model.write(block, 1);
    t.deepEqual((await model.verify()).wrong, []);
    await fixture.drain();
    t.is(arrayStatus(engine).tolerance.devices, 4);
    await fixture.close();
  },
);

test.serial('P8: writes that were drained but never destaged come from the backup when every journal copy is gone', async (t) => {
  t.log(`seed ${SEED}`);
  const random = seededRandom(SEED);
  const fixture = await ArrayFixture.create(t, { buffers: 5 });
  const { engine } = fixture;
  const model = modelOf(fixture);
  await model.fill();
  fixture.kill([0, 2, 5]);
  await settleAfterLoss(fixture);
  const target = model.acknowledgements + 160;
  await model.load(random, 4, () => model.acknowledgements >= target);
  await fixture.drain();
  t.true(
    engine.journal.drainedSeq > engine.journal.destagedSeq + engine.journal.buffers.count,
    'some segments are drained, not destaged and in no memory',
  );
  fixture.kill([6, 7]);
  await settleAfterLoss(fixture);
  t.deepEqual((await model.verify()).wrong, []);
  await replaceAll(fixture, [0, 2, 5, 6, 7]);
  await engine.destageLoop.drainAll();
  t.is(engine.journal.destagedSeq, engine.journal.headSeq);
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test.serial(
  'P4, P8: when all journal members were replaced, segments that are in no memory get their copies from the stripes: a crash and a start without any drain, then a drain that reaches far enough',
  async (t) => {
    t.log(`seed ${SEED}`);
    const random = seededRandom(SEED);
    const fixture = await ArrayFixture.create(t, { buffers: 5 });
    const model = modelOf(fixture);
    await model.fill();
    await fixture.drain();
    // Written, and written again: some segments have blocks whose newest write is in a later one.
    const target = model.acknowledgements + 120;
    await model.load(random, 4, () => model.acknowledgements >= target);
    await fixture.engine.destageLoop.drainAll();
    const warned = (): boolean => arrayStatus(fixture.engine).alarms.some(({ code }) => code === 'RING_WITHOUT_COPY');
    fixture.kill([6, 7]);
    await settleAfterLoss(fixture);
    t.true(warned());
    // Two stripe members less: what is taken from the stripes has to be reconstructed.
    fixture.kill([0, 3]);
    await settleAfterLoss(fixture);
    const replacements = new Map([6, 7, 0, 3].map((index) => [index, fixture.newPath()]));
    const replace = async (index: number): Promise<void> => {
      await replaceMember(fixture.engine, String(index), replacements.get(index) as string);
    };
    await replace(6);
    await replace(7);
    await fixture.engine.replicator.run();
    t.false(warned(), 'the ring has all its copies again');
    const { journal } = fixture.engine;
    const reached = Math.max(...journal.table.reachSeq);
    t.true(reached > journal.drainedSeq + 1, 'some segments were made again');
    await replace(0);
    await replace(3);
    await fixture.engine.rebuild.wait();
    await fixture.crash();
    for (const [index, path] of replacements) renameSync(path, fixture.paths[index] as string);
    await fixture.start();
    t.deepEqual((await model.verify()).wrong, []);
    const again = fixture.engine;
    await again.drainer?.drain(again.journal.drainedSeq + 1);
    t.true(again.journal.drainedSeq >= reached, 'a range that begins in front of what was written again ends behind it');
    await fixture.restore();
    t.deepEqual((await model.verify()).wrong, [], 'P7: the image is what the volume was');
    await fixture.close();
  },
);

test.serial('P7: a drain that has to reach into the open segment closes it', async (t) => {
  const fixture = await ArrayFixture.create(t);
  const { journal, drainer } = fixture.engine;
  const model = modelOf(fixture);
  await model.fill();
  await fixture.drain();
  await model.write(1, 1);
  journal.close();
  await model.write(1, 1);
  const open = journal.headSeq;
  t.true(journal.drainedSeq < open && journal.table.seq[journal.table.slotOf(open)] === open);
  // As of a segment that was made again when block 1 had been written again.
  journal.table.reachSeq[journal.table.slotOf(journal.drainedSeq)] = open + 1;
  await drainer?.drain(journal.drainedSeq + 1);
  t.is(journal.drainedSeq, open + 1);
  await fixture.restore();
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test.serial('P9: while the ring has segments without any copy status says so, until the stripes can give what is in them', async (t) => {
  const fixture = await ArrayFixture.create(t, { buffers: 5 });
  const { engine } = fixture;
  const warned = (): boolean => arrayStatus(engine).alarms.some(({ code }) => code === 'RING_WITHOUT_COPY');
  const model = modelOf(fixture);
  await model.fill();
  await engine.destageLoop.drainAll();
  t.false(warned());
  // More stripe members than the parity covers: nothing can be made again from what is left.
  fixture.kill([0, 2, 4, 6, 7]);
  await settleAfterLoss(fixture);
  for (const index of [6, 7]) await replaceMember(engine, String(index), fixture.newPath());
  await engine.replicator.run();
  t.true(warned());
  await fixture.close();
});

test.serial('P5: an array that crashed and comes back without its journal members is refused, not served from older data', async (t) => {
  const fixture = await ArrayFixture.create(t);
  const model = modelOf(fixture);
  await model.fill();
  await fixture.drain();
  await fixture.engine.destageLoop.drainAll();
  await fixture.drain();
  t.is(fixture.engine.journal.tailSeq, fixture.engine.journal.headSeq, 'the last checkpoint knows of nothing in the ring');
  // Acknowledged, and on the journal members alone.
  await model.write(5, 3);
  await fixture.crash();
  const away = fixture.paths.slice(6);
  for (const path of away) renameSync(path, `${path}.away`);
  const refusal = await t.throwsAsync(fixture.start());
  t.is((refusal as { code?: string }).code, 'JOURNAL_LOST');
  t.is((refusal as { exit?: number }).exit, 5);
  // One journal member is enough, whichever it is.
  renameSync(`${away[1]}.away`, away[1] as string);
  await fixture.start();
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test.serial(
  'P5: with the ring on the stripe members a crash is survived without any two of them, and refused when all copies of the last segment may be gone',
  async (t) => {
    const fixture = await ArrayFixture.create(t, { journalMembers: 0, copies: 3 });
    const model = modelOf(fixture);
    await model.fill();
    await fixture.drain();
    await fixture.engine.destageLoop.drainAll();
    await fixture.drain();
    await model.write(7, 2);
    const { journal } = fixture.engine;
    const copies = fixture.paths.filter(
      (_, position) => ((journal.table.copies[journal.table.slotOf(journal.headSeq)] as number) & (1 << position)) !== 0,
    );
    t.is(copies.length, 3);
    await fixture.crash();
    for (const path of copies) renameSync(path, `${path}.away`);
    const refusal = await t.throwsAsync(fixture.start());
    t.is((refusal as { code?: string }).code, 'JOURNAL_LOST');
    renameSync(`${copies[2]}.away`, copies[2] as string);
    await fixture.start();
    t.deepEqual((await model.verify()).wrong, []);
    await fixture.close();
  },
);
