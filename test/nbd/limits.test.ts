import test from 'ava';
import { CMD, ERRNO } from '../../src/nbd/protocol.js';
import { Staging } from '../../src/nbd/staging.js';
import { requestHeader } from './client-encoding.js';
import { ManualClock } from './manual-clock.js';
import { NbdClient } from './nbd-client.js';
import { errnoOf, pattern, serve, until } from './serve.js';

const MIB = 1024 * 1024;

test('no more requests reach the volume than one connection may have in flight, and all are answered', async (t) => {
  const { address, volume, server } = await serve(t, { completes: 'held' }, { limits: { requestsInFlightMax: 8 } });
  const client = await NbdClient.open(address);
  const writes = Array.from({ length: 50 }, async (_, index) => await client.write(index * 4096, pattern(4096, index)));
  let most = 0;
  for (let answered = 0; answered < 50; ) {
    await until(() => volume.heldCount === Math.min(8, 50 - answered));
    most = Math.max(most, volume.heldCount);
    t.true(server.gauges().requestsInFlight <= 8);
    answered += volume.heldCount;
    volume.release();
  }
  await Promise.all(writes);
  t.is(most, 8);
  t.true(server.gauges().pausesTotal > 0);
  for (let index = 0; index < 50; index++) t.true(volume.bytes.subarray(index * 4096, (index + 1) * 4096).equals(pattern(4096, index)));
  client.destroy();
});

test('a connection at its limit does not hold up another', async (t) => {
  const { address, volume } = await serve(t, { completes: 'held' }, { limits: { requestsInFlightMax: 2 } });
  const busy = await NbdClient.open(address);
  const reads = Array.from({ length: 5 }, async () => await busy.read(0, 10));
  await until(() => volume.heldCount === 2);
  const other = await NbdClient.open(address);
  const read = other.read(0, 10);
  await until(() => volume.heldCount === 3);
  volume.completes = 'now';
  volume.release();
  t.is((await read).length, 10);
  t.is((await Promise.all(reads)).length, 5);
  busy.destroy();
  other.destroy();
});

test('payload bytes in flight stay under their bound, and one request is always admitted', async (t) => {
  const { address, volume, server } = await serve(t, { sizeBytes: 8 * MIB, completes: 'held' }, { limits: { bytesInFlightMax: MIB } });
  const client = await NbdClient.open(address);
  const reads = [400_000, 400_000, 400_000, 3 * MIB].map(async (length) => (await client.read(0, length)).length);
  await until(() => volume.heldCount === 2);
  t.is(server.gauges().bytesInFlight, 800_000);
  volume.release();
  await until(() => volume.heldCount === 1);
  volume.release();
  await until(() => volume.heldCount === 1);
  t.is(server.gauges().bytesInFlight, 3 * MIB);
  volume.release();
  t.deepEqual(await Promise.all(reads), [400_000, 400_000, 400_000, 3 * MIB]);
  client.destroy();
});

test('write payloads over all connections share one budget, first come first served', async (t) => {
  const { address, volume, server } = await serve(t, { sizeBytes: 64 * MIB, completes: 'held' }, { limits: { payloadBytesMax: 32 * MIB } });
  const clients = await Promise.all([0, 1, 2].map(async () => await NbdClient.open(address)));
  const payload = Buffer.alloc(20 * MIB, 1);
  const writes = clients.map(async (client, index) => await client.write(index * 20 * MIB, payload));
  for (let index = 0; index < 3; index++) {
    await until(() => volume.heldCount === 1 && server.gauges().payloadWaiters === 2 - index);
    t.is(server.gauges().payloadBytes, 20 * MIB);
    volume.release();
  }
  await Promise.all(writes);
  for (const client of clients) client.destroy();
});

test('a connection that dies while it waits for the budget does not block those behind it', async (t) => {
  const { address, volume, server } = await serve(t, { sizeBytes: 64 * MIB, completes: 'held' }, { limits: { payloadBytesMax: 32 * MIB } });
  const [first, second, third] = (await Promise.all([0, 1, 2].map(async () => await NbdClient.open(address)))) as [
    NbdClient,
    NbdClient,
    NbdClient,
  ];
  const wrote = first.write(0, Buffer.alloc(20 * MIB));
  await until(() => volume.heldCount === 1);
  const lost = t.throwsAsync(second.write(0, Buffer.alloc(20 * MIB)));
  await until(() => server.gauges().payloadWaiters === 1);
  const last = third.write(0, Buffer.alloc(13 * MIB));
  await until(() => server.gauges().payloadWaiters === 2);
  second.destroy();
  await lost;
  volume.completes = 'later';
  volume.release();
  await wrote;
  await last;
  first.destroy();
  third.destroy();
});

test('a peer that does not read its replies is not served for ever; reading again gets them all', async (t) => {
  const { address, volume, server } = await serve(t, { sizeBytes: MIB }, { limits: { bytesInFlightMax: 4 * MIB } });
  const client = await NbdClient.open(address);
  client.socket.pause();
  const reads = Array.from({ length: 40 }, async () => (await client.read(0, MIB)).length);
  client.socket.pause();
  await until(() => server.gauges().replyBytesQueued >= 2 * MIB && server.gauges().requestsInFlight === 0);
  t.true(volume.calls.length < 40, `${volume.calls.length} of 40 reads were started`);
  client.socket.resume();
  t.is((await Promise.all(reads)).length, 40);
  client.destroy();
});

test('replies that nobody takes for too long close the connection and release the slab', async (t) => {
  const clock = new ManualClock();
  const { address, volume, server, faults } = await serve(t, { sizeBytes: 8 * MIB }, { clock, limits: { replyStall_ms: 5000 } });
  const client = await NbdClient.open(address);
  const read = t.throwsAsync(client.read(0, 8 * MIB));
  client.socket.pause();
  await until(() => volume.payloadsOut === 1);
  clock.advance(4000);
  t.is(server.gauges().connections, 1);
  clock.advance(4000);
  await until(() => server.gauges().connections === 0);
  t.deepEqual(faults, ['the replies are not being read']);
  t.is(volume.payloadsOut, 0);
  client.destroy();
  await read;
});

test('a handshake that is not finished in time is cut off; a finished one never is', async (t) => {
  const clock = new ManualClock();
  const { address, server, faults } = await serve(t, {}, { clock });
  const done = await NbdClient.open(address);
  const silent = await NbdClient.connect(address);
  const halfway = await NbdClient.connect(address);
  await halfway.greet();
  await halfway.negotiateStructured();
  clock.advance(9_999);
  t.is(server.gauges().connections, 3);
  clock.advance(1);
  await silent.untilClosed();
  await halfway.untilClosed();
  t.is(faults.length, 2);
  clock.advance(3_600_000);
  await done.flush();
  done.destroy();
});

test('a write payload that stops arriving gives its budget back', async (t) => {
  const clock = new ManualClock();
  const { address, server, volume, faults } = await serve(t, {}, { clock, limits: { payloadTimeout_ms: 5000 } });
  const client = await NbdClient.open(address);
  client.send(Buffer.concat([requestHeader({ type: CMD.WRITE, length: 500_000 }, 1), Buffer.alloc(1000)]));
  await until(() => server.gauges().payloadBytes === 500_000);
  clock.advance(4000);
  t.is(server.gauges().connections, 1);
  clock.advance(3000);
  await client.untilClosed();
  await until(() => server.gauges().connections === 0);
  t.is(server.gauges().payloadBytes, 0);
  t.deepEqual(faults, ['a write payload stopped arriving']);
  t.deepEqual(volume.calls, []);
});

test('an idle connection between requests is never cut off', async (t) => {
  const clock = new ManualClock();
  const { address } = await serve(t, {}, { clock });
  const client = await NbdClient.open(address);
  await client.write(0, pattern(200_000, 1));
  clock.advance(7 * 86_400_000);
  t.true((await client.read(0, 200_000)).equals(pattern(200_000, 1)));
  client.destroy();
});

test('one connection above the bound is closed; when one goes there is room again', async (t) => {
  const { address, server } = await serve(t, {}, { limits: { connectionsMax: 3 } });
  const clients = await Promise.all([0, 1, 2].map(async () => await NbdClient.open(address)));
  const refused = await NbdClient.connect(address);
  await t.throwsAsync(refused.greet());
  t.is(server.gauges().connectionsRefusedTotal, 1);
  await clients[0]?.disconnect();
  await until(() => server.gauges().connections === 2);
  const next = await NbdClient.open(address);
  for (const client of [...clients, next]) client.destroy();
});

test('a hundred connections at work at once are all served right', async (t) => {
  const { address, server } = await serve(t, { sizeBytes: 4 * MIB });
  const clients = await Promise.all(Array.from({ length: 100 }, async () => await NbdClient.open(address)));
  t.is(server.gauges().connections, 100);
  await Promise.all(clients.map(async (client, index) => await client.write(index * 8192, pattern(8192, index))));
  const read = await Promise.all(clients.map(async (client, index) => await client.read(((index + 50) % 100) * 8192, 8192)));
  for (const [index, bytes] of read.entries()) t.true(bytes.equals(pattern(8192, (index + 50) % 100)));
  for (const client of clients) await client.disconnect();
});

test('the budget rejects nothing it could admit and admits nothing over its bound', (t) => {
  const staging = new Staging(32 * MIB, MIB);
  const woken: string[] = [];
  const waiter = (name: string): { wake(): void } => ({ wake: () => void woken.push(name) });
  const [a, b, c] = [waiter('a'), waiter('b'), waiter('c')] as const;
  t.true(staging.reserve(32 * MIB, a));
  t.false(staging.reserve(1, b));
  t.false(staging.reserve(1, b));
  t.false(staging.reserve(5, c));
  t.is(staging.waiting, 2);
  staging.unreserve(32 * MIB);
  t.deepEqual(woken, ['b']);
  t.false(staging.reserve(5, c), 'c waits behind b');
  t.true(staging.reserve(1, b));
  t.deepEqual(woken, ['b', 'c']);
  t.true(staging.reserve(5, c));
  t.is(staging.usedBytes, 6);
});

test('staging buffers hold their length and only a bounded number of idle bytes is kept', (t) => {
  const staging = new Staging(32 * MIB, MIB);
  for (const length of [1, 4096, 4097, 65536, 1_000_000, 32 * MIB]) {
    const buffer = staging.take(length);
    t.true(buffer.bytes.length >= length && (buffer.bytes.length < 2 * length || buffer.bytes.length === 4096));
    staging.give(buffer);
    t.true(staging.cachedBytes <= MIB);
  }
});

test('requests refused by a limit of the protocol do not count as in flight', async (t) => {
  const { address, server } = await serve(t);
  const client = await NbdClient.open(address);
  t.is(await errnoOf(client.read(0, 33 * MIB)), ERRNO.EINVAL);
  const gauges = server.gauges();
  t.deepEqual([gauges.requestsInFlight, gauges.bytesInFlight, gauges.requestErrorsTotal], [0, 0, 1]);
  client.destroy();
});
