import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { MIB } from '../../src/base/units.js';
import { ArrayRig, differs, takeImage } from './rig/array.js';
import { churn } from './rig/churn.js';
import { type LoopDevice, loopDevices } from './rig/loop-device.js';
import { Scratch } from './rig/scratch.js';
import { SYSTEM_SEED } from './rig/seed.js';

const test = anyTest as TestFn<Scratch>;

const MEMBER_BYTES = 80 * MIB;
const JOURNAL_BYTES = 80 * MIB;
/** Nothing drains unless the test says so: what is drained is then known. */
const BY_HAND = { maxAge: '1h', maxBytes: '1GiB', maxFill: 0.95, onDegraded: false } as const;

test.beforeEach((t) => {
  t.context = new Scratch();
});
test.afterEach.always((t) => t.context.close());

/** The device is as new: every byte reads as zero. */
function wipe(disk: LoopDevice): void {
  truncateSync(disk.file, 0);
  truncateSync(disk.file, disk.sizeBytes);
}

test.serial(
  'P7, P9: everything but the backup destroyed: restore gives the volume at the drained LSN, block for block, and no more is lost than status said',
  async (t) => {
    t.timeout(180_000);
    const scratch = t.context;
    const seed = SYSTEM_SEED % 1_000_000;
    t.log(`seed ${seed}: KEELSON_SYSTEM_SEED=${SYSTEM_SEED} repeats it`);
    const stripe = await loopDevices(scratch, 6, MEMBER_BYTES);
    const journal = await loopDevices(scratch, 2, JOURNAL_BYTES);
    const array = new ArrayRig(scratch, {
      stripeMembers: stripe.map((disk) => disk.device),
      journalMembers: journal.map((disk) => disk.device),
      journalSize: '64MiB',
      backup: { url: `file://${scratch.path('repository')}`, compression: 'zstd' },
      drain: BY_HAND,
    });
    await array.create();
    let server = await array.serve();
    await churn(array.uri, { seed, bytes: 40 * MIB, range: 160 * MIB });
    await array.must(['drain', '--wait']);
    // Overwrites and holes in a second repository segment: it must win over the first.
    await churn(array.uri, { seed: seed + 1, bytes: 24 * MIB, range: 160 * MIB });
    await array.must(['drain', '--wait']);
    const drained = await array.status();
    t.is(drained.drain.drainedLsn, drained.journal.headLsn);
    t.is(drained.drain.undrainedBytes, 0);
    const image = join(scratch.memory, 'image');
    await takeImage(array, image);

    await churn(array.uri, { seed: seed + 2, bytes: 8 * MIB, range: 160 * MIB });
    const last = await array.status();
    t.is(last.drain.drainedLsn, drained.drain.drainedLsn, 'nothing drained by itself');
    t.true(last.drain.undrainedBytes >= 8 * MIB, `status names what would be lost: ${last.drain.undrainedBytes} bytes`);
    await server.kill();
    for (const disk of [...stripe, ...journal]) wipe(disk);

    await array.must(['restore']);
    server = await array.serve();
    t.is(await differs(array, image), '');
    // The restored array is a whole one: it takes writes, drains into the same repository and comes back.
    await churn(array.uri, { seed: seed + 3, bytes: 8 * MIB, range: 160 * MIB });
    await array.must(['drain', '--wait']);
    await takeImage(array, image);
    await server.stop();
    server = await array.serve();
    t.is(await differs(array, image), '');
    t.is((await array.status()).state, 'online');
  },
);
