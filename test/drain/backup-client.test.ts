import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { BACKUP_CALLS_MAX, createBackupClient } from '../../src/drain/backup-client.js';
import { Slab } from '../../src/memory/slab.js';
import type { Backup } from '../../src/repository/backup.js';
import { startEmbeddedServer } from '../../src/backup-host/embedded-server.js';
import { applyChanges, assertImage, ModelImage, pieces, randomChanges, READER, seeded, writer } from '../repository/rig.js';
import { scratchFolder } from '../repository/scratch.js';
import { rejection } from '../target/target-conformance.js';

const HEADER = { firstLsn: 1, lastLsn: 1, time: 0, seed: false };
const slab = Slab.allocate(2048 * BLOCK_BYTES);

function clientFor(
  t: ExecutionContext,
  url: string,
  keys: { identity: string; knownHosts: string } = { identity: '', knownHosts: '' },
  passphrase = '',
): Backup {
  const { identity, knownHosts } = keys;
  const client = createBackupClient({ slab, url, identity, knownHosts, compression: 'zstd', passphrase });
  t.teardown(() => client.close());
  return client;
}

test.serial('P7: through the thread and over SFTP the image is exact after every publish', async (t) => {
  const random = seeded(t);
  const folder = scratchFolder(t);
  const server = await startEmbeddedServer({ directory: join(folder, 'host'), keys: join(folder, 'keys') });
  t.teardown(() => server.close());
  const backup = clientFor(t, `${server.url}vault`, server);
  t.is((await backup.open(writer(1))).weakness, '');
  const model = new ModelImage();
  for (let round = 0; round < 6; round++) {
    const changes = randomChanges(random);
    const lastLsn = model.lsn + 1 + random.below(9);
    await backup.publish({ firstLsn: model.lsn + 1, lastLsn, time: 0, seed: round === 3 }, pieces(changes, slab.view));
    applyChanges(model, changes, lastLsn, round === 3);
    await assertImage(t, backup, model, random, slab.view);
  }
  await backup.putMetadata('shape', Buffer.from('a shape'));
  const reader = clientFor(t, `${server.url}vault`, server);
  t.is((await reader.open(READER)).headLsn, model.lsn);
  await assertImage(t, reader, model, random, slab.view);
  t.is(Buffer.from((await reader.getMetadata('shape')) ?? []).toString(), 'a shape');
});

test.serial('errors cross the thread with code, found, expected and action', async (t) => {
  const backup = clientFor(t, `file://${scratchFolder(t)}`);
  const error = await rejection(t, backup.open(writer(1, false)));
  t.is(error.code, 'BACKUP_MISSING');
  t.truthy(error.found);
  t.truthy(error.expected);
  t.truthy(error.action);
});

test.serial('an error of pull ends the publish with that error', async (t) => {
  const backup = clientFor(t, `file://${scratchFolder(t)}`);
  await backup.open(writer(1));
  const error = await rejection(
    t,
    backup.publish(HEADER, async () => {
      throw new Error('the ring is gone');
    }),
  );
  t.is(error.message, 'the ring is gone');
  t.is((await backup.open(writer(1))).headLsn, 0);
  await backup.publish(HEADER, pieces([], slab.view));
});

test.serial('when publish settles, no call of pull is under way', async (t) => {
  const backup = clientFor(t, `file://${scratchFolder(t)}`);
  await backup.open(writer(1));
  let running = 0;
  let calls = 0;
  const publishing = backup.publish(HEADER, async () => {
    running++;
    await new Promise((resolve) => setImmediate(resolve));
    running--;
    // The first piece has a checksum that is wrong, so the publish fails while the next pull runs.
    return calls++ > 5
      ? null
      : { extents: 1, first: Float64Array.of(calls), count: Float64Array.of(1), memory: Float64Array.of(0), crcs: Uint32Array.of(calls) };
  });
  t.is((await rejection(t, publishing)).code, 'SLAB_CORRUPT');
  t.is(running, 0);
});

test.serial('typed arrays that are views of larger or shared memory are handed over as what they show', async (t) => {
  const random = seeded(t);
  const backup = clientFor(t, `file://${scratchFolder(t)}`);
  await backup.open(writer(1));
  const changes = randomChanges(random);
  const pull = pieces(changes, slab.view);
  const wide = (from: Float64Array): Float64Array => {
    const shared = new Float64Array(new SharedArrayBuffer(8 * (from.length + 100)));
    shared.set(from, 50);
    return shared.subarray(50);
  };
  await backup.publish(HEADER, async () => {
    const piece = await pull();
    return piece === null ? null : { ...piece, first: wide(piece.first), count: wide(piece.count), memory: wide(piece.memory) };
  });
  const model = new ModelImage();
  applyChanges(model, changes, 1, false);
  await assertImage(t, backup, model, random, slab.view);
});

test.serial('a thread that dies is BACKUP_UNREACHABLE for all who wait, and the next open starts another', async (t) => {
  const options = { slab, url: 'file:///nowhere', identity: '', knownHosts: '', compression: 'none', passphrase: '' } as const;
  const backup = createBackupClient(options, new URL('./crashing-worker.js', import.meta.url));
  t.is((await backup.open(writer(1))).epoch, 1);
  const waiting = [backup.getMetadata('a'), backup.allocated(0, 1), backup.publish(HEADER, async () => null)];
  for (const call of waiting) t.is((await rejection(t, call)).code, 'BACKUP_UNREACHABLE');
  t.is((await rejection(t, backup.getMetadata('a'))).code, 'BACKUP_UNREACHABLE');
  t.is((await backup.open(writer(1))).epoch, 1);
  await backup.close();
});

test.serial('a closed client can be opened again; closing twice is no error; before open nothing is reachable', async (t) => {
  const backup = clientFor(t, `file://${scratchFolder(t)}`);
  t.is((await rejection(t, backup.allocated(0, 1))).code, 'BACKUP_UNREACHABLE');
  await backup.open(writer(1));
  await backup.close();
  await backup.close();
  t.is((await rejection(t, backup.allocated(0, 1))).code, 'BACKUP_UNREACHABLE');
  t.is((await backup.open(writer(1))).headLsn, 0);
});

test.serial('calls that wait are bounded', async (t) => {
  const backup = clientFor(t, `file://${scratchFolder(t)}`);
  await backup.open(writer(1));
  const calls = Array.from({ length: BACKUP_CALLS_MAX + 1 }, () => backup.allocated(0, 1));
  const outcomes = await Promise.allSettled(calls);
  t.is(outcomes.filter(({ status }) => status === 'rejected').length, 1);
});

test.serial('a URL that names no target is refused at once, and a password in it is not shown', (t) => {
  t.throws(() => clientFor(t, 'nonsense'), { code: 'BACKUP_URL' });
  t.is(clientFor(t, 'sftp://me:secret@host/path').target, 'sftp://me@host/path');
});
