import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { targetFor } from '../../src/target/open-target.js';
import type { Repository } from '../../src/repository/repository.js';
import {
  applyChanges,
  assertImage,
  ModelImage,
  pieces,
  randomChanges,
  READER,
  repositoryOn,
  seeded,
  VOLUME_BLOCKS,
  writer,
} from '../repository/rig.js';
import { conformance, rejection } from '../target/target-conformance.js';
import { run, runQuietly } from './rig/command.js';
import { OpensshServer } from './rig/openssh-server.js';
import { Scratch } from './rig/scratch.js';

const test = anyTest as TestFn;

/** Data of every block of the rig's volume: 10 MB, in pieces of 1 MiB. */
function everyBlock(seed: number): { first: number; count: number; bytes: Buffer }[] {
  const random = seededRandom(seed);
  const changes: { first: number; count: number; bytes: Buffer }[] = [];
  for (let first = 0; first < VOLUME_BLOCKS; first += 250) {
    const bytes = Buffer.alloc(Math.min(250, VOLUME_BLOCKS - first) * BLOCK_BYTES);
    random.fill(bytes);
    changes.push({ first, count: bytes.length / BLOCK_BYTES, bytes });
  }
  return changes;
}

async function serverIn(t: ExecutionContext): Promise<{ scratch: Scratch; sshd: OpensshServer }> {
  const scratch = new Scratch();
  t.teardown(() => scratch.close());
  return { scratch, sshd: await OpensshServer.start(scratch) };
}

function repositoryAt(t: ExecutionContext, sshd: OpensshServer, path: string): Repository {
  const repository = repositoryOn(targetFor(sshd.url(path), sshd), { compression: 'none', passphrase: '' });
  t.teardown(() => repository.close());
  return repository;
}

conformance(test, 'openssh', async (t) => {
  const { scratch, sshd } = await serverIn(t);
  return targetFor(sshd.url(join(scratch.memory, 'deep', 'vault')), sshd);
});

test.serial('sshd killed in the middle of an upload: nothing is published half, and the next publish succeeds', async (t) => {
  const random = seeded(t);
  const { scratch, sshd } = await serverIn(t);
  const path = join(scratch.memory, 'vault');
  const repository = repositoryAt(t, sshd, path);
  t.is((await repository.open(writer(1))).weakness, '');
  const model = new ModelImage();
  const before = randomChanges(random);
  await repository.publish({ firstLsn: 1, lastLsn: 10, time: 0, seed: false }, pieces(before));
  applyChanges(model, before, 10, false);

  const pull = pieces(everyBlock(1));
  let pulls = 0;
  const cut = repository.publish({ firstLsn: 11, lastLsn: 20, time: 0, seed: false }, async () => {
    if (++pulls === 5) await sshd.kill();
    return pull();
  });
  t.is((await rejection(t, cut)).code, 'BACKUP_UNREACHABLE');
  t.deepEqual(readdirSync(path).filter((name) => name.startsWith('segment-')).length, 1, 'no second segment');
  t.is(readdirSync(path).filter((name) => name.startsWith('tmp-')).length, 1, 'the upload had begun');
  t.is((await rejection(t, repository.open(writer(1)))).code, 'BACKUP_UNREACHABLE');

  await sshd.run();
  const reader = repositoryAt(t, sshd, path);
  t.is((await reader.open(READER)).headLsn, 10);
  await assertImage(t, reader, model, random);

  t.is((await repository.open(writer(1))).headLsn, 10);
  t.is(readdirSync(path).filter((name) => name.startsWith('tmp-')).length, 0, 'what was left over is removed');
  const after = everyBlock(2);
  await repository.publish({ firstLsn: 11, lastLsn: 20, time: 0, seed: false }, pieces(after));
  applyChanges(model, after, 20, false);
  await assertImage(t, repository, model, random);
});

test.serial('sshd killed while the backup is read: the read fails, and the next one connects again', async (t) => {
  const random = seeded(t);
  const { scratch, sshd } = await serverIn(t);
  const repository = repositoryAt(t, sshd, join(scratch.memory, 'vault'));
  await repository.open(writer(1));
  const changes = everyBlock(3);
  const model = new ModelImage();
  await repository.publish({ firstLsn: 1, lastLsn: 1, time: 0, seed: false }, pieces(changes));
  applyChanges(model, changes, 1, false);
  await assertImage(t, repository, model, random);
  await sshd.kill();
  t.is((await rejection(t, repository.read(Float64Array.of(1, 2, 3), 0, new Uint32Array(3)))).code, 'BACKUP_UNREACHABLE');
  await sshd.run();
  await assertImage(t, repository, model, random);
});

test.serial('a changed host key is refused with both fingerprints, in plain and in hashed known_hosts', async (t) => {
  const { scratch, sshd } = await serverIn(t);
  const path = join(scratch.memory, 'vault');
  await run('ssh-keygen', ['-q', '-H', '-f', sshd.knownHosts]);
  await repositoryAt(t, sshd, path).open(writer(1));
  const shown = (file: string): string => execFileSync('ssh-keygen', ['-l', '-f', file], { encoding: 'utf8' }).split(' ')[1] as string;
  const old = shown(join(sshd.knownHosts, '..', 'host_key.pub'));
  await sshd.kill();
  await sshd.makeHostKey();
  await sshd.run();
  const error = await rejection(t, repositoryAt(t, sshd, path).open(writer(2)));
  t.is(error.code, 'BACKUP_HOST_KEY');
  t.true(error.expected?.includes(old));
  t.true(error.found?.includes(shown(join(sshd.knownHosts, '..', 'host_key.pub'))));
  sshd.trustHostKey();
  t.is((await repositoryAt(t, sshd, path).open(writer(2))).epoch, 2);
  writeFileSync(sshd.knownHosts, '');
  t.is((await rejection(t, repositoryAt(t, sshd, path).open(writer(2)))).code, 'BACKUP_HOST_KEY');
});

test.serial('a full remote disk is BACKUP_SPACE: nothing is published, and what fits goes on', async (t) => {
  const random = seeded(t);
  const { scratch, sshd } = await serverIn(t);
  const path = join(scratch.memory, 'small');
  mkdirSync(path);
  await run('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', path]);
  scratch.onClose(() => runQuietly('umount', ['-l', path]));
  const repository = repositoryAt(t, sshd, path);
  await repository.open(writer(1));
  const model = new ModelImage();
  const changes = [{ first: 5, count: 10, bytes: Buffer.alloc(10 * BLOCK_BYTES, 'first ') }];
  await repository.publish({ firstLsn: 1, lastLsn: 1, time: 0, seed: false }, pieces(changes));
  applyChanges(model, changes, 1, false);
  const error = await rejection(t, repository.publish({ firstLsn: 2, lastLsn: 2, time: 0, seed: false }, pieces(everyBlock(4))));
  t.is(error.code, 'BACKUP_SPACE');
  t.deepEqual(
    readdirSync(path).filter((name) => name.startsWith('tmp-')),
    [],
    'the space is given back at once',
  );
  t.is((await repository.open(writer(1))).headLsn, 1);
  const more = [{ first: 900, count: 100, bytes: Buffer.alloc(100 * BLOCK_BYTES, 'second ') }];
  await repository.publish({ firstLsn: 2, lastLsn: 3, time: 0, seed: false }, pieces(more));
  applyChanges(model, more, 3, false);
  await assertImage(t, repository, model, random);
});

test.serial('a read-only directory is BACKUP_DENIED, one that is missing BACKUP_MISSING', async (t) => {
  const { scratch, sshd } = await serverIn(t);
  const path = join(scratch.memory, 'fixed');
  t.is((await rejection(t, repositoryAt(t, sshd, path).open(writer(1, false)))).code, 'BACKUP_MISSING');
  mkdirSync(path);
  await run('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', path]);
  scratch.onClose(() => runQuietly('umount', ['-l', path]));
  const { code } = await rejection(t, repositoryAt(t, sshd, path).open(writer(1)));
  // SFTP version 3 has no code for a read-only file system: OpenSSH says "failure".
  t.true(code === 'BACKUP_DENIED' || code === 'BACKUP_UNREACHABLE', code);
});
