import { closeSync, openSync, writeSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { lostBlocksOf, LostBlocks } from '../../src/engine/lost-blocks.js';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import type { IntegrityTable } from '../../src/member/integrity.js';
import { LOST_RANGES_MAX } from '../../src/member/layout.js';
import { CRC_LOST, StripeGeometry } from '../../src/stripe/geometry.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

const STRIPE = 5;

interface Scene {
  readonly fixture: ArrayFixture;
  readonly model: BlockModel;
  /** Lost for good, ascending: the first on member 1, the second on member 2, which failed. */
  readonly lost: readonly number[];
}

/** 4+1 without a backup: a block of member 1 is bad, member 2 fails, and their row is written. */
async function withLostBlocks(t: ExecutionContext): Promise<Scene> {
  const fixture = await ArrayFixture.create(t, { dataMembers: 5, parity: 1, backup: false });
  const { engine } = fixture;
  const { geometry } = engine.state;
  const model = new BlockModel(() => fixture.engine.volume, geometry.volumeBlocks);
  await model.fill();
  await model.flush();
  t.true(await engine.destageLoop.drainAll());
  const file = openSync(fixture.paths[1] as string, 'r+');
  const at = (engine.state.members[1]?.superblock.layout.dataOffset ?? 0) + geometry.memberBlock(STRIPE, 0) * BLOCK_BYTES;
  writeSync(file, Buffer.alloc(BLOCK_BYTES, 9), 0, BLOCK_BYTES, at);
  closeSync(file);
  await failByHand(engine, '2', true);
  const blockOf = (member: number): number => STRIPE * geometry.stripeBlocks + geometry.shardOf(STRIPE, member) * geometry.rows;
  for (const member of [0, 3]) t.true(await model.write(blockOf(member), 1));
  while (!(await engine.destageLoop.drainAll())) await new Promise((resolve) => setTimeout(resolve, 20));
  return { fixture, model, lost: [blockOf(1), blockOf(2)] };
}

async function lostAre(t: ExecutionContext, { fixture, model }: Scene, lost: readonly number[]): Promise<void> {
  const { wrong, unreadable } = await model.verify((block) => lost.includes(block));
  t.deepEqual(wrong, []);
  t.deepEqual(
    [...unreadable].sort((a, b) => a - b),
    lost,
  );
  const status = arrayStatus(fixture.engine);
  t.is(status.lost.bytes, lost.length * BLOCK_BYTES);
  t.is(
    status.alarms.some(({ code }) => code === 'BLOCKS_LOST'),
    lost.length > 0,
  );
}

test.serial(
  'P5: a lost block whose member is away at the next assembly is an error, not zeroes, and stays one on the new member',
  async (t) => {
    const scene = await withLostBlocks(t);
    const { fixture, model, lost } = scene;
    await lostAre(t, scene, lost);
    t.deepEqual(
      arrayStatus(fixture.engine).lost.ranges.map(({ offset }) => offset / BLOCK_BYTES),
      lost,
    );
    await fixture.engine.stop();
    await fixture.start();
    t.is(fixture.engine.state.members[2], null);
    await lostAre(t, scene, lost);
    await replaceMember(fixture.engine, '2', fixture.newPath());
    await fixture.engine.rebuild.wait();
    await lostAre(t, scene, lost);
    t.true(await model.write(lost[1] as number, 1));
    t.true(await fixture.engine.destageLoop.drainAll());
    await lostAre(t, scene, lost.slice(0, 1));
    t.true(await model.write(lost[0] as number, 1));
    t.true(await fixture.engine.destageLoop.drainAll());
    await lostAre(t, scene, []);
    await fixture.close();
  },
);

test.serial('P5: when the list had no room for all lost blocks, zeroes derived for a member that is away are not believed', async (t) => {
  const scene = await withLostBlocks(t);
  const { fixture, lost } = scene;
  Object.defineProperty(fixture.engine.state.lost, 'list', { get: () => ({ ranges: [], more: true }) });
  await fixture.engine.stop();
  await fixture.start();
  t.true(arrayStatus(fixture.engine).lost.more);
  const read = async (): Promise<number[]> =>
    [...(await scene.model.verify((block) => lost.includes(block))).unreadable].sort((a, b) => a - b);
  t.deepEqual(await read(), lost);
  await replaceMember(fixture.engine, '2', fixture.newPath());
  await fixture.engine.rebuild.wait();
  await lostAre(t, scene, lost);
  t.false(arrayStatus(fixture.engine).lost.more);
  await fixture.close();
});

test('the list of lost blocks is bounded, and says so', (t) => {
  const geometry = new StripeGeometry(4, 2, 4 * BLOCK_BYTES, 2000);
  const entries = geometry.stripes * geometry.rows;
  const tables = Array.from({ length: 6 }, () => {
    const forEachUsed: IntegrityTable['forEachUsed'] = (visit) => visit(0, entries);
    return { entries: new Uint32Array(entries), forEachUsed } as unknown as IntegrityTable;
  });
  const blocks = new LostBlocks(geometry, tables, new Uint8Array(6).fill(1));
  t.deepEqual(blocks.list, { ranges: [], more: false });
  const mark = (stripe: number, shard: number, row: number, entry: number): void => {
    (tables[geometry.memberOf(stripe, shard)] as IntegrityTable).entries[geometry.memberBlock(stripe, row)] = entry;
  };
  for (let stripe = 0; stripe < geometry.stripes; stripe++) for (const shard of [0, 2]) mark(stripe, shard, 1, CRC_LOST);
  blocks.scan();
  t.is(blocks.list.ranges.length, LOST_RANGES_MAX);
  t.true(blocks.list.more);
  for (let stripe = 3; stripe < geometry.stripes; stripe++) {
    for (const shard of [0, 2]) mark(stripe, shard, 1, 77);
    blocks.changed(stripe);
  }
  mark(0, 0, 2, CRC_LOST);
  t.deepEqual(blocks.list.ranges[0], { first: 1, count: 2 });
  t.is(lostBlocksOf(blocks.list.ranges), 7);
  t.false(blocks.list.more);
});
