import { closeSync, openSync, writeSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../src/base/clock.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import { ArrayFixture, type FixtureOptions } from './array-fixture.js';
import { BlockModel } from './block-model.js';

test.serial(
  'P5: blocks that are lost in rows written again for an undestaged neighbour are errors after the rebuild, not zeroes',
  async (t) => {
    const fixture = await ArrayFixture.create(t, { backup: false });
    const { engine } = fixture;
    const { geometry } = engine.state;
    const model = new BlockModel(() => engine.volume, geometry.volumeBlocks);
    await model.fill();
    t.true(await engine.destageLoop.drainAll());
    const lost = [0, 1, 2];
    for (const index of lost) await failByHand(engine, String(index), true);
    // Stripe 0 has shards 0, 1 and 2 on the members lost: one of its blocks is in the ring, and only there.
    t.true(await model.write(0, 1));
    for (const index of lost) await replaceMember(engine, String(index), fixture.newPath());
    await engine.rebuild.wait();
    const { wrong, unreadable } = await model.verify(() => true);
    t.deepEqual(wrong, []);
    t.false(unreadable.has(0));
    for (const shard of [1, 2]) t.true(unreadable.has(shard * geometry.rows), `shard ${shard} of the row`);
    for (const block of unreadable) t.true(await model.write(block, 1));
    t.deepEqual((await model.verify()).wrong, []);
    await fixture.close();
  },
);

/** A 4+1 array, all of it in the stripes and on the backup; one block of a survivor's stripe 5 is bad. */
async function withBadBlock(
  t: ExecutionContext,
  options: FixtureOptions,
): Promise<{ fixture: ArrayFixture; model: BlockModel; bad: number }> {
  // A rebuild that stops goes on by itself after a while.
  const fixture = await ArrayFixture.create(t, { dataMembers: 5, parity: 1, clock: systemClock, ...options });
  const { engine } = fixture;
  const { geometry } = engine.state;
  const model = new BlockModel(() => engine.volume, geometry.volumeBlocks);
  await model.fill();
  await model.flush();
  t.true(await engine.destageLoop.drainAll());
  if (options.backup !== false) await fixture.drain();
  const member = 1;
  const shard = geometry.shardOf(5, member);
  t.true(shard < geometry.k && geometry.shardOf(5, 2) < geometry.k);
  const layout = engine.state.members[member]?.superblock.layout;
  const file = openSync(fixture.paths[member] as string, 'r+');
  writeSync(file, Buffer.alloc(BLOCK_BYTES, 9), 0, BLOCK_BYTES, (layout?.dataOffset ?? 0) + geometry.memberBlock(5, 0) * BLOCK_BYTES);
  closeSync(file);
  return { fixture, model, bad: 5 * geometry.stripeBlocks + shard * geometry.rows };
}

test.serial('P8: a bad block of a survivor does not stop a rebuild when the backup has it', async (t) => {
  const { fixture, model } = await withBadBlock(t, {});
  await failByHand(fixture.engine, '2', true);
  await replaceMember(fixture.engine, '2', fixture.newPath());
  await fixture.engine.rebuild.wait();
  t.is(fixture.engine.state.members[2]?.state, 'online');
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test.serial(
  'a bad block of a survivor that is nowhere else stops a rebuild for a while, then is given up with what its row lost, and no more',
  async (t) => {
    const { fixture, model, bad } = await withBadBlock(t, { backup: false });
    const { engine } = fixture;
    const { geometry } = engine.state;
    // While it is online it is read instead.
    await failByHand(engine, '2', true);
    await replaceMember(engine, '2', fixture.newPath());
    await t.throwsAsync(engine.rebuild.wait(), { message: /stripe 5/ });
    // It goes on by itself.
    while (engine.rebuild.active) await new Promise((resolve) => setTimeout(resolve, 20));
    const { wrong, unreadable } = await model.verify(() => true);
    t.deepEqual(wrong, []);
    t.deepEqual([...unreadable].sort(), [bad, 5 * geometry.stripeBlocks + geometry.shardOf(5, 2) * geometry.rows].sort());
    for (const block of unreadable) t.true(await model.write(block, 1));
    t.true(await engine.destageLoop.drainAll());
    t.deepEqual((await model.verify()).wrong, []);
    await fixture.close();
  },
);

test.serial('P5: a block that is written again while a rebuild takes it from the ring is planned anew', async (t) => {
  const fixture = await ArrayFixture.create(t, {});
  const { engine } = fixture;
  const model = new BlockModel(() => engine.volume, engine.state.geometry.volumeBlocks);
  await model.fill();
  t.true(await engine.destageLoop.drainAll());
  await fixture.drain();
  const lost = ['0', '1', '2'];
  for (const index of lost) await failByHand(engine, index, true);
  t.true(await model.write(0, 1));
  const read = engine.reader.read.bind(engine.reader);
  const places: number[] = [];
  engine.reader.read = async (place, count, into) => {
    if (engine.journal.index.blockAt[place] === 0) {
      places.push(place);
      if (places.length === 1) await model.write(0, 1);
    }
    return read(place, count, into);
  };
  for (const index of lost) await replaceMember(engine, index, fixture.newPath());
  await engine.rebuild.wait();
  t.is(places.length, 2);
  t.not(places[0], places[1]);
  t.true(await engine.destageLoop.drainAll());
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});
