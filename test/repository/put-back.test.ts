import test, { type ExecutionContext } from 'ava';
import { MemoryTarget } from '../target/memory-target.js';
import { applyChanges, assertImage, ModelImage, pieces, randomChanges, repositoryOn, seeded, writer } from './rig.js';
import { rejection } from '../target/target-conformance.js';

/** Two publishes, and the host put back to where it was after the first. */
async function putBack(t: ExecutionContext) {
  const random = seeded(t);
  const target = new MemoryTarget();
  const repository = repositoryOn(target);
  await repository.open(writer(1));
  const model = new ModelImage();
  const publish = async (lsn: number, into: ModelImage | null): Promise<void> => {
    const changes = randomChanges(random, 3);
    await repository.publish({ firstLsn: lsn, lastLsn: lsn, time: 0, seed: false }, pieces(changes));
    if (into !== null) applyChanges(into, changes, lsn, false);
  };
  await publish(1, model);
  const before = new Map(target.files);
  await publish(2, null);
  const after = new Map(target.files);
  const restore = (files: typeof before): void => {
    target.files.clear();
    for (const [name, file] of files) target.files.set(name, file);
  };
  restore(before);
  return { random, target, repository, model, publish, restore, after };
}

test.serial('P3, P7: a publish over a host that was put back to an earlier state is refused, and its image stays whole', async (t) => {
  const { random, target, repository, model, publish } = await putBack(t);
  t.is((await rejection(t, publish(3, null))).code, 'BACKUP_CHANGED');
  const found = await repository.open(writer(1));
  t.is(found.headLsn, 1);
  await publish(2, model);
  const again = repositoryOn(target);
  await again.open(writer(1));
  await assertImage(t, again, model, random);
});

test.serial('P3: segments beyond an old HEAD stay on the host while the array knows that they were published', async (t) => {
  const { target, repository, after, restore } = await putBack(t);
  // HEAD alone is old.
  const old = target.files.get('HEAD-00000001');
  restore(after);
  target.files.set('HEAD-00000001', old as NonNullable<typeof old>);
  t.is((await repository.open({ ...writer(1), drainedLsn: 2 })).headLsn, 1);
  t.true(target.files.has('segment-000000000002-00000001'));
  t.is((await repository.open({ ...writer(1), drainedLsn: 1 })).headLsn, 1);
  t.false(target.files.has('segment-000000000002-00000001'));
});

test.serial('P3, P7: a directory that was emptied while the repository was open is begun anew, and not left looking damaged', async (t) => {
  const { random, target, repository, publish, restore } = await putBack(t);
  restore(new Map());
  t.is((await rejection(t, publish(3, null))).code, 'BACKUP_CHANGED');
  t.is(target.files.size, 0);
  t.is((await repository.open(writer(1))).headLsn, 0);
  const empty = new ModelImage();
  await publish(1, empty);
  const again = repositoryOn(target);
  await again.open(writer(1));
  await assertImage(t, again, empty, random);
});
