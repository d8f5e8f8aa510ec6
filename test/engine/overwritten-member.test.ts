import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import test from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { replaceMember } from '../../src/engine/membership-change.js';
import type { Member } from '../../src/member/member-api.js';
import { ArrayFixture, type FixtureOptions } from './array-fixture.js';
import { BlockModel } from './block-model.js';
import { LogLines } from './log-lines.js';

const UNPROTECTED: FixtureOptions = { backup: false };

async function filled(
  t: Parameters<typeof ArrayFixture.create>[0],
  options: FixtureOptions,
): Promise<{ fixture: ArrayFixture; model: BlockModel }> {
  const fixture = await ArrayFixture.create(t, options);
  const model = new BlockModel(() => fixture.engine.volume, fixture.engine.volumeBytes / BLOCK_BYTES);
  await model.fill();
  await model.flush();
  t.true(await fixture.engine.destageLoop.drainAll());
  return { fixture, model };
}

/** Somebody writes over blocks of the data zone, past us. */
function overwrite(fixture: ArrayFixture, index: number, blocks: number): void {
  const { superblock, device } = fixture.engine.state.members[index] as Member;
  const file = openSync(device.path, 'r+');
  const bytes = Math.min(superblock.layout.dataBytes, blocks * BLOCK_BYTES);
  writeSync(file, Buffer.alloc(bytes, 0x5a), 0, bytes, superblock.layout.dataOffset);
  fsyncSync(file);
  closeSync(file);
}

function memberOf(fixture: ArrayFixture, index: number): Member {
  return fixture.engine.state.members[index] as Member;
}

function codes(fixture: ArrayFixture): string[] {
  return arrayStatus(fixture.engine).alarms.map(({ code }) => code);
}

/** As if so many blocks had been read, and none could be repaired. */
function pretend(fixture: ArrayFixture, index: number, errors: number): void {
  const member = memberOf(fixture, index);
  member.checksumErrors += errors;
  member.openErrors += errors;
}

test.serial(
  'a member that is overwritten wholly while it runs is failed once enough of it was read, no byte is wrong, and replace mends it',
  async (t) => {
    const log = new LogLines();
    const { fixture, model } = await filled(t, { ...UNPROTECTED, stripes: 420, log });
    overwrite(fixture, 1, Number.MAX_SAFE_INTEGER);
    t.deepEqual((await model.verify()).wrong, []);
    const member = memberOf(fixture, 1);
    t.true(member.checksumErrors > 1024);
    t.is(member.openErrors, 0, 'each block that was read was written again');
    const status = arrayStatus(fixture.engine);
    t.is(status.state, 'degraded');
    t.is(status.tolerance.devices, 1);
    t.is(status.members[1]?.state, 'failed');
    t.regex(status.alarms.find(({ code }) => code === 'MEMBER_FAILED_1')?.message ?? '', /\d+ checksum errors/);
    t.true(log.of('a member gives wrong data').length > 0);
    await replaceMember(fixture.engine, '1', fixture.newPath());
    await fixture.engine.rebuild.wait();
    t.is(arrayStatus(fixture.engine).state, 'online');
    t.is(arrayStatus(fixture.engine).tolerance.devices, 2);
    t.deepEqual(codes(fixture), ['UNPROTECTED']);
    t.deepEqual((await model.verify()).wrong, []);
    await fixture.close();
  },
);

test.serial('some wrong blocks lower the tolerance, with an alarm whose advice ends it; one that was repaired does not', async (t) => {
  const { fixture, model } = await filled(t, UNPROTECTED);
  overwrite(fixture, 1, 1);
  t.deepEqual((await model.verify()).wrong, []);
  t.is(memberOf(fixture, 1).checksumErrors, 1);
  t.is(arrayStatus(fixture.engine).tolerance.devices, 2);
  t.deepEqual(codes(fixture), ['UNPROTECTED']);
  overwrite(fixture, 1, 24);
  t.deepEqual((await model.verify()).wrong, []);
  const { state, tolerance, alarms } = arrayStatus(fixture.engine);
  t.is(state, 'degraded');
  t.is(tolerance.devices, 1);
  t.regex(tolerance.because, /member 1 is not counted on: \d+ checksum errors/);
  t.regex(alarms.find(({ code }) => code === 'MEMBER_ERRORS_1')?.action ?? '', /^keelson replace 1 NEW-DEVICE; /);
  await replaceMember(fixture.engine, '1', fixture.newPath());
  await fixture.engine.rebuild.wait();
  t.is(arrayStatus(fixture.engine).tolerance.devices, 2);
  t.deepEqual(codes(fixture), ['UNPROTECTED']);
  await fixture.close();
});

test.serial('no member is failed for its errors when that leaves no reserve: the alarm says so, and its advice works', async (t) => {
  const { fixture, model } = await filled(t, { ...UNPROTECTED, dataMembers: 4, parity: 1 });
  pretend(fixture, 1, 300);
  const status = arrayStatus(fixture.engine);
  t.is(status.members[1]?.state, 'online');
  t.is(status.tolerance.devices, 0);
  t.regex(status.alarms.find(({ code }) => code === 'MEMBER_ERRORS_1')?.message ?? '', /would be failed, but/);
  await replaceMember(fixture.engine, '1', fixture.newPath());
  await fixture.engine.rebuild.wait();
  t.is(arrayStatus(fixture.engine).tolerance.devices, 1);
  t.deepEqual(codes(fixture), ['UNPROTECTED']);
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test.serial('of several members with errors as many are failed as leave a reserve, and torn rows keep them all', async (t) => {
  const { fixture } = await filled(t, UNPROTECTED);
  fixture.engine.state.distrust(0);
  pretend(fixture, 0, 300);
  arrayStatus(fixture.engine);
  t.is(memberOf(fixture, 0).state, 'online');
  fixture.engine.state.trustAll();
  pretend(fixture, 1, 300);
  arrayStatus(fixture.engine);
  t.is(memberOf(fixture, 0).state, 'online', 'the other one is not counted on');
  t.is(memberOf(fixture, 1).state, 'online');
  t.is(arrayStatus(fixture.engine).tolerance.devices, 0);
  await fixture.close();
});

test.serial('a journal member with errors is failed only while the ring is elsewhere as well', async (t) => {
  const { fixture, model } = await filled(t, { dataMembers: 4, parity: 1, journalMembers: 2, stripes: 8 });
  pretend(fixture, 4, 300);
  arrayStatus(fixture.engine);
  t.is(memberOf(fixture, 4).state, 'failed');
  pretend(fixture, 5, 300);
  arrayStatus(fixture.engine);
  t.is(memberOf(fixture, 5).state, 'online');
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});
