import { setTimeout as delay } from 'node:timers/promises';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { NbdClient } from '../nbd/nbd-client.js';
import { attempt, run } from './rig/command.js';
import { exerciser } from './rig/file-exerciser.js';
import { load, readBack } from './rig/model-load.js';
import { mount, NbdDisk } from './rig/nbd-disk.js';
import { Scratch } from './rig/scratch.js';
import { SYSTEM_SEED } from './rig/seed.js';
import { SECTOR_BYTES, WriteModel } from './rig/write-model.js';
import { YankableArray } from './rig/yankable-array.js';

const test = anyTest as TestFn<Scratch>;

/** Times that a member is pulled out. KEELSON_SYSTEM_YANKS makes it a soak. */
const YANKS = Number(process.env.KEELSON_SYSTEM_YANKS ?? 4);
const REGION_BYTES = 8 * MIB;
const RUN_MS_MAX = 400;
const EXERCISERS = 2;
const EXERCISE_OPERATIONS = 1500;
const EXERCISE_BYTES = 4 * MIB;

test.beforeEach((t) => {
  t.context = new Scratch();
});
test.afterEach.always((t) => t.context.close());

test.serial(
  `P1, P5, P10: ${YANKS} members behind nbdkit give errors and are pulled out, half of the times the server is killed too: nothing is lost`,
  async (t) => {
    t.timeout(600_000);
    t.log(`seed ${SYSTEM_SEED}: KEELSON_SYSTEM_SEED=${SYSTEM_SEED} repeats the requests and the moments`);
    const random = seededRandom(SYSTEM_SEED);
    const rig = await YankableArray.create(t.context, 32 * MIB);
    const { array } = rig;
    const model = new WriteModel(REGION_BYTES / SECTOR_BYTES);
    let server = await array.serve();
    for (let yank = 0; yank < YANKS; yank++) {
      const index = rig.yankable[random.below(rig.yankable.length)] as number;
      const kills = yank % 2 === 1;
      const when = `seed ${SYSTEM_SEED}, yank ${yank} of member ${index}${kills ? ' and the server' : ''}`;
      let client = await NbdClient.open(`unix:${array.socket}`);
      let enough = false;
      const loading = load(client, model, random, () => enough);
      await delay(random.below(RUN_MS_MAX));
      rig.disk(index).startErrors();
      await delay(random.below(RUN_MS_MAX));
      await rig.disk(index).yank();
      await delay(random.below(RUN_MS_MAX));
      if (kills) {
        await server.kill();
        await loading;
        client.destroy();
        server = await array.serve();
      } else {
        enough = true;
        t.deepEqual(await loading, [], `${when}: no request fails`);
        client.destroy();
      }
      client = await NbdClient.open(`unix:${array.socket}`);
      t.deepEqual((await readBack(client, model)).slice(0, 5), [], when);
      enough = false;
      const again = load(client, model, random, () => enough);
      await rig.noticed(index);
      await rig.takeBack(index);
      enough = true;
      t.deepEqual(await again, [], `${when}: no request fails`);
      t.deepEqual((await readBack(client, model)).slice(0, 5), [], `${when}, back again`);
      client.destroy();
    }
    await server.stop();
    server = await array.serve();
    const client = await NbdClient.open(`unix:${array.socket}`);
    t.deepEqual((await readBack(client, model)).slice(0, 5), [], `after a clean stop of seed ${SYSTEM_SEED}`);
    client.destroy();
    t.is((await array.status()).state, 'online');
    await server.stop();
  },
);

interface FileSystem {
  readonly type: 'ext4' | 'xfs';
  readonly memberBytes: number;
  readonly mkfs: readonly string[];
  readonly check: readonly [string, string];
}

async function exerciseWhileMembersLeave(t: ExecutionContext<Scratch>, system: FileSystem): Promise<void> {
  t.timeout(600_000);
  t.log(`seed ${SYSTEM_SEED}: KEELSON_SYSTEM_SEED=${SYSTEM_SEED} repeats the operations`);
  const scratch = t.context;
  const random = seededRandom(SYSTEM_SEED);
  const exercise = await exerciser(scratch);
  const rig = await YankableArray.create(scratch, system.memberBytes);
  const { array } = rig;
  let server = await array.serve();
  let disk = await NbdDisk.attach(scratch, array.socket);
  await run(`mkfs.${system.type}`, [...system.mkfs, disk.device]);
  let mounted = await mount(scratch, disk.device, system.type);

  let enough = false;
  let runs = 0;
  const last: { file: string; seed: number }[] = [];
  const lanes = Array.from({ length: EXERCISERS }, async (_, lane) => {
    for (let round = 0; !enough; round++) {
      const [file, seed] = [`f${lane}`, SYSTEM_SEED + lane * 1_000_003 + round];
      t.is(
        await exercise(`${mounted.folder}/${file}`, seed, EXERCISE_OPERATIONS, EXERCISE_BYTES),
        '',
        `${system.type}, file ${file}, exerciser seed ${seed}`,
      );
      last[lane] = { file, seed };
      runs++;
    }
  });
  for (let yank = 0; yank < Math.ceil(YANKS / 2); yank++) {
    const index = rig.yankable[random.below(rig.yankable.length)] as number;
    await delay(random.below(RUN_MS_MAX));
    rig.disk(index).startErrors();
    await delay(random.below(RUN_MS_MAX));
    await rig.disk(index).yank();
    await rig.noticed(index);
    await rig.takeBack(index);
  }
  enough = true;
  await Promise.all(lanes);
  t.log(`${runs} runs of ${EXERCISE_OPERATIONS} operations`);
  await mounted.umount();
  await disk.detach();
  await server.stop();

  server = await array.serve();
  disk = await NbdDisk.attach(scratch, array.socket);
  mounted = await mount(scratch, disk.device, system.type);
  for (const { file, seed } of last)
    t.is(
      await exercise(`${mounted.folder}/${file}`, seed, EXERCISE_OPERATIONS, EXERCISE_BYTES, 'check'),
      '',
      `${file} after a restart, seed ${seed}`,
    );
  await mounted.umount();
  const check = await attempt(system.check[0], [system.check[1], disk.device]);
  t.is(check.status, 0, check.stdout + check.stderr);
  await disk.detach();
  await server.stop();
}

test.serial('P4, P5: reads, writes, truncates and maps of files on ext4 see what they wrote while members fail and return', (t) =>
  exerciseWhileMembersLeave(t, { type: 'ext4', memberBytes: 48 * MIB, mkfs: ['-q', '-F'], check: ['e2fsck', '-fn'] }),
);
test.serial('P4, P5: reads, writes, truncates and maps of files on xfs see what they wrote while members fail and return', (t) =>
  exerciseWhileMembersLeave(t, { type: 'xfs', memberBytes: 176 * MIB, mkfs: ['-q', '-f'], check: ['xfs_repair', '-n'] }),
);
