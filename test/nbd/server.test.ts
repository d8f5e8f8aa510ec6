import { existsSync, lstatSync, statSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { type Server, createServer } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { parseAddress, uriOf } from '../../src/nbd/address.js';
import { CMD, ERRNO } from '../../src/nbd/protocol.js';
import { NbdServer } from '../../src/nbd/server.js';
import { requestHeader } from './client-encoding.js';
import { ManualClock } from './manual-clock.js';
import { NbdClient } from './nbd-client.js';
import { RamVolume } from './ram-volume.js';
import { errnoOf, pattern, scratch, serve, until } from './serve.js';

const MIB = 1024 * 1024;

/** A socket file whose owner died without removing it. */
function leaveStaleSocket(path: string): void {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
}

async function start(t: ExecutionContext, addresses: string[], name = 'ram'): Promise<NbdServer> {
  const server = await NbdServer.start({ volume: new RamVolume({ name }), addresses });
  t.teardown(async () => await server.close());
  return server;
}

test('one server answers on several unix and TCP addresses with the same volume', async (t) => {
  const directory = scratch(t);
  const server = await start(t, [`unix:${directory}/a`, 'tcp:127.0.0.1:0', `unix:${directory}/b`, 'tcp:localhost:0']);
  const uris = server.uris();
  t.is(uris.length, 4);
  t.regex(uris[1] ?? '', /^nbd:\/\/127\.0\.0\.1:[1-9]\d*\/ram$/);
  for (const [index, uri] of uris.entries()) {
    const client = await NbdClient.open(uri);
    if (index > 0) t.true((await client.read((index - 1) * 4096, 4096)).equals(pattern(4096, index - 1)));
    await client.write(index * 4096, pattern(4096, index));
    await client.disconnect();
  }
});

test('a unix socket is made with mode 0600, or the one asked for', async (t) => {
  const directory = scratch(t);
  const before = process.umask();
  await start(t, [`unix:${directory}/private`]);
  t.is(statSync(join(directory, 'private')).mode & 0o777, 0o600);
  const shared = await NbdServer.start({ volume: new RamVolume(), addresses: [`unix:${directory}/shared`], unixMode: 0o660 });
  t.is(statSync(join(directory, 'shared')).mode & 0o777, 0o660);
  await shared.close();
  t.is(process.umask(), before);
});

test('a stale socket that nobody answers on is replaced', async (t) => {
  const path = join(scratch(t), 'stale');
  leaveStaleSocket(path);
  t.true(lstatSync(path).isSocket());
  await start(t, [`unix:${path}`]);
  const client = await NbdClient.open(`unix:${path}`);
  await client.disconnect();
});

test('a socket that is alive is refused and left working', async (t) => {
  const { address, path } = await serve(t);
  await t.throwsAsync(start(t, [address]), { code: 'NBD_ADDRESS_IN_USE' } as object);
  t.true(existsSync(path));
  const client = await NbdClient.open(address);
  await client.flush();
  client.destroy();
});

test('a file that is not a socket is refused and left alone', async (t) => {
  const path = join(scratch(t), 'file');
  writeFileSync(path, 'mine');
  await t.throwsAsync(start(t, [`unix:${path}`]), { code: 'NBD_ADDRESS_IN_USE' } as object);
  t.is(statSync(path).size, 4);
});

test('when one address cannot be bound none is', async (t) => {
  const path = join(scratch(t), 'first');
  const taken: Server = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  t.teardown(() => taken.close());
  const port = (taken.address() as { port: number }).port;
  await t.throwsAsync(start(t, [`unix:${path}`, `tcp:127.0.0.1:${port}`]), { code: 'NBD_ADDRESS_IN_USE' } as object);
  t.false(existsSync(path));
  await t.throwsAsync(start(t, ['tcp:192.0.2.1:0']), { code: 'NBD_LISTEN' } as object);
  await t.throwsAsync(start(t, []), { code: 'NBD_ADDRESS' } as object);
});

test('closing removes the unix socket and frees the port', async (t) => {
  const path = join(scratch(t), 'sock');
  const server = await NbdServer.start({ volume: new RamVolume(), addresses: [`unix:${path}`, 'tcp:127.0.0.1:0'] });
  const port = /:(\d+)\//.exec(server.uris()[1] ?? '')?.[1];
  await server.close();
  await server.close();
  t.false(existsSync(path));
  await start(t, [`unix:${path}`, `tcp:127.0.0.1:${port}`]);
});

test('a shutdown finishes what is in flight, answers ESHUTDOWN to the rest, and closes', async (t) => {
  const { address, volume, server, faults } = await serve(t, { completes: 'held' });
  const client = await NbdClient.open(address);
  const bytes = pattern(50_000, 4);
  const writes = [client.write(0, bytes), client.write(100_000, bytes)];
  const read = client.read(0, 300_000);
  // The read in three pieces.
  await until(() => volume.heldCount === 5);
  const closed = server.close();
  const late = [client.write(0, Buffer.alloc(70_000)), client.flush(), client.read(0, 1)].map(errnoOf);
  t.deepEqual(await Promise.all(late), [ERRNO.ESHUTDOWN, ERRNO.ESHUTDOWN, ERRNO.ESHUTDOWN]);
  t.is(volume.heldCount, 5);
  await t.throwsAsync(NbdClient.connect(address));
  volume.release();
  await Promise.all(writes);
  t.is((await read).length, 300_000);
  await client.untilClosed();
  await closed;
  t.true(volume.bytes.subarray(100_000, 150_000).equals(bytes));
  t.deepEqual(faults, []);
});

test('a shutdown does not wait for a half-received write, for requests not yet taken in, or for a handshake', async (t) => {
  const { address, volume, server } = await serve(t, { completes: 'held' }, { limits: { requestsInFlightMax: 2 } });
  const partial = await NbdClient.open(address);
  partial.send(Buffer.concat([requestHeader({ type: CMD.WRITE, length: 100_000 }, 1), Buffer.alloc(1000)]));
  const shaking = await NbdClient.connect(address);
  const busy = await NbdClient.open(address);
  const flushes = Array.from({ length: 5 }, async () => await errnoOf(busy.flush()));
  await until(() => volume.heldCount === 2 && server.gauges().requestsInFlight === 3);
  const closed = server.close();
  await shaking.untilClosed();
  volume.release();
  t.deepEqual(await Promise.all(flushes), [0, 0, ERRNO.ESHUTDOWN, ERRNO.ESHUTDOWN, ERRNO.ESHUTDOWN]);
  busy.destroy();
  partial.destroy();
  await closed;
  t.is(volume.calls.length, 2);
});

test('a peer that takes no replies is cut off when the shutdown has waited long enough', async (t) => {
  const clock = new ManualClock();
  const { address, volume, server } = await serve(t, { sizeBytes: 8 * MIB }, { clock });
  const client = await NbdClient.open(address);
  const read = t.throwsAsync(client.read(0, 8 * MIB));
  client.socket.pause();
  await until(() => volume.payloadsOut === 64);
  const closed = server.close();
  clock.advance(10_000);
  await closed;
  t.is(volume.payloadsOut, 0);
  client.destroy();
  await read;
});

test('addresses are read, or refused with what is allowed', (t) => {
  t.deepEqual(parseAddress('unix:/run/x.sock'), { kind: 'unix', path: '/run/x.sock' });
  t.deepEqual(parseAddress('unix:./x'), { kind: 'unix', path: join(process.cwd(), 'x') });
  t.deepEqual(parseAddress('tcp:127.0.0.1:10809'), { kind: 'tcp', host: '127.0.0.1', port: 10809 });
  t.deepEqual(parseAddress('tcp:[::1]:0'), { kind: 'tcp', host: '::1', port: 0 });
  for (const wrong of [
    '',
    'unix:',
    'tcp:',
    'tcp:host',
    'tcp:host:',
    'tcp:host:70000',
    'tcp:host:1x',
    'tcp:::1:5',
    '127.0.0.1:10809',
    `unix:/${'x'.repeat(107)}`,
    'unix:/a\0b',
  ]) {
    const error = t.throws(() => parseAddress(wrong), { code: 'NBD_ADDRESS' } as object, wrong);
    t.true((error as unknown as { expected: string }).expected.includes('tcp:HOST:PORT'));
  }
});

test('URIs escape what they must', (t) => {
  t.is(uriOf({ kind: 'unix', path: '/run/a b/x&y?#.sock' }, 'my vault/1'), 'nbd+unix:///my%20vault%2F1?socket=/run/a%20b/x%26y%3F%23.sock');
  t.is(uriOf({ kind: 'tcp', host: '::1', port: 10809 }, 'v'), 'nbd://[::1]:10809/v');
});

test('gauges count requests, bytes and errors', async (t) => {
  const { address, server } = await serve(t);
  const client = await NbdClient.open(address);
  await client.write(0, Buffer.alloc(1000));
  await client.read(0, 300);
  await client.flush();
  t.is(await errnoOf(client.read(MIB, 1)), ERRNO.EINVAL);
  const gauges = server.gauges();
  t.is(gauges.requestsTotal, 4);
  t.is(gauges.requestErrorsTotal, 1);
  t.is(gauges.writtenBytesTotal, 1000);
  t.is(gauges.readBytesTotal, 300);
  t.is(gauges.flushesTotal, 1);
  t.is(gauges.connections, 1);
  client.destroy();
});

test('a volume whose name is longer than the protocol allows is refused', async (t) => {
  await t.throwsAsync(start(t, [`unix:${scratch(t)}/s`], 'n'.repeat(4097)), { code: 'NBD_NAME' } as object);
});
