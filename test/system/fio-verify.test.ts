import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import anyTest, { type TestFn } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { ArrayRig } from './rig/array.js';
import { attempt } from './rig/command.js';
import { fio } from './rig/fio.js';
import { loopDevices } from './rig/loop-device.js';
import { Scratch } from './rig/scratch.js';
import { SYSTEM_SEED } from './rig/seed.js';

const test = anyTest as TestFn<Scratch>;

const SIZE = 96 * MIB;
/** So that no job is done before the server is killed. */
const RATE = '24m';
/** fio may take its time to begin. */
const WRITES_MIN = 4;
const RUN_MS_MIN = 500;
const RUN_MS_MAX = 1700;
const STATE = 'local-job-0-verify.state';

test.beforeEach((t) => {
  t.context = new Scratch();
});
test.afterEach.always((t) => t.context.close());

test.serial(
  'P1: what fio wrote in all sizes before the server was killed verifies after its restart, by the state that fio saved',
  async (t) => {
    t.timeout(300_000);
    t.log(`seed ${SYSTEM_SEED}: KEELSON_SYSTEM_SEED=${SYSTEM_SEED} repeats the writes`);
    const scratch = t.context;
    const random = seededRandom(SYSTEM_SEED);
    const stripe = await loopDevices(scratch, 6, 48 * MIB);
    const journal = await loopDevices(scratch, 2, 32 * MIB);
    const array = new ArrayRig(scratch, {
      stripeMembers: stripe.map((disk) => disk.device),
      journalMembers: journal.map((disk) => disk.device),
      journalSize: '16MiB',
      segment: '1MiB',
    });
    await array.create();
    let server = await array.serve();
    for (const sizes of [
      { bsrange: '512-16k', blockalign: 512, iodepth: 16 },
      { bsrange: '4k-256k', blockalign: 4096, iodepth: 32 },
      { bsrange: '4k-1m', blockalign: 4096, iodepth: 8 },
    ]) {
      const job = {
        ioengine: 'nbd',
        uri: array.uri,
        rw: 'randwrite',
        ...sizes,
        size: SIZE,
        randseed: 1 + random.below(1_000_000),
        verify: 'crc32c',
      };
      const trigger = join(scratch.folder, 'trigger');
      const state = join(scratch.folder, STATE);
      const saving = {
        ...job,
        rate: RATE,
        do_verify: 0,
        verify_state_save: 1,
        // Ends it in the middle. Its trigger could kill the server too, but the state takes a request that others overtook for complete.
        'trigger-file': trigger,
        trigger: 'true',
      };
      rmSync(state, { force: true });
      const args = ['--name=job', ...Object.entries(saving).map(([key, value]) => `--${key}=${value}`)];
      const before = (await array.client.status()).journal.headLsn;
      const writing = attempt('fio', args, { cwd: scratch.folder });
      await array.until('fio writes', ({ journal }) => journal.headLsn > before + WRITES_MIN);
      await delay(RUN_MS_MIN + random.below(RUN_MS_MAX - RUN_MS_MIN));
      writeFileSync(trigger, '');
      const { stdout, stderr } = await writing;
      await server.kill();
      t.true(existsSync(state), `fio saved its state\n${stdout}${stderr}`);
      rmSync(trigger, { force: true });
      server = await array.serve();
      // One at a time: fio finds the end of what was written by counting verified blocks, and does not count those on their way.
      const verifying = { ...job, iodepth: 1, verify_state_load: 1, verify_only: 1, verify_fatal: 1 };
      const { errors, bytesRead } = await fio(verifying, 120_000, undefined, scratch.folder);
      t.is(errors, 0);
      t.true(bytesRead > 0 && bytesRead < SIZE, `${bytesRead} of ${SIZE} bytes verified`);
      t.log(`${sizes.bsrange}: ${(bytesRead / MIB).toFixed(1)} MiB verified after kill -9`);
    }
    // And the whole, over a clean stop.
    const whole = {
      ioengine: 'nbd',
      uri: array.uri,
      rw: 'randwrite',
      bsrange: '512-1m',
      blockalign: 512,
      iodepth: 32,
      size: SIZE,
      randseed: SYSTEM_SEED % 1_000_000,
    };
    await fio({ ...whole, verify: 'crc32c', do_verify: 0, verify_state_save: 0 });
    await server.stop();
    server = await array.serve();
    const { errors, bytes } = await fio({ ...whole, verify: 'crc32c', verify_only: 1, verify_fatal: 1, verify_state_save: 0 });
    t.is(errors, 0);
    t.true(bytes >= SIZE * 0.9, `${bytes} bytes verified`);
    await server.stop();
  },
);
