import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import anyTest, { type TestFn } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import { BATCH_MAGIC, FLAG_REMADE } from '../../src/journal/batch-format.js';
import { NbdClient } from '../nbd/nbd-client.js';
import { ArrayRig } from './rig/array.js';
import { loopDevices } from './rig/loop-device.js';
import { load, readBack } from './rig/model-load.js';
import { Scratch } from './rig/scratch.js';
import { SYSTEM_SEED } from './rig/seed.js';
import { SECTOR_BYTES, WriteModel } from './rig/write-model.js';
import { YankableDisk } from './rig/yankable-disk.js';

const test = anyTest as TestFn<Scratch>;

/** Times that the server is killed with the loss of a journal member. KEELSON_SYSTEM_KILLS makes it a soak. */
const LOSSES = Math.ceil(Number(process.env.KEELSON_SYSTEM_KILLS ?? 76) / 12);
const REGION_BYTES = 4 * MIB;
const JOURNAL_BYTES = 16 * MIB;
/** A batch is on one journal member this much earlier than on the other. */
const SLOW_MS = 40;
const RUN_MS_MIN = 150;
const RUN_MS_MAX = 400;
const FAST = 3;

test.beforeEach((t) => {
  t.context = new Scratch();
});
test.afterEach.always((t) => t.context.close());

test.serial(
  'P1: what was acknowledged is on each journal copy: the server is killed, the slow journal member is cut off in that moment, and the other one is lost',
  async (t) => {
    t.timeout(60_000 + LOSSES * 60_000);
    t.log(`seed ${SYSTEM_SEED}: KEELSON_SYSTEM_SEED=${SYSTEM_SEED} repeats the requests and the moments`);
    const random = seededRandom(SYSTEM_SEED);
    const stripe = await loopDevices(t.context, FAST, 24 * MIB);
    const slow = await YankableDisk.create(t.context, 'slow', JOURNAL_BYTES, SLOW_MS);
    let [fast] = await loopDevices(t.context, 1, JOURNAL_BYTES);
    const array = new ArrayRig(t.context, {
      stripeMembers: stripe.map(({ device }) => device),
      parity: 1,
      journalMembers: [fast?.device ?? '', slow.device],
      journalSize: '8MiB',
      segment: '1MiB',
      slab: '112MiB',
    });
    await array.create();
    const model = new WriteModel(REGION_BYTES / SECTOR_BYTES);
    let server = await array.serve();
    for (let loss = 0; loss < LOSSES; loss++) {
      const when = `loss ${loss} of seed ${SYSTEM_SEED}`;
      let client = await NbdClient.open(`unix:${array.socket}`);
      const loading = load(client, model, random);
      await delay(RUN_MS_MIN + random.below(RUN_MS_MAX - RUN_MS_MIN));
      await Promise.all([server.kill(), slow.yank()]);
      await loading;
      client.destroy();
      fast?.detach();
      await slow.remove();
      await slow.plug();
      array.configure({ ...array.options, journalMembers: [t.context.path(`lost-${loss}`), slow.device] });
      server = await array.serve();
      client = await NbdClient.open(`unix:${array.socket}`);
      t.deepEqual((await readBack(client, model)).slice(0, 5), [], when);
      client.destroy();
      [fast] = await loopDevices(t.context, 1, JOURNAL_BYTES);
      const device = fast?.device ?? '';
      await array.must(['replace', String(FAST), device]);
      array.configure({ ...array.options, journalMembers: [device, slow.device] });
      await array.until(`both journal members are there, ${when}`, ({ state }) => state === 'online');
    }
    t.log(`${LOSSES} losses, ${model.acknowledgements} requests acknowledged`);
    t.true(model.acknowledgements > LOSSES, 'something was acknowledged');
    await server.stop();
  },
);

const RING_BYTES = 64 * MIB;
/** Far from full, when writers would have it drained, and more than the slab holds. */
const FILLED = 0.5;

/** Segments on a journal member that were made again from the stripes. */
function remadeOn(file: string): number {
  const bytes = readFileSync(file);
  let found = 0;
  for (let at = 0; at + BLOCK_BYTES <= bytes.length; at += BLOCK_BYTES)
    if (bytes.readUInt32LE(at) === BATCH_MAGIC && (bytes.readUInt16LE(at + 6) & FLAG_REMADE) !== 0) found++;
  return found;
}

test.serial(
  'P4, P8: all journal members are pulled out and replaced while nothing is drained: the ring is made again from the stripes, and after a kill -9 everything is there and drained',
  async (t) => {
    t.timeout(300_000);
    t.log(`seed ${SYSTEM_SEED}: KEELSON_SYSTEM_SEED=${SYSTEM_SEED} repeats the requests`);
    const random = seededRandom(SYSTEM_SEED);
    const stripe = await loopDevices(t.context, 4, 48 * MIB);
    const journal = [
      await YankableDisk.create(t.context, 'first', RING_BYTES + 8 * MIB, 0),
      await YankableDisk.create(t.context, 'second', RING_BYTES + 8 * MIB, 0),
    ];
    const array = new ArrayRig(t.context, {
      stripeMembers: stripe.map(({ device }) => device),
      parity: 1,
      journalMembers: journal.map(({ device }) => device),
      journalSize: `${RING_BYTES / MIB}MiB`,
      segment: '1MiB',
      backup: { url: `file://${t.context.path('vault')}` },
      drain: { maxAge: '1d', maxBytes: '1GiB', maxFill: 0.95, onDegraded: false },
      slab: '112MiB',
    });
    await array.create();
    const model = new WriteModel(REGION_BYTES / SECTOR_BYTES);
    let server = await array.serve();
    let client = await NbdClient.open(`unix:${array.socket}`);
    let enough = false;
    const loading = load(client, model, random, () => enough);
    await array.until('half of the ring is full', ({ journal: ring }) => ring.fillRatio > FILLED);
    enough = true;
    t.deepEqual(await loading, []);
    await Promise.all(journal.map((disk) => disk.yank()));
    // Found out by a write, which is refused.
    await t.throwsAsync(client.write(REGION_BYTES, new Uint8Array(BLOCK_BYTES), 1));
    const warned = ({ alarms }: { alarms: readonly { code: string }[] }): boolean =>
      alarms.some(({ code }) => code === 'RING_WITHOUT_COPY');
    await array.until('the ring has no copy left', warned);
    const replacements = [
      await YankableDisk.create(t.context, 'third', RING_BYTES + 8 * MIB, 0),
      await YankableDisk.create(t.context, 'fourth', RING_BYTES + 8 * MIB, 0),
    ];
    for (const [i, disk] of replacements.entries()) await array.must(['replace', String(4 + i), disk.device]);
    array.configure({ ...array.options, journalMembers: replacements.map(({ device }) => device) });
    // Second copies may still be on their way when the server is killed.
    await array.until('every segment has a copy again', (status) => !warned(status) && status.state === 'online');
    await server.kill();
    client.destroy();
    const remade = replacements.map(({ file }) => remadeOn(file));
    t.log(`${remade.join(' and ')} segments made again`);
    t.true(Math.max(...remade) > 3, 'segments were made again from the stripes');
    server = await array.serve();
    client = await NbdClient.open(`unix:${array.socket}`);
    t.deepEqual((await readBack(client, model)).slice(0, 5), [], `seed ${SYSTEM_SEED}`);
    await array.must(['drain', '--wait']);
    t.is((await array.status()).drain.undrainedBytes, 0);
    client.destroy();
    await server.stop();
    // All is lost but the backup: it has what the volume had.
    await array.must(['restore', '--force']);
    server = await array.serve();
    client = await NbdClient.open(`unix:${array.socket}`);
    t.deepEqual((await readBack(client, model)).slice(0, 5), [], `restored, seed ${SYSTEM_SEED}`);
    client.destroy();
    await server.stop();
  },
);
