import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../src/base/clock.js';
import { KeelsonError } from '../../src/base/errors.js';
import type { Settings } from '../../src/config/settings.js';
import { faultyProvider } from '../../src/device/fault-device.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import { createArray } from '../../src/engine/create.js';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import { scratchFolder } from '../device/scratch-files.js';
import { ArrayFixture, settingsOf } from './array-fixture.js';

const SMALL = { dataMembers: 3, parity: 1, journalMembers: 2, stripes: 8, chunkBytes: 8192, backup: false };
const TEXT = 'nothing that anybody would recognise\n';

interface Made {
  readonly force?: boolean;
  readonly signal?: AbortSignal;
  /** The device at this path fails its syncs. */
  readonly failing?: string;
}

function create(settings: Settings, { force = false, signal, failing }: Made = {}): Promise<unknown> {
  return createArray({
    settings,
    force,
    clock: systemClock,
    provider: (slab) => {
      const provider = faultyProvider(createDeviceProvider(slab), slab);
      if (failing !== undefined) provider.faults(failing).fail('sync');
      return provider;
    },
    ...(signal === undefined ? {} : { signal }),
  });
}

async function refused(t: ExecutionContext, work: Promise<unknown>, code: string, says: RegExp): Promise<KeelsonError> {
  const error = (await t.throwsAsync(work, { instanceOf: KeelsonError, code })) as KeelsonError;
  t.regex(error.describe(), says);
  return error;
}

/** Settings of an array in a folder of its own, and its member paths. */
function fresh(t: ExecutionContext): { settings: Settings; paths: string[]; first: string; bytes: number } {
  const settings = settingsOf(realpathSync(scratchFolder(t)), SMALL);
  const paths = [...settings.stripe.members, ...settings.journal.members];
  return { settings, paths, first: paths[0] as string, bytes: settings.stripe.memberBytes as number };
}

test('create refuses unknown data without --force, through a link too, names both paths and the place, and changes nothing', async (t) => {
  const { settings, first, bytes, paths } = fresh(t);
  const real = join(settings.directory, 'letters.txt');
  writeFileSync(real, TEXT.repeat(Math.ceil(bytes / TEXT.length)), { mode: 0o644 });
  truncateSync(real, bytes);
  symlinkSync(real, first);
  const before = readFileSync(real);
  const error = await refused(t, create(settings), 'MEMBER_HOLDS_DATA', /unknown data, the first found at byte 0\b/);
  t.is(error.exit, 3);
  t.true(error.found?.includes(`${first} (${real})`), error.found);
  t.true(before.equals(readFileSync(real)));
  t.is(statSync(real).mode & 0o777, 0o644, 'not even its mode');
  for (const path of paths.slice(1)) t.false(existsSync(path), `${path} is taken back`);
  await create(settings, { force: true });
  t.is(statSync(real).mode & 0o777, 0o600, 'a file that is taken is for its owner alone');
  t.true(lstatSync(first).isSymbolicLink());
});

test('create refuses data in the middle or at the end of a file as it does at the start', async (t) => {
  for (const where of [0.5, 1]) {
    const { settings, first, bytes } = fresh(t);
    const content = Buffer.alloc(bytes);
    const at = Math.floor(bytes * where) - 1;
    content[at] = 1;
    writeFileSync(first, content);
    await refused(t, create(settings), 'MEMBER_HOLDS_DATA', new RegExp(`at byte ${at}\\b`));
  }
});

test('members that create makes or takes have mode 0600', async (t) => {
  const { settings, paths, first, bytes } = fresh(t);
  writeFileSync(first, '');
  chmodSync(first, 0o666);
  writeFileSync(paths[1] as string, Buffer.alloc(bytes));
  chmodSync(paths[1] as string, 0o644);
  await create(settings);
  for (const path of paths) t.is(statSync(path).mode & 0o7777, 0o600, path);
});

test('no file is made under /dev, /proc, /sys or /run, nor through a link to there, nor where the directory is missing', async (t) => {
  const { settings, first } = fresh(t);
  const elsewhere = join(settings.directory, 'elsewhere');
  symlinkSync('/dev', elsewhere);
  symlinkSync('/dev/keelson-not-there', first);
  const place = /do: correct the (path|link)/;
  for (const path of [
    '/dev/keelson-sdzz',
    '/dev/shm/keelson-sdzz',
    '/run/keelson-sdzz',
    '/proc/keelson-sdzz',
    '/sys/keelson-sdzz',
    join(elsewhere, 'keelson-sdzz'),
    first,
    join(settings.directory, 'no', 'such', 'folder'),
  ]) {
    const { stripe, journal } = settings;
    const typed = { ...settings, stripe: { ...stripe, members: [path, ...stripe.members.slice(1)] } };
    t.is((await refused(t, create(typed), 'DEVICE_MISSING', place)).exit, 2);
    t.false(existsSync(path), path);
    const late = { ...settings, stripe: { ...stripe, members: stripe.members.with(0, join(settings.directory, 'zero')) } };
    await refused(t, create({ ...late, journal: { ...journal, members: [path, journal.members[1] as string] } }), 'DEVICE_MISSING', place);
    t.false(existsSync(path), path);
    t.false(existsSync(join(settings.directory, 'zero')), 'what had been made by then is gone');
  }
});

test('without stripe.memberSize no journal member is made either', async (t) => {
  const { settings, bytes, paths } = fresh(t);
  for (const path of settings.stripe.members) writeFileSync(path, Buffer.alloc(bytes));
  const sizeless = { ...settings, stripe: { ...settings.stripe, memberBytes: null } };
  await refused(t, create(sizeless), 'DEVICE_MISSING', /journal-0 does not exist.*memberSize/s);
  t.false(existsSync(paths[3] as string));
});

test('a create that is refused takes back the files it made and the sizes it gave, and the next one succeeds', async (t) => {
  const { settings, paths, first } = fresh(t);
  writeFileSync(first, '');
  chmodSync(first, 0o640);
  const last = paths.at(-1) as string;
  mkdirSync(last);
  await refused(t, create(settings), 'DEVICE_OPEN', /cannot be opened/);
  t.is(statSync(first).size, 0);
  t.is(statSync(first).mode & 0o777, 0o640);
  for (const path of paths.slice(1, -1)) t.false(existsSync(path), path);
  t.true(statSync(last).isDirectory(), 'what it did not make is still there');
  const better = { ...settings, journal: { ...settings.journal, members: [paths[3] as string, `${last}-better`] } };
  await create(better);
  t.is(statSync(first).mode & 0o777, 0o600);
});

test('a create that fails while it writes makes blank members blank again: the next one needs no --force', async (t) => {
  const { settings, paths, first, bytes } = fresh(t);
  writeFileSync(first, Buffer.alloc(bytes), { mode: 0o644 });
  await refused(t, create(settings, { failing: paths.at(-1) as string }), 'DEVICE_SYNC', /journal-1/);
  t.true(readFileSync(first).equals(Buffer.alloc(bytes)));
  t.is(statSync(first).mode & 0o777, 0o644);
  for (const path of paths.slice(1)) t.false(existsSync(path), path);
  await create(settings);
});

test('a create that fails leaves what --force overwrote: it is never taken for blank', async (t) => {
  const { settings, paths, first, bytes } = fresh(t);
  writeFileSync(first, TEXT.repeat(Math.ceil(bytes / TEXT.length)));
  truncateSync(first, bytes);
  await refused(t, create(settings, { force: true, failing: paths.at(-1) as string }), 'DEVICE_SYNC', /journal-1/);
  await refused(t, create(settings), 'MEMBER_HOLDS_DATA', /Keelson member/);
  t.true(readFileSync(first).includes(TEXT));
});

test('a create that is interrupted takes back what it made', async (t) => {
  const { settings, paths } = fresh(t);
  const reason = new KeelsonError('INTERRUPTED', 'interrupted');
  const signal = AbortSignal.abort(reason);
  t.is(await t.throwsAsync(create(settings, { signal })), reason);
  for (const path of paths) t.false(existsSync(path), path);
  // In the middle: as the second member is opened.
  const controller = new AbortController();
  const opened = createArray({
    settings,
    force: false,
    clock: systemClock,
    signal: controller.signal,
    provider: (slab) => {
      const provider = createDeviceProvider(slab);
      const open = provider.open.bind(provider);
      provider.open = (path, options) => {
        if (path === paths[1]) controller.abort(reason);
        return open(path, options);
      };
      return provider;
    },
  });
  t.is(await t.throwsAsync(opened), reason);
  for (const path of paths) t.false(existsSync(path), path);
  await create(settings);
});

test('replace with a typing error makes no file in /dev, and the array stays as it was', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const { engine, settings } = fixture;
  await failByHand(engine, '1', true);
  for (const path of ['/dev/keelson-sdzz', join(fixture.folder, 'no', 'folder')]) {
    t.is((await refused(t, replaceMember(engine, '1', path), 'DEVICE_MISSING', /correct the path/)).exit, 2);
    t.false(existsSync(path));
  }
  Object.assign(settings.stripe, { memberBytes: null });
  const path = fixture.newPath();
  await refused(t, replaceMember(engine, '1', path), 'DEVICE_MISSING', /memberSize/);
  await refused(t, replaceMember(engine, '3', path), 'DEVICE_MISSING', /memberSize/);
  t.false(existsSync(path));
  t.is(engine.state.members[1]?.state, 'failed');
  await fixture.close();
});

test('replace refuses unknown data, takes it with force, and a file that it took is mode 0600', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const { engine } = fixture;
  const bytes = fixture.settings.stripe.memberBytes as number;
  const path = fixture.newPath();
  writeFileSync(path, TEXT.repeat(Math.ceil(bytes / TEXT.length)), { mode: 0o644 });
  const before = readFileSync(path);
  await refused(t, replaceMember(engine, '1', path), 'MEMBER_HOLDS_DATA', /unknown data, the first found at byte 0.*--force/s);
  t.true(before.equals(readFileSync(path)));
  t.is(engine.state.members[1]?.state, 'online');
  await replaceMember(engine, '1', path, { force: true });
  await engine.rebuild.wait();
  t.is(engine.state.members[1]?.state, 'online');
  t.is(statSync(path).mode & 0o777, 0o600);
  await fixture.close();
});

test('a replace that fails after it made the file takes the file back; one that found a blank device leaves it blank', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const { engine, provider } = fixture;
  const bytes = fixture.settings.stripe.memberBytes as number;
  await failByHand(engine, '1', true);
  const [made, found] = [fixture.newPath(), fixture.newPath()];
  writeFileSync(found, Buffer.alloc(bytes));
  for (const path of [made, found]) {
    provider.faults(path).fail('sync');
    await refused(t, replaceMember(engine, '1', path), 'DEVICE_SYNC', /replacement/);
    provider.faults(path).heal();
  }
  t.false(existsSync(made));
  t.true(readFileSync(found).equals(Buffer.alloc(bytes)));
  await replaceMember(engine, '1', found);
  await engine.rebuild.wait();
  t.is(engine.state.members[1]?.state, 'online');
  await fixture.close();
});
