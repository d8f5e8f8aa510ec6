import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { targetFor } from '../../../src/target/open-target.js';
import { serveSftp } from '../../../src/backup-host/sftp-server.js';
import { sshKeyPair } from '../../../src/backup-host/ssh-key-pair.js';
import {
  applyChanges,
  assertImage,
  ModelImage,
  pieces,
  randomChanges,
  READER,
  repositoryOn,
  seeded,
  writer,
} from '../../repository/rig.js';
import { scratchFolder } from '../../repository/scratch.js';
import { sshServer } from './ssh-server.js';
import { conformance } from '../target-conformance.js';

const HOST = sshKeyPair();
const CLIENT = sshKeyPair();

interface WeakServer {
  readonly url: string;
  readonly directory: string;
  readonly identity: string;
  readonly knownHosts: string;
}

/** An SFTP server of the plain version 3: neither fsync nor posix-rename nor statvfs. */
async function weakServer(t: ExecutionContext): Promise<WeakServer> {
  const folder = scratchFolder(t);
  const directory = join(folder, 'host');
  mkdirSync(directory);
  const port = await sshServer(t, [HOST.private], (channel) => void serveSftp(channel, directory, []));
  const identity = join(folder, 'id');
  const knownHosts = join(folder, 'known_hosts');
  writeFileSync(identity, CLIENT.private, { mode: 0o600 });
  writeFileSync(knownHosts, `[127.0.0.1]:${port} ${HOST.public}\n`);
  return { url: `sftp://me@127.0.0.1:${port}/vault`, directory, identity, knownHosts };
}

conformance(
  test,
  'weak sftp',
  async (t) => {
    const server = await weakServer(t);
    return targetFor(server.url, server);
  },
  /no fsync@openssh\.com.*no posix-rename@openssh\.com/,
);

test.serial('a repository works on a server without the extensions, and its state says what is weaker', async (t) => {
  const random = seeded(t);
  const server = await weakServer(t);
  const repository = repositoryOn(targetFor(server.url, server));
  t.teardown(() => repository.close());
  t.regex((await repository.open(writer(1))).weakness, /posix-rename/);
  const model = new ModelImage();
  for (let lsn = 1; lsn <= 3; lsn++) {
    const changes = randomChanges(random);
    await repository.publish({ firstLsn: lsn, lastLsn: lsn, time: 0, seed: false }, pieces(changes));
    applyChanges(model, changes, lsn, false);
  }
  await assertImage(t, repository, model, random);
});

test.serial('a HEAD whose replacement was cut between the two renames is found beside its name', async (t) => {
  const server = await weakServer(t);
  const repository = repositoryOn(targetFor(server.url, server));
  t.teardown(() => repository.close());
  await repository.open(writer(1));
  await repository.publish({ firstLsn: 1, lastLsn: 4, time: 0, seed: false }, pieces([]));
  for (const name of ['HEAD-00000001', 'lease'])
    renameSync(join(server.directory, 'vault', name), join(server.directory, 'vault', `${name}.replaced`));
  const reader = repositoryOn(targetFor(server.url, server));
  t.teardown(() => reader.close());
  t.is((await reader.open(READER)).headLsn, 4);
  t.is((await repository.open(writer(1))).headLsn, 4);
  await repository.publish({ firstLsn: 5, lastLsn: 6, time: 0, seed: false }, pieces([]));
  t.is((await repository.open(writer(2))).headLsn, 6);
});
