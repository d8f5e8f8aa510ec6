import test from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import type { StatusExtent } from '../../src/engine/block-volume.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

const SMALL = { dataMembers: 3, parity: 1, journalMembers: 2, stripes: 8, chunkBytes: 8192 };
const ALL = 16;

/** A letter a block: '.' hole, 'd' data; in capitals, or ':' for a hole, while it is not drained. */
function letters(extents: readonly StatusExtent[]): string {
  return extents
    .map(({ length, hole, undrained }) => (hole ? (undrained ? ':' : '.') : undrained ? 'D' : 'd').repeat(length / BLOCK_BYTES))
    .join('');
}

test('block status says of each block whether it is a hole and whether it is off this host, through writing, destaging, draining and trimming', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const { engine } = fixture;
  const { volume } = engine;
  const model = new BlockModel(() => volume, ALL);
  const status = (): string => letters(volume.blockStatus(0, ALL * BLOCK_BYTES, 100));
  t.is(status(), '................');
  await model.write(2, 3);
  await model.write(9, 1);
  t.is(status(), '..DDD....D......');
  await engine.destageLoop.drainAll();
  t.is(status(), '..DDD....D......', 'the stripes are on this host');
  await fixture.drain();
  t.is(status(), '..ddd....d......');
  // Nothing is destaged meanwhile.
  const hold = await engine.lock(Float64Array.of(0, 1, 2, 3));
  await model.write(3, 1, 'trim');
  await model.write(9, 1);
  t.is(status(), '..d:d....D......');
  await fixture.drain();
  t.is(status(), '..d.d....d......', 'drained before it is destaged');
  engine.locks.release(hold);
  await engine.destageLoop.drainAll();
  t.is(status(), '..d.d....d......');
  await model.write(4, 2, 'zeroes');
  t.is(status(), '..d.::...d......');
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test('without a backup what was written is never off this host', async (t) => {
  const fixture = await ArrayFixture.create(t, { ...SMALL, backup: false });
  const { engine } = fixture;
  const model = new BlockModel(() => engine.volume, ALL);
  await model.write(1, 2);
  await engine.destageLoop.drainAll();
  t.is(letters(engine.volume.blockStatus(0, ALL * BLOCK_BYTES, 100)), '.DD.............');
  await fixture.close();
});

test('extents cover what was asked for, byte for byte, in at most so many pieces', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const { volume } = fixture.engine;
  const model = new BlockModel(() => volume, ALL);
  for (const block of [1, 3, 4, 8]) await model.write(block, 1);
  for (const [offset, length] of [
    [0, ALL * BLOCK_BYTES],
    [5, 1],
    [4095, 2],
    [1, 3 * BLOCK_BYTES],
    [3 * BLOCK_BYTES + 7, 5 * BLOCK_BYTES - 8],
    [volume.sizeBytes - 9, 9],
  ] as const) {
    const extents = volume.blockStatus(offset, length, 100);
    t.is(
      extents.reduce((sum, extent) => sum + extent.length, 0),
      length,
      `${offset}, ${length}`,
    );
    t.true(extents.every((extent, i) => extent.length > 0 && extent.zero === extent.hole && extent.hole !== extents[i + 1]?.hole));
    for (const limit of [1, 2, 3]) {
      const first = volume.blockStatus(offset, length, limit);
      t.true(first.length >= 1 && first.length <= limit);
      t.deepEqual(first.slice(0, -1), extents.slice(0, first.length - 1), 'a limit leaves out what comes last');
      t.true((first.at(-1)?.length ?? 0) <= (extents[first.length - 1]?.length ?? 0) + BLOCK_BYTES);
    }
  }
  await fixture.close();
});
