import { randomInt } from 'node:crypto';
import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { CMD, CONTEXT_ALLOCATION, OPT, REQUEST_MAGIC } from '../../src/nbd/protocol.js';
import { mutant } from '../fuzz/mutation.js';
import { COOKIE_HIGH, contextData, infoData, optionBytes, requestHeader } from './client-encoding.js';
import { NbdClient } from './nbd-client.js';
import { errnoOf, pattern, serve, until } from './serve.js';

const MIB = 1024 * 1024;
const CLIENT_FLAGS = Buffer.from([0, 0, 0, 3]);

/** The seed of this run: KEELSON_SEED, or a fresh one. */
function seedOf(t: { log(message: string): void }): number {
  const seed = Number(process.env.KEELSON_SEED ?? randomInt(2 ** 31));
  t.log(`KEELSON_SEED=${seed}`);
  return seed;
}

/** A whole conversation up to the transmission phase, as bytes. */
function handshake(): Buffer {
  return Buffer.concat([
    CLIENT_FLAGS,
    optionBytes(OPT.STRUCTURED_REPLY),
    optionBytes(OPT.SET_META_CONTEXT, contextData('', [CONTEXT_ALLOCATION])),
    optionBytes(OPT.GO, infoData('', [3])),
  ]);
}

test('a conversation sent one byte at a time is understood', async (t) => {
  const { address, volume } = await serve(t);
  const client = await NbdClient.connect(address);
  const payload = pattern(300, 3);
  const conversation = Buffer.concat([
    handshake(),
    requestHeader({ type: CMD.WRITE, offset: 4000, payload }, 1),
    payload,
    requestHeader({ type: 99 }, 2),
    requestHeader({ type: CMD.WRITE, offset: 2 * MIB, payload }, 3),
    payload,
    requestHeader({ type: CMD.DISC }, 4),
  ]);
  for (const byte of conversation) {
    client.socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await client.untilClosed();
  t.true(volume.bytes.subarray(4000, 4300).equals(payload));
  t.deepEqual(
    volume.calls.map((call) => call.kind),
    ['write'],
  );
});

test('a whole conversation sent at once, handshake and requests together, is understood', async (t) => {
  const { address, volume, faults } = await serve(t);
  const client = await NbdClient.connect(address);
  const payload = pattern(4096, 5);
  const writes = Array.from({ length: 100 }, (_, index) =>
    Buffer.concat([requestHeader({ type: CMD.WRITE, offset: index * 4096, payload }, index), payload]),
  );
  client.send(Buffer.concat([handshake(), ...writes, requestHeader({ type: CMD.DISC }, 0)]));
  await client.untilClosed();
  for (let index = 0; index < 100; index++) t.true(volume.bytes.subarray(index * 4096, (index + 1) * 4096).equals(payload));
  t.deepEqual(faults, []);
});

test('a stream of writes cut at random places arrives whole', async (t) => {
  const random = seededRandom(seedOf(t));
  const { address, volume, server } = await serve(t, { sizeBytes: 4 * MIB });
  const client = await NbdClient.open(address);
  const model = Buffer.alloc(4 * MIB);
  const parts: Buffer[] = [];
  let at = 0;
  for (let index = 0; at < 4 * MIB; index++) {
    const length = Math.min(1 + random.below(random.below(4) === 0 ? 200_000 : 9000), 4 * MIB - at);
    const payload = pattern(length, index);
    payload.copy(model, at);
    parts.push(requestHeader({ type: CMD.WRITE, offset: at, payload }, index), payload);
    at += length;
  }
  const stream = Buffer.concat(parts);
  const count = parts.length / 2;
  for (let sent = 0; sent < stream.length; ) {
    const length = 1 + random.below(random.below(2) === 0 ? 50 : 90_000);
    client.socket.write(stream.subarray(sent, sent + length));
    sent += length;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => server.gauges().requestsTotal === count && server.gauges().requestsInFlight === 0);
  t.true(volume.bytes.equals(model));
  client.destroy();
});

const BROKEN: readonly [string, Buffer][] = [
  ['unknown client flags', Buffer.from([0, 0, 0, 0xff])],
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n')],
  ['an option without its magic', Buffer.concat([CLIENT_FLAGS, Buffer.alloc(16, 7)])],
  ['zeroes', Buffer.alloc(10_000)],
  ['an export name of 4 GiB', Buffer.concat([CLIENT_FLAGS, optionBytes(OPT.EXPORT_NAME, Buffer.from('x'), 0xffffffff)])],
  ['options without end', Buffer.concat([CLIENT_FLAGS, ...Array.from({ length: 300 }, () => optionBytes(OPT.STARTTLS))])],
  ['an endless option', Buffer.concat([CLIENT_FLAGS, optionBytes(OPT.INFO, Buffer.alloc(2 * MIB), 0xffffffff)])],
  ['a request with a wrong magic', Buffer.concat([handshake(), requestHeader({ type: CMD.READ, length: 1, magic: REQUEST_MAGIC + 1 }, 1)])],
  ['options after the handshake', Buffer.concat([handshake(), optionBytes(OPT.LIST, Buffer.alloc(12))])],
  ['a write of 4 GiB', Buffer.concat([handshake(), requestHeader({ type: CMD.WRITE, length: 0xffffffff }, 1), Buffer.alloc(100)])],
];

for (const [what, bytes] of BROKEN) {
  test(`${what} cost that peer its connection and nobody else`, async (t) => {
    const { address, volume, faults, bugs } = await serve(t);
    const witness = await NbdClient.open(address);
    const client = await NbdClient.connect(address);
    client.send(bytes);
    await client.untilClosed();
    t.is(faults.length, 1);
    t.deepEqual(bugs, []);
    t.deepEqual(volume.calls, []);
    await witness.write(0, Buffer.from('still here'));
    t.is((await witness.read(0, 10)).toString(), 'still here');
    witness.destroy();
  });
}

test('a peer that vanishes at any point of a conversation leaves nothing behind', async (t) => {
  const { address, server, bugs } = await serve(t);
  const payload = pattern(5000, 1);
  const conversation = Buffer.concat([
    handshake(),
    requestHeader({ type: CMD.READ, offset: 0, length: 100_000 }, 1),
    requestHeader({ type: CMD.WRITE, offset: 0, payload }, 2),
    payload,
    requestHeader({ type: CMD.FLUSH }, 3),
  ]);
  for (let length = 0; length <= conversation.length; length += length < 250 ? 1 : 97) {
    const client = await NbdClient.connect(address);
    client.send(conversation.subarray(0, length));
    if (length % 2 === 0) {
      client.destroy();
    } else {
      client.socket.end();
      await client.untilClosed();
    }
  }
  await until(() => server.gauges().connections === 0);
  t.deepEqual(bugs, []);
  t.is(server.gauges().requestsInFlight, 0);
});

test('a connection lost while the volume works releases its payloads and requests when they come back', async (t) => {
  const { address, volume, server } = await serve(t, { completes: 'held' });
  const client = await NbdClient.open(address);
  const lost = [client.read(0, 100_000), client.read(0, 100), client.write(0, Buffer.alloc(9)), client.flush()].map(
    async (request) => await t.throwsAsync(request),
  );
  await until(() => volume.heldCount === 4);
  client.destroy();
  await Promise.all(lost);
  t.is(server.gauges().connections, 1);
  volume.release();
  await until(() => server.gauges().connections === 0);
  t.is(volume.payloadsOut, 0);
});

test('a connection lost with large replies unsent releases their payloads', async (t) => {
  const { address, volume, server } = await serve(t, { sizeBytes: 8 * MIB });
  const client = await NbdClient.open(address);
  const reads = Array.from({ length: 8 }, async () => await t.throwsAsync(client.read(0, 2 * MIB)));
  // Nothing is read from the socket: replies pile up behind it.
  client.socket.pause();
  await until(() => volume.payloadsOut > 8);
  client.destroy();
  await Promise.all(reads);
  await until(() => server.gauges().connections === 0);
  t.is(volume.payloadsOut, 0);
});

test('mutated conversations never hurt the server or another connection', async (t) => {
  const random = seededRandom(seedOf(t));
  const { address, server, bugs } = await serve(t);
  const witness = await NbdClient.open(address);
  const payload = pattern(600, 2);
  const requests = Buffer.concat([
    requestHeader({ type: CMD.WRITE, offset: 512 * 1024, payload }, 1),
    payload,
    requestHeader({ type: CMD.READ, offset: 4096, length: 20_000 }, 2),
    requestHeader({ type: CMD.BLOCK_STATUS, offset: 0, length: MIB }, 3),
    requestHeader({ type: CMD.WRITE_ZEROES, offset: 600 * 1024, length: 4096 }, 4),
    requestHeader({ type: CMD.FLUSH }, 5),
  ]);
  for (let round = 0; round < 400; round++) {
    const client = await NbdClient.connect(address);
    const whole = random.below(2) === 0;
    client.send(
      whole
        ? mutant(random, Buffer.concat([handshake(), requests]), [handshake(), requests])
        : Buffer.concat([handshake(), mutant(random, requests, [handshake(), requests])]),
    );
    client.socket.end();
    await client.untilClosed();
    if (round % 50 === 0) t.is(await errnoOf(witness.flush()), 0, `round ${round}`);
  }
  await until(() => server.gauges().connections === 1);
  t.deepEqual(bugs, []);
  t.is(server.gauges().payloadBytes, 0);
  witness.destroy();
});

test('random requests against a model: every answer is what the volume holds', async (t) => {
  const random = seededRandom(seedOf(t));
  const size = MIB + 777;
  const { address } = await serve(t, { sizeBytes: size });
  const clients = await Promise.all([0, 1, 2].map(async () => await NbdClient.open(address, { structured: random.below(2) === 0 })));
  const model = Buffer.alloc(size);
  for (let step = 0; step < 600; step++) {
    const client = clients[random.below(clients.length)] as NbdClient;
    const offset = random.below(size);
    const length = 1 + random.below(Math.min(size - offset, random.below(3) === 0 ? size : 9000));
    switch (random.below(5)) {
      case 0:
      case 1: {
        const payload = pattern(length, step);
        payload.copy(model, offset);
        await client.write(offset, payload, random.below(2));
        break;
      }
      case 2:
        model.fill(0, offset, offset + length);
        if (random.below(2) === 0) await client.trim(offset, length);
        else await client.writeZeroes(offset, length, random.below(2));
        break;
      default:
        if (!(await client.read(offset, length)).equals(model.subarray(offset, offset + length)))
          t.fail(`step ${step}: ${length} bytes at ${offset}`);
    }
  }
  t.true((await (clients[0] as NbdClient).read(0, size)).equals(model));
  for (const client of clients) await client.disconnect();
});

test('cookies come back as they were sent, whatever they are', async (t) => {
  const { address } = await serve(t);
  const client = await NbdClient.open(address, { structured: false });
  // The client itself checks both halves of every cookie.
  t.true(COOKIE_HIGH > 0x7fff_ffff);
  await client.flush();
  client.destroy();
});
