import test from 'ava';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

test.serial('P5: blocks that are lost in rows written again for an undestaged neighbour are errors after the rebuild, not zeroes', async (t) => {
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
});
