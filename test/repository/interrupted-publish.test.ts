import test from 'ava';
import { MemoryTarget } from '../target/memory-target.js';
import {
  applyChanges,
  assertImage,
  ModelImage,
  pieces,
  randomChanges,
  READER,
  repositoryOn,
  seeded,
  VARIANTS,
  variantName,
  writer,
} from './rig.js';
import { rejection } from '../target/target-conformance.js';

/** Operations that one publish of the rig takes, at most: each is cut once. */
const OPERATIONS_MAX = 200;

for (const variant of VARIANTS.slice(0, 3)) {
  for (const fault of ['request lost', 'reply lost', 'host crashed'] as const) {
    test.serial(
      `P7: a publish cut at any operation leaves the image before it, or the whole new one (${fault}; ${variantName(variant)})`,
      async (t) => {
        const random = seeded(t);
        const target = new MemoryTarget();
        let model = new ModelImage();
        let epoch = 1;
        const first = repositoryOn(target, variant);
        await first.open(writer(epoch));
        let cut = 0;
        let published = 0;
        for (let at = 0; at < OPERATIONS_MAX; at++) {
          const repository = repositoryOn(target, variant);
          const state = await repository.open(writer(random.below(3) === 0 ? ++epoch : epoch));
          t.is(state.headLsn, model.lsn);
          const changes = randomChanges(random, 4);
          const header = { firstLsn: model.lsn + 1, lastLsn: model.lsn + 3, time: 0, seed: random.below(8) === 0 };
          const after = model.copy();
          applyChanges(after, changes, header.lastLsn, header.seed);
          target.failAt = target.operations + at;
          target.failAfterEffect = fault === 'reply lost' || (fault === 'host crashed' && random.below(2) === 0);
          let failed = true;
          try {
            await repository.publish(header, pieces(changes));
            failed = false;
          } catch {
            cut++;
          }
          if (fault === 'host crashed') target.crash(random);
          target.heal();
          const reader = repositoryOn(target, variant);
          const { headLsn } = await reader.open(READER);
          if (!failed) t.is(headLsn, header.lastLsn, 'a publish that resolved is there, whatever happened afterwards');
          t.true(headLsn === model.lsn || headLsn === after.lsn);
          if (headLsn === after.lsn) {
            model = after;
            published++;
          }
          if (at % 5 === 0) await assertImage(t, reader, model, random);
          if (!failed) break;
        }
        t.true(cut >= 20, `cut ${cut} times`);
        t.true(published >= 1);
        const last = repositoryOn(target, variant);
        await last.open(writer(++epoch));
        await assertImage(t, last, model, random);
        const segments = [...target.files.keys()].filter((name) => !name.startsWith('segment-'));
        t.deepEqual(segments.sort(), [`HEAD-${String(epoch).padStart(8, '0')}`, 'keelson-repository', 'lease'], 'nothing is left over');
      },
    );
  }
}

test.serial('P3: what an open finds after a publish that was cut is there after a power failure of the host', async (t) => {
  const random = seeded(t);
  const worst = { ...random, below: () => 0 };
  let ahead = 0;
  for (let at = 0; at < OPERATIONS_MAX; at++) {
    const target = new MemoryTarget();
    const repository = repositoryOn(target);
    await repository.open(writer(1));
    target.failAt = target.operations + at;
    target.failAfterEffect = true;
    const cut = await repository.publish({ firstLsn: 1, lastLsn: 3, time: 0, seed: false }, pieces(randomChanges(random, 2))).then(
      () => false,
      () => true,
    );
    target.heal();
    const { headLsn } = await repositoryOn(target).open(writer(1));
    target.crash(worst);
    t.is((await repositoryOn(target).open(READER)).headLsn, headLsn, `cut at operation ${at}`);
    if (!cut) break;
    if (headLsn === 3) ahead++;
  }
  t.true(ahead >= 2);
});

test.serial('the creation of a repository cut at any operation is completed by the next open', async (t) => {
  const random = seeded(t);
  for (let at = 0; at < 60; at++) {
    const target = new MemoryTarget();
    target.failAt = at;
    target.failAfterEffect = at % 2 === 0;
    let failed = false;
    try {
      await repositoryOn(target).open(writer(1));
    } catch {
      failed = true;
    }
    target.crash(random);
    const repository = repositoryOn(target);
    t.is((await repository.open(writer(2))).headLsn, 0);
    await repository.publish({ firstLsn: 1, lastLsn: 5, time: 0, seed: false }, pieces([]));
    if (!failed) return;
  }
  t.fail('open never succeeded');
});

test.serial('a rename of an attempt that was given up comes too late to do anything', async (t) => {
  const target = new MemoryTarget();
  const repository = repositoryOn(target);
  await repository.open(writer(1));
  const late: (() => Promise<void>)[] = [];
  const rename = target.rename.bind(target);
  target.rename = async (from, to) => {
    late.push(() => rename(from, to));
    throw Object.assign(new Error('timed out'));
  };
  await t.throwsAsync(repository.publish({ firstLsn: 1, lastLsn: 1, time: 0, seed: false }, pieces([])));
  target.rename = rename;
  await repository.open(writer(1));
  await repository.publish({ firstLsn: 1, lastLsn: 2, time: 0, seed: false }, pieces([]));
  for (const request of late) t.is((await rejection(t, request())).code, 'TARGET_FILE_MISSING');
  t.is((await repositoryOn(target).open(READER)).headLsn, 2);
});
