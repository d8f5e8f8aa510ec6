import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { FileTarget } from '../../src/target/file-target.js';
import { scratchFolder } from '../repository/scratch.js';
import { conformance, put, rejection } from './target-conformance.js';

conformance(test, 'file', async (t) => new FileTarget(join(scratchFolder(t), 'deep', 'repository')));

test('file: a full device is reported as BACKUP_SPACE', async (t) => {
  const folder = scratchFolder(t);
  symlinkSync('/dev/full', join(folder, 'full'));
  const target = new FileTarget(folder);
  await target.open(false);
  t.is((await rejection(t, put(target, 'full', Buffer.alloc(10_000)))).code, 'BACKUP_SPACE');
});

test('file: a file in the place of the directory is BACKUP_MISSING', async (t) => {
  const path = join(scratchFolder(t), 'file');
  writeFileSync(path, '');
  t.is((await rejection(t, new FileTarget(path).open(false))).code, 'BACKUP_MISSING');
});

test('file: folders inside are not listed', async (t) => {
  const folder = scratchFolder(t);
  mkdirSync(join(folder, 'lost+found'));
  const target = new FileTarget(folder);
  t.deepEqual(await target.list(), []);
});

const unprivileged = process.getuid?.() === 0 ? test.skip : test;
unprivileged('file: a directory without permission is BACKUP_DENIED (not as root, who may write everywhere)', async (t) => {
  const folder = scratchFolder(t);
  chmodSync(folder, 0o500);
  t.teardown(() => chmodSync(folder, 0o700));
  t.is((await rejection(t, put(new FileTarget(folder), 'a', Buffer.alloc(1)))).code, 'BACKUP_DENIED');
});
