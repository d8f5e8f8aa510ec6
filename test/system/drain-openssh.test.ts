import { closeSync, cpSync, mkdirSync, openSync, readdirSync, readSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import anyTest, { type TestFn } from 'ava';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import { ArrayRig, differs, takeImage } from './rig/array.js';
import { churn } from './rig/churn.js';
import { run, runQuietly } from './rig/command.js';
import { loopDevices } from './rig/loop-device.js';
import { OpensshServer } from './rig/openssh-server.js';
import { Scratch } from './rig/scratch.js';
import { SYSTEM_SEED } from './rig/seed.js';

interface Context {
  scratch: Scratch;
  sshd: OpensshServer;
  repository: string;
}
const test = anyTest as TestFn<Context>;

const MEMBER_BYTES = 96 * MIB;
const JOURNAL_BYTES = 144 * MIB;
const RANGE = 192 * MIB;
const BY_HAND = { maxAge: '1h', maxBytes: '4GiB', maxFill: 0.95, onDegraded: false } as const;

test.beforeEach(async (t) => {
  const scratch = new Scratch();
  const repository = scratch.path('repository');
  mkdirSync(repository);
  t.context = { scratch, repository, sshd: await OpensshServer.start(scratch) };
});
test.afterEach.always((t) => t.context.scratch?.close());

async function arrayOn(scratch: Scratch, backup: Record<string, string>, file = 'keelson'): Promise<ArrayRig> {
  const stripe = await loopDevices(scratch, 6, MEMBER_BYTES);
  const journal = await loopDevices(scratch, 2, JOURNAL_BYTES);
  return new ArrayRig(
    scratch,
    {
      stripeMembers: stripe.map((disk) => disk.device),
      journalMembers: journal.map((disk) => disk.device),
      journalSize: '128MiB',
      segment: '4MiB',
      backup,
      drain: BY_HAND,
    },
    file,
  );
}

function storedBytes(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size;
  }
  return bytes;
}

/** The repository alone, restored onto a new array: what a backup is for. Takes the image it gives into `image`. */
async function restoreImage(scratch: Scratch, repository: string, image: string): Promise<void> {
  // From a copy: the restored array takes the writer's lease, and the original has to go on.
  const copy = `${repository}-copy`;
  cpSync(repository, copy, { recursive: true });
  const restored = await arrayOn(scratch, { url: `file://${copy}`, compression: 'none' }, 'restored');
  await restored.must(['restore']);
  const server = await restored.serve();
  await takeImage(restored, image);
  await server.stop();
}

/** First block of `image` that is in neither of the two others, or -1. */
function firstForeignBlock(image: string, first: string, second: string): number {
  const files = [image, first, second].map((path) => openSync(path, 'r'));
  const pieces = files.map(() => Buffer.alloc(MIB));
  const [mine, one, two] = pieces as [Buffer, Buffer, Buffer];
  try {
    for (let at = 0; ; at += MIB) {
      const lengths = files.map((fd, i) => readSync(fd, pieces[i] as Buffer, 0, MIB, at));
      const length = lengths[0] ?? 0;
      if (length === 0) return -1;
      for (let block = 0; block < length; block += BLOCK_BYTES) {
        const bytes = mine.subarray(block, block + BLOCK_BYTES);
        if (!bytes.equals(one.subarray(block, block + BLOCK_BYTES)) && !bytes.equals(two.subarray(block, block + BLOCK_BYTES)))
          return (at + block) / BLOCK_BYTES;
      }
    }
  } finally {
    for (const fd of files) closeSync(fd);
  }
}

test.serial(
  'sshd killed in the middle of an upload: nothing is lost, nothing trimmed early, the repository restores, and the drain goes on when sshd is back',
  async (t) => {
    t.timeout(240_000);
    const { scratch, sshd, repository } = t.context;
    const seed = SYSTEM_SEED % 1_000_000;
    t.log(`seed ${seed}: KEELSON_SYSTEM_SEED=${SYSTEM_SEED} repeats it`);
    const array = await arrayOn(scratch, sshd.backup(repository));
    await array.create();
    let server = await array.serve();
    const before = join(scratch.memory, 'before');
    const after = join(scratch.memory, 'after');
    const restored = join(scratch.memory, 'restored');
    await churn(array.uri, { seed, bytes: 48 * MIB, range: RANGE });
    await array.must(['drain', '--wait']);
    await takeImage(array, before);
    const drained = (await array.status()).drain.drainedLsn;

    await churn(array.uri, { seed: seed + 1, bytes: 80 * MIB, range: RANGE });
    await takeImage(array, after);
    const stored = storedBytes(repository);
    await array.must(['drain']);
    const deadline = performance.now() + 20_000;
    while (storedBytes(repository) < stored + 4 * MIB && performance.now() < deadline) await delay(2);
    await sshd.kill();
    t.true(storedBytes(repository) > stored, 'the upload had begun');

    const cut = await array.until(
      'the target is reported unreachable',
      (status) => status.drain.state === 'unreachable' && Boolean(status.drain.lastError),
    );
    t.true(cut.drain.drainedLsn >= drained);
    t.true(cut.drain.drainedLsn < cut.journal.headLsn, 'what was not published is not called drained');
    t.true(cut.drain.undrainedBytes > 0);
    t.true(cut.alarms.length > 0, 'an alarm names the trouble');
    t.is(await differs(array, after), '', 'the volume is served all the while');

    // The repository of this moment restores, to a point between the two images; exactly the first one when nothing more was published.
    await restoreImage(scratch, repository, restored);
    t.is(firstForeignBlock(restored, before, after), -1, 'every block is of the one or the other image');
    if (cut.drain.drainedLsn === drained) await t.notThrowsAsync(run('cmp', [restored, before]));

    // The ring still has it all, also after a crash of the server.
    await server.kill();
    await sshd.run();
    server = await array.serve();
    t.is(await differs(array, after), '');
    await array.must(['drain', '--wait']);
    const end = await array.status();
    t.is(end.drain.drainedLsn, end.journal.headLsn);
    t.is(end.drain.undrainedBytes, 0);
    await server.stop();
    truncateSync(restored, 0);
    runQuietly('rm', ['-rf', `${repository}-copy`]);
    await restoreImage(scratch, repository, restored);
    await t.notThrowsAsync(run('cmp', [restored, after]), 'and the repository restores to the newest image');
  },
);

test.serial('sshd killed and back again: a running server drains on without being told', async (t) => {
  t.timeout(120_000);
  const { scratch, sshd, repository } = t.context;
  const array = await arrayOn(scratch, sshd.backup(repository));
  await array.create();
  await array.serve();
  // So that there is a connection to lose.
  await churn(array.uri, { seed: 4, bytes: MIB, range: RANGE });
  await array.must(['drain', '--wait']);
  await sshd.kill();
  await churn(array.uri, { seed: 5, bytes: 8 * MIB, range: RANGE });
  await array.must(['drain']);
  await array.until('unreachable', (status) => status.drain.state === 'unreachable');
  await sshd.run();
  await array.until(
    'everything drained',
    (status) => status.drain.undrainedBytes === 0 && status.drain.drainedLsn === status.journal.headLsn,
    90_000,
  );
  t.pass();
});

test.serial('a changed host key is refused: nothing is sent, status says so, and trusting the new key lets the drain go on', async (t) => {
  t.timeout(120_000);
  const { scratch, sshd, repository } = t.context;
  const array = await arrayOn(scratch, sshd.backup(repository));
  await array.create();
  let server = await array.serve();
  await churn(array.uri, { seed: 1, bytes: 4 * MIB, range: RANGE });
  await array.must(['drain', '--wait']);
  await server.stop();

  await sshd.kill();
  await sshd.makeHostKey();
  await sshd.run();
  const stored = storedBytes(repository);
  server = await array.serve();
  await churn(array.uri, { seed: 2, bytes: 4 * MIB, range: RANGE });
  const refused = await array.until('the host key is refused', (status) =>
    /host[ _]key/i.test(`${status.drain.lastError ?? ''} ${status.alarms.map((alarm) => `${alarm.code} ${alarm.message}`).join(' ')}`),
  );
  t.true(refused.drain.undrainedBytes > 0);
  const drain = await array.verb('drain');
  t.not(drain.status, 0);
  t.regex(drain.stderr, /key has changed \(BACKUP_HOST_KEY\)/);
  t.is(storedBytes(repository), stored, 'nothing was sent to the stranger');
  await server.stop();

  sshd.trustHostKey();
  server = await array.serve();
  await array.must(['drain', '--wait']);
  t.is((await array.status()).drain.undrainedBytes, 0);
});

test.serial('a full remote disk is reported, the volume is served on, and the drain ends well after space was freed', async (t) => {
  t.timeout(180_000);
  const { scratch, sshd, repository } = t.context;
  await run('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', repository]);
  scratch.onClose(() => runQuietly('umount', ['-l', repository]));
  const array = await arrayOn(scratch, sshd.backup(repository));
  await array.create();
  const server = await array.serve();
  const image = join(scratch.memory, 'image');
  await churn(array.uri, { seed: 3, bytes: 64 * MIB, range: RANGE });
  await array.must(['drain']);
  const full = await array.until('the full disk is reported', (status) =>
    /space|full/i.test(`${status.drain.lastError ?? ''} ${status.alarms.map((alarm) => `${alarm.code} ${alarm.message}`).join(' ')}`),
  );
  t.true(full.drain.undrainedBytes > 0);
  t.true(full.drain.drainedLsn < full.journal.headLsn);
  await churn(array.uri, { seed: 4, bytes: 4 * MIB, range: RANGE });
  await takeImage(array, image);

  await run('mount', ['-o', 'remount,size=512m', repository]);
  await array.must(['drain', '--wait']);
  t.is((await array.status()).drain.undrainedBytes, 0);
  await server.stop();
  const restored = join(scratch.memory, 'restored');
  await restoreImage(scratch, repository, restored);
  await t.notThrowsAsync(run('cmp', [restored, image]));
});
