import { rmSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { MIB } from '../../src/base/units.js';
import { ArrayRig } from './rig/array.js';
import { run } from './rig/command.js';
import { diskImage } from './rig/disk-image.js';
import { fio } from './rig/fio.js';
import type { KeelsonProcess } from './rig/keelson-process.js';
import { loopDevices } from './rig/loop-device.js';
import { Scratch } from './rig/scratch.js';
import { SYSTEM_SEED } from './rig/seed.js';

interface Context {
  scratch: Scratch;
  array: ArrayRig;
  server: KeelsonProcess;
}
const test = anyTest as TestFn<Context>;

const MEMBER_BYTES = 160 * MIB;
const JOURNAL_BYTES = 96 * MIB;
const FIO_BYTES = Number(process.env.KEELSON_SYSTEM_FIO_MIB ?? 192) * MIB;

test.before(async (t) => {
  const scratch = new Scratch();
  const stripe = await loopDevices(scratch, 6, MEMBER_BYTES);
  const journal = await loopDevices(scratch, 2, JOURNAL_BYTES);
  const array = new ArrayRig(scratch, {
    stripeMembers: stripe.map((disk) => disk.device),
    journalMembers: journal.map((disk) => disk.device),
    journalSize: '64MiB',
    segment: '4MiB',
    slab: '160MiB',
  });
  await array.create();
  t.context = { scratch, array, server: await array.serve() };
});

test.after.always((t) => t.context.scratch?.close());

test.serial('a disk image of 512 MiB or more of real files goes in and comes out identical, for nbdcopy and for qemu-img', async (t) => {
  t.timeout(300_000);
  const { array, scratch } = t.context;
  const volumeBytes = Number((await run('nbdinfo', ['--size', array.uri])).trim());
  t.true(volumeBytes >= 512 * MIB, `the volume has ${volumeBytes} bytes`);
  const image = join(scratch.memory, 'image');
  const back = join(scratch.memory, 'back');
  t.log(`image of ${await diskImage(image, volumeBytes)}, ${volumeBytes} bytes`);

  // The image's holes have to be made holes again.
  const last = volumeBytes - 96 * MIB;
  await run('qemu-io', ['-f', 'raw', array.uri, '-c', `write -P 0x5a ${last} 48M`, '-c', `write -P 0xa5 ${last + 48 * MIB} 48M`]);
  await run('nbdcopy', ['--flush', image, array.uri], { timeout_ms: 200_000 });
  await run('nbdcopy', [array.uri, back], { timeout_ms: 200_000 });
  await t.notThrowsAsync(run('cmp', [image, back]));
  rmSync(back);
  const comparison = await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, array.uri]);
  t.regex(comparison, /Images are identical/);

  // Once more after a clean stop: the same bytes, now from the stripes and not from memory.
  await t.context.server.stop();
  t.context.server = await array.serve();
  t.regex(await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, array.uri]), /Images are identical/);
  rmSync(image);
});

test.serial('fio verifies crc32c of random writes of 4 KiB to 1 MiB at depth 32 and finds no error', async (t) => {
  t.timeout(300_000);
  const result = await fio({
    ioengine: 'nbd',
    uri: t.context.array.uri,
    rw: 'randwrite',
    bsrange: '4k-1m',
    iodepth: 32,
    size: FIO_BYTES,
    verify: 'crc32c',
    verify_fatal: 1,
    do_verify: 1,
    verify_backlog: 512,
    randrepeat: 0,
    randseed: SYSTEM_SEED % 1_000_000,
  });
  t.is(result.errors, 0);
  t.true(result.bytes >= FIO_BYTES * 0.9, `${result.bytes} bytes`);
});

test.serial('several fio clients with flushes at the same time verify what each of them wrote', async (t) => {
  t.timeout(300_000);
  const part = 32 * MIB;
  const results = await Promise.all(
    [0, 1, 2, 3].map((client) =>
      fio({
        ioengine: 'nbd',
        uri: t.context.array.uri,
        rw: 'randwrite',
        bs: '4k',
        iodepth: 32,
        offset: client * part,
        size: part,
        io_size: part / 2,
        fsync: 64,
        verify: 'crc32c',
        verify_fatal: 1,
        do_verify: 1,
        randrepeat: 0,
      }),
    ),
  );
  for (const result of results) t.is(result.errors, 0);
});
