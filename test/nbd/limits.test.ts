import test from 'ava';
import { KIB, MIB } from '../../src/base/units.js';
import { CMD, CONTEXT_ALLOCATION, ERRNO } from '../../src/nbd/protocol.js';
import type { NbdServer } from '../../src/nbd/server.js';
import { Staging } from '../../src/nbd/staging.js';
import { requestHeader } from './client-encoding.js';
import { ManualClock } from './manual-clock.js';
import { NbdClient } from './nbd-client.js';
import { errnoOf, pattern, serve, until } from './serve.js';

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
  // In pieces of 128 KiB.
  await until(() => volume.heldCount === 2 * 4);
  t.is(server.gauges().bytesInFlight, 800_000);
  volume.release();
  await until(() => volume.heldCount === 4);
  volume.release();
  await until(() => volume.heldCount === 24);
  t.is(server.gauges().bytesInFlight, 3 * MIB);
  volume.release();
  t.deepEqual(await Promise.all(reads), [400_000, 400_000, 400_000, 3 * MIB]);
  client.destroy();
});

/** Room for one of the largest requests, and hardly more. */
const ONE_LARGE = { payloadBytesMax: 34 * MIB, connectionsMax: 4 };

test('of write payloads that do not fit beside each other one is let in at a time, first come first served', async (t) => {
  const { address, volume, server } = await serve(t, { sizeBytes: 64 * MIB, completes: 'held' }, { limits: ONE_LARGE });
  const clients = await Promise.all([0, 1, 2].map(async () => await NbdClient.open(address)));
  const payload = Buffer.alloc(20 * MIB, 1);
  const writes = clients.map(async (client, index) => await client.write(index * 20 * MIB, payload));
  for (let index = 0; index < 3; index++) {
    // A write of 20 MiB comes to the volume in 160 pieces.
    await until(() => volume.heldCount === 160 && server.gauges().payloadWaiters === 2 - index);
    t.true(server.gauges().payloadBytes >= 20 * MIB && server.gauges().payloadBytes <= 34 * MIB);
    volume.release();
  }
  await Promise.all(writes);
  for (const client of clients) client.destroy();
});

test('a connection that dies while it waits for the budget does not block those behind it', async (t) => {
  const { address, volume, server } = await serve(t, { sizeBytes: 64 * MIB, completes: 'held' }, { limits: ONE_LARGE });
  const [first, second, third] = (await Promise.all([0, 1, 2].map(async () => await NbdClient.open(address)))) as [
    NbdClient,
    NbdClient,
    NbdClient,
  ];
  const wrote = first.write(0, Buffer.alloc(20 * MIB));
  await until(() => volume.heldCount === 160);
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

test('a connection that is cut off while it waits for the budget lets those behind it have what fits', async (t) => {
  const clock = new ManualClock();
  const limits = { ...ONE_LARGE, bytesInFlightMax: 64 * MIB, replyStall_ms: 5000 };
  const { address, volume, server, faults } = await serve(t, { sizeBytes: 64 * MIB }, { clock, limits });
  const [first, deaf, third] = (await Promise.all([0, 1, 2].map(async () => await NbdClient.open(address)))) as [
    NbdClient,
    NbdClient,
    NbdClient,
  ];
  t.teardown(() => deaf.destroy());
  const lost = [deaf.read(0, 8 * MIB)];
  deaf.socket.pause();
  await until(() => volume.payloadsOut === 64);
  volume.completes = 'held';
  const wrote = first.write(0, Buffer.alloc(20 * MIB));
  await until(() => volume.heldCount === 160);
  lost.push(deaf.write(0, Buffer.alloc(20 * MIB)) as Promise<never>);
  await until(() => server.gauges().payloadWaiters === 1);
  // A little of it has room; all of it only when the deaf one's part is free.
  const last = third.write(0, Buffer.alloc(704 * KIB));
  await until(() => server.gauges().payloadWaiters === 2);
  clock.advance(8000);
  t.deepEqual(faults, ['the replies are not being read']);
  await until(() => server.gauges().connections === 2);
  await until(() => volume.heldCount === 160 + 6);
  t.deepEqual([server.gauges().payloadWaiters, server.gauges().payloadBytes], [0, 20 * MIB + 704 * KIB]);
  volume.completes = 'later';
  volume.release();
  await Promise.all([wrote, last, ...lost.map(async (request) => await t.throwsAsync(request))]);
  first.destroy();
  third.destroy();
});

/** Waits until a client that reads nothing is not read on either; returns the most bytes that its requests and replies held meanwhile. */
async function untilHeldBack(server: NbdServer, requests: number): Promise<number> {
  let most = 0;
  let still = 0;
  await until(() => {
    const { bytesInFlight, replyBytesQueued, requestsInFlight, requestsTotal, pausedConnections } = server.gauges();
    most = Math.max(most, bytesInFlight + replyBytesQueued);
    // Or all of it was served: then nothing has held it back.
    still = requestsInFlight === 0 && (pausedConnections === 1 || requestsTotal === requests) ? still + 1 : 0;
    return still === 50;
  });
  return most;
}

test('a peer that does not read its replies holds no more memory than it may have bytes in flight; reading again gets them all', async (t) => {
  const { address, volume, server } = await serve(t, { sizeBytes: MIB }, { limits: { bytesInFlightMax: 4 * MIB } });
  const client = await NbdClient.open(address);
  client.socket.pause();
  const reads = Array.from({ length: 40 }, async () => (await client.read(0, MIB)).length);
  client.socket.pause();
  const most = await untilHeldBack(server, 40);
  t.true(most >= 2 * MIB && most <= 4 * MIB + 4096, `${most} bytes of requests and replies`);
  t.true(volume.payloadsOut <= 4 * 8, `${volume.payloadsOut} payloads of the volume`);
  t.true(volume.calls.length < 40 * 8, `${volume.calls.length} of 320 pieces of reads were asked for`);
  client.socket.resume();
  t.is((await Promise.all(reads)).length, 40);
  client.destroy();
});

for (const [what, count, ask] of [
  ['refused requests', 12_000, async (client: NbdClient) => await errnoOf(client.read(2 * MIB, 1))],
  ['block status', 1_500, async (client: NbdClient) => (await client.blockStatus(0, MIB)).size],
] as const) {
  test(`replies that no bytes in flight stand for have a bound as well: ${what} of a peer that reads nothing`, async (t) => {
    const { address, volume, server } = await serve(t, {}, { limits: { replyBytesQueuedMax: 64 * KIB, bytesInFlightMax: 64 * MIB } });
    for (let offset = 0; offset < MIB; offset += 8192) volume.write(offset, Buffer.alloc(4096), false, () => undefined);
    const client = await NbdClient.open(address, { contexts: [CONTEXT_ALLOCATION] });
    client.socket.pause();
    const answers = Array.from({ length: count }, async () => await ask(client));
    client.socket.pause();
    const most = await untilHeldBack(server, count);
    t.true(most <= 68 * KIB, `${most} bytes of replies wait`);
    client.socket.resume();
    for (const answer of await Promise.all(answers)) t.is(answer, what === 'block status' ? 1 : ERRNO.EINVAL);
    client.destroy();
  });
}

test('replies that nobody takes for too long close the connection and release the slab', async (t) => {
  const clock = new ManualClock();
  const { address, volume, server, faults } = await serve(t, { sizeBytes: 8 * MIB }, { clock, limits: { replyStall_ms: 5000 } });
  const client = await NbdClient.open(address);
  t.teardown(() => client.destroy());
  const read = t.throwsAsync(client.read(0, 8 * MIB));
  client.socket.pause();
  await until(() => volume.payloadsOut === 64);
  clock.advance(4000);
  t.is(server.gauges().connections, 1);
  clock.advance(4000);
  t.deepEqual(faults, ['the replies are not being read']);
  await until(() => server.gauges().connections === 0);
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
  t.is(faults.length, 2);
  await silent.untilClosed();
  await halfway.untilClosed();
  clock.advance(3_600_000);
  await done.flush();
  done.destroy();
});

test('a write payload that stops arriving gives its budget back', async (t) => {
  const clock = new ManualClock();
  const { address, server, volume, faults } = await serve(t, {}, { clock, limits: { payloadTimeout_ms: 5000 } });
  const client = await NbdClient.open(address);
  t.teardown(() => client.destroy());
  client.send(Buffer.concat([requestHeader({ type: CMD.WRITE, length: 500_000 }, 1), Buffer.alloc(1000)]));
  await until(() => server.gauges().payloadBytes > 0);
  clock.advance(4000);
  t.is(server.gauges().connections, 1);
  clock.advance(3000);
  t.deepEqual(faults, ['a write payload stopped arriving']);
  await client.untilClosed();
  await until(() => server.gauges().connections === 0);
  t.is(server.gauges().payloadBytes, 0);
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
  const { address, server } = await serve(t, { sizeBytes: 4 * MIB }, { clock: new ManualClock() });
  const clients = await Promise.all(Array.from({ length: 100 }, async () => await NbdClient.open(address)));
  t.is(server.gauges().connections, 100);
  await Promise.all(clients.map(async (client, index) => await client.write(index * 8192, pattern(8192, index))));
  const read = await Promise.all(clients.map(async (client, index) => await client.read(((index + 50) % 100) * 8192, 8192)));
  for (const [index, bytes] of read.entries()) t.true(bytes.equals(pattern(8192, (index + 50) % 100)));
  for (const client of clients) await client.disconnect();
});

test('staging buffers hold their length and only a bounded number of idle bytes is kept', (t) => {
  const staging = new Staging(MIB);
  for (const length of [1, 4096, 4097, 65536, 100_000, 128 * KIB]) {
    const buffers = Array.from({ length: 20 }, () => staging.take(length));
    for (const buffer of buffers) {
      t.is(buffer.bytes.length, Staging.bytesFor(length));
      t.true(buffer.bytes.length >= length && (buffer.bytes.length < 2 * length || buffer.bytes.length === 4096));
      staging.give(buffer);
      t.true(staging.cachedBytes <= MIB);
    }
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
