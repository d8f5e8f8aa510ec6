import test from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import type { KeelsonError } from '../../src/base/errors.js';
import type { ReadPayload } from '../../src/engine/block-volume.js';
import { failByHand } from '../../src/engine/membership-change.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

test.serial('reads beyond parity end although they hold all the memory for reads: what they fetch has memory of its own', async (t) => {
  t.timeout(600_000);
  const fixture = await ArrayFixture.create(t);
  const { engine } = fixture;
  const model = new BlockModel(() => engine.volume, engine.state.geometry.volumeBlocks);
  await model.fill();
  t.true(await engine.destageLoop.drainAll());
  await fixture.drain();
  for (const index of ['0', '1', '2']) await failByHand(engine, index, true);
  const { volumeBytes, readPages } = engine;
  const many = Math.ceil((readPages.large.pages * BLOCK_BYTES) / volumeBytes) + 2;
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

test.serial('a small read and a write of a part of a block do not wait for memory that large reads hold', async (t) => {
  const fixture = await ArrayFixture.create(t);
  const { volume, volumeBytes, readPages } = fixture.engine;
  const held: ReadPayload[] = [];
  for (let reads = 0; reads < (readPages.large.pages * BLOCK_BYTES) / volumeBytes + 2; reads++)
    volume.read(0, volumeBytes, (_error, payload) => {
      if (payload !== null) held.push(payload);
    });
  t.true(readPages.large.waiting > 0, 'they hold all there is');
  const written = await new Promise<KeelsonError | null>((done) => {
    volume.write(5000, Buffer.from('part'), false, done);
  });
  t.is(written, null);
  const text = await new Promise<string>((resolve) => {
    volume.read(5000, 4, (_error, payload) => {
      resolve(payload?.bytes.toString() ?? '');
      payload?.release();
    });
  });
  t.is(text, 'part');
  t.true(readPages.large.waiting > 0);
  while (readPages.usedPages > 0) {
    for (const payload of held.splice(0)) payload.release();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await fixture.close();
});
