import { setTimeout as delay } from 'node:timers/promises';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { ArrayRig } from './rig/array.js';
import { attempt, run } from './rig/command.js';
import { FileTree } from './rig/file-tree.js';
import { loopDevices } from './rig/loop-device.js';
import { mount, NbdDisk } from './rig/nbd-disk.js';
import { Scratch } from './rig/scratch.js';
import { SYSTEM_SEED } from './rig/seed.js';

const test = anyTest as TestFn<Scratch>;

const MEMBER_BYTES = 144 * MIB;
const JOURNAL_BYTES = 80 * MIB;
const FILES = Number(process.env.KEELSON_SYSTEM_FILES ?? 20_000);
/** Files between two syncfs: what was written before the last of them that returned has to be there. */
const FILES_PER_SYNC = 500;
const KILL_WITHIN_MS = 60;

test.beforeEach((t) => {
  t.context = new Scratch();
});
test.afterEach.always((t) => t.context.close());

interface FileSystem {
  readonly type: string;
  mkfs(device: string): Promise<unknown>;
  /** Checks a file system that was mounted (so that its journal was replayed) and unmounted; returns what is wrong. */
  check(device: string): Promise<string>;
}

const ext4: FileSystem = {
  type: 'ext4',
  mkfs: (device) => run('mkfs.ext4', ['-q', '-F', device]),
  async check(device) {
    const result = await attempt('e2fsck', ['-f', '-n', device]);
    return result.status === 0 ? '' : result.stdout + result.stderr;
  },
};

const xfs: FileSystem = {
  type: 'xfs',
  mkfs: (device) => run('mkfs.xfs', ['-q', '-f', device]),
  async check(device) {
    const result = await attempt('xfs_repair', ['-n', device]);
    return result.status === 0 ? '' : result.stdout + result.stderr;
  },
};

async function killInTheMiddle(t: ExecutionContext<Scratch>, system: FileSystem): Promise<void> {
  t.timeout(240_000);
  const scratch = t.context;
  const seed = SYSTEM_SEED;
  t.log(`seed ${seed}: KEELSON_SYSTEM_SEED=${SYSTEM_SEED} repeats it`);
  const stripe = await loopDevices(scratch, 6, MEMBER_BYTES);
  const journal = await loopDevices(scratch, 2, JOURNAL_BYTES);
  const array = new ArrayRig(scratch, {
    stripeMembers: stripe.map((disk) => disk.device),
    journalMembers: journal.map((disk) => disk.device),
    journalSize: '64MiB',
    segment: '2MiB',
  });
  await array.create();
  let server = await array.serve();
  let disk = await NbdDisk.attach(scratch, array.socket);
  await system.mkfs(disk.device);
  let mounted = await mount(scratch, disk.device, system.type);

  const tree = new FileTree(seed, FILES);
  const random = seededRandom(seed);
  const killAt = Math.floor(FILES / 2 / FILES_PER_SYNC) * FILES_PER_SYNC;
  let synced = 0;
  let killed: Promise<void> | null = null;
  try {
    for (let first = 0; first < FILES; first += FILES_PER_SYNC) {
      tree.write(mounted.folder, first, first + FILES_PER_SYNC);
      const flushing = run('sync', ['-f', mounted.folder]);
      // The kill falls somewhere into the writeback of these files.
      if (first >= killAt && killed === null) killed = delay(random.below(KILL_WITHIN_MS)).then(() => server.kill());
      await flushing;
      synced = first + FILES_PER_SYNC;
    }
    t.fail('the copy went on although the server was killed');
  } catch (error) {
    if (killed === null) throw error;
  }
  await killed;
  t.true(synced >= killAt, `${synced} files were flushed`);
  t.log(`${synced} of ${FILES} files flushed when the server was killed`);
  await mounted.umount();
  await disk.detach();

  server = await array.serve();
  disk = await NbdDisk.attach(scratch, array.socket);
  mounted = await mount(scratch, disk.device, system.type);
  t.deepEqual(tree.wrong(mounted.folder, synced), [], 'flushed files are there, byte for byte');
  await mounted.umount();
  t.is(await system.check(disk.device), '', 'the file system is consistent after its journal was replayed');

  // The other half goes onto the recovered file system: it is usable, not just readable.
  mounted = await mount(scratch, disk.device, system.type);
  await run('sh', ['-c', `rm -rf ${mounted.folder}/*`]);
  tree.write(mounted.folder, 0, FILES);
  await mounted.umount();
  await disk.detach();
  await server.stop();
  await array.serve();
  disk = await NbdDisk.attach(scratch, array.socket);
  mounted = await mount(scratch, disk.device, system.type, 'ro');
  t.deepEqual(tree.wrong(mounted.folder, FILES), [], 'all files are there after a clean restart');
  await mounted.umount();
  t.is(await system.check(disk.device), '');
  await disk.detach();
}

test.serial('ext4: files flushed before kill -9 of the server are there after its restart, and e2fsck finds nothing', (t) =>
  killInTheMiddle(t, ext4),
);
test.serial('xfs: files flushed before kill -9 of the server are there after its restart, and xfs_repair finds nothing', (t) =>
  killInTheMiddle(t, xfs),
);
