import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type EmbeddedServer, startEmbeddedServer } from '../../src/backup-host/embedded-server.js';
import { RealArray, SMALL_ARRAY } from './real-server.js';

/** An array whose members are not made yet, with this [backup]. FOLDER in it is the array's folder. */
function arrayWith(t: ExecutionContext, backup: string): RealArray {
  const array = new RealArray(t, SMALL_ARRAY);
  configure(array, backup);
  return array;
}

function configure(array: RealArray, backup: string): void {
  writeFileSync(array.config, `${SMALL_ARRAY}[backup]\n${backup.replaceAll('FOLDER', array.folder)}\n`);
}

const VAULT = 'url = "file://FOLDER/vault"';

function members({ folder }: RealArray): string[] {
  return readdirSync(folder).filter((name) => /^[mj]\d$/.test(name));
}

async function host(t: ExecutionContext, { folder }: RealArray): Promise<EmbeddedServer> {
  const server = await startEmbeddedServer({ directory: join(folder, 'host'), keys: join(folder, 'keys') });
  t.teardown(() => server.close());
  return server;
}

function sftp({ port }: EmbeddedServer, keys: { identity: string; knownHosts: string }): string {
  return `url = "sftp://keelson@127.0.0.1:${port}/srv/vault"\nidentity = "${keys.identity}"\nknownHosts = "${keys.knownHosts}"`;
}

test('create reaches the backup over SFTP before it makes anything, says so, and leaves nothing of its own there', async (t) => {
  const array = arrayWith(t, VAULT);
  const server = await host(t, array);
  configure(array, sftp(server, server));
  const dry = await array.run('create', '--dry-run');
  t.is(dry.status, 0, dry.stderr);
  t.regex(
    dry.stdout,
    /\n {2}backup {3}sftp:\/\/keelson@127\.0\.0\.1:\d+\/srv\/vault: reached; its directory is not there; create makes it; nothing was written/,
  );
  t.deepEqual(readdirSync(join(array.folder, 'host')), [], 'a dry run makes nothing there');
  const made = await array.run('create');
  t.is(made.status, 0, made.stderr);
  t.regex(
    made.stdout,
    /\n {2}backup {3}sftp:.*: reached, and a file written there, read back and removed; its directory was not there and has been made\n/,
  );
  t.is(made.stderr, '');
  t.deepEqual(readdirSync(join(array.folder, 'host/srv/vault')), []);
});

test('create refuses a login that the host does not take (BACKUP_AUTH), and takes it when the advice is followed', async (t) => {
  const array = arrayWith(t, VAULT);
  const server = await host(t, array);
  const other = await startEmbeddedServer({ directory: join(array.folder, 'else'), keys: join(array.folder, 'else-keys') });
  await other.close();
  configure(array, sftp(server, { ...server, identity: other.identity }));
  const { status, stderr } = await array.run('create');
  t.is(status, 2, stderr);
  t.regex(stderr, /BACKUP_AUTH[\s\S]*do: +correct backup\.identity/);
  t.deepEqual(members(array), []);
  t.is((await array.run('create', '--dry-run')).status, 2, 'a dry run says what create would');
  configure(array, sftp(server, server));
  t.is((await array.run('create')).status, 0);
});

test('create refuses a host whose key is not known (BACKUP_HOST_KEY), and takes it when it is', async (t) => {
  const array = arrayWith(t, VAULT);
  const server = await host(t, array);
  const none = join(array.folder, 'none');
  writeFileSync(none, '', { mode: 0o600 });
  configure(array, sftp(server, { ...server, knownHosts: none }));
  const { status, stderr } = await array.run('create');
  t.is(status, 2, stderr);
  t.regex(stderr, /BACKUP_HOST_KEY/);
  t.deepEqual(members(array), []);
  configure(array, sftp(server, server));
  t.is((await array.run('create')).status, 0);
});

test('create makes the array when the host is only out of reach, with a warning that nothing is protected and how to test it', async (t) => {
  const array = arrayWith(t, VAULT);
  const server = await host(t, array);
  await server.close();
  configure(array, sftp(server, server));
  const { status, stdout, stderr } = await array.run('create');
  t.is(status, 0, stderr);
  t.regex(stdout, /backup {3}sftp:.*: NOT REACHED\n/);
  t.regex(stderr, /^warning: .*\(BACKUP_UNREACHABLE\)\n {2}nothing is protected until it is reached.*\n {2}do: .*keelson drain --wait/);
  t.is(members(array).length, 4);
  const again = await array.run('create', '--force', '--json');
  t.is(again.status, 0, again.stderr);
  t.like(JSON.parse(again.stdout), { backup: { reached: false, written: false, error: { code: 'BACKUP_UNREACHABLE' } } });
  t.regex(again.stderr, /nothing is protected/);
});

test('create takes no directory that holds something else, nor the backup of an earlier array, with --force neither', async (t) => {
  const array = arrayWith(t, VAULT);
  const vault = join(array.folder, 'vault');
  mkdirSync(vault);
  writeFileSync(join(vault, 'letter.txt'), 'dear');
  const held = await array.run('create', '--force');
  t.is(held.status, 2, held.stderr);
  t.regex(held.stderr, /BACKUP_FOREIGN[\s\S]*letter\.txt/);
  t.deepEqual(members(array), []);
  rmSync(join(vault, 'letter.txt'));
  writeFileSync(
    array.config,
    `${SMALL_ARRAY}[control]\nsocket = "./ctl"\nhttp = "127.0.0.1:0"\n[backup]\n${VAULT.replace('FOLDER', array.folder)}\n`,
  );
  await array.serve(t);
  const backup = await array.line(/^backup /);
  t.regex(backup, /^backup file:\/\/.*\/vault is reached: it holds everything up to LSN 0, which is everything$/);
  t.is((await array.run('stop')).status, 0);
  for (const name of members(array)) rmSync(join(array.folder, name));
  const { status, stderr } = await array.run('create', '--force');
  t.is(status, 3, stderr);
  t.regex(
    stderr,
    /BACKUP_FOREIGN[\s\S]*found: +the repository of array [0-9a-f-]{36}[\s\S]*do: +name another directory in backup\.url; keelson restore/,
  );
  t.deepEqual(members(array), []);
  configure(array, 'url = "file://FOLDER/another"');
  t.is((await array.run('create')).status, 0);
});

test('serve says in one line and in the log that it does not reach the backup, and serves all the same', async (t) => {
  const array = arrayWith(t, VAULT);
  const server = await host(t, array);
  await server.close();
  writeFileSync(array.config, `${SMALL_ARRAY}[control]\nsocket = "./ctl"\nhttp = "127.0.0.1:0"\n[backup]\n${sftp(server, server)}\n`);
  const lines = await array.serve(t);
  t.true(lines.some((line) => line.startsWith('serving ')));
  const said = await array.line(/^backup /);
  t.regex(said, /^backup sftp:.* is NOT REACHED: .*\(BACKUP_UNREACHABLE\); the ring keeps everything that is not there$/);
  t.like(JSON.parse(await array.line(/^\{.*is NOT REACHED/)), { level: 40, reached: false, error: { code: 'BACKUP_UNREACHABLE' } });
});

test('create says UNPROTECTED where no backup is configured, and tries none', async (t) => {
  const array = new RealArray(t, SMALL_ARRAY);
  const { status, stdout } = await array.run('create');
  t.is(status, 0);
  t.regex(stdout, /\n {2}backup {3}none: UNPROTECTED; the array survives 1 failed member and no more\n/);
});

test('create tries the directory of the embedded host, and encrypts with no empty passphrase', async (t) => {
  const array = arrayWith(t, 'url = "embedded"\npassphraseFile = "secret"');
  const secret = join(array.folder, 'secret');
  writeFileSync(secret, '\n', { mode: 0o600 });
  for (const verb of ['create', 'serve', 'restore']) {
    const refused = await array.run(verb);
    t.is(refused.status, 2, refused.stderr);
    t.regex(refused.stderr, /backup\.passphraseFile[\s\S]*holds no passphrase/);
  }
  t.deepEqual(members(array), []);
  writeFileSync(secret, 'correct horse\n');
  const made = await array.run('create');
  t.is(made.status, 0, made.stderr);
  t.regex(made.stdout, /backup {3}.*: reached, and a file written there/);
  t.false(existsSync(join(array.folder, 'backup-keys')));
});
