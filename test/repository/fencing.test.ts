import test from 'ava';
import { RecordWriter } from '../../src/base/codec.js';
import { seal } from '../../src/repository/format/sealed-file.js';
import { MemoryTarget } from '../target/memory-target.js';
import { applyChanges, assertImage, ModelImage, pieces, randomChanges, READER, repositoryOn, seeded, writer } from './rig.js';
import { rejection } from '../target/target-conformance.js';

const HEADER = { firstLsn: 1, lastLsn: 1, time: 0, seed: false };

test.serial('P10: an older epoch is refused at open', async (t) => {
  const target = new MemoryTarget();
  await repositoryOn(target).open(writer(5));
  t.is((await rejection(t, repositoryOn(target).open(writer(4)))).code, 'BACKUP_FENCED');
  t.is((await repositoryOn(target).open(writer(5))).epoch, 5);
  t.is((await repositoryOn(target).open(writer(6))).epoch, 6);
});

test.serial(
  'P10: of two writers with one epoch the one that holds the lease goes on, also over a connection that it makes anew',
  async (t) => {
    const target = new MemoryTarget();
    const first = repositoryOn(target);
    await first.open({ ...writer(5), writer: 11 });
    t.is((await rejection(t, repositoryOn(target).open({ ...writer(5), writer: 12 }))).code, 'BACKUP_FENCED');
    t.is((await repositoryOn(target).open({ ...writer(5), writer: 11 })).epoch, 5);
    await first.publish(HEADER, pieces([]));
    const second = repositoryOn(target);
    await second.open({ ...writer(6), writer: 12 });
    t.is((await rejection(t, first.publish({ ...HEADER, firstLsn: 2, lastLsn: 2 }, pieces([])))).code, 'BACKUP_FENCED');
    t.is((await rejection(t, repositoryOn(target).open({ ...writer(6), writer: 11 }))).code, 'BACKUP_FENCED');
    await second.publish({ ...HEADER, firstLsn: 2, lastLsn: 2 }, pieces([]));
  },
);

test.serial('the lease of an earlier version, which does not say which process holds it, is taken at its epoch', async (t) => {
  const target = new MemoryTarget();
  await repositoryOn(target).open({ ...writer(5), writer: 11 });
  const body = new Uint8Array(8);
  new RecordWriter(body).u64(5);
  const bytes = Buffer.from(seal('KLSNLEAS', body, null));
  target.files.set('lease', { bytes, synced: bytes.length });
  t.is((await repositoryOn(target).open({ ...writer(5), writer: 12 })).epoch, 5);
  t.is((await rejection(t, repositoryOn(target).open({ ...writer(4), writer: 12 }))).code, 'BACKUP_FENCED');
});

test.serial('P10: a writer that was taken over can neither publish nor put metadata', async (t) => {
  const target = new MemoryTarget();
  const old = repositoryOn(target);
  await old.open(writer(1));
  await repositoryOn(target).open(writer(2));
  t.is((await rejection(t, old.putMetadata('shape', new Uint8Array(1)))).code, 'BACKUP_FENCED');
  t.is((await rejection(t, old.publish(HEADER, pieces([])))).code, 'BACKUP_FENCED');
});

test.serial(
  'P10: taken over at any operation of its publish, an old writer never changes the new writer’s image, and never believes it published what is not there',
  async (t) => {
    const random = seeded(t);
    for (let at = 0; at < 120; at++) {
      const target = new MemoryTarget();
      const old = repositoryOn(target);
      await old.open(writer(1));
      const model = new ModelImage();
      const theirs = randomChanges(random, 3);
      const ours = randomChanges(random, 3);
      const start = target.operations;
      const taken: Promise<number>[] = [];
      const successor = repositoryOn(target);
      target.before = () => {
        if (taken.length > 0 || target.operations < start + at) return;
        taken.push(successor.open(writer(2)).then((state) => state.headLsn));
      };
      let believed = false;
      const finished = old.publish({ ...HEADER, lastLsn: 7 }, pieces(theirs)).then(
        () => {
          believed = true;
        },
        (error: unknown) => t.regex(String((error as { code?: unknown }).code), /BACKUP_(FENCED|UNREACHABLE)|TARGET_FILE_MISSING/),
      );
      await finished;
      if (taken.length === 0) {
        t.true(believed);
        t.true(at > 15);
        return;
      }
      const found = (await taken[0]) ?? 0;
      t.true(found === 0 || found === 7);
      if (believed) t.is(found, 7, 'what the old writer believes drained is in the image that the new one took over');
      if (found === 7) applyChanges(model, theirs, 7, false);
      await successor.publish({ firstLsn: found + 1, lastLsn: found + 2, time: 0, seed: false }, pieces(ours));
      applyChanges(model, ours, found + 2, false);
      const reader = repositoryOn(target);
      t.is((await reader.open(READER)).headLsn, model.lsn);
      await assertImage(t, reader, model, random);
    }
    t.fail('the publish takes more operations than expected');
  },
);

test.serial('a reader that opens while a new writer takes over finds the one HEAD or the other', async (t) => {
  for (let at = 0; at < 40; at++) {
    const target = new MemoryTarget();
    await repositoryOn(target).open(writer(1));
    const start = target.operations;
    const taken: Promise<unknown>[] = [];
    target.before = () => {
      if (taken.length === 0 && target.operations >= start + at) taken.push(repositoryOn(target).open(writer(2)));
    };
    const { epoch } = await repositoryOn(target).open(READER);
    if (taken.length === 0) return t.true(at > 3);
    t.true(epoch === 1 || epoch === 2);
    await taken[0];
  }
  return t.fail('opening takes more operations than expected');
});
