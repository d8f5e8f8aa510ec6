import test from 'ava';
import { type Clock, systemClock } from '../../src/base/clock.js';
import { KeelsonError } from '../../src/base/errors.js';
import { syncDevice } from '../../src/device/promise-io.js';
import type { Member } from '../../src/member/member-api.js';
import { writeSuperblock } from '../../src/member/superblock-io.js';
import { ArrayFixture, checkpointOn } from './array-fixture.js';
import { BlockModel } from './block-model.js';

function modelOf(fixture: ArrayFixture): BlockModel {
  return new BlockModel(() => fixture.engine.volume, fixture.engine.state.geometry.volumeBlocks);
}

test.serial('P10: what goes round a member that failed in a checkpoint is not acknowledged before that is recorded', async (t) => {
  const fixture = await ArrayFixture.create(t, { backup: false });
  const { engine, provider } = fixture;
  const { state } = engine;
  const failing = state.members[6] as Member;
  const { checkpointOffset, integrityOffset } = failing.superblock.layout;
  provider.faults(failing.device.path).fail('write', 1, checkpointOffset[0], integrityOffset);
  const others = state.members.slice(0, 6).map((member) => provider.faults((member as Member).device.path));
  // The failure is known before the round that it happened in is over; the next round reaches nobody.
  const round = engine.checkpointer.settle();
  while (failing.state === 'online') await new Promise((turn) => setImmediate(turn));
  for (const faults of others) faults.hold();
  const model = modelOf(fixture);
  let acknowledged = false;
  const write = model.write(0, 1).then((answer) => {
    acknowledged = answer;
  });
  for (let i = 0; i < 20; i++) await syncDevice((state.members[7] as Member).device);
  t.false(acknowledged);
  for (const faults of others) faults.release();
  await Promise.all([round, write]);
  t.true(acknowledged);
  const checkpoint = await checkpointOn(fixture);
  t.is(checkpoint.members[6]?.state, 'failed');
  await fixture.close();
});

test.serial(
  'no batch says an epoch that some member does not know yet: a crash could leave it beside members that never heard of it',
  async (t) => {
    const fixture = await ArrayFixture.create(t, { backup: false });
    const { engine, provider } = fixture;
    const { state, journal } = engine;
    const before = journal.epoch;
    const last = provider.faults((state.members[5] as Member).device.path);
    last.hold();
    const raised = engine.checkpointer.fence();
    while (state.epoch === before) await new Promise((turn) => setImmediate(turn));
    t.is(journal.epoch, before);
    last.release();
    await raised;
    t.is(journal.epoch, state.epoch);
    for (const member of state.members) t.is(member?.superblock.epoch, journal.epoch);
    await fixture.close();
  },
);

test.serial('a device that lost the last superblock which it had taken is no other process at work: the array goes on', async (t) => {
  let passed = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + passed };
  const fixture = await ArrayFixture.create(t, { backup: false, clock });
  const { engine } = fixture;
  const model = modelOf(fixture);
  const { device, superblock } = engine.state.members[3] as Member;
  // The slot of the last one holds what it held before.
  const lost = { ...superblock, epoch: superblock.epoch - 1, generation: superblock.generation - 2 };
  await writeSuperblock(device, lost, engine.parts.plan.admission);
  passed = 60_000;
  await engine.checkpointer.settle();
  t.is(engine.state.failure, null);
  t.true(await model.write(1, 1));
  await fixture.close();
});

test.serial(
  'P8: parity of rows that a crash may have torn is doubted when a stripe member fails, not when a journal member does',
  async (t) => {
    const fixture = await ArrayFixture.create(t, { backup: false });
    const { engine } = fixture;
    const { state } = engine;
    // As after the crash of an array that had called its lost members failed before: what the rows lost is in the ring.
    state.lostBeforeCrashFrom = 0;
    state.distrust(5);
    await engine.failMember(state.members[6] as Member, new KeelsonError('FAILED_BY_HAND', 'failed by hand'));
    t.true(state.rowTrusted(5));
    await engine.failMember(state.members[2] as Member, new KeelsonError('FAILED_BY_HAND', 'failed by hand'));
    t.false(state.rowTrusted(5));
    // The next process must not take the absence of the member for one from before the crash.
    t.is((await checkpointOn(fixture)).tornAsWholeBelow, Number.POSITIVE_INFINITY);
    state.trustAll();
    await engine.checkpointer.settle();
    t.is((await checkpointOn(fixture)).tornAsWholeBelow, undefined);
    await fixture.close();
  },
);
