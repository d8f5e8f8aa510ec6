import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import ssh2 from 'ssh2';
import type { KeelsonError } from '../../../src/base/errors.js';
import { type EmbeddedServer, startEmbeddedServer } from '../../../src/backup-host/embedded-server.js';
import { targetFor } from '../../../src/target/open-target.js';
import { serveSftp } from '../../../src/backup-host/sftp-server.js';
import { sshKeyPair } from '../../../src/backup-host/ssh-key-pair.js';
import { scratchFolder } from '../../repository/scratch.js';
import { sshServer } from './ssh-server.js';
import { conformance, put, rejection } from '../target-conformance.js';

async function serverIn(t: ExecutionContext, folder: string, port = 0): Promise<EmbeddedServer> {
  const server = await startEmbeddedServer({ directory: join(folder, 'host'), keys: join(folder, 'keys'), port });
  t.teardown(() => server.close());
  return server;
}

conformance(test, 'sftp', async (t) => {
  const server = await serverIn(t, scratchFolder(t));
  return targetFor(`${server.url}deep/repository`, server);
});

test('sftp: keys are made on the first start, mode 0600, and kept', async (t) => {
  const folder = scratchFolder(t);
  const first = await serverIn(t, folder);
  const key = readFileSync(first.identity, 'utf8');
  for (const name of ['host_ed25519', 'id_ed25519']) t.is(statSync(join(folder, 'keys', name)).mode & 0o777, 0o600);
  await first.close();
  const second = await serverIn(t, folder);
  t.is(readFileSync(second.identity, 'utf8'), key);
});

test('sftp: an unknown host key is refused, naming what was shown and what to do', async (t) => {
  const folder = scratchFolder(t);
  const server = await serverIn(t, folder);
  const knownHosts = join(folder, 'empty');
  writeFileSync(knownHosts, '');
  const error = await rejection(t, targetFor(server.url, { identity: server.identity, knownHosts }).open(false));
  t.is(error.code, 'BACKUP_HOST_KEY');
  t.regex(error.found ?? '', /ssh-ed25519 SHA256:/);
  t.regex(error.expected ?? '', new RegExp(`\\[127\\.0\\.0\\.1\\]:${server.port}`));
});

test('sftp: a changed host key is refused, naming both fingerprints', async (t) => {
  const folder = scratchFolder(t);
  const server = await serverIn(t, folder);
  const other = sshKeyPair();
  const knownHosts = join(folder, 'other');
  writeFileSync(knownHosts, `[127.0.0.1]:${server.port} ${other.public}\n`);
  const error = await rejection(t, targetFor(server.url, { identity: server.identity, knownHosts }).open(false));
  t.is(error.code, 'BACKUP_HOST_KEY');
  t.regex(error.found ?? '', /SHA256:/);
  t.regex(error.expected ?? '', /SHA256:.*line 1/);
  t.not(error.found, error.expected);
});

test('sftp: a server with several host keys is asked for one that is known', async (t) => {
  const folder = scratchFolder(t);
  const known = ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 });
  const port = await sshServer(t, [sshKeyPair().private, known.private], (channel) => void serveSftp(channel, folder));
  const [identity, knownHosts] = [join(folder, 'id'), join(folder, 'known_hosts')];
  writeFileSync(identity, sshKeyPair().private, { mode: 0o600 });
  writeFileSync(knownHosts, `[127.0.0.1]:${port} ${known.public}\n`);
  const target = targetFor(`sftp://me@127.0.0.1:${port}/vault`, { identity, knownHosts });
  t.teardown(() => target.close());
  await t.notThrowsAsync(target.open(true));
});

test('sftp: a key the host does not know is BACKUP_AUTH, and so is one that cannot be read', async (t) => {
  const folder = scratchFolder(t);
  const server = await serverIn(t, folder);
  const identity = join(folder, 'stranger');
  writeFileSync(identity, sshKeyPair().private, { mode: 0o600 });
  for (const path of [identity, join(folder, 'missing'), server.knownHosts]) {
    const target = targetFor(server.url, { identity: path, knownHosts: server.knownHosts });
    t.is((await rejection(t, target.open(false))).code, 'BACKUP_AUTH', path);
  }
});

test('sftp: a key that others may read is not used, and known hosts that all may write are not believed', async (t) => {
  const server = await serverIn(t, scratchFolder(t));
  const refusal = async (): Promise<KeelsonError> => rejection(t, targetFor(server.url, server).open(false));
  chmodSync(server.identity, 0o644);
  const key = await refusal();
  t.is(key.code, 'BACKUP_AUTH');
  t.is(key.action, `chmod 600 ${server.identity}`);
  chmodSync(server.identity, 0o600);
  chmodSync(server.knownHosts, 0o666);
  const hosts = await refusal();
  t.is(hosts.code, 'BACKUP_HOST_KEY');
  t.is(hosts.action, `chmod o-w ${server.knownHosts}`);
  chmodSync(server.knownHosts, 0o664);
  const target = targetFor(server.url, server);
  t.teardown(() => target.close());
  await t.notThrowsAsync(target.open(true));
});

test('sftp: another user name is BACKUP_AUTH', async (t) => {
  const server = await serverIn(t, scratchFolder(t));
  t.is((await rejection(t, targetFor(server.url.replace('keelson@', 'root@'), server).open(false))).code, 'BACKUP_AUTH');
});

test('sftp: nobody there is BACKUP_UNREACHABLE', async (t) => {
  const server = await serverIn(t, scratchFolder(t));
  await server.close();
  t.is((await rejection(t, targetFor(server.url, server).open(false))).code, 'BACKUP_UNREACHABLE');
});

test('sftp: when the server goes, what is under way fails, and the next operation connects again', async (t) => {
  const folder = scratchFolder(t);
  const server = await serverIn(t, folder);
  const target = targetFor(server.url, server);
  t.teardown(() => target.close());
  await target.open(true);
  await put(target, 'before', Buffer.alloc(1000));
  const writer = await target.create('tmp-cut');
  await writer.write(Buffer.alloc(1_000_000));
  await server.close();
  const cut = async (): Promise<void> => {
    for (;;) await writer.write(Buffer.alloc(1_000_000));
  };
  t.is((await rejection(t, cut())).code, 'BACKUP_UNREACHABLE');
  t.is((await rejection(t, writer.sync())).code, 'BACKUP_UNREACHABLE');
  await writer.abandon();
  t.is((await rejection(t, target.stat('before'))).code, 'BACKUP_UNREACHABLE');
  await serverIn(t, folder, server.port);
  t.is(await target.stat('before'), 1000);
});

test('URLs that name no target are refused', (t) => {
  for (const url of [
    '',
    'nonsense',
    'http://host/path',
    'sftp://host/path',
    'file://relative/path',
    'file:///',
    'sftp:///path',
    'sftp://u@host/%zz',
    'sftp://%zz@host/p',
  ]) {
    t.throws(() => targetFor(url, { identity: '', knownHosts: '' }), { code: 'BACKUP_URL' }, url);
  }
  t.is(targetFor('sftp://u:secret@host/p', { identity: '', knownHosts: '' }).url, 'sftp://u@host:22/p');
});
