import { cpSync, renameSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { ArrayFixture, settingsOf } from './array-fixture.js';
import { BlockModel } from './block-model.js';

const SEED = Number(process.env.KEELSON_SEED ?? Date.now() % 0x1_0000_0000);

/** Leaves the members as kill -9 does, without those lost with it, and starts again. */
async function crash(fixture: ArrayFixture, lost: readonly number[]): Promise<void> {
  for (const path of fixture.paths) cpSync(path, `${path}-crash`);
  await fixture.engine.stop();
  for (const [index, path] of fixture.paths.entries()) renameSync(`${path}-crash`, lost.includes(index) ? `${path}-gone` : path);
  for (const index of lost) renameSync(fixture.paths[index] as string, `${fixture.paths[index]}-old`);
  await fixture.start();
}

/** An array of which every block is written and destaged, and that destages nothing more by itself. */
async function filled(t: ExecutionContext, buffers: number) {
  const fixture = await ArrayFixture.create(t, { backup: false, buffers });
  const { geometry } = fixture.engine.state;
  const model = new BlockModel(() => fixture.engine.volume, geometry.volumeBlocks);
  await model.fill();
  await model.flush();
  t.true(await fixture.engine.destageLoop.drainAll());
  fixture.engine.destageLoop.kick = () => {};
  return { fixture, geometry, model };
}

for (const lost of [[2], [2, 4]]) {
  test.serial(
    `P8: a crash with undestaged writes and the loss of ${lost.length} of 2 tolerated members costs nothing, without a backup`,
    async (t) => {
      t.log(`seed ${SEED}`);
      const random = seededRandom(SEED);
      const { fixture, geometry, model } = await filled(t, 8);
      for (let stripe = 0; stripe < geometry.stripes; stripe++)
        await model.write(stripe * geometry.stripeBlocks + random.below(geometry.stripeBlocks), 1, 'data', true);
      await crash(fixture, lost);
      t.deepEqual((await model.verify()).wrong, []);
      t.true(await fixture.engine.destageLoop.drainAll());
      t.is(fixture.engine.state.untrustedStripes, 0);
      t.deepEqual((await model.verify()).wrong, []);
      await fixture.close();
    },
  );
}

test.serial('P6: recovery with the fewest buffers ends with every touched stripe trusted: it waits for its own checkpoints', async (t) => {
  t.log(`seed ${SEED}`);
  const random = seededRandom(SEED);
  const { fixture, geometry, model } = await filled(t, 12);
  for (let i = 0; i < 8; i++) {
    for (let stripe = 0; stripe < geometry.stripes; stripe++)
      await model.write(stripe * geometry.stripeBlocks + random.below(geometry.stripeBlocks), 1, 'data', true);
  }
  Object.assign(fixture.settings.memory, settingsOf(fixture.folder, { buffers: 4 }).memory);
  await crash(fixture, [2]);
  t.is(fixture.engine.state.untrustedStripes, 0);
  t.deepEqual(
    fixture.engine.state.alarms.map(({ code }) => code),
    ['MEMBER_FAILED_2'],
  );
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});
