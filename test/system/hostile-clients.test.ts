import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type Random, seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { CMD, CONTEXT_ALLOCATION, CONTEXT_UNDRAINED } from '../../src/nbd/protocol.js';
import { requestHeader } from '../nbd/client-encoding.js';
import { NbdClient } from '../nbd/nbd-client.js';
import { ArrayRig } from './rig/array.js';
import type { KeelsonProcess } from './rig/keelson-process.js';
import { Scratch } from './rig/scratch.js';
import { SYSTEM_SEED } from './rig/seed.js';

/** The real server, its real engine under it, and peers that mean it no good: over a unix socket and over TCP, seen from outside, in /proc. */
const scratch = new Scratch();
let array: ArrayRig;
let server: KeelsonProcess;
let addresses: readonly string[] = [];

test.before(async () => {
  array = new ArrayRig(scratch, {
    stripeMembers: Array.from({ length: 6 }, (_, index) => join(scratch.memory, `member-${index}`)),
    memberSize: '176MiB',
    journalSize: '64MiB',
    alsoOn: ['tcp:127.0.0.1:0'],
  });
  await array.create();
  server = await array.serve();
  const tcp = /serving (nbd:\/\/127\.0\.0\.1:\d+)\//.exec(server.log())?.[1];
  if (tcp === undefined) throw new Error(`no TCP address in the log\n${server.log()}`);
  addresses = [`unix:${array.socket}`, `${tcp}/`];
});

test.after.always(() => scratch.close());

function descriptors(): number {
  return readdirSync(`/proc/${server.pid}/fd`).length;
}

function residentBytes(): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1]) * 1024;
}

/** Until the condition holds; how long that may take is the test's own timeout. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((wake) => setTimeout(wake, 5));
}

function seeded(t: ExecutionContext): Random {
  const seed = SYSTEM_SEED;
  t.log(`KEELSON_SYSTEM_SEED=${seed}`);
  return seededRandom(seed);
}

/** One visit, of a kind that somebody makes one day: it stops somewhere between connecting and a clean end. */
async function visit(random: Random, index: number): Promise<void> {
  const address = addresses[index % 2] as string;
  const kind = random.below(8);
  const client = await NbdClient.connect(address);
  try {
    if (kind === 0) return;
    if (kind === 1) {
      const noise = Buffer.alloc(1 + random.below(300));
      random.fill(noise);
      client.send(noise);
      client.socket.end();
      await client.untilClosed();
      return;
    }
    await client.greet();
    if (kind === 2) return;
    await client.negotiateStructured();
    if (kind === 3) return;
    await client.selectContexts('', [CONTEXT_ALLOCATION, CONTEXT_UNDRAINED]);
    await client.go();
    if (kind === 4)
      client.send(Buffer.concat([requestHeader({ type: CMD.WRITE, offset: 0, length: 200_000 }, 1), Buffer.alloc(random.below(200_000))]));
    else if (kind === 5)
      client.send(Buffer.concat(Array.from({ length: 8 }, (_, i) => requestHeader({ type: CMD.READ, offset: 0, length: 65536 }, i))));
    else {
      await client.blockStatus(0, client.sizeBytes);
      await client.read(random.below(1000), 4096);
      if (kind === 6) await client.disconnect();
    }
  } finally {
    client.destroy();
  }
}

test.serial('ten thousand connections, most of them broken off, leave neither a descriptor nor memory behind', async (t) => {
  t.timeout(240_000);
  const random = seeded(t);
  const witness = await NbdClient.open(addresses[0] as string);
  const before = descriptors();
  const resident: number[] = [];
  for (let wave = 0; wave < 5; wave++) {
    let next = 0;
    const visitor = async (): Promise<void> => {
      while (next < 2000) await visit(random, next++);
    };
    await Promise.all(Array.from({ length: 50 }, visitor));
    await until(() => descriptors() === before);
    await witness.write(wave * 4096, Buffer.alloc(4096, wave + 1));
    t.is((await witness.read(wave * 4096, 1))[0], wave + 1);
    resident.push(residentBytes());
  }
  t.log(`${before} descriptors; resident after each 2,000: ${resident.map((bytes) => Math.round(bytes / MIB)).join(', ')} MiB`);
  // The first waves fill what is kept (reply batches, buffers, code). A leak of 8 KiB a connection would be 48 MiB by then.
  t.true((resident[4] as number) - (resident[1] as number) < 48 * MIB, 'memory grows with the number of connections');
  await witness.disconnect();
});

/** 32 MiB of which every block says where it belongs. */
function stamped(offset: number): Buffer {
  const bytes = Buffer.alloc(32 * MIB);
  for (let at = 0; at < bytes.length; at += 512) bytes.writeDoubleLE(offset + at + 0.5, at);
  return bytes;
}

test.serial('requests of 32 MiB from many clients at once keep to the memory bound and are all right', async (t) => {
  t.timeout(240_000);
  const clients = await Promise.all(Array.from({ length: 24 }, async (_, index) => await NbdClient.open(addresses[index % 2] as string)));
  const offsetOf = (index: number): number => (index % 8) * 32 * MIB + 512;
  // Once one after the other: then the slab has been touched, and what is kept between requests is there.
  for (const [index, client] of clients.slice(0, 8).entries()) await client.write(offsetOf(index), stamped(offsetOf(index)));
  const before = residentBytes();
  let peak = before;
  const watch = setInterval(() => {
    peak = Math.max(peak, residentBytes());
  }, 20);
  try {
    // Twelve times the payload budget at once; it makes no difference which of the same comes last.
    await Promise.all(clients.map(async (client, index) => await client.write(offsetOf(index), stamped(offsetOf(index)))));
    await Promise.all(
      clients.map(async (client, index) =>
        t.true((await client.read(offsetOf(index), 32 * MIB)).equals(stamped(offsetOf(index))), `client ${index}`),
      ),
    );
  } finally {
    clearInterval(watch);
  }
  t.log(`resident: ${Math.round(before / MIB)} MiB before, at most ${Math.round(peak / MIB)} MiB`);
  // Payloads 64 MiB, idle buffers 32, reply batches, and room for what is collected late.
  t.true(peak - before < (64 + 32 + 96) * MIB, 'the requests take memory without a bound');
  for (const client of clients) await client.disconnect();
});

test.serial('peers that hang in every way there is do not keep others from reading and writing', async (t) => {
  t.timeout(240_000);
  const witness = await NbdClient.open(addresses[1] as string, { contexts: [CONTEXT_ALLOCATION] });
  const before = descriptors();
  const hung: NbdClient[] = [];
  const hang = async (bytes: (client: NbdClient) => Buffer): Promise<void> => {
    const client = await NbdClient.open(addresses[hung.length % 2] as string, { contexts: [CONTEXT_ALLOCATION, CONTEXT_UNDRAINED] });
    client.socket.pause();
    client.send(bytes(client));
    client.socket.pause();
    hung.push(client);
  };
  for (let i = 0; i < 4; i++) hung.push(await NbdClient.connect(addresses[i % 2] as string));
  for (let i = 0; i < 6; i++) {
    await hang(() =>
      Buffer.concat(Array.from({ length: 64 }, (_, at) => requestHeader({ type: CMD.READ, offset: at * MIB, length: MIB }, at))),
    );
    await hang(() => Buffer.concat([requestHeader({ type: CMD.WRITE, offset: 0, length: 32 * MIB }, 1), Buffer.alloc(70_000)]));
    await hang(() => requestHeader({ type: CMD.READ, offset: 0, length: 4096 }, 1).subarray(0, 20));
    await hang((client) =>
      Buffer.concat(Array.from({ length: 2000 }, (_, at) => requestHeader({ type: CMD.BLOCK_STATUS, length: client.sizeBytes }, at))),
    );
    await hang((client) =>
      Buffer.concat(
        Array.from({ length: 2000 }, (_, at) =>
          requestHeader({ type: CMD.WRITE_ZEROES, offset: 300 * MIB, length: client.sizeBytes - 300 * MIB }, at),
        ),
      ),
    );
  }
  const began = performance.now();
  for (let round = 0; round < 20; round++) {
    const bytes = Buffer.alloc(round < 2 ? 8 * MIB : 12_345, round + 1);
    await witness.write(290 * MIB + round, bytes);
    t.true((await witness.read(290 * MIB + round, bytes.length)).equals(bytes), `round ${round}`);
    await witness.flush();
    let at = 0;
    while (at < 300 * MIB)
      for (const extent of (await witness.blockStatus(at, 300 * MIB - at)).get(CONTEXT_ALLOCATION) ?? []) at += extent.length;
  }
  t.log(`20 rounds beside ${hung.length} hung peers: ${Math.round(performance.now() - began)} ms`);
  for (const client of hung) client.destroy();
  await until(() => descriptors() === before);
  await witness.disconnect();
});

test.serial('after all of that the server stops cleanly, without an error in its log, and its volume is whole', async (t) => {
  t.timeout(120_000);
  await server.stop();
  const errors = server
    .log()
    .split('\n')
    .filter((line) => /"level":(50|60)/.test(line));
  t.deepEqual(errors, []);
  server = await array.serve();
  const client = await NbdClient.open(addresses[0] as string);
  for (let index = 0; index < 8; index++) {
    const offset = index * 32 * MIB + 512;
    t.true((await client.read(offset + MIB, MIB)).equals(stamped(offset).subarray(MIB, 2 * MIB)), `client ${index}`);
  }
  await client.disconnect();
  await server.stop();
});
