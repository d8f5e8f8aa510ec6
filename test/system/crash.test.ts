import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { NbdClient } from '../nbd/nbd-client.js';
import { ArrayRig, type ArrayOptions } from './rig/array.js';
import type { KeelsonProcess } from './rig/keelson-process.js';
import { loopDevices } from './rig/loop-device.js';
import { load, readBack } from './rig/model-load.js';
import { Scratch } from './rig/scratch.js';
import { SYSTEM_SEED } from './rig/seed.js';
import { SECTOR_BYTES, WriteModel } from './rig/write-model.js';

const test = anyTest as TestFn<Scratch>;

/** Moments at which each of the four arrays is killed: 304 together. KEELSON_SYSTEM_KILLS makes it a soak. */
const KILLS = Number(process.env.KEELSON_SYSTEM_KILLS ?? 76);
const RUN_MS_MAX = 120;
/** One kill in this many falls into the start and the recovery from the one before. */
const KILL_IN_RECOVERY = 3;
const RECOVERY_MS_MAX = 600;
/** Part of the volume that is written and read back: several times what the ring's smallest segments hold, so that it wraps and destages. */
const REGION_BYTES = 8 * MIB;

test.beforeEach((t) => {
  t.context = new Scratch();
});
test.afterEach.always((t) => t.context.close());

async function killAgainAndAgain(t: ExecutionContext<Scratch>, array: ArrayRig, salt: number): Promise<void> {
  const random = seededRandom(SYSTEM_SEED + salt);
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
    t.deepEqual(
      wrong.slice(0, 5),
      [],
      `${wrong.length} sectors are wrong after kill ${kill} of ${array.options.name}, seed ${SYSTEM_SEED}`,
    );
    const loading = load(client, model, random);
    await delay(random.below(RUN_MS_MAX));
    await server.kill();
    await loading;
    client.destroy();
    server = array.spawn();
  }
  await server.ready();
  let client = await NbdClient.open(`unix:${array.socket}`);
  t.deepEqual((await readBack(client, model)).slice(0, 5), [], `after the last kill of ${array.options.name}, seed ${SYSTEM_SEED}`);
  client.destroy();
  await server.stop();
  server = await array.serve();
  client = await NbdClient.open(`unix:${array.socket}`);
  t.deepEqual((await readBack(client, model)).slice(0, 5), [], `after a clean stop of ${array.options.name}, seed ${SYSTEM_SEED}`);
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
  t.log(`seed ${SYSTEM_SEED}: KEELSON_SYSTEM_SEED=${SYSTEM_SEED} repeats the requests and the moments`);
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
