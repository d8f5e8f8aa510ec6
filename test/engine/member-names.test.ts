import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../src/base/clock.js';
import { KeelsonError } from '../../src/base/errors.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { assembleArray, memberPaths } from '../../src/engine/assemble.js';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import { ArrayFixture, SILENT } from './array-fixture.js';
import { BlockModel } from './block-model.js';

const SMALL = { dataMembers: 4, parity: 1, journalMembers: 2, stripes: 8, backup: false };

/** Swaps two entries of stripe.members, as a careless hand does. */
function permute(fixture: ArrayFixture, a: number, b: number): void {
  const members = [...fixture.settings.stripe.members];
  [members[a], members[b]] = [members[b] as string, members[a] as string];
  Object.assign(fixture.settings, { stripe: { ...fixture.settings.stripe, members } });
}

test.serial('with the configuration permuted and a device absent no healthy member is taken for the absent one', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const model = new BlockModel(() => fixture.engine.volume, fixture.engine.state.geometry.volumeBlocks);
  await model.fill();
  await fixture.engine.stop();
  permute(fixture, 1, 2);
  // Device of member 1; the configuration has the path of member 2 in its place.
  renameSync(fixture.paths[1] as string, `${fixture.paths[1]}.away`);
  await fixture.start();
  const { engine } = fixture;
  const status = arrayStatus(engine);
  const uuid = engine.state.records[1]?.uuid;
  t.is(status.members[1]?.state, 'missing');
  t.is(status.members[1]?.path, 'unknown', 'not the path that member 2 has');
  t.is(status.members[1]?.uuid, uuid);
  t.is(status.members[2]?.path, fixture.paths[2]);
  const alarm = status.alarms.find(({ code }) => code === 'MEMBER_FAILED_1');
  t.true(alarm?.message.includes(uuid as string));
  t.false(alarm?.message.includes(fixture.paths[2] as string));
  const target = fixture.newPath();
  for (const work of [replaceMember(engine, fixture.paths[2] as string, target), failByHand(engine, fixture.paths[2] as string, true)]) {
    const error = await t.throwsAsync(work, { instanceOf: KeelsonError, code: 'MEMBER_AMBIGUOUS' });
    t.is(error?.exit, 3);
  }
  t.is(engine.state.members[2]?.state, 'online', 'the healthy member was not thrown away');
  await t.throwsAsync(replaceMember(engine, 'unknown', target), { code: 'MEMBER_UNKNOWN' });
  await replaceMember(engine, uuid as string, target);
  await engine.rebuild.wait();
  t.is(arrayStatus(engine).state, 'online');
  t.is(arrayStatus(engine).members[1]?.path, target);
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test.serial('an absent member is expected where the configuration has it, and where its own device was found and left out', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  await failByHand(fixture.engine, '1', false);
  await fixture.engine.stop();
  await fixture.start();
  // Stale, but there: its path is its own, wherever the configuration has it.
  t.is(arrayStatus(fixture.engine).members[1]?.path, fixture.paths[1]);
  await fixture.engine.stop();
  permute(fixture, 1, 3);
  await fixture.start();
  t.is(arrayStatus(fixture.engine).members[1]?.path, fixture.paths[1]);
  t.is(arrayStatus(fixture.engine).members[3]?.path, fixture.paths[3]);
  t.regex(arrayStatus(fixture.engine).alarms.find(({ code }) => code === 'MEMBER_FAILED_1')?.message ?? '', /MEMBER_STALE/);
  await fixture.engine.stop();
  renameSync(fixture.paths[1] as string, `${fixture.paths[1]}.away`);
  permute(fixture, 1, 3);
  await fixture.start();
  t.is(arrayStatus(fixture.engine).members[1]?.path, fixture.paths[1], 'nobody else is there');
  await fixture.close();
});

test.serial('a clone beside its original is refused: both are named, nothing is written', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  await fixture.engine.stop();
  copyFileSync(fixture.paths[0] as string, fixture.paths[3] as string);
  await refusedUntouched(t, fixture, 'MEMBER_DUPLICATE', [fixture.paths[0] as string, fixture.paths[3] as string]);
});

test.serial('two parts of an array that were each served without the other are not put together again', async (t) => {
  const fixture = await ArrayFixture.create(t, { dataMembers: 2, parity: 1, journalMembers: 0, copies: 1, stripes: 8, backup: false });
  const apart = async (present: number, away: number): Promise<void> => {
    renameSync(fixture.paths[away] as string, `${fixture.paths[away]}.away`);
    await fixture.start();
    t.true(await new BlockModel(() => fixture.engine.volume, 8).write(present, 1));
    await fixture.engine.stop();
    renameSync(`${fixture.paths[away]}.away`, fixture.paths[away] as string);
  };
  await fixture.engine.stop();
  const before = fixture.paths.map((path) => readFileSync(path));
  await apart(0, 1);
  // The other one never heard of it: as on another host.
  const first = readFileSync(fixture.paths[0] as string);
  writeFileSync(fixture.paths[0] as string, before[0] as Buffer);
  await apart(1, 0);
  writeFileSync(fixture.paths[0] as string, first);
  await refusedUntouched(t, fixture, 'ARRAY_SPLIT', fixture.paths);
});

test.serial('a device of another array in the list is left out, named and not written to', async (t) => {
  const other = await ArrayFixture.create(t, SMALL);
  await other.engine.stop();
  const fixture = await ArrayFixture.create(t, SMALL);
  await fixture.engine.stop();
  copyFileSync(other.paths[2] as string, fixture.paths[2] as string);
  const before = readFileSync(fixture.paths[2] as string);
  await fixture.start();
  t.is(arrayStatus(fixture.engine).state, 'degraded');
  t.regex(arrayStatus(fixture.engine).alarms.find(({ code }) => code === 'MEMBER_FAILED_2')?.message ?? '', /belongs to another array/);
  t.true(await new BlockModel(() => fixture.engine.volume, 8).write(0, 8));
  await fixture.engine.stop();
  t.true(before.equals(readFileSync(fixture.paths[2] as string)));
});

/** Assembly refuses with exit status 3, names these paths, and every device is byte for byte what it was. */
async function refusedUntouched(t: ExecutionContext, { settings }: ArrayFixture, code: string, paths: readonly string[]): Promise<void> {
  const before = memberPaths(settings).map((path) => readFileSync(path));
  const error = await t.throwsAsync(
    assembleArray({ settings, clock: systemClock, log: SILENT, provider: (slab) => createDeviceProvider(slab) }),
    { instanceOf: KeelsonError, code },
  );
  t.is(error?.exit, 3);
  for (const path of paths) t.true(error?.describe().includes(path), path);
  for (const [i, path] of memberPaths(settings).entries()) t.true(before[i]?.equals(readFileSync(path)), `${path} was not written to`);
}
