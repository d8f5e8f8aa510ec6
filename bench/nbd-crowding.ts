/**
 * npm run bench:crowding [-- --json] [--seconds S] [--stuck N] [--only readers|writers|sequential] [--memory]
 *
 * What one client's 4 KiB requests wait for beside others, on a 4+2 array of files: beside peers that do not read the replies to their reads of 32 MiB, beside peers that
 * stop in the middle of a payload of 32 MiB, and beside a client that writes in sequence as fast as it can. Each figure stands beside the same client's idle one of the
 * same run. KEELSON_OUT names another compiled tree to measure.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { MIB } from '../src/base/units.js';
import { CMD } from '../src/nbd/protocol.js';
import { requestHeader } from '../test/nbd/client-encoding.js';
import { NbdClient } from '../test/nbd/nbd-client.js';
import { ArrayRig } from '../test/system/rig/array.js';
import { Scratch } from '../test/system/rig/scratch.js';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '5' },
    stuck: { type: 'string', default: '100' },
    only: { type: 'string' },
    memory: { type: 'boolean', default: false },
  },
});
const seconds = Number(values.seconds);
const stuckCount = Number(values.stuck);
/** What the sequential writer keeps in flight. */
const SEQUENTIAL = { bytes: MIB, depth: 16, area: 384 * MIB };
/** Requests of 4 KiB go to blocks behind what the sequential writer writes. */
const SMALL_AT = 400 * MIB;
const SMALL_AREA_BLOCKS = 4096;
const STUCK_BYTES = 32 * MIB;
/** A request that takes longer ends its series: the answer is "not within this time". */
const GIVE_UP_MS = 20_000;

interface Figures {
  readonly series: string;
  readonly requests: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly p999_ms: number;
  readonly max_ms: number;
}

function figures(series: string, taken_ms: readonly number[]): Figures {
  const sorted = [...taken_ms].sort((a, b) => a - b);
  const at = (part: number): number => Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0) * 100) / 100;
  return { series, requests: sorted.length, p50_ms: at(0.5), p99_ms: at(0.99), p999_ms: at(0.999), max_ms: at(1) };
}

async function within(request: Promise<unknown>, limit_ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), limit_ms);
  });
  const done = await Promise.race([request.then(() => true), late]);
  clearTimeout(timer);
  return done;
}

/** One request at a time for `seconds`. */
async function measure(series: string, ask: (index: number) => Promise<unknown>): Promise<Figures> {
  const taken_ms: number[] = [];
  const end = performance.now() + seconds * 1000;
  for (let index = 0; performance.now() < end; index++) {
    const began = performance.now();
    const done = await within(ask(index), GIVE_UP_MS);
    taken_ms.push(performance.now() - began);
    if (!done) break;
  }
  return figures(series, taken_ms);
}

const small = Buffer.alloc(4096, 7);
const placeOf = (index: number): number => SMALL_AT + ((index * 2654435761) % SMALL_AREA_BLOCKS) * 4096;

async function both(client: NbdClient, beside: string): Promise<Figures[]> {
  return [
    await measure(`4 KiB read, ${beside}`, (index) => client.read(placeOf(index), 4096)),
    await measure(`4 KiB write, ${beside}`, (index) => client.write(placeOf(index), small)),
  ];
}

async function stuckPeers(address: string, bytes: () => Buffer): Promise<NbdClient[]> {
  const peers: NbdClient[] = [];
  for (let i = 0; i < stuckCount; i++) {
    const peer = await NbdClient.open(address);
    peer.socket.pause();
    peer.send(bytes());
    peer.socket.pause();
    peers.push(peer);
  }
  await new Promise((wake) => setTimeout(wake, 500));
  return peers;
}

/** Writes in sequence until it is stopped; resolves to the bytes it has written. */
async function sequential(client: NbdClient, stopped: () => boolean): Promise<number> {
  const payload = Buffer.alloc(SEQUENTIAL.bytes, 3);
  let at = 0;
  let written = 0;
  const lane = async (): Promise<void> => {
    while (!stopped()) {
      const offset = at;
      at = (at + SEQUENTIAL.bytes) % SEQUENTIAL.area;
      await client.write(offset, payload);
      written += SEQUENTIAL.bytes;
    }
  };
  await Promise.all(Array.from({ length: SEQUENTIAL.depth }, lane));
  return written;
}

const scratch = new Scratch();
try {
  const folder = values.memory ? scratch.memory : scratch.folder;
  const array = new ArrayRig(scratch, {
    stripeMembers: Array.from({ length: 6 }, (_, index) => join(folder, `member-${index}`)),
    memberSize: '320MiB',
    journalSize: '128MiB',
    segment: '8MiB',
    slab: '256MiB',
  });
  await array.create();
  const server = await array.serve();
  const address = `unix:${array.socket}`;
  const client = await NbdClient.open(address);
  for (let block = 0; block < SMALL_AREA_BLOCKS; block += 256) await client.write(SMALL_AT + block * 4096, Buffer.alloc(MIB, 1));
  const results: Figures[] = [...(await both(client, 'idle'))];
  if (values.only === undefined || values.only === 'readers' || values.only === 'peers') {
    const peers = await stuckPeers(address, () => requestHeader({ type: CMD.READ, length: STUCK_BYTES }, 1));
    if (values.only !== 'peers') {
      results.push(...(await both(client, `${stuckCount} peers that do not read their replies`)));
      for (const peer of peers) peer.destroy();
    }
  }
  if (values.only === undefined || values.only === 'writers') {
    const peers = await stuckPeers(address, () =>
      Buffer.concat([requestHeader({ type: CMD.WRITE, length: STUCK_BYTES }, 1), Buffer.alloc(70_000)]),
    );
    results.push(...(await both(client, `${stuckCount} writers that stop in mid payload`)));
    for (const peer of peers) peer.destroy();
  }
  if (values.only === undefined || values.only === 'sequential') {
    let stop = false;
    const writer = await NbdClient.open(address);
    const began = performance.now();
    const written = sequential(writer, () => stop);
    results.push(...(await both(client, 'a sequential writer')));
    stop = true;
    const bytes = await written;
    const rate = bytes / MIB / ((performance.now() - began) / 1000);
    process.stderr.write(`the sequential writer: ${Math.round(rate)} MiB/s\n`);
  }
  client.destroy();
  await server.kill();
  if (values.json) process.stdout.write(`${JSON.stringify({ results })}\n`);
  else console.table(Object.fromEntries(results.map(({ series, ...rest }) => [series, rest])));
} finally {
  scratch.close();
}
