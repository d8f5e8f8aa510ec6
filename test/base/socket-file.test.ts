import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { nameSocket, removeDeadSocket, type SocketFile, SocketPathTaken } from '../../src/base/socket-file.js';

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'keelson-socket-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}

async function serve(t: ExecutionContext, path: string, mode = 0o600): Promise<{ server: Server; name: SocketFile }> {
  const server = createServer();
  t.teardown(() => server.close());
  const name = await nameSocket(path, mode, (at) => new Promise((resolve) => void server.listen(at, resolve)));
  return { server, name };
}

/** What kill -9 leaves: the name of a socket that nobody listens on. */
async function leaveDeadSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}.live`, resolve));
  renameSync(`${path}.live`, path);
  await new Promise((resolve) => server.close(resolve));
}

/** ext4 gives the lowest free inode number to the next file: afterwards that is this one, if it is free at all. */
function takeInodesBelow(ino: number, at: string): void {
  for (let i = 0; i < 64; i++) {
    const file = join(at, String(i));
    writeFileSync(file, '');
    if (lstatSync(file).ino !== ino) continue;
    unlinkSync(file);
    return;
  }
}

test('whatever is at the path of a socket and is no dead socket stays as it is', async (t) => {
  const at = folder(t);
  const kept = join(at, 'letters.txt');
  writeFileSync(kept, 'my letters');
  symlinkSync(kept, join(at, 'link'));
  symlinkSync(join(at, 'nowhere'), join(at, 'dangling'));
  mkdirSync(join(at, 'directory'));
  execFileSync('mkfifo', [join(at, 'fifo')]);
  const before = readdirSync(at).sort();
  for (const name of before) {
    const error = await t.throwsAsync(serve(t, join(at, name)), { instanceOf: SocketPathTaken }, name);
    t.is((error as SocketPathTaken).by, 'other file', name);
  }
  t.deepEqual(readdirSync(at).sort(), before);
  t.is(readFileSync(kept, 'utf8'), 'my letters');
});

test('a link to a live or dead socket is not followed', async (t) => {
  const at = folder(t);
  await leaveDeadSocket(join(at, 'dead'));
  symlinkSync(join(at, 'dead'), join(at, 'link'));
  await t.throwsAsync(serve(t, join(at, 'link')), { instanceOf: SocketPathTaken });
  t.true(lstatSync(join(at, 'dead')).isSocket());
});

test('a dead socket makes way, a live one does not, and both ways nothing else is left in the directory', async (t) => {
  const at = folder(t);
  const path = join(at, 'socket');
  await leaveDeadSocket(path);
  const { server, name } = await serve(t, path);
  t.is(statSync(path).mode & 0o777, 0o600);
  const error = await t.throwsAsync(serve(t, path), { instanceOf: SocketPathTaken });
  t.is((error as SocketPathTaken).by, 'live socket');
  t.deepEqual(readdirSync(at), ['socket']);
  name.remove();
  await new Promise((resolve) => server.close(resolve));
  t.deepEqual(readdirSync(at), []);
});

test('a server that ends removes no file but its own, whatever took its place', async (t) => {
  const at = folder(t);
  const path = join(at, 'socket');
  const first = await serve(t, path);
  unlinkSync(path);
  const second = await serve(t, path);
  first.name.remove();
  await new Promise((resolve) => first.server.close(resolve));
  t.true(lstatSync(path).isSocket(), 'the name of the second server');
  unlinkSync(path);
  writeFileSync(path, 'not a socket any more');
  second.name.remove();
  await new Promise((resolve) => second.server.close(resolve));
  t.is(readFileSync(path, 'utf8'), 'not a socket any more');
});

test('of servers that start together on a dead socket one gets the path, and it answers', async (t) => {
  const at = folder(t);
  const path = join(at, 'socket');
  await leaveDeadSocket(path);
  const results = await Promise.allSettled([serve(t, path), serve(t, path), serve(t, path), serve(t, path)]);
  t.is(results.filter(({ status }) => status === 'fulfilled').length, 1);
  await t.throwsAsync(removeDeadSocket(path), { instanceOf: SocketPathTaken });
  t.deepEqual(readdirSync(at), ['socket']);
});

test('a socket that another server put in the place of a dead one stays, though it has the same inode number', async (t) => {
  const at = folder(t);
  const path = join(at, 'socket');
  await leaveDeadSocket(path);
  const { ino } = lstatSync(path);
  const removal = removeDeadSocket(path);
  // The dead one has been asked, and its answer is on the way.
  unlinkSync(path);
  takeInodesBelow(ino, folder(t));
  const server = createServer();
  t.teardown(() => server.close());
  server.listen(path);
  t.true(lstatSync(path).isSocket(), 'listen makes the file at once');
  await removal;
  t.true(lstatSync(path, { throwIfNoEntry: false })?.isSocket());
  t.deepEqual(readdirSync(at), ['socket']);
});

test('the socket is in its directory under no name that others could use before it has its mode', async (t) => {
  const at = folder(t);
  const server = createServer();
  t.teardown(() => server.close());
  await nameSocket(join(at, 'socket'), 0o600, async (unnamed) => {
    await new Promise<void>((resolve) => server.listen(unnamed, resolve));
    t.deepEqual(
      readdirSync(at).map((name) => statSync(join(at, name)).mode & 0o777),
      [0o700],
    );
    t.false(existsSync(join(at, 'socket')));
  });
});

test('a path that has no room for a socket is refused: a shorter name is not made in its place', async (t) => {
  const at = folder(t);
  const error = await t.throwsAsync(serve(t, join(at, 'x'.repeat(110 - at.length))));
  t.regex(error?.message ?? '', /too long for a socket/);
  t.deepEqual(readdirSync(at), []);
});
