import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import anyTest, { type TestFn } from 'ava';
import { MIB } from '../../src/base/units.js';
import { ArrayRig } from './rig/array.js';
import { run } from './rig/command.js';
import { type LoopDevice, loopDevices } from './rig/loop-device.js';
import { partitionTable } from './rig/partition-table.js';
import { Scratch } from './rig/scratch.js';

interface Context {
  scratch: Scratch;
  disks: LoopDevice[];
  array: ArrayRig;
}
const test = anyTest as TestFn<Context>;

/** mkfs.xfs refuses anything smaller than 300 MiB; the files are sparse. */
const MEMBER_BYTES = 304 * MIB;
const VICTIM = 3;

test.beforeEach(async (t) => {
  const scratch = new Scratch();
  const disks = await loopDevices(scratch, 6, MEMBER_BYTES);
  t.context = {
    scratch,
    disks,
    array: new ArrayRig(scratch, { stripeMembers: disks.map((disk) => disk.device), journalSize: '16MiB', parity: 2 }),
  };
});
test.afterEach.always((t) => t.context.scratch.close());

function stamp(device: string, at: number, bytes: Uint8Array): void {
  const fd = openSync(device, 'r+');
  writeSync(fd, bytes, 0, bytes.length, at);
  closeSync(fd);
}

/** One of the members, the victim, and the first of them stand for all: three hundred MiB each. */
function digests(disks: readonly LoopDevice[]): string[] {
  return [0, VICTIM].map((i) =>
    createHash('sha1')
      .update(readFileSync(disks[i]?.file ?? ''))
      .digest('hex'),
  );
}

const CONTENTS: Readonly<Record<string, (device: string) => Promise<unknown>>> = {
  'an ext4 file system': (device) => run('mkfs.ext4', ['-q', '-F', device]),
  'an xfs file system': (device) => run('mkfs.xfs', ['-q', '-f', device]),
  'a btrfs file system': (device) => run('mkfs.btrfs', ['-q', '-f', device]),
  'swap space': (device) => run('mkswap', [device]),
  'a GUID partition table': async (device) => {
    for (const { at, bytes } of partitionTable(MEMBER_BYTES)) stamp(device, at, bytes);
    // Written the way a partitioning program does, and recognised by one of them.
    if (!(await run('blkid', ['-p', device])).includes('PTTYPE="gpt"')) throw new Error('blkid does not see the partition table');
  },
};

for (const [content, make] of Object.entries(CONTENTS)) {
  test.serial(`create refuses a member that holds ${content}, changes nothing, and takes it with --force`, async (t) => {
    t.timeout(60_000);
    const { array, disks } = t.context;
    const victim = disks[VICTIM] as LoopDevice;
    await make(victim.device);
    const before = digests(disks);

    const refused = await array.verb('create');
    t.is(refused.status, 3, `${refused.stdout}${refused.stderr}`);
    t.true(refused.stderr.includes(victim.device), `the message names the member: ${refused.stderr}`);
    t.regex(refused.stderr, /--force/, 'the message says which flag insists');
    t.deepEqual(digests(disks), before, 'not a byte was changed');

    await array.create('--force');
    const server = await array.serve();
    t.is((await array.status()).state, 'online');
    await server.stop();
  });
}

test.serial('create refuses members of a Keelson array, also after it was served', async (t) => {
  t.timeout(60_000);
  const { array } = t.context;
  await array.create();
  const server = await array.serve();
  await run('qemu-io', ['-f', 'raw', array.uri, '-c', 'write -P 0x5a 0 1M']);
  await server.stop();
  const refused = await array.verb('create');
  t.is(refused.status, 3, `${refused.stdout}${refused.stderr}`);
  const again = await array.serve();
  t.regex(
    await run('qemu-io', ['-f', 'raw', array.uri, '-c', 'read -P 0x5a 0 1M']),
    /read 1048576\/1048576/,
    'the refused create harmed nothing',
  );
  await again.stop();
});

test.serial('a second server on the same members is refused while the first one runs, and the first is not disturbed', async (t) => {
  t.timeout(60_000);
  const { array, scratch } = t.context;
  await array.create();
  const first = await array.serve();
  await run('qemu-io', ['-f', 'raw', array.uri, '-c', 'write -P 0x77 0 1M']);
  const rival = new ArrayRig(scratch, array.options, 'rival');
  const second = await t.throwsAsync(rival.serve());
  t.regex(second?.message ?? '', /ended with [1-9]/);
  t.not((await rival.verb('create', '--force')).status, 0, 'not even create --force takes members in use');
  t.regex(await run('qemu-io', ['-f', 'raw', array.uri, '-c', 'read -P 0x77 0 1M']), /read 1048576\/1048576/);
  await first.stop();
});

test.serial('create refuses a file that is longer than its superblock and holds a file system', async (t) => {
  t.timeout(60_000);
  const { scratch } = t.context;
  const files = [0, 1, 2].map((i) => scratch.path(`member-${i}`));
  const array = new ArrayRig(scratch, { stripeMembers: files, parity: 1, memberSize: '64MiB', journalSize: '16MiB' }, 'files');
  closeSync(openSync(files[1] as string, 'w'));
  truncateSync(files[1] as string, 64 * MIB);
  await run('mkfs.ext4', ['-q', '-F', files[1] as string]);
  const refused = await array.verb('create');
  t.is(refused.status, 3, `${refused.stdout}${refused.stderr}`);
  t.true(refused.stderr.includes(files[1] as string));
});
