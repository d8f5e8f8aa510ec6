import { cpSync, renameSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import { endIsKnown } from '../../src/journal/ring-end.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

interface Crashed {
  readonly fixture: ArrayFixture;
  readonly model: BlockModel;
}

/** Journal member 6 is replaced while a segment with an acknowledged write is open on 7 alone; then kill -9, with what lies on the members at that moment. */
async function crashAfterJournalReplacement(t: ExecutionContext): Promise<Crashed> {
  const fixture = await ArrayFixture.create(t, { backup: false });
  const crashed = fixture.engine;
  const model = new BlockModel(() => fixture.engine.volume, crashed.state.geometry.volumeBlocks);
  await model.fill();
  await model.flush();
  t.true(await crashed.destageLoop.drainAll());
  await failByHand(crashed, '6', true);
  crashed.destageLoop.kick = () => {};
  t.true(await model.write(0, 1));
  await replaceMember(crashed, '6', fixture.newPath());
  for (const [index, path] of crashed.state.paths.entries()) cpSync(path, `${fixture.paths[index]}-crash`);
  await crashed.stop();
  for (const path of fixture.paths) renameSync(`${path}-crash`, path);
  return { fixture, model };
}

test.serial(
  'P8: a write in a segment that was open when a journal member was added is not taken for never written when that member is all there is',
  async (t) => {
    const { fixture } = await crashAfterJournalReplacement(t);
    renameSync(fixture.paths[7] as string, `${fixture.paths[7]}-gone`);
    await t.throwsAsync(fixture.start(), { code: 'JOURNAL_LOST' });
    renameSync(`${fixture.paths[7]}-gone`, fixture.paths[7] as string);
    await fixture.start();
    await fixture.close();
  },
);

test.serial('the member that was there all along suffices, without the one that was added', async (t) => {
  const { fixture, model } = await crashAfterJournalReplacement(t);
  renameSync(fixture.paths[6] as string, `${fixture.paths[6]}-gone`);
  await fixture.start();
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test.serial('a journal member that was added is counted on from the next segment on', async (t) => {
  const fixture = await ArrayFixture.create(t, { backup: false });
  const { engine } = fixture;
  const model = new BlockModel(() => fixture.engine.volume, engine.state.geometry.volumeBlocks);
  await failByHand(engine, '6', true);
  await replaceMember(engine, '6', fixture.newPath());
  t.true(await model.write(0, 1));
  for (const [index, path] of engine.state.paths.entries()) cpSync(path, `${fixture.paths[index]}-crash`);
  await engine.stop();
  for (const path of fixture.paths) renameSync(`${path}-crash`, path);
  renameSync(fixture.paths[7] as string, `${fixture.paths[7]}-gone`);
  await fixture.start();
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

for (const sameSegment of [false, true]) {
  const where = sameSegment ? 'a segment that the others have, too' : 'a segment of its own';
  test.serial(
    `P5: a journal member that comes back does not bring along a write that the array has gone on without, in ${where}`,
    async (t) => {
      // With a backup that is not drained the segment stays in the ring.
      const fixture = await ArrayFixture.create(t, { backup: sameSegment });
      const { engine } = fixture;
      const model = new BlockModel(() => fixture.engine.volume, engine.state.geometry.volumeBlocks);
      const keep = (indexes: readonly number[]): void => {
        for (const index of indexes) cpSync(fixture.paths[index] as string, `${fixture.paths[index]}-crash`);
      };
      const crash = async (): Promise<void> => {
        await fixture.engine.stop();
        for (const path of fixture.paths) renameSync(`${path}-crash`, path);
      };
      engine.destageLoop.kick = () => {};
      t.true(await model.write(0, 1));
      if (!sameSegment) engine.journal.close();
      // The crash leaves the next write on journal member 6 alone, and that is not there when the array starts again.
      keep([0, 1, 2, 3, 4, 5, 7]);
      t.true(await new BlockModel(() => engine.volume, model.blocks).write(1, 1));
      keep([6]);
      await crash();
      const path = fixture.paths[6] as string;
      renameSync(path, `${path}-away`);
      await fixture.start();
      t.deepEqual((await model.verify()).wrong, []);
      renameSync(`${path}-away`, path);
      await replaceMember(fixture.engine, '6', path);
      await fixture.engine.replicator.run();
      const { nextLsn } = fixture.engine.journal;
      keep([0, 1, 2, 3, 4, 5, 6, 7]);
      await crash();
      await fixture.start();
      t.deepEqual((await model.verify()).wrong, []);
      t.is(fixture.engine.journal.nextLsn, nextLsn, 'nor is it drained');
      await fixture.close();
    },
  );
}

test('the end of the ring is known by a member that every segment would be on, and by nobody when copies were short and the list was too', (t) => {
  const end = { headSeq: 10, positions: 0b0111, short: [{ seq: 9, copies: 0b1000 }], more: false };
  t.true(endIsKnown(end, 8, 0b0010, 4, 2));
  t.false(endIsKnown(end, 8, 0b1100, 4, 2));
  t.false(endIsKnown(end, 9, 0b0111, 4, 2));
  t.true(endIsKnown(end, 9, 0b1000, 4, 2));
  const more = { ...end, more: true };
  t.false(endIsKnown(more, 8, 0b0100, 4, 2));
  t.true(endIsKnown(more, 8, 0b0111, 4, 2));
  t.true(endIsKnown(more, 12, 0b0001, 4, 2));
});
