import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type Clock, systemClock } from '../../src/base/clock.js';
import { KeelsonError } from '../../src/base/errors.js';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import type { Member } from '../../src/member/member-api.js';
import { stripeWritten } from '../../src/member/stripe-bitmap.js';
import { writeSuperblock } from '../../src/member/superblock-io.js';
import { ArrayFixture, checkpointOn } from './array-fixture.js';
import { BlockModel } from './block-model.js';

function modelOf(fixture: ArrayFixture): BlockModel {
  return new BlockModel(() => fixture.engine.volume, fixture.engine.state.geometry.volumeBlocks);
}

test.serial(
  'a checkpoint between the writing of a stripe and the flush of its integrity pages does not call the stripe written',
  async (t) => {
    const fixture = await ArrayFixture.create(t, { backup: false });
    const { engine } = fixture;
    const stripe = 7;
    // What a task of the destager does when its blocks are in place.
    engine.state.markChanged(stripe);
    // A change of the membership makes a checkpoint and flushes nothing.
    await engine.checkpointer.fence();
    t.false(stripeWritten((await checkpointOn(fixture)).stripeBitmap, stripe));
    await engine.checkpointer.settle();
    t.true(stripeWritten((await checkpointOn(fixture)).stripeBitmap, stripe));
    await fixture.close();
  },
);

test.serial('a checkpoint between the rebuild of a stripe and the flush of the member does not call the stripe rebuilt', async (t) => {
  const fixture = await ArrayFixture.create(t, { backup: false });
  const { engine } = fixture;
  const member = engine.state.members[3] as Member;
  await engine.rebuild.stop();
  member.state = 'rebuilding';
  member.rebuiltStripes = 0;
  await engine.checkpointer.settle();
  member.rebuiltStripes = 5;
  await engine.checkpointer.fence();
  t.is((await checkpointOn(fixture)).members[3]?.rebuiltStripes, 0);
  t.is(member.durableStripes, 0);
  await engine.checkpointer.settle();
  t.is((await checkpointOn(fixture)).members[3]?.rebuiltStripes, 5);
  member.state = 'online';
  await fixture.close();
});

test.serial('P8: what is to be made durable while a flush is under way is flushed after it, not taken for part of it', async (t) => {
  const fixture = await ArrayFixture.create(t, { backup: false });
  const { engine, provider } = fixture;
  const faults = provider.faults((engine.state.members[4] as Member).device.path);
  engine.state.markChanged(7);
  faults.hold();
  const first = engine.checkpointer.settle();
  while (faults.held === 0) await new Promise((turn) => setImmediate(turn));
  engine.state.markChanged(9);
  const second = engine.checkpointer.settle();
  faults.release();
  await Promise.all([first, second]);
  const { stripeBitmap } = await checkpointOn(fixture);
  t.true(stripeWritten(stripeBitmap, 7));
  t.true(stripeWritten(stripeBitmap, 9));
  await fixture.close();
});

test.serial('P10: a process whose member was taken over by another one writes no checkpoint any more', async (t) => {
  let passed = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + passed };
  const fixture = await ArrayFixture.create(t, { backup: false, clock });
  const { engine } = fixture;
  const model = modelOf(fixture);
  t.true(await model.write(0, 1));
  const member = engine.state.members[3] as Member;
  const { superblock } = member;
  await writeSuperblock(
    member.device,
    { ...superblock, epoch: superblock.epoch + 1, generation: superblock.generation + 1 },
    engine.parts.plan.admission,
  );
  passed = 60_000;
  const { generation } = await checkpointOn(fixture);
  await t.throwsAsync(engine.checkpointer.settle(), { code: 'EPOCH_FENCED' });
  t.is((await checkpointOn(fixture)).generation, generation);
  t.is(engine.state.failure?.code, 'EPOCH_FENCED');
  t.false(await model.write(1, 1));
  await fixture.close();
});

test.serial(
  'P3: what a repository that was put back to an earlier state lacks is drained again, and no checkpoint says otherwise meanwhile',
  async (t) => {
    const fixture = await ArrayFixture.create(t);
    const { engine } = fixture;
    const { link, journal, drainer } = engine;
    if (link === null || drainer === null) return t.fail('the array has a backup');
    const model = modelOf(fixture);
    // Nothing leaves the ring.
    engine.destageLoop.kick = () => {};
    t.true(await model.write(0, 8));
    await fixture.drain();
    const vault = join(fixture.folder, 'vault');
    cpSync(vault, `${vault}-earlier`, { recursive: true });
    const earlier = journal.drainedSeq;
    t.true(await model.write(4, 8));
    await fixture.drain();
    t.true(journal.drainedSeq > earlier);
    rmSync(vault, { recursive: true });
    cpSync(`${vault}-earlier`, vault, { recursive: true });
    link.failed(new KeelsonError('BACKUP_UNREACHABLE', 'away for a moment'));
    t.true(await link.connect());
    t.is(journal.drainedSeq, earlier);
    t.is((await checkpointOn(fixture)).drainedSeq, earlier);
    await engine.checkpointer.settle();
    t.is(journal.drainedSeq, earlier);
    t.is((await checkpointOn(fixture)).drainedSeq, earlier);
    const { publishes } = drainer;
    await fixture.drain();
    t.is(drainer.publishes, publishes + 1);
    const has = new Uint8Array(16);
    await link.backup.lookup(0, 16, has);
    t.deepEqual([...has], [...new Uint8Array(12).fill(1), 0, 0, 0, 0]);
    await fixture.close();
  },
);

test.serial('P1: until a new journal member is in every member table nothing is journaled to it', async (t) => {
  const fixture = await ArrayFixture.create(t, { backup: false });
  const { engine } = fixture;
  const { journal } = engine;
  const model = modelOf(fixture);
  await failByHand(engine, '6', true);
  const fence = engine.checkpointer.fence.bind(engine.checkpointer);
  let copies = -1;
  engine.checkpointer.fence = async () => {
    engine.checkpointer.fence = fence;
    t.true(await model.write(0, 1));
    copies = journal.table.copies[journal.table.slotOfPlace(journal.index.lookup(0))] as number;
    await fence();
  };
  await replaceMember(engine, '6', fixture.newPath());
  t.is(copies, 0b10);
  journal.close();
  t.true(await model.write(0, 1));
  t.is(journal.table.copies[journal.table.slotOfPlace(journal.index.lookup(0))], 0b11);
  await fixture.close();
});

test.serial('passes of destaging run one at a time, whoever asks for them', async (t) => {
  const fixture = await ArrayFixture.create(t, { backup: false, buffers: 12 });
  const { engine } = fixture;
  const model = modelOf(fixture);
  const pass = engine.destager.pass.bind(engine.destager);
  let under = 0;
  let most = 0;
  engine.destager.pass = async (to, segments) => {
    most = Math.max(most, ++under);
    try {
      return await pass(to, segments);
    } finally {
      under--;
    }
  };
  engine.destageLoop.kick = () => {};
  await model.fill();
  t.true(engine.journal.headSeq - engine.destager.appliedSeq > 4);
  const all = [engine.destageLoop.drainAll(), engine.destageLoop.drainAll()];
  t.deepEqual(await Promise.all(all), [true, true]);
  t.is(most, 1);
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

async function stalledArray(t: ExecutionContext): Promise<{ fixture: ArrayFixture; answers: Promise<boolean[]> }> {
  const fixture = await ArrayFixture.create(t, { backup: false, segments: 12 });
  const { engine } = fixture;
  const model = modelOf(fixture);
  await model.fill();
  t.true(await engine.destageLoop.drainAll());
  // Nothing can be destaged: the ring takes what it has room for.
  for (const index of ['0', '1', '2']) await failByHand(engine, index, true);
  const writes: Promise<boolean>[] = [];
  while (engine.writes.waiting < 4) {
    writes.push(model.write((writes.length * 8) % (model.blocks - 8), 8));
    await new Promise<void>((turn) => setImmediate(turn));
  }
  return { fixture, answers: Promise.all(writes) };
}

test.serial('writes that wait for room are refused when the server stops, and the stop ends', async (t) => {
  const { fixture, answers } = await stalledArray(t);
  const { engine } = fixture;
  engine.beginStop();
  t.is(engine.writes.waiting, 0);
  const acknowledged = await answers;
  t.false(acknowledged[acknowledged.length - 1]);
  t.true(acknowledged[0]);
  await fixture.close();
});
