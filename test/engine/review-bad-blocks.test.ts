import { closeSync, openSync, writeSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { lostBlocksOf } from '../../src/engine/lost-blocks.js';
import { failByHand } from '../../src/engine/membership-change.js';
import { ArrayFixture, type FixtureOptions } from './array-fixture.js';
import { BlockModel } from './block-model.js';

const STRIPE = 5;

interface Scene {
  readonly fixture: ArrayFixture;
  readonly model: BlockModel;
  /** First row of the stripe: volume block of each data shard. */
  readonly row: readonly number[];
}

/** A 4+1 array, all of it in the stripes; the first block of stripe 5 is bad on these members. */
async function withBadBlocks(t: ExecutionContext, members: readonly number[], options: FixtureOptions): Promise<Scene> {
  const fixture = await ArrayFixture.create(t, { dataMembers: 5, parity: 1, ...options });
  const { engine } = fixture;
  const { geometry } = engine.state;
  const model = new BlockModel(() => engine.volume, geometry.volumeBlocks);
  await model.fill();
  await model.flush();
  t.true(await engine.destageLoop.drainAll());
  if (options.backup !== false) await fixture.drain();
  for (const member of members) {
    const layout = engine.state.members[member]?.superblock.layout;
    const file = openSync(fixture.paths[member] as string, 'r+');
    writeSync(
      file,
      Buffer.alloc(BLOCK_BYTES, 9),
      0,
      BLOCK_BYTES,
      (layout?.dataOffset ?? 0) + geometry.memberBlock(STRIPE, 0) * BLOCK_BYTES,
    );
    closeSync(file);
  }
  return { fixture, model, row: Array.from({ length: geometry.k }, (_, shard) => STRIPE * geometry.stripeBlocks + shard * geometry.rows) };
}

/** Shards of stripe 5 on members: shard = member - 5 mod 5. */
const SHARD_OF_MEMBER = 1;

/** Destages everything, over the pauses after which what is blocked is tried again. */
async function destage(fixture: ArrayFixture): Promise<void> {
  while (!(await fixture.engine.destageLoop.drainAll())) await new Promise((resolve) => setTimeout(resolve, 50));
}

test.serial('a degraded row with a bad survivor is written with what the backup has', async (t) => {
  const { fixture, model, row } = await withBadBlocks(t, [1], {});
  await failByHand(fixture.engine, '2', true);
  t.true(await model.write(row[0] as number, 1));
  await destage(fixture);
  t.deepEqual((await model.verify()).wrong, []);
  t.deepEqual(fixture.engine.state.lost.list.ranges, []);
  await fixture.close();
});

test.serial(
  'an unrecoverable row does not hold up destaging: its lost blocks are errors until they are written again, all others are there',
  async (t) => {
    for (const [bad, failed] of [
      [[1], '2'],
      [[1, 2], null],
    ] as const) {
      const { fixture, model, row } = await withBadBlocks(t, bad, { backup: false });
      const { engine } = fixture;
      if (failed !== null) await failByHand(engine, failed, true);
      // Two of the row, so that the others are read.
      for (const block of [row[0], row[3], 0]) t.true(await model.write(block as number, 1));
      await destage(fixture);
      t.is(engine.journal.destagedSeq, engine.journal.headSeq);
      t.is(lostBlocksOf(engine.state.lost.list.ranges), 2);
      const { wrong, unreadable } = await model.verify(() => true);
      t.deepEqual(wrong, []);
      t.deepEqual([...unreadable].sort(), [row[SHARD_OF_MEMBER], row[2]].sort());
      for (const block of unreadable) t.true(await model.write(block, 1));
      await destage(fixture);
      t.deepEqual((await model.verify()).wrong, []);
      await fixture.close();
    }
  },
);

test.serial('while the backup that has the block is out of reach nothing is given up', async (t) => {
  const { fixture, model, row } = await withBadBlocks(t, [1, 2], {});
  const { engine } = fixture;
  const link = engine.link;
  if (link === null) return t.fail('there is a backup');
  const connect = link.connect.bind(link);
  link.connect = () => Promise.resolve(false);
  link.failed(new KeelsonError('BACKUP_UNREACHABLE', 'away'));
  for (const block of [row[0], row[3]]) t.true(await model.write(block as number, 1));
  for (let tries = 0; tries < 5; tries++) t.false(await engine.destageLoop.drainAll());
  t.deepEqual(engine.state.lost.list.ranges, []);
  link.connect = connect;
  t.true(await link.connect());
  await destage(fixture);
  t.deepEqual((await model.verify()).wrong, []);
  await fixture.close();
});
