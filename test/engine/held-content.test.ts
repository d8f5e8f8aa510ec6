import { readFileSync, renameSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { KeelsonError } from '../../src/base/errors.js';
import { arrayControl } from '../../src/engine/array-control.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

const SMALL = { dataMembers: 4, parity: 1, journalMembers: 2, stripes: 8, backup: false };

/** An array without a backup, full and destaged, started again without these members' devices, which are at the paths returned. */
async function withAbsent(
  t: ExecutionContext,
  absent: readonly number[],
): Promise<{ fixture: ArrayFixture; model: BlockModel; away: string[] }> {
  const fixture = await ArrayFixture.create(t, SMALL);
  const model = new BlockModel(() => fixture.engine.volume, fixture.engine.state.geometry.volumeBlocks);
  await model.fill();
  t.true(await fixture.engine.destageLoop.drainAll());
  await fixture.engine.stop();
  const away = absent.map((index) => `${fixture.paths[index]}.away`);
  for (const [i, index] of absent.entries()) renameSync(fixture.paths[index] as string, away[i] as string);
  await fixture.start();
  return { fixture, model, away };
}

async function refused(t: ExecutionContext, work: Promise<unknown>, code: string, device: string, says: readonly RegExp[]): Promise<void> {
  const before = readFileSync(device);
  const error = await t.throwsAsync(work, { instanceOf: KeelsonError, code });
  t.is(error?.exit, 3);
  for (const text of says) t.regex(error?.describe() ?? '', text);
  t.true(before.equals(readFileSync(device)), 'not one byte was written');
}

test.serial(
  'the only copy of another absent member is overwritten only when that member is named as given up, and what is lost is counted',
  async (t) => {
    const { fixture, model, away } = await withAbsent(t, [0, 1]);
    const { engine } = fixture;
    const uuid = engine.state.records[1]?.uuid as string;
    const only = away[1] as string;
    await refused(t, replaceMember(engine, '0', only), 'MEMBER_LISTED', only, [/member 1/, new RegExp(uuid), /--give-up 1/]);
    await refused(t, replaceMember(engine, '0', only, { force: true, giveUp: '0' }), 'MEMBER_LISTED', only, [/--give-up 1/]);
    const control = arrayControl(engine);
    t.is(
      (await control.replace('0', only, { force: true, giveUp: '1' }, () => {})).waitsFor,
      undefined,
      'one is left without a device, as many as parity covers',
    );
    t.is(engine.state.members[0]?.device.path, only);
    t.is(engine.state.members[0]?.state, 'online');
    t.is(engine.state.records[1]?.state, 'failed');
    t.not(engine.state.records[1]?.uuid, uuid, 'no device that bears the UUID is ever taken for member 1');
    const replaced = await control.replace('1', fixture.newPath(), { force: false }, () => {});
    const { wrong, unreadable } = await model.verify(() => true);
    t.deepEqual(wrong, []);
    t.true(unreadable.size > 0);
    t.is(replaced.lostBlocks, 0, 'they were lost by the one before');
    await fixture.close();
  },
);

test.serial('a replace that loses blocks says how many, as many as are unreadable after it', async (t) => {
  const { fixture, model } = await withAbsent(t, [0, 1]);
  const control = arrayControl(fixture.engine);
  const replaced = await control.replace('0', fixture.newPath(), { force: false }, () => {});
  const listed = arrayStatus(fixture.engine).lost.bytes / BLOCK_BYTES;
  await control.replace('1', fixture.newPath(), { force: false }, () => {});
  const { unreadable } = await model.verify(() => true);
  t.true(unreadable.size > 0);
  t.is(replaced.lostBlocks, unreadable.size);
  t.is(listed, unreadable.size);
  await fixture.close();
});

test.serial("a member's own device is not made anew while it may have what nobody else has, unless it is given up by name", async (t) => {
  const { fixture, away } = await withAbsent(t, [0, 1]);
  const { engine } = fixture;
  const own = away[0] as string;
  await refused(t, replaceMember(engine, '0', own), 'WOULD_LOSE_DATA', own, [/--give-up 0/, /\d+ blocks/]);
  await replaceMember(engine, '0', own, { giveUp: '0' });
  t.is(engine.state.members[0]?.device.path, own);
  await fixture.close();
});

test.serial("a member's own device may be made anew while the others have everything", async (t) => {
  const { fixture, model, away } = await withAbsent(t, [0]);
  const { engine } = fixture;
  await replaceMember(engine, '0', away[0] as string);
  await engine.rebuild.wait();
  t.is(arrayStatus(engine).state, 'online');
  const { wrong, unreadable } = await model.verify();
  t.deepEqual([wrong, unreadable.size], [[], 0]);
  await fixture.close();
});

test.serial('a device that is another member in use, or failed and still open, is refused by what it is', async (t) => {
  const { fixture } = await withAbsent(t, [0]);
  const { engine } = fixture;
  const [, second, third] = fixture.paths as [string, string, string];
  await refused(t, replaceMember(engine, '0', second, { giveUp: '1' }), 'MEMBER_LISTED', second, [/member 1.*online/]);
  await failByHand(engine, '2', true);
  await refused(t, replaceMember(engine, '0', third), 'MEMBER_LISTED', third, [/--give-up 2/]);
  await replaceMember(engine, '0', third, { giveUp: '2' });
  t.is(engine.state.members[0]?.device.path, third);
  await fixture.close();
});

test.serial('a member that is online is not rewritten in place, unless it is given up by name', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const { engine, paths } = fixture;
  const own = paths[0] as string;
  await t.throwsAsync(replaceMember(engine, '0', own), { instanceOf: KeelsonError, code: 'WOULD_LOSE_DATA' });
  t.is(engine.state.members[0]?.state, 'online');
  await replaceMember(engine, '0', own, { giveUp: '0' });
  await engine.rebuild.wait();
  t.is(arrayStatus(engine).state, 'online');
  await fixture.close();
});

test.serial('a former member, which no table lists any more, is taken like an empty device', async (t) => {
  const { fixture, away } = await withAbsent(t, [0]);
  const { engine } = fixture;
  await replaceMember(engine, '0', fixture.newPath());
  await engine.rebuild.wait();
  await failByHand(engine, '1', false);
  await replaceMember(engine, '1', away[0] as string);
  await engine.rebuild.wait();
  t.is(arrayStatus(engine).state, 'online');
  await fixture.close();
});
