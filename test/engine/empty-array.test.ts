import { statSync } from 'node:fs';
import test from 'ava';
import { KIB, MIB } from '../../src/base/units.js';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import { ArrayFixture } from './array-fixture.js';

/** Members of 64 GiB, which are sparse files. */
const STRIPES = 2 ** 20;
/** Superblocks, checkpoints with their bitmap, and a little of the ring; the checksums of a member would be 128 MiB. */
const WRITTEN_BYTES_MAX = 8 * MIB;

const storedBytes = (path: string): number => statSync(path).blocks * 512;

test('an empty array costs what is written: large members stay sparse when it is made, served, stopped, and when one is replaced', async (t) => {
  const fixture = await ArrayFixture.create(t, { dataMembers: 3, parity: 1, chunkBytes: 64 * KIB, stripes: STRIPES, backup: false });
  const { engine } = fixture;
  await failByHand(engine, '1', true);
  const path = fixture.newPath();
  await replaceMember(engine, '1', path);
  await engine.rebuild.wait();
  t.is(engine.state.members[1]?.state, 'online');
  await engine.stop();
  for (const member of [...fixture.paths, path]) t.true(storedBytes(member) < WRITTEN_BYTES_MAX, `${storedBytes(member)} bytes stored`);
  await fixture.start();
});
