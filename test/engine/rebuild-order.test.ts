import test, { type ExecutionContext } from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { arrayControl } from '../../src/engine/array-control.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';
import { fetchBound } from './loss-scenario.js';

const LOST = [0, 1, 2, 3];

/** 4+2, everything drained and gone from the ring, then four stripe members lost. */
async function withFourLost(t: ExecutionContext): Promise<{ fixture: ArrayFixture; model: BlockModel; bound: number }> {
  const fixture = await ArrayFixture.create(t);
  const { engine } = fixture;
  const { geometry } = engine.state;
  const model = new BlockModel(() => engine.volume, geometry.volumeBlocks);
  await model.fill();
  t.true(await engine.destageLoop.drainAll());
  await fixture.drain();
  for (const index of LOST) await failByHand(engine, String(index), true);
  const bound = fetchBound(engine);
  t.is(bound, 2 * geometry.stripes * geometry.rows);
  return { fixture, model, bound };
}

const fetched = (fixture: ArrayFixture): number => (fixture.engine.rebuild.finished?.fromBackup ?? 0) / BLOCK_BYTES;

test.serial('beyond parity nothing is fetched twice, however long the replacements take', async (t) => {
  const { fixture, model, bound } = await withFourLost(t);
  const { engine } = fixture;
  const waits = (): boolean => arrayStatus(engine).alarms.some(({ code }) => code === 'REBUILD_WAITS');
  t.false(waits());
  await replaceMember(engine, '0', fixture.newPath());
  await engine.rebuild.wait();
  t.is(engine.state.members[0]?.state, 'rebuilding');
  t.is(engine.state.members[0]?.rebuiltStripes, 0);
  t.true(waits());
  let sum = 0;
  for (const index of [1, 2, 3]) {
    await replaceMember(engine, String(index), fixture.newPath());
    await engine.rebuild.wait();
    t.false(waits());
    t.is(engine.state.members[index]?.state, 'online');
    sum += fetched(fixture);
  }
  t.is(sum, bound);
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test.serial('replace says that the rebuild waits for more devices; asked for by hand it begins', async (t) => {
  const { fixture, model } = await withFourLost(t);
  const { engine } = fixture;
  const control = arrayControl(engine);
  const replaced = await control.replace('0', fixture.newPath(), { force: false }, () => {});
  t.is(replaced.waitsFor, 1);
  t.is(replaced.doneBytes, 0);
  const rebuilt = await control.rebuild(() => {});
  t.true((rebuilt?.fromBackup ?? 0) > 0);
  t.is(engine.state.members[0]?.state, 'online');
  t.deepEqual((await model.verify()).wrong, []);
  // The next episode waits again.
  t.is((await control.replace('1', fixture.newPath(), { force: false }, () => {})).waitsFor, undefined);
  t.is(engine.state.members[1]?.state, 'online');
  await fixture.close();
});

test.serial('a member that fails while it is rebuilt takes the rebuild of the others back to waiting', async (t) => {
  const { fixture, bound } = await withFourLost(t);
  const { engine } = fixture;
  let calls = 0;
  const { pool } = engine.parts;
  const rebuild = pool.rebuild.bind(pool);
  pool.rebuild = async (task) => {
    if (++calls === 3) await failByHand(engine, '1', true);
    return rebuild(task);
  };
  await replaceMember(engine, '0', fixture.newPath());
  await replaceMember(engine, '1', fixture.newPath());
  await engine.rebuild.wait();
  t.is(engine.rebuild.waitsFor, 1);
  t.is(engine.state.members[0]?.state, 'rebuilding');
  t.true((engine.state.members[0]?.rebuiltStripes ?? 0) > 0);
  for (const index of [1, 2, 3]) await replaceMember(engine, String(index), fixture.newPath());
  await engine.rebuild.wait();
  t.is(arrayStatus(engine).state, 'online');
  t.true(fetched(fixture) <= 2 * bound);
  await fixture.close();
});
