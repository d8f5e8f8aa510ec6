import { mkdirSync, readFileSync } from 'node:fs';
import test from 'ava';
import { serve, shell, tryBlocks } from '../docs/readme.js';
import { Scratch } from './rig/scratch.js';

test('a volume is mounted, written, unmounted and mounted again by the commands of the README', async (t) => {
  const scratch = new Scratch();
  t.teardown(() => scratch.close());
  const folder = scratch.path('checkout');
  mkdirSync(folder);
  const { make, mount, end } = tryBlocks();
  const made = await shell(folder, make);
  t.is(made.status, 0, made.stderr);
  const stop = await serve(folder);
  t.teardown(stop);
  const release = end.replace(/^npm start -- stop$/m, '');
  const written = await shell(folder, mount, 'cp /etc/passwd try/mnt/kept', release);
  t.is(written.status, 0, written.stderr);
  // The second time the folders are there, and the disk has a file system.
  const again = mount.replace(/^mkdir.*$/m, '').replace(/^mkfs.*$/m, '');
  const read = await shell(folder, again, 'cat try/mnt/kept', end);
  t.is(read.status, 0, read.stderr);
  t.is(read.stdout, readFileSync('/etc/passwd', 'utf8'));
});
