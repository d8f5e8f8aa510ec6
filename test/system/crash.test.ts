import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { type Random, seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { NbdClient } from '../nbd/nbd-client.js';
import { ArrayRig, type ArrayOptions } from './rig/array.js';
import type { KeelsonProcess } from './rig/keelson-process.js';
import { loopDevices } from './rig/loop-device.js';
import { Scratch } from './rig/scratch.js';
import { randomRequest, SECTOR_BYTES, WriteModel } from './rig/write-model.js';

const test = anyTest as TestFn<Scratch>;

/** Moments at which each of the four arrays is killed: 304 together. KEELSON_SYSTEM_KILLS makes it a soak. */
const KILLS = Number(process.env.KEELSON_SYSTEM_KILLS ?? 76);
const SEED = Number(process.env.KEELSON_SYSTEM_SEED ?? Date.now() % 0x1_0000_0000);
const RUN_MS_MAX = 120;
/** One kill in this many falls into the start and the recovery from the one before. */
const KILL_IN_RECOVERY = 3;
const RECOVERY_MS_MAX = 600;
const DEPTH = 16;
const REQUESTS_PER_FLUSH = 40;
/** Part of the volume that is written and read back: several times what the ring's smallest segments hold, so that it wraps and destages. */
const REGION_BYTES = 8 * MIB;
const READ_BYTES = MIB;
const CMD_FLAG_FUA = 1;

test.beforeEach((t) => {
  t.context = new Scratch();
});
test.afterEach.always((t) => t.context.close());

/** Keeps DEPTH random requests in flight until the connection dies. */
async function load(client: NbdClient, model: WriteModel, random: Random): Promise<void> {
  let sent = 0;
  const lane = async (): Promise<void> => {
    for (;;) {
      if (++sent % REQUESTS_PER_FLUSH === 0) await client.flush();
      const { operation, first, count, fua } = randomRequest(random, model.sectors);
      const sequence = model.submit(operation, first, count);
      const [offset, length, flags] = [first * SECTOR_BYTES, count * SECTOR_BYTES, fua ? CMD_FLAG_FUA : 0];
      if (operation === 'write') {
        const payload = new Uint8Array(length);
        model.fill(sequence, first, payload);
        await client.write(offset, payload, flags);
      } else if (operation === 'trim') await client.trim(offset, length, flags);
      else await client.writeZeroes(offset, length, flags);
      model.acknowledge(sequence);
    }
  };
  await Promise.allSettled(Array.from({ length: DEPTH }, lane));
}

/** Reads the whole region back and holds it against the model. */
async function readBack(client: NbdClient, model: WriteModel): Promise<string[]> {
  const wrong: string[] = [];
  for (let offset = 0; offset < REGION_BYTES; offset += 4 * READ_BYTES) {
    const pieces = await Promise.all([0, 1, 2, 3].map((i) => client.read(offset + i * READ_BYTES, READ_BYTES)));
    for (const [i, piece] of pieces.entries()) wrong.push(...model.verify((offset + i * READ_BYTES) / SECTOR_BYTES, aligned(piece)));
  }
  model.compact();
  return wrong;
}

/** The model reads words. */
function aligned(bytes: Buffer): Uint8Array {
  return bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
}

async function killAgainAndAgain(t: ExecutionContext<Scratch>, array: ArrayRig, salt: number): Promise<void> {
  const random = seededRandom(SEED + salt);
  const model = new WriteModel(REGION_BYTES / SECTOR_BYTES);
  await array.create();
  let server: KeelsonProcess = array.spawn();
  let inRecovery = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    if (kill > 0 && random.below(KILL_IN_RECOVERY) === 0) {
      await delay(random.below(RECOVERY_MS_MAX));
      await server.kill();
      inRecovery++;
      server = array.spawn();
      continue;
    }
    await server.ready();
    const client = await NbdClient.open(`unix:${array.socket}`);
    const wrong = await readBack(client, model);
    t.deepEqual(wrong.slice(0, 5), [], `${wrong.length} sectors are wrong after kill ${kill} of ${array.options.name}, seed ${SEED}`);
    const loading = load(client, model, random);
    await delay(random.below(RUN_MS_MAX));
    await server.kill();
    await loading;
    client.destroy();
    server = array.spawn();
  }
  await server.ready();
  let client = await NbdClient.open(`unix:${array.socket}`);
  t.deepEqual((await readBack(client, model)).slice(0, 5), [], `after the last kill of ${array.options.name}, seed ${SEED}`);
  client.destroy();
  await server.stop();
  server = await array.serve();
  client = await NbdClient.open(`unix:${array.socket}`);
  t.deepEqual((await readBack(client, model)).slice(0, 5), [], `after a clean stop of ${array.options.name}, seed ${SEED}`);
  client.destroy();
  t.is((await array.status()).state, 'online');
  await server.stop();
  t.log(`${array.options.name}: ${KILLS} kills, ${inRecovery} of them in a start`);
}

interface Shape {
  readonly stripeDisks: number;
  readonly journalDisks: number;
  readonly options: Partial<ArrayOptions> & { readonly name: string };
}

async function small(scratch: Scratch, { stripeDisks, journalDisks, options }: Shape): Promise<ArrayRig> {
  const stripe = await loopDevices(scratch, stripeDisks, 24 * MIB);
  const journal = await loopDevices(scratch, journalDisks, 16 * MIB);
  return new ArrayRig(
    scratch,
    {
      stripeMembers: stripe.map((disk) => disk.device),
      ...(journalDisks === 0 ? {} : { journalMembers: journal.map((disk) => disk.device) }),
      journalSize: '8MiB',
      segment: '1MiB',
      slab: '112MiB',
      ...options,
    },
    options.name,
  );
}

/** Two arrays at a time: while one starts, the other is under load. */
async function killBoth(t: ExecutionContext<Scratch>, shapes: readonly Shape[]): Promise<void> {
  t.timeout(KILLS * 10_000 + 60_000);
  t.log(`seed ${SEED}: KEELSON_SYSTEM_SEED=${SEED} repeats the requests and the moments`);
  await Promise.all(shapes.map(async (shape, salt) => killAgainAndAgain(t, await small(t.context, shape), salt)));
}

test.serial(
  `P1, P5: ${2 * KILLS} kills under random writes, trims, zeroes and flushes, journal on its own members: nothing acknowledged is lost, nothing torn`,
  async (t) => {
    const backup = { url: `file://${join(t.context.folder, 'repository')}`, compression: 'zstd' };
    await killBoth(t, [
      {
        stripeDisks: 6,
        journalDisks: 2,
        options: { name: 'draining', backup, drain: { maxAge: '1s', maxBytes: '4MiB', maxFill: 0.4 } },
      },
      { stripeDisks: 3, journalDisks: 2, options: { name: 'one-parity', parity: 1, chunk: '16KiB', io: 'fs' } },
    ]);
  },
);

test.serial(
  `P1, P5: ${2 * KILLS} kills under random writes, trims, zeroes and flushes, journal on the stripe members: nothing acknowledged is lost, nothing torn`,
  async (t) => {
    await killBoth(t, [
      { stripeDisks: 6, journalDisks: 0, options: { name: 'three-copies', journalCopies: 3 } },
      { stripeDisks: 4, journalDisks: 0, options: { name: 'small-chunks', chunk: '8KiB', durability: 'sync', io: 'fs' } },
    ]);
  },
);
