import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../src/base/clock.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { BLOCK_LOST } from '../../src/repository/backup.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';
import { isLost, replaceAll, settleAfterLoss } from './loss-scenario.js';

const SEED = Number(process.env.KEELSON_SEED ?? Date.now() % 0x1_0000_0000);
const STRIPE_MEMBERS = [1, 3, 4];
const JOURNAL = [6, 7];

interface Scene {
  readonly fixture: ArrayFixture;
  readonly model: BlockModel;
  /** Ascending. */
  readonly lost: readonly number[];
}

/** Beyond parity the ring takes writes, more than the slab holds; then every journal copy dies: what no memory holds of them is lost for good, undrained. destaged:
 * the ring was destaged before, so that what is lost was in the stripes. */
async function withLostUndrained(t: ExecutionContext, destaged = false): Promise<Scene> {
  t.log(`KEELSON_SEED=${SEED}`);
  const random = seededRandom(SEED);
  // What is tried again after a while is what these tests are about.
  const fixture = await ArrayFixture.create(t, { buffers: 5, clock: systemClock });
  const { engine } = fixture;
  const model = new BlockModel(() => fixture.engine.volume, engine.volumeBytes / BLOCK_BYTES);
  await model.fill();
  await model.flush();
  await fixture.drain();
  await engine.destageLoop.drainAll();
  if (!destaged) fixture.kill(STRIPE_MEMBERS);
  await settleAfterLoss(fixture);
  const target = model.acknowledgements + 160;
  await model.load(random, 4, () => model.acknowledgements >= target);
  if (destaged) {
    t.true(await engine.destageLoop.drainAll());
    fixture.kill(STRIPE_MEMBERS);
  }
  fixture.kill(JOURNAL);
  await settleAfterLoss(fixture);
  const lost: number[] = [];
  for (let block = 0; block < model.blocks; block++) if (isLost(engine, block)) lost.push(block);
  t.true(lost.length > 0);
  return { fixture, model, lost };
}

/** Drains until the backup has everything: the first attempts fail, so that an error that passes costs nothing. */
async function drainAll(t: ExecutionContext, fixture: ArrayFixture): Promise<number> {
  const { journal } = fixture.engine;
  for (let failures = 0; failures < 20; failures++) {
    const drained = await fixture.drain().then(
      () => true,
      (error: unknown) => {
        t.is((error as { code?: string }).code, 'DRAIN_SOURCE_LOST');
        return false;
      },
    );
    if (drained && journal.drainedSeq === journal.headSeq) return failures;
  }
  return t.fail('the drain never ended') as never;
}

async function exactlyLost(t: ExecutionContext, { model, lost }: Scene): Promise<void> {
  const { wrong, unreadable } = await model.verify((block) => lost.includes(block));
  t.deepEqual(wrong, []);
  t.deepEqual(
    [...unreadable].sort((a, b) => a - b),
    lost,
  );
}

test.serial(
  'P7: blocks that were lost before they were drained do not hold the drain up; a restore gives exactly them as lost',
  async (t) => {
    const scene = await withLostUndrained(t);
    const { fixture, model, lost } = scene;
    t.true((await drainAll(t, fixture)) > 0);
    t.is(fixture.engine.drainer?.lostBlocks, lost.length);
    const has = new Uint8Array(model.blocks);
    await fixture.engine.link?.backup.lookup(0, model.blocks, has);
    for (let block = 0; block < model.blocks; block++) if ((has[block] === BLOCK_LOST) !== lost.includes(block)) t.fail(`block ${block}`);
    await exactlyLost(t, scene);
    await fixture.restore();
    await exactlyLost(t, scene);
    t.is(arrayStatus(fixture.engine).lost.bytes, lost.length * BLOCK_BYTES);
    for (const block of lost) t.true(await model.write(block, 1));
    await fixture.drain();
    t.deepEqual((await model.verify()).wrong, []);
    await fixture.engine.link?.backup.lookup(0, model.blocks, has);
    t.false(has.includes(BLOCK_LOST));
    await fixture.close();
  },
);

test.serial('P5: after the drain has called blocks lost, destaging and rebuild do so too, and give nothing older', async (t) => {
  const scene = await withLostUndrained(t);
  const { fixture, model, lost } = scene;
  const { engine } = fixture;
  await drainAll(t, fixture);
  await replaceAll(fixture, [...STRIPE_MEMBERS, ...JOURNAL]);
  while (!(await engine.destageLoop.drainAll())) await new Promise((resolve) => setTimeout(resolve, 20));
  t.is(engine.journal.destagedSeq, engine.journal.headSeq);
  t.is(engine.journal.tailSeq, engine.journal.headSeq);
  await exactlyLost(t, scene);
  t.is(arrayStatus(engine).state, 'online');
  for (const block of lost) t.true(await model.write(block, 1));
  t.true(await engine.destageLoop.drainAll());
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});

test.serial(
  'P7: what a rebuild may still bring is not given up by the drain; afterwards volume and backup call the same blocks lost',
  async (t) => {
    const { fixture, model, lost } = await withLostUndrained(t, true);
    const { engine } = fixture;
    for (let attempts = 0; attempts < 5; attempts++) await t.throwsAsync(fixture.drain(), { code: 'DRAIN_SOURCE_LOST' });
    await replaceAll(fixture, [...STRIPE_MEMBERS, ...JOURNAL]);
    while (!(await engine.destageLoop.drainAll())) await new Promise((resolve) => setTimeout(resolve, 20));
    await drainAll(t, fixture);
    t.is(engine.journal.tailSeq, engine.journal.headSeq);
    const { wrong, unreadable } = await model.verify((block) => lost.includes(block));
    t.deepEqual(wrong, []);
    const has = new Uint8Array(model.blocks);
    await engine.link?.backup.lookup(0, model.blocks, has);
    for (let block = 0; block < model.blocks; block++) if ((has[block] === BLOCK_LOST) !== unreadable.has(block)) t.fail(`block ${block}`);
    t.is(arrayStatus(engine).lost.bytes, unreadable.size * BLOCK_BYTES);
    await fixture.close();
  },
);
