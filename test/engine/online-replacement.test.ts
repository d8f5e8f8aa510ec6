import { writeFileSync } from 'node:fs';
import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { KeelsonError } from '../../src/base/errors.js';
import { arrayControl } from '../../src/engine/array-control.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import type { Member } from '../../src/member/member-api.js';
import type { ArrayFixture } from './array-fixture.js';
import { damage, filled, startedWith } from './filled-array.js';

test.serial(
  'replace of an online member loses nothing to bad sectors of a survivor: the old one is read until the new one is whole',
  async (t) => {
    const { fixture, model } = await filled(t);
    const { engine } = fixture;
    t.true(damage(fixture, 2, 12) > 10);
    t.true(damage(fixture, 0, 36, 3) > 3, 'the old device has some too, elsewhere');
    const target = fixture.newPath();
    const replaced = await arrayControl(engine).replace('0', target, { force: false }, () => {});
    t.is(replaced.lostBlocks, 0);
    t.true(replaced.doneBytes > 0);
    t.is(replaced.replaces, fixture.paths[0] as string);
    t.is(arrayStatus(engine).state, 'online');
    t.is(arrayStatus(engine).members[0]?.path, target);
    const { wrong, unreadable } = await model.verify();
    t.deepEqual([wrong, unreadable.size], [[], 0]);
    await engine.stop();
    await startedWith(fixture, 0, target);
    t.is(arrayStatus(fixture.engine).state, 'online', 'the next start knows it');
    await failByHand(fixture.engine, '1', true);
    t.deepEqual((await model.verify()).wrong, [], 'what it holds is what the others need');
    await fixture.close();
  },
);

test.serial('what clients write while a member is copied is on its successor', async (t) => {
  const { fixture, model } = await filled(t);
  const { engine } = fixture;
  let over = false;
  const random = seededRandom(7);
  const load = model.load(random, 4, () => over);
  const destage = (async () => {
    while (!over) {
      await engine.destageLoop.drainAll();
      await new Promise<void>((turn) => setImmediate(turn));
    }
  })();
  const old = engine.state.members[0];
  await replaceMember(engine, '0', fixture.newPath());
  t.not(engine.state.members[0], old);
  over = true;
  await Promise.all([load, destage]);
  await model.flush();
  t.true(await engine.destageLoop.drainAll());
  await failByHand(engine, '1', true);
  const { wrong, unreadable } = await model.verify();
  t.deepEqual([wrong, unreadable.size], [[], 0]);
  await fixture.close();
});

test.serial(
  'a successor that fails while it is filled changes nothing: the old member goes on, and the command ends with an error',
  async (t) => {
    const { fixture, model } = await filled(t);
    const { engine, provider } = fixture;
    const target = fixture.newPath();
    provider.faults(target).fail('write', 1, (engine.state.members[0] as Member).superblock.layout.dataOffset + 65_536);
    const before = engine.state.records[0]?.uuid;
    await t.throwsAsync(replaceMember(engine, '0', target), { instanceOf: KeelsonError, code: 'DEVICE_WRITE' });
    t.is(engine.state.records[0]?.uuid, before);
    t.is(arrayStatus(engine).state, 'online');
    t.deepEqual(arrayStatus(engine).members[0]?.path, fixture.paths[0]);
    t.deepEqual((await model.verify()).wrong, []);
    await replaceMember(engine, '0', fixture.newPath());
    t.is(arrayStatus(engine).state, 'online');
    await fixture.close();
  },
);

/** Calls during() once, in the middle of the copy. */
function inTheMiddle({ engine }: ArrayFixture, during: () => Promise<unknown>): void {
  const lock = engine.lock.bind(engine);
  let calls = 0;
  engine.lock = async (stripes) => {
    if (engine.replacements.copies.size > 0 && ++calls === 2) await during();
    return lock(stripes);
  };
}

test.serial('a member that fails while it is copied is rebuilt on its successor', async (t) => {
  const { fixture, model } = await filled(t);
  const { engine } = fixture;
  inTheMiddle(fixture, () => failByHand(engine, '0', true));
  const target = fixture.newPath();
  const replaced = await arrayControl(engine).replace('0', target, { force: false }, () => {});
  t.true(replaced.fromParity > 0);
  t.is(arrayStatus(engine).state, 'online');
  t.is(arrayStatus(engine).members[0]?.path, target);
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test.serial(
  'a crash in the middle of the copy leaves the old member what it was, and the device is taken again without insisting',
  async (t) => {
    const { fixture, model } = await filled(t);
    const { engine } = fixture;
    inTheMiddle(fixture, async () => {
      fixture.kill(fixture.paths.map((_, index) => index));
      fixture.provider.faults(target).kill();
    });
    const target = fixture.newPath();
    writeFileSync(target, Buffer.alloc((engine.state.members[0] as Member).device.sizeBytes));
    await t.throwsAsync(replaceMember(engine, '0', target));
    await engine.stop().catch(() => undefined);
    await fixture.start();
    t.is(arrayStatus(fixture.engine).state, 'online');
    await replaceMember(fixture.engine, '0', target);
    t.is(arrayStatus(fixture.engine).members[0]?.path, target);
    t.deepEqual((await model.verify()).wrong, []);
    await fixture.close();
  },
);

test.serial('a second device for a member that is being copied is refused; a stop ends the copy and says so', async (t) => {
  const { fixture, model } = await filled(t);
  const { engine } = fixture;
  let second: unknown;
  let stopped: Promise<void> = Promise.resolve();
  inTheMiddle(fixture, async () => {
    second = await replaceMember(engine, '0', fixture.newPath()).catch((error: unknown) => error);
    t.true((arrayStatus(engine).rebuild?.totalBytes ?? 0) > 0, 'status shows the copy');
    stopped = engine.stop();
  });
  const error = await t.throwsAsync(replaceMember(engine, '0', fixture.newPath()), { code: 'SHUTTING_DOWN' });
  t.regex((error as KeelsonError).action ?? '', /member 0 is what it was/);
  t.is((second as KeelsonError).code, 'MEMBER_CHANGING');
  await stopped;
  await fixture.start();
  t.is(arrayStatus(fixture.engine).state, 'online');
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});
