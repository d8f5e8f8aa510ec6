import { cpSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../src/base/clock.js';
import { KeelsonError } from '../../src/base/errors.js';
import type { Settings } from '../../src/config/settings.js';
import type { DeviceProvider } from '../../src/device/device.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import { createBackupClient } from '../../src/drain/backup-client.js';
import { arrayControl } from '../../src/engine/array-control.js';
import { arrayFigures } from '../../src/engine/array-figures.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { assembleArray } from '../../src/engine/assemble.js';
import { createArray } from '../../src/engine/create.js';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import { memberNamed } from '../../src/engine/member-names.js';
import { restoreArray } from '../../src/engine/restore-array.js';
import type { Slab } from '../../src/memory/slab.js';
import type { Backup } from '../../src/repository/backup.js';
import { scratchFolder } from '../device/scratch-files.js';
import { ArrayFixture, SILENT, settingsOf } from './array-fixture.js';
import { BlockModel } from './block-model.js';

const SMALL = { dataMembers: 3, parity: 1, journalMembers: 2, stripes: 8, chunkBytes: 8192 };

function create(settings: Settings, force = false): Promise<unknown> {
  return createArray({ settings, force, clock: systemClock, provider: (slab) => createDeviceProvider(slab) });
}

async function refused(t: ExecutionContext, work: Promise<unknown>, code: string, says: RegExp): Promise<void> {
  const error = await t.throwsAsync(work, { instanceOf: KeelsonError, code }, `refused with ${code}: ${says.source}`);
  t.regex(error?.describe() ?? '', says);
}

test('a configuration that does not describe the array is refused with the key that differs', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  await fixture.engine.stop();
  const { settings } = fixture;
  const { stripe, journal } = settings;
  const assemble = (changed: Partial<Settings>): Promise<unknown> =>
    assembleArray({
      settings: { ...settings, ...changed },
      clock: systemClock,
      log: SILENT,
      provider: (slab) => createDeviceProvider(slab),
    });
  for (const [key, changed] of [
    ['stripe.members', { stripe: { ...stripe, members: stripe.members.slice(0, 2) } }],
    ['journal.members', { journal: { ...journal, members: journal.members.slice(0, 1) } }],
    ['stripe.parity', { stripe: { ...stripe, parity: 2 } }],
    ['stripe.chunk', { stripe: { ...stripe, chunkBytes: 4096 } }],
    ['journal.segment', { journal: { ...journal, segmentBytes: (journal.segmentBytes as number) / 2 } }],
    ['journal.size', { journal: { ...journal, ringBytes: (journal.ringBytes as number) * 2 } }],
    ['journal.copies', { journal: { ...journal, copies: 1 } }],
    ['name', { name: 'another' }],
  ] as const)
    await refused(t, assemble(changed), 'CONFIG_MISMATCH', new RegExp(`does not describe this array: ${key}`));
  await refused(t, assemble({ memory: { slabBytes: settings.memory.slabBytes - (2 << 20) } }), 'SLAB_TOO_SMALL', /raise memory\.slab/);
  await fixture.start();
  await new BlockModel(() => fixture.engine.volume, 8).write(0, 4);
  await fixture.engine.stop();
  await refused(t, assemble({ backup: null }), 'CONFIG_MISMATCH', /no \[backup\]/);
  await fixture.start();
  t.is(arrayStatus(fixture.engine).state, 'online', 'none of them did any harm');
  await fixture.close();
});

test('create refuses members that hold something, are missing, differ in size or are too small', async (t) => {
  const settings = settingsOf(scratchFolder(t), SMALL);
  const { stripe, journal } = settings;
  const first = stripe.members[0] as string;
  await refused(t, create({ ...settings, stripe: { ...stripe, memberBytes: null } }), 'DEVICE_MISSING', /set stripe\.memberSize/);
  await refused(t, create({ ...settings, memory: { slabBytes: 1 << 20 } }), 'SLAB_TOO_SMALL', /memory\.slab/);
  writeFileSync(first, '');
  await create(settings);
  await refused(t, create(settings), 'MEMBER_HOLDS_DATA', /Keelson member/);
  await create(settings, true);
  truncateSync(first, (stripe.memberBytes ?? 0) * 2);
  await refused(t, create(settings, true), 'MEMBER_SIZE', /different sizes/);
  for (const member of stripe.members) truncateSync(member, 65_536);
  await refused(t, create(settings, true), 'MEMBER_SIZE', /use larger members/);
  for (const member of stripe.members) truncateSync(member, stripe.memberBytes ?? 0);
  truncateSync(journal.members[0] as string, 65_536);
  await refused(t, create(settings, true), 'MEMBER_SIZE', /journal\.size/);
});

test('members are found by index and by path; a device that is too small, and a failure that could lose data, are refused', async (t) => {
  const fixture = await ArrayFixture.create(t, { ...SMALL, backup: false });
  const { engine } = fixture;
  t.is(memberNamed(engine.state, fixture.paths, '1'), 1);
  t.is(memberNamed(engine.state, fixture.paths, fixture.paths[2] as string), 2);
  for (const name of ['9', '-1', 'elsewhere']) {
    const error = t.throws(() => memberNamed(engine.state, fixture.paths, name), { instanceOf: KeelsonError, code: 'MEMBER_UNKNOWN' });
    t.is(error.exit, 2);
  }
  await failByHand(engine, '0', false);
  await failByHand(engine, '0', false);
  await refused(t, failByHand(engine, '1', false), 'WOULD_LOSE_DATA', /--force/);
  t.is(engine.state.members[1]?.state, 'online');
  const small = fixture.newPath();
  writeFileSync(small, Buffer.alloc(65_536));
  await refused(t, replaceMember(engine, '0', small), 'MEMBER_SIZE', /too small/);
  await fixture.close();
});

test('a volume that stops refuses every request, and answers those in flight', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const { volume } = fixture.engine;
  const answers: string[] = [];
  const note =
    (what: string) =>
    (error: { code: string } | null): void =>
      void answers.push(`${what} ${error?.code ?? 'done'}`);
  volume.write(0, Buffer.alloc(4096), false, note('write before'));
  const stopped = fixture.engine.stop();
  volume.write(0, Buffer.alloc(4096), false, note('write'));
  volume.read(0, 4096, note('read'));
  volume.flush(note('flush'));
  volume.trim(0, 4096, false, note('trim'));
  volume.writeZeroes(0, 4096, false, false, note('zeroes'));
  await stopped;
  t.deepEqual(answers.sort(), [
    'flush SHUTTING_DOWN',
    'read SHUTTING_DOWN',
    'trim SHUTTING_DOWN',
    'write SHUTTING_DOWN',
    'write before done',
    'zeroes SHUTTING_DOWN',
  ]);
});

test('a backup that is attached to an array with data, or that is older than what the ring can continue from, is refused with an alarm', async (t) => {
  const fixture = await ArrayFixture.create(t, { ...SMALL, backup: false });
  await new BlockModel(() => fixture.engine.volume, 8).write(0, 4);
  t.deepEqual(
    arrayStatus(fixture.engine).alarms.map(({ code }) => code),
    ['UNPROTECTED'],
  );
  await refused(
    t,
    arrayControl(fixture.engine).drain(true, () => undefined),
    'DRAIN_NO_TARGET',
    /with \[backup\] in its configuration/,
  );
  await fixture.engine.stop();
  const { backup } = settingsOf(fixture.folder, SMALL);
  Object.assign(fixture.settings, { backup });
  await fixture.start();
  t.is(fixture.engine.link?.lastError?.code, 'BACKUP_NEEDS_SEEDING');
  t.true(arrayStatus(fixture.engine).alarms.some(({ code }) => code === 'NEEDS_SEEDING'));
  await fixture.close();

  const other = await ArrayFixture.create(t, SMALL);
  const vault = join(other.folder, 'vault');
  const model = new BlockModel(() => other.engine.volume, 8);
  await model.write(0, 4);
  await other.drain();
  cpSync(vault, `${vault}-older`, { recursive: true });
  await model.write(4, 2);
  await arrayControl(other.engine).drain(true, () => undefined);
  await other.engine.stop();
  rmSync(vault, { recursive: true });
  renameSync(`${vault}-older`, vault);
  await other.start();
  t.is(other.engine.link?.lastError?.code, 'BACKUP_AHEAD');
  t.true(arrayStatus(other.engine).alarms.some(({ code }) => code === 'BACKUP_MISMATCH'));
  t.deepEqual((await model.verify()).wrong, []);
  await other.close();
});

test('a backup that is added before the first write has everything from the start', async (t) => {
  const fixture = await ArrayFixture.create(t, { ...SMALL, backup: false });
  await fixture.engine.stop();
  Object.assign(fixture.settings, { backup: settingsOf(fixture.folder, SMALL).backup });
  await fixture.start();
  t.is(fixture.engine.link?.lastError?.code, undefined);
  t.deepEqual(arrayStatus(fixture.engine).alarms, []);
  const model = new BlockModel(() => fixture.engine.volume, fixture.engine.state.geometry.volumeBlocks);
  t.true(await model.write(0, 4, 'data', true));
  // It is so on the members at once, not with the next checkpoint.
  for (const path of fixture.paths) cpSync(path, `${path}-crash`);
  await fixture.engine.stop();
  for (const path of fixture.paths) renameSync(`${path}-crash`, path);
  await fixture.start();
  t.is(fixture.engine.link?.lastError?.code, undefined, 'nor after a crash');
  await fixture.drain();
  await fixture.restore();
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test('what a drain and the counters say agrees with the status', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const { engine } = fixture;
  await new BlockModel(() => engine.volume, 8).write(0, 4);
  const drained = await arrayControl(engine).drain(true, () => undefined);
  t.is(drained.drainedLsn, arrayStatus(engine).drain.drainedLsn);
  t.true(drained.drainedLsn > 0);
  const counters = new Map(arrayFigures(engine).map(({ name, value }) => [name, value]));
  t.is(counters.get('writes_total'), 1);
  t.is(counters.get('written_bytes_total'), 4 * 4096);
  t.is(counters.get('drained_bytes_total'), 4 * 4096);
  await fixture.close();
});

test('an array that is in use is not assembled a second time, nor made anew, and goes on', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const { settings, engine } = fixture;
  const model = new BlockModel(() => engine.volume, 8);
  await model.write(0, 4);
  const second = assembleArray({ settings, clock: systemClock, log: SILENT, provider: (slab) => createDeviceProvider(slab) });
  await refused(t, second, 'DEVICE_BUSY', /in use/);
  await refused(t, create(settings, true), 'DEVICE_BUSY', /in use/);
  await model.write(2, 4);
  t.deepEqual((await model.verify()).wrong, []);
  t.is(arrayStatus(engine).state, 'online');
  await fixture.close();
});

test('nothing is restored from a repository that holds no image yet, and the members stay as they are', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  await fixture.engine.stop();
  const { settings } = fixture;
  const before = readFileSync(fixture.paths[0] as string);
  const backup = (slab: Slab): Backup =>
    createBackupClient({ slab, url: settings.backup?.target.url ?? '', identity: '', knownHosts: '', compression: 'none', passphrase: '' });
  const provider = (slab: Slab): DeviceProvider => createDeviceProvider(slab);
  const restored = restoreArray({ settings, force: true, clock: systemClock, log: SILENT, provider, backup, onProgress: () => undefined });
  await refused(t, restored, 'BACKUP_EMPTY', /keelson create/);
  t.true(before.equals(readFileSync(fixture.paths[0] as string)));
});

test('a drain that nobody waits for goes on', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const { engine } = fixture;
  await new BlockModel(() => engine.volume, 8).write(0, 4);
  const { drainedLsn } = await arrayControl(engine).drain(false, () => undefined);
  t.true(drainedLsn <= arrayStatus(engine).drain.drainedLsn);
  await fixture.drain();
  t.is(engine.drainLoop?.undrainedBytes(), 0);
  await fixture.close();
});
