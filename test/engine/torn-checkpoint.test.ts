import { closeSync, cpSync, openSync, readSync, renameSync, writeSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { integrityCopyOffset } from '../../src/member/layout.js';
import type { MemberLayout } from '../../src/member/member-api.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

const STRIPE = 3;

interface Scene {
  readonly fixture: ArrayFixture;
  readonly model: BlockModel;
  /** Member of shard i of the stripe, and the block of its first row. */
  readonly memberOf: (shard: number) => number;
  readonly blockOf: (shard: number) => number;
}

/** When set, the stripe is not written. */
let held = false;

function onApply(stripes: Float64Array): void {
  if (held && stripes.includes(STRIPE)) throw new Error('not now');
}

/**
 * 4+2 without a backup. Shard 2 of a row is written and flushed to the ring; then the power fails: the members of `late` are as they are after destaging and its flush of data and
 * checksums, all others as before it, and none has the checkpoint. The members of `lost` shards do not come back. twice: the power fails again in the recovery, when a segment before
 * that one is destaged and in a checkpoint; the second copies of its pages are lost, as they may be until the next sync, and only then members are.
 */
async function powerFailure(t: ExecutionContext, late: readonly number[], lost: readonly number[], twice = false): Promise<Scene> {
  const fixture = await ArrayFixture.create(t, { backup: false, onApply });
  const { engine } = fixture;
  const { geometry } = engine.state;
  const memberOf = (shard: number): number => geometry.memberOf(STRIPE, shard);
  const blockOf = (shard: number): number => STRIPE * geometry.stripeBlocks + shard * geometry.rows;
  const model = new BlockModel(() => fixture.engine.volume, geometry.volumeBlocks);
  await model.fill();
  t.true(await engine.destageLoop.drainAll());
  await engine.checkpointer.settle();
  engine.destageLoop.kick = () => {};
  if (twice) {
    // Its entries are in the same pages, of all members.
    t.true(await model.write((STRIPE + 1) * geometry.stripeBlocks, geometry.stripeBlocks, 'data', true));
    engine.journal.close();
  }
  t.true(await model.write(blockOf(2), 1, 'data', true));
  for (const path of fixture.paths) cpSync(path, `${path}-early`);
  t.true(await engine.destageLoop.drainAll());
  const layout = engine.state.members[0]?.superblock.layout;
  if (layout === undefined) throw new Error('member 0 is there');
  for (const shard of late) {
    const path = fixture.paths[memberOf(shard)] as string;
    copyRange(path, `${path}-early`, layout.integrityOffset, layout.journalOffset);
    copyRange(path, `${path}-early`, layout.dataOffset, layout.dataOffset + layout.dataBytes);
  }
  const scene = { fixture, model, memberOf, blockOf };
  if (twice) {
    await restart(scene, [], true);
    await fixture.engine.destager.settled();
    t.is(fixture.engine.journal.destagedSeq, engine.journal.headSeq - 1, 'all but the last segment is destaged again');
    for (const path of fixture.paths) cpSync(path, `${path}-early`);
    for (let index = 0; index < geometry.n; index++) tearNewerPage(`${fixture.paths[index]}-early`, layout);
  }
  await restart(scene, lost);
  return scene;
}

/** The engine ends, and begins again with the early copies of the members. */
async function restart({ fixture, memberOf }: Scene, lost: readonly number[], hold = false): Promise<void> {
  await fixture.engine.stop();
  for (const path of fixture.paths) renameSync(`${path}-early`, path);
  for (const shard of lost) renameSync(fixture.paths[memberOf(shard)] as string, `${fixture.paths[memberOf(shard)]}-gone`);
  held = hold;
  await fixture.start();
}

/** Of the two copies of the first page with checksums, the one that was written last is torn. */
function tearNewerPage(path: string, layout: MemberLayout): void {
  const file = openSync(path, 'r+');
  const generations = [0, 1].map((copy) => {
    const bytes = Buffer.alloc(8);
    readSync(file, bytes, 0, 8, integrityCopyOffset(layout, 0, copy) + 8);
    return bytes.readBigUInt64LE();
  }) as [bigint, bigint];
  const newer = generations[0] > generations[1] ? 0 : 1;
  writeSync(file, Buffer.alloc(512), 0, 512, integrityCopyOffset(layout, 0, newer));
  closeSync(file);
}

function copyRange(from: string, to: string, start: number, end: number): void {
  const [source, target] = [openSync(from, 'r'), openSync(to, 'r+')];
  const bytes = Buffer.alloc(end - start);
  readSync(source, bytes, 0, bytes.length, start);
  writeSync(target, bytes, 0, bytes.length, start);
  closeSync(source);
  closeSync(target);
}

/** Blocks that are errors; fails the test when anything else than an error or the right content is read. */
async function unreadable(t: ExecutionContext, { model }: Scene): Promise<number[]> {
  const verdict = await model.verify(() => true);
  t.deepEqual(verdict.wrong, []);
  return [...verdict.unreadable].sort((a, b) => a - b);
}

for (const late of [[4], [5], [2], [2, 4], [4, 5], [3, 5]]) {
  test.serial(
    `P6: exactly k shards left of a row that a power failure tore inside a checkpoint's flush (shards ${late.join(', ')} were later) give no torn content`,
    async (t) => {
      const scene = await powerFailure(t, late, [0, 1]);
      t.deepEqual(await unreadable(t, scene), [scene.blockOf(0), scene.blockOf(1)]);
      await scene.fixture.close();
    },
  );
}

test.serial(
  'P8: a row that no destaging had touched is had from exactly k shards, although a segment for it waits in the ring',
  async (t) => {
    const scene = await powerFailure(t, [], [0, 1]);
    t.deepEqual(await unreadable(t, scene), []);
    await scene.fixture.close();
  },
);

test.serial('P8: with a shard to spare a row that is whole is had, however late its checksums', async (t) => {
  const scene = await powerFailure(t, [1, 2, 3, 4, 5], [0]);
  t.deepEqual(await unreadable(t, scene), []);
  await scene.fixture.close();
});

test.serial('P6: with a shard to spare a torn row is found out, and is written again from what is there', async (t) => {
  const scene = await powerFailure(t, [4], [0]);
  t.deepEqual(await unreadable(t, scene), [scene.blockOf(0)]);
  await scene.fixture.close();
});

test.serial(
  'P6: nor do they when the power fails again, after the recovery has written the same pages for an earlier segment',
  async (t) => {
    const scene = await powerFailure(t, [4], [0, 1], true);
    t.deepEqual(await unreadable(t, scene), [scene.blockOf(0), scene.blockOf(1)]);
    await scene.fixture.close();
  },
);
