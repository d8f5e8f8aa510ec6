import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { loadAddon } from '../../src/native/load.js';
import { makeFile, openDirect, scratchFolder } from './ring-fixture.js';

const addon = loadAddon();
const folder = scratchFolder();
test.after.always(() => folder.remove());

test('a file that is held exclusively is refused to the same process', (t) => {
  const path = makeFile(join(folder.path, 'same'), 4096);
  const fd = openDirect(path, true);
  t.throws(() => openDirect(path, true), { code: 'EBUSY' });
  addon.closeDevice(fd);
  const again = openDirect(path, true);
  addon.closeDevice(again);
});

test('a file that another process holds is refused, and free again when that process dies', async (t) => {
  const path = makeFile(join(folder.path, 'other'), 4096);
  const holder = spawn(process.execPath, [fileURLToPath(new URL('device-child.js', import.meta.url)), path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = (await once(holder.stdout, 'data')) as [Buffer];
  t.is(line.toString(), 'held');
  t.throws(() => openDirect(path, true), { code: 'EBUSY' });
  const shared = openDirect(path, false);
  addon.closeDevice(shared);
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  addon.closeDevice(openDirect(path, true));
});

test('what cannot be opened has the code of the system', (t) => {
  t.throws(() => addon.openDevice(join(folder.path, 'absent'), true, true, false), { code: 'ENOENT' });
  t.throws(() => addon.openDevice(folder.path, true, true, false), { code: 'EISDIR' });
  t.throws(() => addon.openDevice('/dev/null', false, false, false), { code: 'ENOTBLK' });
  t.throws(() => addon.openDevice('a\0b', true, true, false), { instanceOf: TypeError });
  t.throws(() => addon.openDevice(7 as unknown as string, true, true, false), { instanceOf: TypeError });
  t.throws(() => addon.closeDevice(1_000_000), { code: 'EBADF' });
  t.throws(() => addon.geometry(1_000_000), { code: 'EBADF' });
});

test('the geometry of a file is its size and a safe alignment', (t) => {
  const fd = addon.openDevice(makeFile(join(folder.path, 'sized'), 12_288), false, true, true);
  const { sizeBytes, logicalBlockBytes, physicalBlockBytes, isBlockDevice } = addon.geometry(fd);
  t.is(sizeBytes, 12_288);
  t.is(4096 % logicalBlockBytes, 0);
  t.is(4096 % physicalBlockBytes, 0);
  t.false(isBlockDevice);
  addon.closeDevice(fd);
});
