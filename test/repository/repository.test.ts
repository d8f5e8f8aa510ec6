import { readdirSync } from 'node:fs';
import test from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { FileTarget } from '../../src/target/file-target.js';
import { MemoryTarget } from '../target/memory-target.js';
import {
  applyChanges,
  ARRAY,
  assertImage,
  memory,
  ModelImage,
  pieces,
  randomChanges,
  READER,
  repositoryOn,
  seeded,
  VARIANTS,
  VOLUME_BLOCKS,
  variantName,
  writer,
} from './rig.js';
import { scratchFolder } from './scratch.js';
import { rejection } from '../target/target-conformance.js';

for (const variant of VARIANTS) {
  test.serial(
    `P7: after every publish of a random history the image is exact, in the process and opened anew (${variantName(variant)})`,
    async (t) => {
      const random = seeded(t);
      const target = new FileTarget(scratchFolder(t));
      const repository = repositoryOn(target, variant);
      await repository.open(writer(1));
      const model = new ModelImage();
      const points: ModelImage[] = [];
      for (let round = 0; round < 12; round++) {
        const changes = randomChanges(random);
        const seed = round > 0 && random.below(6) === 0;
        const lastLsn = model.lsn + random.below(50) + 1;
        const published = await repository.publish({ firstLsn: model.lsn + 1, lastLsn, time: 1000 + round, seed }, pieces(changes));
        applyChanges(model, changes, lastLsn, seed);
        points.push(model.copy());
        t.is(published.lastLsn, lastLsn);
        t.is(published.segment, round + 1);
        t.is(
          published.dataBytes,
          changes.reduce((sum, change) => sum + (change.bytes?.length ?? 0), 0),
        );
        // From the second round on the map is loaded, and moves on by what was published.
        if (round !== 0) await assertImage(t, repository, model, random);
        if (round % 4 === 3) {
          const reader = repositoryOn(target, variant);
          const state = await reader.open(READER);
          t.like(state, { arrayUuid: ARRAY, headLsn: lastLsn, volumeBytes: VOLUME_BLOCKS * BLOCK_BYTES, epoch: 1, weakness: '' });
          await assertImage(t, reader, model, random);
        }
      }
      for (const point of points) {
        const reader = repositoryOn(target, variant);
        t.is((await reader.open({ ...READER, at: point.lsn })).headLsn, point.lsn);
        await assertImage(t, reader, point, random);
      }
    },
  );
}

test.serial('a point in time before the first segment is refused', async (t) => {
  const target = new MemoryTarget();
  const repository = repositoryOn(target);
  await repository.open(writer(1));
  await repository.publish({ firstLsn: 1, lastLsn: 10, time: 0, seed: false }, pieces([]));
  t.is((await rejection(t, repositoryOn(target).open({ ...READER, at: 9 }))).code, 'BACKUP_POINT');
  t.is((await repositoryOn(target).open({ ...READER, at: 10 })).headLsn, 10);
  t.is((await repositoryOn(target).open({ ...READER, at: 99 })).headLsn, 10);
});

test.serial('a new repository is empty at LSN 0, and is opened again as it was', async (t) => {
  const target = new MemoryTarget();
  const expected = {
    arrayUuid: ARRAY,
    volumeBytes: VOLUME_BLOCKS * BLOCK_BYTES,
    epoch: 1,
    headLsn: 0,
    headTime: 0,
    segmentEpoch: 0,
    segments: 0,
    storedBytes: 0,
    weakness: '',
  };
  t.deepEqual(await repositoryOn(target).open(writer(1)), expected);
  t.deepEqual(await repositoryOn(target).open(writer(1, false)), expected);
  const reader = repositoryOn(target);
  await reader.open(READER);
  await assertImage(t, reader, new ModelImage(), seeded(t));
});

test.serial('reads fetch what is needed and no more: raw blocks alone, compressed frames once', async (t) => {
  for (const compression of ['none', 'zstd'] as const) {
    const target = new MemoryTarget();
    const repository = repositoryOn(target, { compression, passphrase: '' });
    await repository.open(writer(1));
    const bytes = Buffer.alloc(64 * BLOCK_BYTES, compression === 'none' ? '' : 'dull');
    await repository.publish({ firstLsn: 1, lastLsn: 1, time: 0, seed: false }, pieces([{ first: 16, count: 64, bytes }]));
    await repository.lookup(0, 1, new Uint8Array(1));
    target.bytesRead = 0;
    let reads = 0;
    target.before = (operation) => {
      if (operation === 'read') reads++;
    };
    // Two frames in part: blocks 20..40 of 16..80.
    const blocks = Float64Array.from({ length: 20 }, (_, i) => 20 + i);
    const fetched = await repository.read(blocks, 0, new Uint32Array(20));
    t.is(fetched, target.bytesRead);
    t.is(reads, 1, 'neighbours are merged');
    if (compression === 'none') t.is(fetched, 20 * BLOCK_BYTES);
    else t.true(fetched < BLOCK_BYTES);
    t.is(await repository.read(Float64Array.of(1, 2, 3), 0, new Uint32Array(3)), 0, 'zeroes cost nothing');
  }
});

test.serial('what changed in memory between receiving and draining is not published', async (t) => {
  const repository = repositoryOn(new MemoryTarget());
  await repository.open(writer(1));
  const pull = pieces([{ first: 3, count: 2, bytes: Buffer.alloc(2 * BLOCK_BYTES, 1) }]);
  const flipped = async () => {
    const piece = await pull();
    if (piece !== null) memory[(piece.memory[0] as number) + BLOCK_BYTES] = 7;
    return piece;
  };
  const error = await rejection(t, repository.publish({ firstLsn: 1, lastLsn: 1, time: 0, seed: false }, flipped));
  t.is(error.code, 'SLAB_CORRUPT');
  t.regex(error.message, /block 4/);
  t.is((await repository.open(writer(1))).headLsn, 0);
});

test.serial('an error of pull ends the publish with that error, and nothing is published', async (t) => {
  const target = new MemoryTarget();
  const repository = repositoryOn(target);
  await repository.open(writer(1));
  let calls = 0;
  const pull = async () => {
    if (calls++ > 0) throw new Error('no more memory');
    return pieces([{ first: 0, count: 1, bytes: Buffer.alloc(BLOCK_BYTES) }])();
  };
  await t.throwsAsync(repository.publish({ firstLsn: 1, lastLsn: 1, time: 0, seed: false }, pull), { message: 'no more memory' });
  t.is((await repository.open(writer(1))).headLsn, 0);
  t.deepEqual(
    [...target.files.keys()].filter((name) => name.startsWith('tmp-') || name.startsWith('segment-')),
    [],
  );
});

test.serial('after a failed publish nothing is published before open has settled what is there', async (t) => {
  const target = new MemoryTarget();
  const repository = repositoryOn(target);
  await repository.open(writer(1));
  target.failAt = target.operations + 3;
  const header = { firstLsn: 1, lastLsn: 1, time: 0, seed: false };
  await rejection(t, repository.publish(header, pieces([])));
  target.heal();
  t.is((await rejection(t, repository.publish(header, pieces([])))).code, 'BACKUP_UNREACHABLE');
  await repository.open(writer(1));
  t.is((await repository.publish(header, pieces([]))).segment, 1);
});

test.serial('metadata files are kept, replaced, and told from missing ones', async (t) => {
  for (const passphrase of ['', 'secret']) {
    const target = new MemoryTarget();
    const repository = repositoryOn(target, { compression: 'none', passphrase });
    await repository.open(writer(1));
    t.is(await repository.getMetadata('superblock-0'), null);
    await repository.putMetadata('superblock-0', Buffer.from('one'));
    await repository.putMetadata('superblock-0', Buffer.from('two'));
    await repository.putMetadata('shape', new Uint8Array(0));
    const reader = repositoryOn(target, { compression: 'none', passphrase });
    await reader.open(READER);
    t.is(Buffer.from((await reader.getMetadata('superblock-0')) ?? []).toString(), 'two');
    t.is((await reader.getMetadata('shape'))?.length, 0);
    // One file under another's name is not taken for it.
    target.files.set('metadata-shape', target.files.get('metadata-superblock-0') as never);
    t.is((await rejection(t, reader.getMetadata('shape'))).code, 'BACKUP_CORRUPT');
    for (const name of ['', '../x', 'A', 'a/b'])
      await t.throwsAsync(repository.putMetadata(name, new Uint8Array(1)), { code: 'ASSERTION' });
  }
});

test.serial('an encrypted repository holds nothing of the data in the clear, and opens with its passphrase alone', async (t) => {
  const target = new MemoryTarget();
  const repository = repositoryOn(target, { compression: 'none', passphrase: 'secret' });
  await repository.open(writer(1));
  const bytes = Buffer.alloc(4 * BLOCK_BYTES, 'plain words ');
  await repository.publish({ firstLsn: 1, lastLsn: 1, time: 0, seed: false }, pieces([{ first: 0, count: 4, bytes }]));
  await repository.putMetadata('shape', Buffer.from('plain words'));
  for (const [name, file] of target.files) t.false(file.bytes.includes('plain words'), name);
  for (const passphrase of ['', 'wrong', 'secret ']) {
    t.is(
      (await rejection(t, repositoryOn(target, { compression: 'none', passphrase }).open(READER))).code,
      'BACKUP_PASSPHRASE',
      passphrase,
    );
  }
});

test.serial('a passphrase for a repository in the clear is refused: nobody is left believing that it is encrypted', async (t) => {
  const target = new MemoryTarget();
  await repositoryOn(target).open(writer(1));
  t.is((await rejection(t, repositoryOn(target, { compression: 'none', passphrase: 'secret' }).open(writer(1)))).code, 'BACKUP_PASSPHRASE');
});

test.serial('another array’s repository, another volume size, and a directory of something else are BACKUP_FOREIGN', async (t) => {
  const target = new MemoryTarget();
  await repositoryOn(target).open(writer(1));
  t.is((await rejection(t, repositoryOn(target).open({ ...writer(1), arrayUuid: 'another' }))).code, 'BACKUP_FOREIGN');
  t.is((await rejection(t, repositoryOn(target).open({ ...writer(1), volumeBytes: BLOCK_BYTES }))).code, 'BACKUP_FOREIGN');
  const other = new MemoryTarget();
  const file = await other.create('holiday.jpg');
  await file.close();
  const error = await rejection(t, repositoryOn(other).open(writer(1)));
  t.is(error.code, 'BACKUP_FOREIGN');
  t.is(error.found, 'holiday.jpg');
  t.deepEqual([...other.files.keys()], ['holiday.jpg']);
});

test.serial('files of somebody else that are called tmp-something are foreign, and are not removed', async (t) => {
  for (const name of ['tmp-letters', 'tmp-2026-11', 'tmp-']) {
    const target = new MemoryTarget();
    await (await target.create(name)).close();
    t.is((await rejection(t, repositoryOn(target).open(writer(1)))).code, 'BACKUP_FOREIGN', name);
    t.deepEqual([...target.files.keys()], [name]);
  }
  const ours = new MemoryTarget();
  await (await ours.create('tmp-0d9f7a52-93f4-4e7f-9d53-6c1d0e0d3b55')).close();
  await repositoryOn(ours).open(writer(1));
  t.false([...ours.files.keys()].some((name) => name.startsWith('tmp-')));
});

test.serial('an empty directory is BACKUP_MISSING unless it may be made a repository', async (t) => {
  const folder = scratchFolder(t);
  t.is((await rejection(t, repositoryOn(new FileTarget(folder)).open(writer(1, false)))).code, 'BACKUP_MISSING');
  t.is((await rejection(t, repositoryOn(new FileTarget(folder)).open({ ...READER, create: true }))).code, 'BACKUP_MISSING');
  t.deepEqual(readdirSync(folder), []);
});

test.serial('reads go on beside a publish, and see the image before it or after it', async (t) => {
  const random = seeded(t);
  const repository = repositoryOn(new MemoryTarget());
  await repository.open(writer(1));
  const before = new ModelImage();
  const first = [{ first: 0, count: 200, bytes: Buffer.alloc(200 * BLOCK_BYTES, 1) }];
  await repository.publish({ firstLsn: 1, lastLsn: 1, time: 0, seed: false }, pieces(first));
  applyChanges(before, first, 1, false);
  await assertImage(t, repository, before, random);
  const second = [{ first: 100, count: 200, bytes: Buffer.alloc(200 * BLOCK_BYTES, 2) }];
  const publishing = repository.publish({ firstLsn: 2, lastLsn: 2, time: 0, seed: false }, pieces(second));
  let done = false;
  void publishing.then(() => {
    done = true;
  });
  const into = 1024 * BLOCK_BYTES;
  while (!done) {
    await repository.read(Float64Array.of(50, 150, 250), into, new Uint32Array(3));
    t.is(memory[into], 1);
    t.true([1, 2].includes(memory[into + BLOCK_BYTES] as number));
    t.true([0, 2].includes(memory[into + 2 * BLOCK_BYTES] as number));
  }
  await publishing;
  applyChanges(before, second, 2, false);
  await assertImage(t, repository, before, random);
});
