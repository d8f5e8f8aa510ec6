import { setTimeout as delay } from 'node:timers/promises';
import anyTest, { type TestFn } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
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
