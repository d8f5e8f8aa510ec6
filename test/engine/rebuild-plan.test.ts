import test from 'ava';
import { type Clock, systemClock } from '../../src/base/clock.js';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import { arrayControl } from '../../src/engine/array-control.js';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

/** A clock of the test's own on which reading takes as long as it says. */
function steppedClock(): { clock: Clock; pass(ms: number): void } {
  let now = 1000;
  return {
    clock: { ...systemClock, now: () => now },
    pass: (ms) => {
      now += ms;
    },
  };
}

test.serial('rebuild --plan lists what would be lost, and that is what is lost after the rebuild', async (t) => {
  const fixture = await ArrayFixture.create(t, { backup: false });
  const { engine } = fixture;
  const { geometry } = engine.state;
  const model = new BlockModel(() => engine.volume, geometry.volumeBlocks);
  await model.fill();
  t.true(await engine.destageLoop.drainAll());
  for (const index of ['0', '1', '2']) await failByHand(engine, index, true);
  const plan = await arrayControl(engine).rebuildPlan();
  const lost = plan.ranges.filter(({ from }) => from === 'lost');
  const listed: number[] = [];
  for (const { offset, length } of lost) for (let at = offset; at < offset + length; at += BLOCK_BYTES) listed.push(at / BLOCK_BYTES);
  t.true(listed.length > 0);
  t.is(plan.bytes.lost, listed.length * BLOCK_BYTES);
  for (const index of ['0', '1', '2']) await replaceMember(engine, index, fixture.newPath());
  await engine.rebuild.wait();
  const { wrong, unreadable } = await model.verify(() => true);
  t.deepEqual(wrong, []);
  t.deepEqual(
    [...unreadable].sort((a, b) => a - b),
    listed,
  );
  await fixture.close();
});

test.serial('the seconds of a plan follow from rates measured on this array: by a sample, later by the last rebuild', async (t) => {
  const { clock, pass } = steppedClock();
  const fixture = await ArrayFixture.create(t, { clock });
  const { engine } = fixture;
  const { geometry } = engine.state;
  const { pool } = engine.parts;
  const control = arrayControl(engine);
  const model = new BlockModel(() => engine.volume, geometry.volumeBlocks);
  await model.fill();
  t.true(await engine.destageLoop.drainAll());
  await fixture.drain();
  t.is((await control.rebuildPlan()).secondsEstimated, 0);
  await failByHand(engine, '0', true);

  const recover = pool.recover.bind(pool);
  pool.recover = (task) => {
    pass(100);
    return recover(task);
  };
  const volume = geometry.volumeBlocks * BLOCK_BYTES;
  const degraded = await control.rebuildPlan();
  // A MiB in 100 ms on each thread; a quarter more is written than is read.
  const rate = (10 * MIB * pool.threads) / 1.25;
  t.is(degraded.rates.measuredBy, 'sample');
  t.is(Math.round(degraded.rates.stripeBytesPerSecond ?? 0), Math.round(rate));
  const touched = Object.values(degraded.bytes).reduce((sum, bytes) => sum + bytes, 0);
  t.is(touched, volume);
  t.true(Math.abs(degraded.secondsEstimated - volume / rate) < 1e-6);

  // Beyond parity the backup is asked how fast it is.
  await failByHand(engine, '1', true);
  await failByHand(engine, '2', true);
  const backup = engine.servingBackup();
  if (backup === null) return t.fail('there is a backup');
  const read = backup.read.bind(backup);
  let sampled = 0;
  backup.read = (blocks, into, crcs) => {
    sampled = blocks.length;
    pass(500);
    return read(blocks, into, crcs);
  };
  const beyond = await control.rebuildPlan();
  t.true(beyond.bytes.backup > 0 && sampled > 0);
  t.is(Math.round(beyond.rates.backupBytesPerSecond ?? 0), 2 * sampled * BLOCK_BYTES);
  t.true(beyond.secondsEstimated >= beyond.bytes.backup / (2 * sampled * BLOCK_BYTES));
  backup.read = read;

  const rebuild = pool.rebuild.bind(pool);
  for (const index of ['0', '1', '2']) await replaceMember(engine, index, fixture.newPath());
  await engine.rebuild.wait();
  await failByHand(engine, '3', true);
  pool.rebuild = (task) => {
    pass(1000);
    return rebuild(task);
  };
  await replaceMember(engine, '3', fixture.newPath());
  await engine.rebuild.wait();
  await failByHand(engine, '4', true);
  const later = await control.rebuildPlan();
  t.is(later.rates.measuredBy, 'rebuild');
  t.true(later.secondsEstimated >= 1 && later.secondsEstimated < 30, `${later.secondsEstimated} s`);
  await fixture.close();
});
