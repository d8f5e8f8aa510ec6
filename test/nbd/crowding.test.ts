import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { CMD, CONTEXT_ALLOCATION, CONTEXT_UNDRAINED } from '../../src/nbd/protocol.js';
import { requestHeader } from './client-encoding.js';
import { ManualClock } from './manual-clock.js';
import { NbdClient } from './nbd-client.js';
import { errnoOf, pattern, scratch, serve, until } from './serve.js';

const MIB = 1024 * 1024;
/** Room for one of the largest requests, and hardly more. */
const ONE_LARGE = { payloadBytesMax: 34 * MIB, connectionsMax: 4 };

/** Lets the server's own timers run, second by second, while sockets do what they do in between. */
async function seconds(clock: ManualClock, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    clock.advance(1000);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('a peer that asks for block status without end does not hold up others', async (t) => {
  const { address, volume } = await serve(t, { sizeBytes: 4 * MIB });
  const witness = await NbdClient.open(address);
  const greedy = await NbdClient.open(address, { contexts: [CONTEXT_ALLOCATION, CONTEXT_UNDRAINED] });
  const count = 3000;
  const answers = Array.from({ length: count }, async () => await greedy.blockStatus(0, 4 * MIB));
  await until(() => volume.statusCalls > 0);
  await witness.write(0, Buffer.from('not held up'));
  t.is((await witness.read(0, 11)).toString(), 'not held up');
  t.true(volume.statusCalls < count / 2, `${volume.statusCalls} of ${count} came first`);
  for (const answer of await Promise.all(answers)) t.is(answer.size, 2);
  witness.destroy();
  greedy.destroy();
});

test('a peer that vanishes while its block status waits for its turn leaves nothing behind', async (t) => {
  const { address, server, volume } = await serve(t);
  const clients = await Promise.all(
    Array.from({ length: 20 }, async () => await NbdClient.open(address, { contexts: [CONTEXT_ALLOCATION] })),
  );
  const lost = clients.flatMap((client) => Array.from({ length: 5 }, async () => await client.blockStatus(0, 4096)));
  const answered = Promise.allSettled(lost);
  await until(() => volume.statusCalls > 0);
  for (const client of clients) client.destroy();
  await until(() => server.gauges().connections === 0);
  t.is(server.gauges().requestsInFlight, 0);
  t.true((await answered).some((answer) => answer.status === 'rejected'));
});

test('a payload that stops while others wait for its memory loses its connection in seconds; alone it has its full time', async (t) => {
  const clock = new ManualClock();
  const { address, server, volume, faults } = await serve(
    t,
    { sizeBytes: 64 * MIB },
    { clock, limits: { ...ONE_LARGE, payloadTimeout_ms: 60_000 } },
  );
  const slow = await NbdClient.open(address);
  slow.send(Buffer.concat([requestHeader({ type: CMD.WRITE, length: 20 * MIB }, 1), Buffer.alloc(10 * MIB)]));
  await until(() => server.gauges().payloadBytes >= 10 * MIB);
  await seconds(clock, 40);
  t.deepEqual(faults, [], 'nobody waits: nobody is hurried');
  const other = await NbdClient.open(address);
  const bytes = pattern(20 * MIB, 1);
  const written = other.write(0, bytes);
  await until(() => server.gauges().payloadWaiters === 1);
  await seconds(clock, 1);
  t.deepEqual(faults, ['a write payload that others wait for is too slow']);
  await slow.untilClosed();
  await written;
  t.true(volume.bytes.subarray(0, 20 * MIB).equals(bytes));
  other.destroy();
});

test('a payload that keeps the pace is not cut off, however many wait', async (t) => {
  const clock = new ManualClock();
  const { address, server, faults } = await serve(
    t,
    { sizeBytes: 64 * MIB },
    { clock, limits: { ...ONE_LARGE, payloadTimeout_ms: 1_000_000 } },
  );
  const steady = await NbdClient.open(address);
  const payload = pattern(20 * MIB, 9);
  steady.send(Buffer.concat([requestHeader({ type: CMD.WRITE, length: payload.length }, 1), payload.subarray(0, 2 * MIB)]));
  const other = await NbdClient.open(address);
  await until(() => server.gauges().payloadBytes >= 2 * MIB);
  const waits = other.write(0, pattern(20 * MIB, 2));
  await until(() => server.gauges().payloadWaiters === 1);
  // A third of a MiB a second: above the pace, and a minute in all.
  const piece = Math.ceil(MIB / 3);
  for (let at = 2 * MIB; at < payload.length; at += piece) {
    const before = steady.socket.bytesWritten;
    await new Promise<void>((resolve) => steady.socket.write(payload.subarray(at, at + piece), () => resolve()));
    t.true(steady.socket.bytesWritten > before);
    await new Promise((resolve) => setImmediate(resolve));
    await seconds(clock, 1);
  }
  await waits;
  t.deepEqual(faults, []);
  steady.destroy();
  other.destroy();
});

test('replies that are not taken while other reads wait for memory close the connection in seconds', async (t) => {
  const clock = new ManualClock();
  const { address, volume, server, faults } = await serve(t, { sizeBytes: 64 * MIB }, { clock });
  const clients = await Promise.all([0, 1].map(async () => await NbdClient.open(address)));
  const [first, second] = clients as [NbdClient, NbdClient];
  t.teardown(() => first.destroy());
  first.socket.pause();
  first.send(requestHeader({ type: CMD.READ, length: 30 * MIB }, 1));
  await until(() => volume.payloadsOut === 30 * 8);
  await seconds(clock, 60);
  t.is(server.gauges().connections, 2, 'no read waits: nobody is hurried');
  const read = second.read(0, 31 * MIB);
  await until(() => server.gauges().replyWaiters === 1);
  await seconds(clock, 1);
  t.deepEqual(faults, ['replies that others wait for are read too slowly']);
  t.is((await read).length, 31 * MIB);
  await until(() => volume.payloadsOut === 0);
  second.destroy();
});

/** Peers that hold all they can get: some do not read their replies, some stop in the middle of a payload, in requests of every size. */
async function stuckPeers(address: string, count: number): Promise<{ readers: NbdClient[]; writers: NbdClient[] }> {
  const open = async (bytes: Buffer): Promise<NbdClient> => {
    const peer = await NbdClient.open(address);
    peer.socket.pause();
    peer.send(bytes);
    peer.socket.pause();
    return peer;
  };
  const each = async (bytes: (index: number) => Buffer): Promise<NbdClient[]> =>
    await Promise.all(Array.from({ length: count }, async (_, index) => await open(bytes(index))));
  const lengths = [32 * MIB, 32 * MIB, MIB, 200_000, 65_536, 4096];
  const readers = await each((index) => {
    const length = lengths[index % lengths.length] as number;
    return Buffer.concat(Array.from({ length: 64 }, (_, cookie) => requestHeader({ type: CMD.READ, length }, cookie)));
  });
  const writers = await each((index) =>
    Buffer.concat([
      requestHeader({ type: CMD.WRITE, length: index % 3 === 0 ? 200_000 : 32 * MIB }, 1),
      Buffer.alloc(index % 5 === 0 ? MIB - (index % 3 === 0 ? MIB - 199_999 : 0) : 70_000),
    ]),
  );
  return { readers, writers };
}

test('beside a hundred peers that do not read their replies and a hundred that stop in mid payload a small request is served, though none of them moves and no time passes', async (t) => {
  const clock = new ManualClock();
  const { address, volume, server, faults } = await serve(t, { sizeBytes: 32 * MIB }, { clock, limits: { connectionsMax: 202 } });
  const { readers, writers } = await stuckPeers(address, 100);
  t.teardown(() => {
    for (const peer of [...readers, ...writers]) peer.destroy();
  });
  // Until nothing moves any more.
  let before = '';
  let still = 0;
  await until(() => {
    const now = JSON.stringify(server.gauges());
    still = now === before ? still + 1 : 0;
    before = now;
    return still === 200;
  });
  const { replyBytes, payloadBytes, replyBytesMax, payloadBytesMax } = server.gauges();
  t.true(replyBytes > 32 * MIB && payloadBytes > 100 * 65_536, `they hold ${replyBytes} and ${payloadBytes} bytes`);
  t.true(replyBytes <= replyBytesMax && payloadBytes <= payloadBytesMax);
  t.true(volume.largeBytesOut <= volume.readBytesMax, 'the volume is asked for no more than it has memory for');
  const client = await NbdClient.open(address);
  for (const length of [4096, 65_536]) {
    const bytes = pattern(length, length);
    await client.write(12_288, bytes);
    t.true((await client.read(12_288, length)).equals(bytes));
  }
  t.deepEqual(faults, []);
  t.is(server.gauges().connections, 201);
  client.destroy();
});

test('a request header that stops in the middle loses its connection; so does a refused payload', async (t) => {
  for (const bytes of [
    requestHeader({ type: CMD.READ, length: 1 }, 1).subarray(0, 27),
    requestHeader({ type: CMD.READ, length: 1 }, 1).subarray(0, 1),
    Buffer.concat([requestHeader({ type: CMD.WRITE, offset: MIB, length: 1000 }, 1), Buffer.alloc(999)]),
  ]) {
    const clock = new ManualClock();
    const { address, server, faults } = await serve(t, {}, { clock });
    const client = await NbdClient.open(address);
    // Whole requests first: what was complete must leave no deadline behind.
    await client.flush();
    t.not(await errnoOf(client.write(MIB, Buffer.alloc(3000))), 0);
    await seconds(clock, 3600);
    t.deepEqual(faults, []);
    client.send(bytes);
    const before = server.gauges().requestsTotal;
    await until(() => server.gauges().requestsTotal > before || bytes.length < 28);
    const witness = await NbdClient.open(address);
    for (let i = 0; i < 20; i++) await witness.flush();
    await seconds(clock, 59);
    t.deepEqual(faults, []);
    await seconds(clock, 3);
    t.deepEqual(faults, ['a request stopped arriving']);
    await client.untilClosed();
    witness.destroy();
  }
});

async function lineOf(child: ChildProcess): Promise<string> {
  const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  return line.toString();
}

test('a server without a descriptor left refuses clients and goes on serving those it has', async (t) => {
  const path = join(scratch(t), 'nbd.sock');
  const script = fileURLToPath(new URL('serve-child.js', import.meta.url));
  const child = spawn('sh', ['-c', `ulimit -n 40 && exec "$0" "$1" "$2"`, process.execPath, script, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  t.is(await lineOf(child), 'serving\n');
  const witness = await NbdClient.open(`unix:${path}`);
  for (let round = 0; round < 5; round++) {
    const crowd = await Promise.all(Array.from({ length: 40 }, async () => await NbdClient.connect(`unix:${path}`).catch(() => null)));
    const greeted = await Promise.all(
      crowd.map(
        async (client) =>
          await client?.greet().then(
            () => true,
            () => false,
          ),
      ),
    );
    t.true(greeted.includes(true));
    await witness.write(0, Buffer.from(`round ${round}`));
    t.is((await witness.read(0, 7)).toString(), `round ${round}`);
    for (const client of crowd) client?.destroy();
  }
  t.is(child.exitCode, null);
  witness.destroy();
});
