import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { RangePlan } from '../../src/drain/range-plan.js';
import { Ring, SMALL, seedOf } from '../journal/ring-fixture.js';

const BLOCKS = 80;

/** Version of each block after the entries up to and with LSN; 0 = zeroes, -1 = never written. */
interface Step {
  readonly block: number;
  readonly count: number;
  readonly version: number;
}

test('P7: what is drained of any range is exactly the image at its end: nothing superseded inside, everything superseded only later, holes cut by later writes', async (t) => {
  const seed = seedOf(t);
  for (let round = 0; round < 40; round++) {
    const random = seededRandom(seed + round);
    const ring = new Ring(SMALL, random);
    const steps: Step[] = [];
    for (let version = 1; ring.journal.headSeq < 6; version++) {
      const block = random.below(BLOCKS - 20);
      if (random.below(5) === 0) {
        const count = 1 + random.below(20);
        ring.journal.writeRoom(false);
        ring.journal.appendZero(block, count);
        steps.push({ block, count, version: 0 });
      } else {
        const count = 1 + random.below(3);
        if (ring.journal.writeRoom(false) < count) ring.journal.close();
        ring.write(block, count, version);
        steps.push({ block, count, version });
      }
      if (random.below(15) === 0) ring.journal.close();
    }
    await ring.settle();
    const { table } = ring.journal;
    for (let from = 1; from < 6; from++) {
      for (let to = from + 1; to <= 6; to++) {
        const first = table.firstLsn[table.slotOf(from)] as number;
        const last = table.lastLsn[table.slotOf(to - 1)] as number;
        const wanted = new Array<number>(BLOCKS).fill(-1);
        for (const { block, count, version } of steps.slice(first - 1, last)) wanted.fill(version, block, block + count);
        const plan = new RangePlan(ring.journal, from, to);
        const found = new Array<number>(BLOCKS).fill(-1);
        const take = (block: number, version: number): void => {
          if (found[block] !== -1) t.fail(`seed ${seed + round}: block ${block} twice in [${from}, ${to})`);
          found[block] = version;
        };
        for (let seq = from; seq < to; seq++) {
          const base = table.memory[table.slotOf(seq)] as number;
          const piece = plan.piece(seq, base);
          let live = 0;
          for (let e = 0; e < piece.extents; e++) {
            for (let i = 0; i < (piece.count[e] as number); i++, live++) {
              const memory = (piece.memory[e] as number) + i * 4096;
              const place = table.slotOf(seq) * table.segmentBlocks + (memory - base) / 4096;
              const block = (piece.first[e] as number) + i;
              t.is(ring.journal.index.blockAt[place], block);
              t.is(piece.crcs[live], table.crc[place]);
              take(block, versionAt(ring, steps, seq, place));
            }
          }
          t.is(piece.crcs.length, live);
        }
        const holes = plan.holes();
        for (let e = 0; e < holes.extents; e++) {
          t.is(holes.memory[e], -1);
          for (let i = 0; i < (holes.count[e] as number); i++) take((holes.first[e] as number) + i, 0);
        }
        t.is(plan.blocks, wanted.filter((version) => version > 0).length);
        if (found.some((version, block) => version !== wanted[block]))
          t.deepEqual(found, wanted, `seed ${seed + round}, segments [${from}, ${to})`);
      }
    }
  }
  t.pass();
});

/** The version whose payload lies at a place: places follow the LSNs of their segment's writes. */
function versionAt(ring: Ring, steps: readonly Step[], seq: number, place: number): number {
  const { table, index } = ring.journal;
  const slot = table.slotOf(seq);
  let at = slot * table.segmentBlocks;
  for (let lsn = table.firstLsn[slot] as number; lsn <= (table.lastLsn[slot] as number); lsn++) {
    const { count, version } = steps[lsn - 1] as Step;
    if (version === 0) continue;
    while (index.blockAt[at] === -1) at++;
    if (place < at + count) return version;
    at += count;
  }
  return -2;
}
