import test from 'ava';
import { BLOCK_BYTES } from '../../../src/base/units.js';
import { BLOCK_LOST } from '../../../src/repository/backup.js';
import { MemoryTarget } from '../../target/memory-target.js';
import { pieces, READER, repositoryOn, writer } from '../rig.js';

const EXTENTS = 8000;

test('a segment of so many extents that its index is longer than what is read of the end of a file gives every extent again', async (t) => {
  const target = new MemoryTarget();
  const repository = repositoryOn(target);
  await repository.open({ ...writer(1), volumeBytes: 2 * EXTENTS * BLOCK_BYTES });
  const extents = Array.from({ length: EXTENTS }, (_, i) => ({ first: 2 * i, count: 1, bytes: null, lost: true }));
  await repository.publish({ firstLsn: 1, lastLsn: EXTENTS, time: 0, seed: false }, pieces(extents));
  await repository.close();
  const reader = repositoryOn(target);
  t.is((await reader.open(READER)).headLsn, EXTENTS);
  const found = new Uint8Array(2 * EXTENTS);
  await reader.lookup(0, found.length, found);
  t.true(found.every((kind, block) => kind === (block % 2 === 0 ? BLOCK_LOST : 0)));
  await reader.close();
});
