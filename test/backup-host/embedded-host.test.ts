import { writeFileSync } from 'node:fs';
import { connect, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import ssh2, { type Client, type ConnectConfig, type SFTPWrapper } from 'ssh2';
import { CONNECTIONS_MAX, EMBEDDED_USER, embeddedHost, LOGIN_TIMEOUT_MS, SESSIONS_MAX } from '../../src/backup-host/embedded-host.js';
import { sshKeyPair } from '../../src/backup-host/ssh-key-pair.js';
import { ManualClock } from '../nbd/manual-clock.js';
import { scratchFolder } from '../repository/scratch.js';

const HOST = sshKeyPair();
const CLIENT = sshKeyPair();

interface Host {
  readonly listener: Server;
  readonly port: number;
  readonly clock: ManualClock;
  /** The host's side of every connection, in the order in which they came. */
  readonly sockets: Socket[];
}

async function hostOf(t: ExecutionContext): Promise<Host> {
  const directory = scratchFolder(t);
  writeFileSync(join(directory, 'file'), 'here');
  const clock = new ManualClock();
  const listener = embeddedHost({ directory, hostKey: HOST.private, clientKey: CLIENT.public }, clock);
  const sockets: Socket[] = [];
  listener.on('connection', (socket) => sockets.push(socket));
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    listener.close();
  });
  return { listener, port: (listener.address() as { port: number }).port, clock, sockets };
}

/** until: 'ready' is logged in, 'handshake' is not. */
function client(t: ExecutionContext, options: ConnectConfig, until: 'handshake' | 'ready' = 'ready'): Promise<Client> {
  const made = new ssh2.Client();
  t.teardown(() => made.destroy());
  return new Promise((resolve, reject) => {
    made.on(until as 'ready', () => resolve(made));
    made.on('error', reject);
    made.connect({ host: '127.0.0.1', username: EMBEDDED_USER, privateKey: CLIENT.private, ...options });
  });
}

/** null: it was refused. */
function session(of: Client): Promise<SFTPWrapper | null> {
  return new Promise((resolve) => of.sftp((error, sftp) => resolve(error === undefined ? sftp : null)));
}

function bytesOf(sftp: SFTPWrapper): Promise<number> {
  return new Promise((resolve, reject) => sftp.stat('/file', (error, { size }) => (error ? reject(error) : resolve(size))));
}

/** True when the host greets, false when it closes without. */
function greeted(t: ExecutionContext, port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  return new Promise((resolve) => {
    socket.once('data', () => resolve(true));
    socket.once('close', () => resolve(false));
    socket.on('error', () => resolve(false));
  });
}

test('who is not logged in after its time is cut off, however far it came; who is stays', async (t) => {
  const { port, clock, sockets } = await hostOf(t);
  t.true(await greeted(t, port));
  const halfway = await client(t, { port, authHandler: () => undefined }, 'handshake');
  halfway.on('error', () => undefined);
  const sftp = await session(await client(t, { port }));
  const cutOff = (): boolean[] => sockets.map(({ destroyed }) => destroyed);
  clock.advance(LOGIN_TIMEOUT_MS - 1);
  t.deepEqual(cutOff(), [false, false, false]);
  clock.advance(1);
  t.deepEqual(cutOff(), [true, true, false]);
  t.is(await bytesOf(sftp as SFTPWrapper), 4);
});

test('the connections have a bound, and those that are cut off make room for others', async (t) => {
  const { port, clock, sockets } = await hostOf(t);
  const tried = await Promise.all(Array.from({ length: CONNECTIONS_MAX + 3 }, () => greeted(t, port)));
  t.is(tried.filter((was) => was).length, CONNECTIONS_MAX);
  const closed = Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve))));
  clock.advance(LOGIN_TIMEOUT_MS);
  await closed;
  t.true(await greeted(t, port));
});

test('a connection has so many sessions at once and no more; one that ends makes room for another; none is a shell', async (t) => {
  const { port } = await hostOf(t);
  const one = await client(t, { port });
  const had: SFTPWrapper[] = [];
  for (let i = 0; i < SESSIONS_MAX; i++) {
    const sftp = await session(one);
    t.truthy(sftp, `session ${i + 1}`);
    if (sftp !== null) had.push(sftp);
  }
  t.is(await session(one), null, 'one more than there may be');
  const [first] = had as [SFTPWrapper];
  await new Promise<void>((resolve) => {
    first.once('close', resolve);
    first.end();
  });
  const next = await session(one);
  t.truthy(next, 'in the place of the one that ended');
  t.is(await bytesOf(next as SFTPWrapper), 4);
  const other = await client(t, { port });
  await t.throwsAsync(new Promise((resolve, reject) => other.exec('true', (error, channel) => (error ? reject(error) : resolve(channel)))));
  await t.throwsAsync(
    new Promise((resolve, reject) => other.subsys('netconf', (error, channel) => (error ? reject(error) : resolve(channel)))),
  );
});

/** Two ends of a line; what `far` sends can be stopped. */
function line(): { readonly near: Duplex; readonly far: Duplex; stop(): void; go(): void } {
  let waiting: (() => void) | null = null;
  let stopped = false;
  const near: Duplex = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      // As a line does: what arrives is never read inside the write that sent it.
      process.nextTick(() => {
        far.push(chunk);
        done();
      });
    },
  });
  const far: Duplex = new Duplex({
    read() {},
    highWaterMark: 16_384,
    write(chunk: Buffer, _encoding, done) {
      const taken = (): void => {
        near.push(chunk);
        done();
      };
      if (stopped) waiting = taken;
      else taken();
    },
  });
  return {
    near,
    far: Object.assign(far, { remotePort: 1 }),
    stop: () => {
      stopped = true;
    },
    go: () => {
      stopped = false;
      waiting?.();
    },
  };
}

test('a client that takes no replies is not read on, whatever it asks: what waits for it stays small, and it gets all of it later', async (t) => {
  const { listener } = await hostOf(t);
  const { near, far, stop, go } = line();
  listener.emit('connection', far);
  const one = await client(t, { sock: near });
  const sftp = (await session(one)) as SFTPWrapper;
  stop();
  // Requests that ssh2 answers by itself, before there is any SFTP.
  const { _protocol: protocol } = one as unknown as { readonly _protocol: { ping(): void } };
  for (let i = 0; i < 40; i++) {
    for (let n = 0; n < 100; n++) protocol.ping();
    await new Promise(setImmediate);
  }
  t.true(far.isPaused(), 'it is not read on');
  t.true(far.writableLength < 2 * far.writableHighWaterMark, `${far.writableLength} bytes of replies wait`);
  const size = bytesOf(sftp);
  go();
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
  t.false(far.isPaused(), 'it is read again');
  t.is(await size, 4);
  near.destroy();
  far.destroy();
});
