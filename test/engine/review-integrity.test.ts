import { closeSync, cpSync, openSync, renameSync, writeSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { replaceMember } from '../../src/engine/membership-change.js';
import { RebuildRunner } from '../../src/engine/rebuild-runner.js';
import { ArrayFixture, type FixtureOptions } from './array-fixture.js';
import { BlockModel } from './block-model.js';

const UNPROTECTED: FixtureOptions = { backup: false };

async function filledArray(t: ExecutionContext, options: FixtureOptions): Promise<{ fixture: ArrayFixture; model: BlockModel }> {
  const fixture = await ArrayFixture.create(t, options);
  const model = new BlockModel(() => fixture.engine.volume, fixture.engine.volumeBytes / BLOCK_BYTES);
  await model.fill();
  await model.flush();
  t.true(await fixture.engine.destageLoop.drainAll());
  return { fixture, model };
}

/** The next start of this fixture does not rebuild: as if the restart came before the rebuild got anywhere. */
async function startWithoutRebuild(fixture: ArrayFixture): Promise<void> {
  const { kick } = RebuildRunner.prototype;
  RebuildRunner.prototype.kick = () => {};
  try {
    await fixture.start();
  } finally {
    RebuildRunner.prototype.kick = kick;
  }
}

test.serial('P5: a restart during the rebuild of a member that was absent at an earlier assembly serves no zeroes', async (t) => {
  const { fixture, model } = await filledArray(t, UNPROTECTED);
  await fixture.engine.stop();
  renameSync(fixture.paths[2] as string, `${fixture.paths[2]}-gone`);
  await startWithoutRebuild(fixture);
  fixture.engine.rebuild.kick = () => {};
  await replaceMember(fixture.engine, '2', fixture.newPath());
  const path = fixture.engine.state.paths[2] as string;
  await fixture.engine.stop();
  renameSync(path, fixture.paths[2] as string);
  await startWithoutRebuild(fixture);
  fixture.engine.rebuild.kick = () => {};
  t.is(fixture.engine.state.members[2]?.state, 'rebuilding');
  t.deepEqual((await model.verify()).wrong, []);
  Reflect.deleteProperty(fixture.engine.rebuild, 'kick');
  fixture.engine.rebuild.kick();
  await fixture.engine.rebuild.wait();
  t.is(fixture.engine.state.members[2]?.state, 'online');
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test.serial('P8: a crash right after a member was replaced, before its integrity zone is written, loses nothing', async (t) => {
  const { fixture, model } = await filledArray(t, UNPROTECTED);
  fixture.engine.rebuild.kick = () => {};
  await replaceMember(fixture.engine, '2', fixture.newPath());
  const crashed = fixture.engine;
  // What kill -9 leaves.
  for (const [index, path] of crashed.state.paths.entries()) cpSync(path, `${fixture.paths[index]}-crash`);
  await crashed.stop();
  for (const path of fixture.paths) renameSync(`${path}-crash`, path);
  await fixture.start();
  await fixture.engine.rebuild.wait();
  t.deepEqual((await model.verify()).wrong, []);
  t.is(fixture.engine.state.members[2]?.state, 'online');
  await fixture.close();
});

test.serial('P4: a member that lost both copies of its integrity pages is no more than an erasure, and mends for good', async (t) => {
  const { fixture, model } = await filledArray(t, UNPROTECTED);
  const layout = fixture.engine.state.members[1]?.superblock.layout;
  if (layout === undefined) return t.fail('member 1 is there');
  await fixture.engine.stop();
  const file = openSync(fixture.paths[1] as string, 'r+');
  writeSync(file, Buffer.alloc(layout.dataOffset - layout.integrityOffset), 0, undefined, layout.integrityOffset);
  closeSync(file);
  await fixture.start();
  t.true((fixture.engine.state.members[1]?.checksumErrors ?? 0) > 0);
  t.deepEqual((await model.verify()).wrong, []);
  t.true(fixture.engine.recovery.counters.repaired > 0);
  await fixture.engine.stop();
  await fixture.start();
  t.deepEqual((await model.verify()).wrong, []);
  t.is(fixture.engine.recovery.counters.repaired, 0, 'the repaired entries are in the integrity zone');
  await fixture.close();
});
