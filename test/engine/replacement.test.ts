import { cpSync } from 'node:fs';
import test from 'ava';
import { arrayStatus } from '../../src/engine/array-status.js';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

test.serial('replace tries the device before it gives the old one up, and refuses one of another array', async (t) => {
  const other = await ArrayFixture.create(t, { backup: false });
  const fixture = await ArrayFixture.create(t, { backup: false });
  const foreign = fixture.newPath();
  await other.engine.stop();
  cpSync(other.paths[2] as string, foreign);
  const { engine } = fixture;
  await t.throwsAsync(replaceMember(engine, '2', foreign), { code: 'MEMBER_HOLDS_DATA' });
  t.is(engine.state.members[2]?.state, 'online');
  t.is(arrayStatus(engine).state, 'online');
  await fixture.close();
});

test.serial(
  "a device that was taken out of the array may take another member's place, and is not read from before it is rebuilt",
  async (t) => {
    const fixture = await ArrayFixture.create(t, { backup: false });
    const { engine } = fixture;
    const model = new BlockModel(() => engine.volume, engine.state.geometry.volumeBlocks);
    await model.fill();
    t.true(await engine.destageLoop.drainAll());
    const former = fixture.paths[2] as string;
    await failByHand(engine, '2', true);
    await replaceMember(engine, '2', fixture.newPath());
    await engine.rebuild.wait();
    await failByHand(engine, '4', true);
    await replaceMember(engine, '4', former);
    t.deepEqual((await model.verify()).wrong, []);
    await engine.rebuild.wait();
    t.is(engine.state.members[4]?.device.path, former);
    await failByHand(engine, '0', true);
    await failByHand(engine, '1', true);
    t.deepEqual((await model.verify()).wrong, []);
    await fixture.close();
  },
);

test.serial(
  'P8: a device that fails while it is made a member leaves the table as it was: after a crash nothing says that a rebuild had begun',
  async (t) => {
    const fixture = await ArrayFixture.create(t, { backup: false });
    const { engine, provider } = fixture;
    const model = new BlockModel(() => fixture.engine.volume, engine.state.geometry.volumeBlocks);
    await model.fill();
    await failByHand(engine, '2', true);
    const before = structuredClone(engine.state.records[2]);
    const path = fixture.newPath();
    provider.faults(path).fail('sync');
    await t.throwsAsync(replaceMember(engine, '2', path), { code: 'DEVICE_SYNC' });
    t.deepEqual(engine.state.records[2], before);
    t.is(engine.state.members[2]?.state, 'failed');
    await engine.checkpointer.settle();
    await fixture.crash();
    await fixture.start();
    t.is(fixture.engine.state.records[2]?.uuid, before?.uuid);
    t.is(fixture.engine.state.records[2]?.state, 'failed');
    t.deepEqual((await model.verify()).wrong, []);
    await fixture.close();
  },
);
