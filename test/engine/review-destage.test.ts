import { renameSync } from 'node:fs';
import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { failByHand } from '../../src/engine/membership-change.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

const SEED = Number(process.env.KEELSON_SEED ?? Date.now() % 0x1_0000_0000);
/** Groups destaged after the last write: far more than the data need, far fewer than for ever. */
const PASSES_MAX = 100;

for (const known of [true, false]) {
  test.serial(
    `destaging ends with as many members lost as parity covers, ${known ? 'lost while running' : 'missing at assembly'}`,
    async (t) => {
      t.log(`seed ${SEED}`);
      const random = seededRandom(SEED);
      const fixture = await ArrayFixture.create(t, { backup: false, stripes: 200, segments: 32, buffers: 8 });
      const model = new BlockModel(() => fixture.engine.volume, fixture.engine.state.geometry.volumeBlocks);
      await model.fill();
      t.true(await fixture.engine.destageLoop.drainAll());
      if (known) for (const index of ['2', '3']) await failByHand(fixture.engine, index, true);
      else {
        await fixture.engine.stop();
        for (const index of [2, 3]) renameSync(fixture.paths[index] as string, `${fixture.paths[index]}-gone`);
        await fixture.start();
      }
      const { engine } = fixture;
      let writes = 0;
      const lane = async (): Promise<void> => {
        while (writes++ < 1500) await model.writeSomewhere(random, 1);
      };
      await Promise.all(Array.from({ length: 8 }, lane));
      const { journal, destager } = engine;
      journal.close();
      const before = destager.stats.passes;
      const drained = engine.destageLoop.drainAll();
      let done = false;
      void drained.then(() => {
        done = true;
      });
      const step = async (): Promise<string> => {
        while (!done && destager.stats.passes - before < PASSES_MAX) await new Promise<void>((turn) => setImmediate(turn));
        return `still destaging after ${PASSES_MAX} groups`;
      };
      t.is(await Promise.race([drained, step()]), true, engine.destageLoop.blocked?.describe());
      t.is(journal.destagedSeq, journal.headSeq);
      t.deepEqual((await model.verify()).wrong, []);
      await fixture.close();
    },
  );
}

test.serial('a lost block whose newest version is in a later segment that gave its memory away is read from the ring', async (t) => {
  const fixture = await ArrayFixture.create(t, { backup: false, buffers: 8 });
  const { engine } = fixture;
  const { journal, state } = engine;
  const { geometry } = state;
  const model = new BlockModel(() => engine.volume, geometry.volumeBlocks);
  await model.fill();
  t.true(await engine.destageLoop.drainAll());
  engine.destageLoop.kick = () => {};
  await failByHand(engine, '2', true);
  // Stripe 0, row 0: shard 0 is there, shard 2 is lost.
  const lost = 2 * geometry.rows;
  t.true(await model.write(0, 1));
  journal.close();
  t.true(await model.write(lost, 1, 'data', true));
  journal.close();
  const place = journal.index.lookup(lost);
  t.true(journal.buffers.spill(journal.table.seqOfPlace(place), journal.headSeq, journal.committedLsn));
  t.is(journal.table.memoryOf(place), -1);
  t.is(await engine.destager.pass(journal.headSeq, 1), 1);
  t.true(await engine.destageLoop.drainAll());
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});
