import test from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

test('the progress of a restore counts what was written, not what the volume could hold: it ends at all of it', async (t) => {
  const fixture = await ArrayFixture.create(t);
  const model = new BlockModel(() => fixture.engine.volume, fixture.engine.state.geometry.volumeBlocks);
  await model.write(0, 3);
  await model.write(40, 5);
  await model.write(model.blocks - 1, 1);
  await fixture.drain();
  const told: (readonly [number, number])[] = [];
  await fixture.restore((done, total) => void told.push([done, total]));
  const total = 9 * BLOCK_BYTES;
  t.deepEqual(told[0], [0, total]);
  t.deepEqual(told.at(-1), [total, total]);
  for (const [, all] of told) t.is(all, total);
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});
