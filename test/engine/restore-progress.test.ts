import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

test('the progress of a restore counts what was written, not what the volume could hold: it ends at all of it', async (t) => {
  const fixture = await ArrayFixture.create(t);
  const model = new BlockModel(() => fixture.engine.volume, fixture.engine.state.geometry.volumeBlocks);
  await model.write(0, 3);
  await model.write(40, 5);
  await model.write(model.blocks - 1, 1);
  await fixture.drain();
  const told: (readonly [number, number])[] = [];
  await fixture.restore((done, total) => void told.push([done, total]));
  const total = 9 * BLOCK_BYTES;
  t.deepEqual(told[0], [0, total]);
  t.deepEqual(told.at(-1), [total, total]);
  for (const [, all] of told) t.is(all, total);
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test('a restore says which image it is, of when, and that none is newer', async (t) => {
  const fixture = await ArrayFixture.create(t);
  const model = new BlockModel(() => fixture.engine.volume, 64);
  await model.write(0, 3);
  const before = Date.now();
  await fixture.drain();
  const drained = arrayStatus(fixture.engine).drain.drainedLsn;
  const { lsn, newestLsn, time, lostBlocks } = await fixture.restore();
  t.true(drained > 0);
  t.deepEqual({ lsn, newestLsn, lostBlocks }, { lsn: drained, newestLsn: drained, lostBlocks: 0 });
  t.true(time >= before && time <= Date.now());
  await fixture.close();
});

test('an image that is published while a restore is under way is not mixed into it, and is told', async (t) => {
  const fixture = await ArrayFixture.create(t);
  const model = new BlockModel(() => fixture.engine.volume, 64);
  await model.write(0, 3);
  await fixture.drain();
  const vault = join(fixture.folder, 'vault');
  cpSync(vault, `${vault}-old`, { recursive: true });
  await model.write(0, 3);
  await fixture.drain();
  const newest = arrayStatus(fixture.engine).drain.drainedLsn;
  const swap = (from: string, to: string): void => {
    rmSync(to, { recursive: true });
    cpSync(from, to, { recursive: true });
  };
  cpSync(vault, `${vault}-new`, { recursive: true });
  swap(`${vault}-old`, vault);
  let told = false;
  const { lsn, newestLsn } = await fixture.restore(() => {
    if (!told) swap(`${vault}-new`, vault);
    told = true;
  });
  t.true(lsn < newest);
  t.is(newestLsn, newest);
  await fixture.close();
});
