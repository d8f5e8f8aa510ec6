import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import test from 'ava';
import { openIntake } from '../../src/nbd/intake.js';
import { PayloadAssembly } from '../../src/nbd/payload-assembly.js';
import { Request } from '../../src/nbd/request.js';
import { Staging, type StagingBuffer } from '../../src/nbd/staging.js';
import { MemoryBudget } from '../../src/nbd/memory-budget.js';
import { REQUEST_HELD_MAX } from '../../src/nbd/pieces.js';
import { ManualClock } from './manual-clock.js';
import { pattern } from './serve.js';

const MIB = 1024 * 1024;

/** Takes everything into pieces of 1,000 bytes; resolves when the peer has ended. */
async function collect(accepted: Socket): Promise<{ readonly bytes: Buffer; readonly socket: Socket; readonly lent: number }> {
  const got: Buffer[] = [];
  let lent = 0;
  const socket = openIntake(accepted, {
    buffer: () => {
      lent++;
      return new Uint8Array(1000);
    },
    take: (buffer, length) => {
      got.push(Buffer.from(buffer.subarray(0, length)));
    },
  });
  await once(socket, 'end');
  return { bytes: Buffer.concat(got), socket, lent };
}

for (const [kind, where] of [
  ['a unix', { path: `\0keelson-intake-${process.pid}` }],
  ['a TCP', { host: '127.0.0.1', port: 0 }],
] as const) {
  test(`${kind} socket is read into the memory that was named for it, by this version of Node`, async (t) => {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    server.listen(where);
    await once(server, 'listening');
    const address = server.address();
    const client =
      typeof address === 'string' || address === null ? connect(where as { path: string }) : connect(address.port, '127.0.0.1');
    t.teardown(() => {
      client.destroy();
      server.close();
    });
    const sent = pattern(300_000, 7);
    client.end(sent);
    const [accepted] = (await once(server, 'connection')) as [Socket];
    const { bytes, socket, lent } = await collect(accepted);
    t.true(bytes.equals(sent));
    t.not(socket, accepted, "the accepted socket's descriptor could not be read: 'data' events are used, at half the rate");
    t.true(lent >= 300, 'each read asked for memory');
    socket.end('answer');
    t.is(String(Buffer.concat(await client.toArray())), 'answer');
  });
}

test("a socket that does not tell its descriptor is read by 'data' events", async (t) => {
  const accepted = new PassThrough();
  accepted.pause();
  accepted.end(pattern(5000, 1));
  const { bytes, socket, lent } = await collect(accepted as unknown as Socket);
  t.is(socket as unknown, accepted);
  t.true(bytes.equals(pattern(5000, 1)));
  t.is(lent, 0);
});

function writeRequest(length: number): Request {
  const request = new Request();
  request.length = length;
  return request;
}

function assembly(): PayloadAssembly {
  const budget = new MemoryBudget(64 * MIB, 16, REQUEST_HELD_MAX);
  return new PayloadAssembly(
    new Staging(MIB),
    budget.share(() => undefined),
    new ManualClock(),
  );
}

test('what lands in the memory lent for a payload completes it, without a copy', (t) => {
  const payload = assembly();
  const request = writeRequest(200_000);
  const sent = pattern(200_000, 3);
  t.is(payload.take(request, sent.subarray(0, 30_000), 0), 30_000);
  for (let at = 30_000; at < 200_000; ) {
    const lent = payload.lend(request) as Uint8Array;
    t.is(lent.length, at < 131_072 ? 131_072 - 30_000 : 200_000 - 131_072, 'the rest of the piece');
    lent.set(sent.subarray(at, at + lent.length));
    t.true(payload.landed(request, lent, lent.length));
    at += lent.length;
  }
  t.true(payload.complete);
  t.true(
    Buffer.concat(request.staging.map(({ bytes }) => bytes))
      .subarray(0, 200_000)
      .equals(sent),
  );
});

test("memory that a dropped payload lent to the socket is nobody else's, and what lands in it is an ordinary chunk", (t) => {
  const payload = assembly();
  const request = writeRequest(100_000);
  const lent = payload.lend(request) as Uint8Array;
  const staging = request.staging[0] as StagingBuffer;
  t.true(payload.isLent(staging));
  request.staging.length = 0;
  payload.reset();
  t.true(payload.isLent(staging), 'the socket may still write into it');
  t.false(payload.landed(writeRequest(100_000), lent, 10));
  t.is(payload.lend(writeRequest(10)), null);
  t.false(payload.isLent(staging), 'the socket was given other memory');
});
