import test from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { failByHand } from '../../src/engine/membership-change.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

test.serial('reads beyond parity end although they hold all the memory for reads: what they fetch has memory of its own', async (t) => {
  t.timeout(60_000);
  const fixture = await ArrayFixture.create(t);
  const { engine } = fixture;
  const model = new BlockModel(() => engine.volume, engine.state.geometry.volumeBlocks);
  await model.fill();
  t.true(await engine.destageLoop.drainAll());
  await fixture.drain();
  for (const index of ['0', '1', '2']) await failByHand(engine, index, true);
  const { volumeBytes, readPages } = engine;
  const many = Math.ceil((readPages.pages * BLOCK_BYTES) / volumeBytes) + 2;
  let fullest = 0;
  let memoryHeld = 0;
  await Promise.all(
    Array.from(
      { length: many },
      () =>
        new Promise<void>((resolve) =>
          engine.volume.read(0, volumeBytes, (error, payload) => {
            t.is(error, null);
            memoryHeld++;
            payload?.release();
            resolve();
          }),
        ),
    ).concat(
      new Promise<void>((resolve) => {
        fullest = readPages.waiting;
        resolve();
      }),
    ),
  );
  t.true(fullest > 0, 'some reads waited for memory');
  t.is(memoryHeld, many);
  t.true(engine.recovery.counters.fromBackup > 0);
  await fixture.close();
});
