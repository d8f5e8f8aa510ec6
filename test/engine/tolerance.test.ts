import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import type { ArrayEngine } from '../../src/engine/array-engine.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { ArrayFixture, type FixtureOptions } from './array-fixture.js';
import { BlockModel } from './block-model.js';
import { combinations, settleAfterLoss } from './loss-scenario.js';

const SEED = Number(process.env.KEELSON_SEED ?? Date.now() % 0x1_0000_0000);

/** By DESIGN 5: undrained data are lost when more than m stripe members and all copies of their segment are gone. Tries every set of living members. */
function toleranceByForce(engine: ArrayEngine): number {
  const { state, journal } = engine;
  const living = state.records.map(({ index }) => index).filter((index) => state.members[index]?.state === 'online');
  const dead = state.shape.dataMembers - living.filter((index) => index < state.shape.dataMembers).length;
  const positions = state.journalPositions();
  const segments: number[] = [];
  for (let seq = journal.drainedSeq; seq <= journal.headSeq; seq++) {
    const slot = journal.table.slotOf(seq);
    if (journal.table.seq[slot] === seq && (journal.table.used[slot] as number) > 0) segments.push(journal.table.copies[slot] as number);
  }
  // What is written next may go to any of these.
  for (let i = 0; i < positions.length; i++) segments.push(journal.chooseCopies(journal.headSeq + i));
  for (let size = 1; size <= living.length; size++) {
    for (const set of combinations(living.length, size)) {
      const lost = set.map((i) => living[i] as number);
      if (dead + lost.filter((index) => index < state.shape.dataMembers).length <= state.geometry.m) continue;
      if (segments.some((copies) => positions.every((index, position) => (copies & (1 << position)) === 0 || lost.includes(index))))
        return size - 1;
    }
  }
  return living.length;
}

const SHAPES: readonly [string, FixtureOptions, number][] = [
  ['3+1 with two journal members', { dataMembers: 4, parity: 1, journalMembers: 2, copies: 2 }, 3],
  ['3+1 with three journal members and two copies', { dataMembers: 4, parity: 1, journalMembers: 3, copies: 2 }, 3],
  ['2+1 with two copies on the stripe members', { dataMembers: 3, parity: 1, journalMembers: 0, copies: 2 }, 1],
  ['2+1 with three copies on the stripe members', { dataMembers: 3, parity: 1, journalMembers: 0, copies: 3 }, 2],
  ['4+2 with three copies on the stripe members', { dataMembers: 6, parity: 2, journalMembers: 0, copies: 3 }, 2],
];

for (const [name, options, whole] of SHAPES) {
  test.serial(`P8: the computed tolerance of ${name} is that of every set of devices tried, whole and after each loss`, async (t) => {
    t.log(`seed ${SEED}`);
    const random = seededRandom(SEED);
    const members = (options.dataMembers ?? 0) + (options.journalMembers ?? 0);
    // The first, one in the middle, and the last, which is a journal member where there are any.
    for (const first of [0, members >> 1, members - 1]) {
      const fixture = await ArrayFixture.create(t, options);
      const { engine } = fixture;
      const model = new BlockModel(() => engine.volume, engine.volumeBytes / BLOCK_BYTES);
      t.is(arrayStatus(engine).tolerance.devices, whole);
      t.is(toleranceByForce(engine), whole);
      const load = async (): Promise<void> => {
        const target = model.acknowledgements + 40;
        await model.load(random, 3, () => model.acknowledgements >= target);
      };
      await load();
      t.is(arrayStatus(engine).tolerance.devices, toleranceByForce(engine), 'with undrained data');
      fixture.kill([first]);
      await load();
      await settleAfterLoss(fixture);
      t.is(arrayStatus(engine).tolerance.devices, toleranceByForce(engine), `without member ${first}`);
      t.deepEqual((await model.verify()).wrong, []);
      if (arrayStatus(engine).tolerance.devices > 0) {
        fixture.kill([(first + 1) % members]);
        await settleAfterLoss(fixture);
        t.is(arrayStatus(engine).tolerance.devices, toleranceByForce(engine), `without members ${first} and ${(first + 1) % members}`);
        t.deepEqual((await model.verify()).wrong, []);
      }
      await fixture.close();
    }
  });
}
