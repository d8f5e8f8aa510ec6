import type { ExecutionContext } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { ArrayFixture, type FixtureOptions } from './array-fixture.js';
import { BlockModel } from './block-model.js';
import { fetchBound, isLost, LANES, replaceAll, settleAfterLoss, writeAndLose } from './loss-scenario.js';

/** Printed by every run; set it to run one again. */
const SEED = Number(process.env.KEELSON_SEED ?? Date.now() % 0x1_0000_0000);
/** One way alone, to look into a failure: the members' indices in a row. */
const ONLY = process.env.KEELSON_LOSSES;

interface Way {
  readonly lost: readonly number[];
  readonly options: FixtureOptions;
  readonly tolerance: number;
  readonly seed: number;
}

interface Outcome {
  readonly wrong: string[];
  readonly lostBlocks: number;
  readonly fromBackup: number;
}

/** One way to lose members, from the first write to the whole array. */
async function lose(t: ExecutionContext, way: Way): Promise<Outcome> {
  const { lost, options } = way;
  const random = seededRandom(way.seed);
  const fixture = await ArrayFixture.create(t, options);
  const wrong: string[] = [];
  const say = (what: string, found: readonly string[]): void => {
    if (found.length > 0) wrong.push(`loss of ${lost.join(', ')}, seed ${way.seed}: ${what}: ${found.length} wrong, first: ${found[0]}`);
  };
  let lostBlocks = 0;
  let fromBackup = 0;
  try {
    const { engine } = fixture;
    const promised = arrayStatus(engine).tolerance;
    if (promised.devices !== way.tolerance) say('tolerance', [`${promised.devices}: ${promised.because}`]);
    const model = new BlockModel(() => fixture.engine.volume, engine.volumeBytes / BLOCK_BYTES);
    await writeAndLose(fixture, model, random, lost);
    const journalLeft = engine.journal.members.some((_, position) => !lost.includes(engine.state.journalPositions()[position] as number));
    // A segment all of whose copies die takes its unanswered writes with it: those, and none made after them, may get an error.
    if (journalLeft && model.errors.length > LANES)
      say(
        'writes failed although a journal member is left',
        model.errors.map((error) => error.describe()),
      );
    // Right at once, whatever the engine has found out by then.
    const covered = lost.length <= way.tolerance;
    say('read just after the loss', (await model.verify(() => !covered)).wrong);
    await settleAfterLoss(fixture);
    // The ring has room for what waited: destaging is blocked, or goes on.
    await model.answered();
    await engine.destageLoop.drainAll().catch(() => false);
    const expected = new Set<number>();
    for (let block = 0; block < model.blocks; block++) if (isLost(engine, block)) expected.add(block);
    lostBlocks = expected.size;
    if (covered && lostBlocks > 0) say('lost within the tolerance', [`${lostBlocks} blocks`]);
    const online = await model.verify((block) => expected.has(block));
    say('online, before any rebuild', online.wrong);
    say(
      'had although it should be lost',
      [...expected].filter((block) => !online.unreadable.has(block)).map((block) => `block ${block}`),
    );

    const bound = fetchBound(engine);
    await replaceAll(fixture, lost);
    fromBackup = (engine.rebuild.finished?.fromBackup ?? 0) / BLOCK_BYTES;
    if (fromBackup > bound) say('fetched from the backup', [`${fromBackup} blocks, the lower bound is ${bound}`]);
    await engine.replicator.run();
    await engine.destageLoop.drainAll();
    const after = await model.verify((block) => expected.has(block));
    say('after the rebuild', after.wrong);
    const rebuilt = arrayStatus(engine).state;
    if (rebuilt !== 'online') say('state after the rebuild', [rebuilt]);
    // What was lost is whole once it is written again.
    for (const block of expected) await model.write(block, 1);
    say('lost blocks written again', (await model.verify()).wrong);
    // Segments whose journal copies died are safe when they are drained.
    await fixture.drain();
    const { tolerance } = arrayStatus(engine);
    if (tolerance.devices !== way.tolerance) say('tolerance after the rebuild', [`${tolerance.devices}: ${tolerance.because}`]);
    // The new members carry their part: two others may die.
    const others = [0, 1, 2, 3, 4, 5].filter((index) => !lost.includes(index) && index < engine.state.shape.dataMembers);
    await engine.destageLoop.drainAll();
    fixture.kill(others.slice(0, engine.state.geometry.m));
    say(`after the rebuild and the loss of ${others.slice(0, engine.state.geometry.m).join(', ')}`, (await model.verify()).wrong);
  } catch (error) {
    say('it threw', [error instanceof Error ? (error.stack ?? error.message) : String(error)]);
  } finally {
    await fixture.close();
  }
  return { wrong, lostBlocks, fromBackup };
}

/** Loses each of the sets of members, or every `stride`-th of them, from one that the seed chooses. */
export async function loseEach(
  t: ExecutionContext,
  sets: readonly number[][],
  options: FixtureOptions,
  tolerance: number,
  stride = 1,
): Promise<void> {
  t.timeout(300_000);
  t.log(`KEELSON_SEED=${SEED}, ${Math.ceil(sets.length / stride)} of ${sets.length} ways`);
  const wrong: string[] = [];
  let lossy = 0;
  let fetched = 0;
  for (const [i, lost] of sets.entries()) {
    if (ONLY === undefined ? (SEED + i) % stride !== 0 : lost.join('') !== ONLY) continue;
    const buffers = 4 + 4 * (i % 3);
    const outcome = await lose(t, { lost, options: { buffers, threads: i % 8 === 0, ...options }, tolerance, seed: (SEED + i) >>> 0 });
    wrong.push(...outcome.wrong);
    // The limit is for one way, not for all of them: it begins anew with each assertion.
    t.pass();
    fetched += outcome.fromBackup;
    if (outcome.lostBlocks > 0) lossy++;
  }
  t.log(`${lossy} of the ways lost something, ${fetched} blocks came from the backup`);
  t.deepEqual(wrong.slice(0, 20), [], `${wrong.length} things wrong`);
}

export const AMONG: FixtureOptions = { journalMembers: 0, copies: 3 };
