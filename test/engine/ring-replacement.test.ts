import { renameSync } from 'node:fs';
import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { arrayControl } from '../../src/engine/array-control.js';
import type { ArrayEngine } from '../../src/engine/array-engine.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import { computeTolerance } from '../../src/engine/tolerance.js';
import type { ArrayFixture, FixtureOptions } from './array-fixture.js';
import type { BlockModel } from './block-model.js';
import { damage, filled, ONE_PARITY, startedWith } from './filled-array.js';

/** The ring lies on the stripe members. */
const BOTH: FixtureOptions = { ...ONE_PARITY, journalMembers: 0, segments: 64, buffers: 32 };
/** The ring lies on two members of its own, 4 and 5. */
const OWN: FixtureOptions = { ...ONE_PARITY, journalMembers: 2, segments: 64, buffers: 32 };

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Clients write, and at each turn of the loop something is looked at, until the work is done. */
async function underLoad(model: BlockModel, work: () => Promise<unknown>, look: () => void): Promise<void> {
  let over = false;
  const load = model.load(seededRandom(11), 4, () => over);
  const watch = (async () => {
    for (; !over; await turn()) look();
  })();
  try {
    for (let i = 0; i < 20; i++) await turn();
    await work();
    for (let i = 0; i < 20; i++) await turn();
  } finally {
    over = true;
    await Promise.all([load, watch]);
  }
  look();
}

/** Copies of the segment with the fewest, on journal members that are there. */
function fewestCopies({ journal }: ArrayEngine): number {
  let fewest = Number.POSITIVE_INFINITY;
  for (let seq = journal.tailSeq; seq <= journal.headSeq; seq++) {
    const slot = journal.table.slotOf(seq);
    if (journal.table.seq[slot] !== seq || journal.table.used[slot] === 0) continue;
    const on = (journal.table.copies[slot] as number) & journal.onlineMask();
    fewest = Math.min(fewest, on.toString(2).split('1').length - 1);
  }
  return fewest;
}

test.serial('replace of an online member that holds the ring too loses nothing to bad sectors of a survivor', async (t) => {
  const { fixture, model } = await filled(t, BOTH);
  const { engine } = fixture;
  t.true(damage(fixture, 2, 12) > 10);
  const target = fixture.newPath();
  const replaced = await arrayControl(engine).replace('0', target, { force: false }, () => {});
  t.is(replaced.lostBlocks, 0);
  t.is(replaced.fromParity, 0);
  t.is(arrayStatus(engine).state, 'online');
  const { wrong, unreadable } = await model.verify();
  t.deepEqual([wrong, unreadable.size], [[], 0]);
  await engine.stop();
  await startedWith(fixture, 0, target);
  t.is(arrayStatus(fixture.engine).state, 'online', 'the next start knows it');
  await failByHand(fixture.engine, '1', true);
  t.deepEqual((await model.verify()).wrong, [], 'what it holds is what the others need');
  await fixture.close();
});

for (const [where, options] of [
  ['on the stripe members', BOTH],
  ['on members of its own', OWN],
] as const) {
  test.serial(`replace of an online member never lowers the tolerance, nor the copies of a segment: the ring ${where}`, async (t) => {
    const { fixture, model } = await filled(t, { ...options, backup: true });
    const { engine } = fixture;
    await fixture.drain();
    const index = options === BOTH ? 1 : 4;
    const before = computeTolerance(engine).devices;
    t.true(before >= 1);
    const old = engine.state.members[index];
    let least = before;
    let copies = 2;
    const replace = (): Promise<unknown> => replaceMember(engine, String(index), fixture.newPath());
    await underLoad(model, replace, () => {
      least = Math.min(least, computeTolerance(engine).devices);
      copies = Math.min(copies, fewestCopies(engine));
    });
    t.not(engine.state.members[index], old);
    t.deepEqual([least, copies], [before, 2]);
    t.deepEqual(model.errors, []);
    t.deepEqual((await model.verify()).wrong, []);
    await fixture.close();
  });
}

test.serial('the successor of a journal member has all that was in the ring: it suffices without the other one', async (t) => {
  const { fixture, model } = await filled(t, OWN);
  const { engine } = fixture;
  engine.destageLoop.kick = () => {};
  const target = fixture.newPath();
  for (let i = 0; i < 100; i++) await model.write(i * 4, 4);
  await model.flush();
  const writes = (async () => {
    for (let i = 0; i < 60; i++) await model.write(400 + i * 4, 4);
  })();
  await Promise.all([replaceMember(engine, '4', target), writes]);
  await model.flush();
  t.true(engine.journal.headSeq - engine.journal.destagedSeq > 4, 'the ring has much that the stripes have not');
  await fixture.crash();
  renameSync(fixture.paths[5] as string, `${fixture.paths[5]}-gone`);
  const members = [target, fixture.paths[5] as string];
  Object.assign(fixture.settings, { journal: { ...fixture.settings.journal, members } });
  await fixture.start();
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

/** What is done when the old member is exchanged for its successor: before, in the moment between the exchange and the checkpoint that says so, or after. */
function atExchange(engine: ArrayEngine, at: 'before' | 'between' | 'after', work: () => Promise<void>): void {
  const { checkpointer } = engine;
  const exchange = checkpointer.exchange.bind(checkpointer);
  checkpointer.exchange = async (change) => {
    checkpointer.exchange = exchange;
    if (at === 'before') await work();
    await exchange(() => {
      change();
      if (at !== 'between') return;
      // The round that follows waits for stripe tasks first.
      engine.state.tasksCountOnFailed = true;
      checkpointer.settleTasks = async () => {
        checkpointer.settleTasks = () => Promise.resolve();
        await work();
      };
    });
    if (at === 'after') await work();
  };
}

function killAll(fixture: ArrayFixture, target: string): void {
  fixture.kill(fixture.engine.state.paths.map((_, index) => index));
  fixture.provider.faults(target).kill();
  fixture.provider.faults(fixture.paths[0] as string).kill();
}

for (const at of ['before', 'between', 'after'] as const) {
  test.serial(
    `a crash ${at} the exchange of a member that holds the ring and the checkpoint of it loses nothing of one copy`,
    async (t) => {
      const { fixture, model } = await filled(t, { ...BOTH, copies: 1 });
      const { engine } = fixture;
      engine.destageLoop.kick = () => {};
      for (let i = 0; i < 80; i++) t.true(await model.write(i * 4, 4));
      const target = fixture.newPath();
      atExchange(engine, at, async () => {
        // More than a round of segments: each member gets some.
        for (let i = 0; i < 40; i++) t.true(await model.write(i * 8, 8));
        await model.flush();
        killAll(fixture, target);
      });
      await replaceMember(engine, '0', target).catch(() => undefined);
      await engine.stop().catch(() => undefined);
      await startedWith(fixture, 0, at === 'after' ? target : (fixture.paths[0] as string));
      t.is(arrayStatus(fixture.engine).state, 'online');
      t.is(arrayStatus(fixture.engine).members[0]?.path, at === 'after' ? target : (fixture.paths[0] as string));
      const { wrong, unreadable } = await model.verify();
      t.deepEqual([wrong, unreadable.size], [[], 0]);
      await fixture.close();
    },
  );
}

test.serial('a successor that fails as it gets the ring changes nothing: writes go on, and the old member stays', async (t) => {
  const { fixture, model } = await filled(t, OWN);
  const { engine, provider } = fixture;
  engine.destageLoop.kick = () => {};
  for (let i = 0; i < 40; i++) await model.write(i * 4, 4);
  const before = engine.state.records[4]?.uuid;
  const target = fixture.newPath();
  const { copyTo } = engine.replicator;
  engine.replicator.copyTo = async (twin, seq) => {
    provider.faults(target).kill();
    t.true(await model.write(0, 4));
    await copyTo.call(engine.replicator, twin, seq);
  };
  await t.throwsAsync(replaceMember(engine, '4', target), { code: 'DEVICE_WRITE' });
  t.is(engine.state.records[4]?.uuid, before);
  t.is(arrayStatus(engine).state, 'online');
  t.true(await model.write(0, 4));
  await model.flush();
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});
