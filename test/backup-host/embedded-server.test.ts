import { chmodSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { Duplex } from 'node:stream';
import { join } from 'node:path';
import test from 'ava';
import type { KeelsonError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { startEmbeddedServer } from '../../src/backup-host/embedded-server.js';
import { JailRefusal, PathJail } from '../../src/backup-host/path-jail.js';
import { SftpSession } from '../../src/target/sftp/sftp-session.js';
import { serveSftp } from '../../src/backup-host/sftp-server.js';
import { scratchFolder } from '../repository/scratch.js';

test('jail: no path leads out of the directory', async (t) => {
  const root = scratchFolder(t);
  const jail = new PathJail(root);
  for (const path of ['/', '', '..', '../..', '/../../etc/passwd', 'a/../../../etc', '//etc//passwd', './.././x', '/a/b/../../../..']) {
    const real = await jail.resolve(path);
    t.true(real === root || real.startsWith(`${root}/`), path);
  }
  await t.throwsAsync(jail.resolve('a\0b'), { instanceOf: JailRefusal });
});

test('jail: a symbolic link is refused wherever it stands in a path', async (t) => {
  const root = scratchFolder(t);
  const outside = scratchFolder(t);
  symlinkSync(outside, join(root, 'out'));
  symlinkSync(join(outside, 'new'), join(root, 'file'));
  const jail = new PathJail(root);
  for (const path of ['out', 'out/secret', 'file', '/x/../out/deeper/name'])
    await t.throwsAsync(jail.resolve(path), { instanceOf: JailRefusal }, path);
});

test('the embedded server writes over its own keys and known_hosts only, never over files of somebody else', async (t) => {
  const folder = scratchFolder(t);
  const [directory, keys] = [join(folder, 'host'), join(folder, 'keys')];
  for (let run = 0; run < 2; run++) await (await startEmbeddedServer({ directory, keys })).close();
  t.regex(readFileSync(join(keys, 'known_hosts'), 'utf8'), /^\[127\.0\.0\.1\]:\d+ ssh-ed25519 \S+\n$/);
  const letters = join(folder, 'letters');
  writeFileSync(letters, 'my letters');
  for (const [name, content] of [
    ['known_hosts', 'backup.example ssh-ed25519 AAAA\n'],
    ['known_hosts', null],
    ['id_ed25519.pub', 'ssh-ed25519 AAAA me@home\n'],
  ] as const) {
    const others = join(scratchFolder(t), 'keys');
    mkdirSync(others, { mode: 0o700 });
    const path = join(others, name);
    if (content === null) symlinkSync(letters, path);
    else writeFileSync(path, content);
    await t.throwsAsync(startEmbeddedServer({ directory, keys: others }), { code: 'EMBEDDED_SERVER' });
    t.is(readFileSync(path, 'utf8'), content ?? 'my letters');
  }
});

test('a client of the embedded server reads and writes nothing outside its directory', async (t) => {
  const folder = scratchFolder(t);
  const directory = join(folder, 'host');
  mkdirSync(directory);
  writeFileSync(join(folder, 'secret'), 'secret');
  symlinkSync(folder, join(directory, 'up'));
  const server = await startEmbeddedServer({ directory, keys: join(folder, 'keys') });
  t.teardown(() => server.close());
  const address = { host: '127.0.0.1', port: server.port, user: 'keelson', directory: '/', url: server.url };
  const session = await SftpSession.connect(address, server);
  t.teardown(() => session.close());
  const { sftp } = session;
  for (const path of ['/../secret', 'up/secret', '/up/secret', '../../secret']) {
    await t.throwsAsync(
      session.call((done) => sftp.open(path, 'r', done)),
      undefined,
      path,
    );
    await t.throwsAsync(
      session.call<void>((done) => sftp.unlink(path, done)),
      undefined,
      path,
    );
  }
  await t.throwsAsync(session.call((done) => sftp.open('up/new', 'w', done)));
  await t.throwsAsync(session.call<void>((done) => sftp.symlink('/etc', '/link', done)));
  await t.throwsAsync(session.call((done) => sftp.readdir('/up', done)));
  t.is(readFileSync(join(folder, 'secret'), 'utf8'), 'secret');
  t.deepEqual(readdirSync(folder).sort(), ['host', 'keys', 'secret']);
});

test('the embedded server listens on the loopback interface alone', async (t) => {
  const folder = scratchFolder(t);
  const server = await startEmbeddedServer({ directory: join(folder, 'host'), keys: join(folder, 'keys') });
  t.teardown(() => server.close());
  // Every address of 127.0.0.0/8 is this host; only the one it is bound to answers.
  const answers = await new Promise<boolean>((resolve) => {
    const socket = connect(server.port, '127.0.0.2');
    socket.on('connect', () => resolve(true));
    socket.on('error', () => resolve(false));
    t.teardown(() => socket.destroy());
  });
  t.false(answers);
});

test('a port that is taken is told', async (t) => {
  const folder = scratchFolder(t);
  const server = await startEmbeddedServer({ directory: join(folder, 'a'), keys: join(folder, 'keys') });
  t.teardown(() => server.close());
  await t.throwsAsync(startEmbeddedServer({ directory: join(folder, 'b'), keys: join(folder, 'keys'), port: server.port }), {
    code: 'EMBEDDED_SERVER',
  });
});

test('arbitrary bytes end a session and never the server', async (t) => {
  const root = scratchFolder(t);
  const seed = Date.now() >>> 0;
  t.log(`seed ${seed}`);
  const random = seededRandom(seed);
  for (let round = 0; round < 200; round++) {
    const sent: Buffer[] = [];
    const channel = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        sent.push(chunk);
        done();
      },
    });
    const served = serveSftp(channel, root);
    channel.push(Buffer.from([0, 0, 0, 5, 1, 0, 0, 0, 3]));
    for (let i = 0; i < 10; i++) {
      const body = new Uint8Array(1 + random.below(60));
      random.fill(body);
      const types = [3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 200, random.below(256)];
      body[0] = types[random.below(types.length)] as number;
      // Lengths of strings that are plausible reach further into the handlers.
      if (body.length > 9) body.set([0, 0, 0, random.below(body.length)], 5);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(random.below(20) === 0 ? random.u32() : body.length);
      channel.push(Buffer.concat([length, body]));
    }
    channel.push(null);
    await served;
    t.true(sent.length >= 1);
  }
});

test('keys that others could read, or replace, are not used; the advice of the refusal helps', async (t) => {
  const folder = scratchFolder(t);
  const [directory, keys] = [join(folder, 'host'), join(folder, 'keys')];
  await (await startEmbeddedServer({ directory, keys })).close();
  for (const [path, mode] of [
    [keys, 0o755],
    [keys, 0o770],
    [join(keys, 'id_ed25519'), 0o644],
    [join(keys, 'host_ed25519'), 0o640],
  ] as const) {
    chmodSync(path, mode);
    const error = (await t.throwsAsync(startEmbeddedServer({ directory, keys }), { code: 'EMBEDDED_SERVER' })) as KeelsonError;
    const [, right = '', named = ''] = /^chmod (\d+) (.*)$/.exec(error.action ?? '') ?? [];
    t.is(named, path);
    chmodSync(named, Number.parseInt(right, 8));
    await (await startEmbeddedServer({ directory, keys })).close();
  }
});
