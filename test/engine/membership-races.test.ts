import test, { type ExecutionContext } from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import { arrayControl } from '../../src/engine/array-control.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

/** An array with member 0 failed; during() is called once while the device that takes its place is being rebuilt. */
async function whileRebuilt(
  t: ExecutionContext,
  during: (fixture: ArrayFixture) => Promise<unknown>,
): Promise<{ fixture: ArrayFixture; model: BlockModel; target: string; replaced: Promise<unknown> }> {
  const fixture = await ArrayFixture.create(t);
  const { engine } = fixture;
  const model = new BlockModel(() => fixture.engine.volume, engine.state.geometry.volumeBlocks);
  await model.fill();
  t.true(await engine.destageLoop.drainAll());
  await failByHand(engine, '0', true);
  const { pool } = engine.parts;
  const rebuild = pool.rebuild.bind(pool);
  let called = false;
  pool.rebuild = async (task) => {
    if (!called) {
      called = true;
      await during(fixture);
    }
    return rebuild(task);
  };
  const target = fixture.newPath();
  return { fixture, model, target, replaced: arrayControl(engine).replace('0', target, { force: false }, () => {}) };
}

const memberAlarm = ({ engine }: ArrayFixture): string =>
  arrayStatus(engine)
    .alarms.filter(({ code }) => code.startsWith('MEMBER_'))
    .map(({ code, message }) => `${code} ${message}`)
    .join('; ');

test.serial(
  'a replacement that is failed by hand while it is rebuilt ends its command with an error, and the alarm names it',
  async (t) => {
    let alarmDuring = '';
    const { fixture, target, replaced } = await whileRebuilt(t, async (running) => {
      alarmDuring = memberAlarm(running);
      await failByHand(running.engine, '0', true);
    });
    const error = await t.throwsAsync(replaced, { instanceOf: KeelsonError, code: 'MEMBER_FAILED' });
    t.true((error?.exit ?? 0) > 0);
    t.regex(error?.describe() ?? '', /failed by hand/);
    t.true(error?.message.includes(target));
    t.regex(alarmDuring, /^MEMBER_REBUILDING_0 /);
    t.true(alarmDuring.includes(target), alarmDuring);
    t.regex(memberAlarm(fixture), /^MEMBER_FAILED_0 /);
    t.true(memberAlarm(fixture).includes(target), memberAlarm(fixture));
    t.false(memberAlarm(fixture).includes(fixture.paths[0] as string), 'the device before it is not meant any more');
    await fixture.close();
  },
);

test.serial('a rebuild whose target fails meanwhile does not end as done either', async (t) => {
  let followed: Promise<unknown> = Promise.resolve();
  const { fixture, replaced } = await whileRebuilt(t, async (running) => {
    followed = arrayControl(running.engine).rebuild(() => {});
    followed.catch(() => undefined);
    await failByHand(running.engine, '0', true);
  });
  await t.throwsAsync(replaced, { code: 'MEMBER_FAILED' });
  await t.throwsAsync(followed, { code: 'MEMBER_FAILED' });
  await fixture.close();
});

test.serial('of two replacements of one member the first ends with an error that names the second', async (t) => {
  let second = '';
  let taken: Promise<unknown> = Promise.resolve();
  const { fixture, model, replaced } = await whileRebuilt(t, async (running) => {
    second = running.newPath();
    // It waits for the stripe task that is under way.
    taken = replaceMember(running.engine, '0', second);
  });
  const error = await t.throwsAsync(replaced, { instanceOf: KeelsonError, code: 'MEMBER_REPLACED' });
  t.true(error?.describe().includes(second));
  await taken;
  await fixture.engine.rebuild.wait();
  t.is(arrayStatus(fixture.engine).state, 'online');
  t.is(arrayStatus(fixture.engine).members[0]?.path, second);
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test.serial('devices that are taken in at the same time each become their member', async (t) => {
  const fixture = await ArrayFixture.create(t);
  const { engine } = fixture;
  const model = new BlockModel(() => fixture.engine.volume, engine.state.geometry.volumeBlocks);
  await model.fill();
  for (const index of ['0', '1']) await failByHand(engine, index, true);
  const paths = [fixture.newPath(), fixture.newPath()];
  await Promise.all(paths.map((path, index) => replaceMember(engine, String(index), path)));
  await engine.rebuild.wait();
  await engine.stop();
  const members = [...paths, ...fixture.paths.slice(2, 6)];
  Object.assign(fixture.settings, { stripe: { ...fixture.settings.stripe, members } });
  await fixture.start();
  t.is(arrayStatus(fixture.engine).state, 'online');
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test.serial('a stop during a replacement says that the rebuild goes on at the next start, and it does', async (t) => {
  let stopped: Promise<void> = Promise.resolve();
  const { fixture, model, target, replaced } = await whileRebuilt(t, async (running) => {
    stopped = running.engine.stop();
  });
  const error = await t.throwsAsync(replaced, { instanceOf: KeelsonError, code: 'SHUTTING_DOWN' });
  t.regex(error?.action ?? '', /goes on by itself/);
  await stopped;
  const members = [target, ...fixture.paths.slice(1, 6)];
  Object.assign(fixture.settings, { stripe: { ...fixture.settings.stripe, members } });
  await fixture.start();
  t.is(fixture.engine.state.members[0]?.state, 'rebuilding');
  t.regex(memberAlarm(fixture), /^MEMBER_REBUILDING_0 /);
  await fixture.engine.rebuild.wait();
  t.is(arrayStatus(fixture.engine).state, 'online');
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test.serial('replace says which path of the configuration the new device belongs in the place of', async (t) => {
  const fixture = await ArrayFixture.create(t, { dataMembers: 4, parity: 1, stripes: 8, backup: false });
  const control = arrayControl(fixture.engine);
  const first = await control.replace('6', fixture.newPath(), { force: false }, () => {}).catch((error: KeelsonError) => error.code);
  t.is(first, 'MEMBER_UNKNOWN');
  t.is((await control.replace('1', fixture.newPath(), { force: false }, () => {})).replaces, fixture.paths[1] as string);
  const journal = await control.replace('4', fixture.newPath(), { force: false }, () => {});
  t.is(journal.replaces, fixture.paths[4] as string);
  t.is(journal.totalBytes, 0, 'not the figures of the rebuild before it');
  await fixture.close();
});
