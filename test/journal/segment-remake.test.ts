import test from 'ava';
import { type Random, seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { ZEROED } from '../../src/journal/ring-index.js';
import { contentOf, Ring, seedOf, SMALL } from './ring-fixture.js';

const BLOCKS = 60;
const SHAPE = { ...SMALL, slots: 16, buffers: 4 };

/** The newest of each block: a version, or 0 for zeroes. */
type Newest = Map<number, number>;

/** Writes of several blocks and zeroes over a small range, until `segments` are closed; some flushes, some batches of several entries. */
async function load(r: Ring, random: Random, newest: Newest, segments: number): Promise<void> {
  const until = r.journal.headSeq + segments;
  for (let version = 1000 * r.journal.headSeq; r.journal.headSeq < until; version++) {
    const block = random.below(BLOCKS - 4);
    const count = 1 + random.below(4);
    // A volume of 4 KiB blocks of which few are written: whatever is closed goes to the stripes at once.
    r.journal.setDestaged(r.journal.headSeq);
    if (r.journal.writeRoom(false) === 0) {
      // Buffers are pinned until their batches are written.
      await r.settle();
      continue;
    }
    if (random.below(4) === 0) {
      r.journal.appendZero(block, count);
      for (let i = 0; i < count; i++) newest.set(block + i, 0);
    } else {
      if (r.write(block, count, version) < 0) {
        r.journal.close();
        continue;
      }
      for (let i = 0; i < count; i++) newest.set(block + i, version);
    }
    if (random.below(3) === 0) await r.settle();
  }
  await r.during(r.flush());
  await r.settle();
  r.journal.setDestaged(r.journal.headSeq);
}

/** All journal members die and come back empty. */
function replaceAll(r: Ring): void {
  for (let position = 0; position < r.members.length; position++) r.fail(position, 'by hand');
  r.members.forEach((member, position) => {
    const device = r.devices[position] as (typeof r.devices)[number];
    device.cache.fill(0);
    device.medium.fill(0);
    member.state = 'online';
  });
  r.journal.revive();
}

/** The stripes have the newest of each block. */
function stripesHave(r: Ring, newest: Newest): void {
  r.inStripes = async (blocks, pages) => {
    blocks.forEach((block, i) => {
      const version = newest.get(block) as number;
      const bytes = version === 0 ? new Uint8Array(BLOCK_BYTES) : contentOf(block, version);
      r.slab.view.set(bytes, (pages[i] as number) * BLOCK_BYTES);
    });
    return true;
  };
}

/** A ring of seven segments in the stripes, on new journal members that have nothing yet, most of it in no memory. */
async function lostRing(seed: number): Promise<{ r: Ring; random: Random; newest: Newest }> {
  const random = seededRandom(seed);
  const r = new Ring(SHAPE, random);
  const newest: Newest = new Map();
  await load(r, random, newest, 7);
  replaceAll(r);
  return { r, random, newest };
}

test('segments in no memory and on no journal member are made again from the stripes, and recovery finds all that is newest in them', async (t) => {
  const seed = seedOf(t);
  for (let round = 0; round < 12; round++) {
    const { r, random, newest } = await lostRing(seed + round);
    const { table } = r.journal;
    const gone = Array.from({ length: r.journal.headSeq - 1 }, (_, i) => i + 1).filter(
      (seq) => (table.memory[table.slotOf(seq)] as number) < 0,
    );
    t.true(gone.length >= 3, `round ${round}: most are in no memory`);
    await r.during(r.replicator.run());
    t.true(r.journal.segmentsWithoutCopy(1) > 0, 'the stripes gave nothing');
    stripesHave(r, newest);
    await r.during(r.replicator.run());
    t.is(r.journal.segmentsWithoutCopy(1), 0);
    // The log goes on behind them, also into the segment that was open.
    await load(r, random, newest, 2);
    const again = new Ring(SHAPE, random, r.images(), 2);
    const report = await again.recover({ destagedSeq: r.journal.destagedSeq });
    t.is(report.lastLsn, r.journal.nextLsn - 1);
    t.deepEqual(report.lostBlocks, []);
    t.deepEqual(report.incomplete, []);
    for (const [block, version] of newest) {
      const place = again.journal.index.lookup(block);
      t.is(place, r.journal.index.lookup(block));
      if (place === ZEROED) t.is(version, 0);
      else t.deepEqual(await again.read(place), contentOf(block, version));
    }
    for (const seq of gone) t.true((again.journal.table.reachSeq[again.journal.table.slotOf(seq)] as number) > seq);
    // And once more from what was made again.
    replaceAll(again);
    stripesHave(again, newest);
    await again.during(again.replicator.run());
    t.is(again.journal.segmentsWithoutCopy(1), 0);
    const third = new Ring(SHAPE, random, again.images(), 3);
    t.is((await third.recover({ destagedSeq: r.journal.destagedSeq })).lastLsn, report.lastLsn);
    for (const block of newest.keys()) t.is(third.journal.index.lookup(block), again.journal.index.lookup(block));
  }
});

test('what the stripes have wrong is not put into the ring: the segment goes on without a copy', async (t) => {
  const { r, newest } = await lostRing(seedOf(t));
  stripesHave(r, newest);
  const right = r.inStripes;
  let asked = 0;
  let wrong = 0;
  r.inStripes = async (blocks, pages) => {
    await right(blocks, pages);
    asked++;
    if (blocks[0] === 0) return false;
    const at = (pages[0] as number) * BLOCK_BYTES + 17;
    r.slab.view[at] = (r.slab.view[at] as number) ^ 1;
    wrong++;
    return true;
  };
  await r.during(r.replicator.run());
  t.true(wrong > 0);
  t.is(r.journal.segmentsWithoutCopy(1), asked, 'each is tried once');
  r.inStripes = right;
  await r.during(r.replicator.run());
  t.is(r.journal.segmentsWithoutCopy(1), 0);
});

test('a segment is made again only when what was written again behind it is on stable media: no crash makes an older write the newest', async (t) => {
  const { r, random, newest } = await lostRing(seedOf(t));
  const { table, index } = r.journal;
  const inNoMemory = (place: number): boolean => (table.memory[table.slotOfPlace(place)] as number) < 0;
  const block = [...newest.keys()].find((b) => index.lookup(b) >= 0 && inNoMemory(index.lookup(b))) as number;
  stripesHave(r, newest);
  // Acknowledged, and in the caches of the members alone.
  const lsn = r.write(block, 1, 77);
  newest.set(block, 77);
  await r.during(r.committed(lsn));
  t.true(r.journal.flushedLsn < lsn);
  const { inStripes } = r;
  let asked = 0;
  r.inStripes = (blocks, pages) => {
    t.true(r.journal.flushedLsn >= lsn, 'flushed before anything is taken from the stripes');
    asked++;
    return inStripes(blocks, pages);
  };
  await r.during(r.replicator.run());
  t.true(asked > 0);
  t.is(Math.max(...table.reachSeq), r.journal.headSeq + 1, 'a drain reaches into the open segment, which goes on');
  t.is(r.journal.segmentsWithoutCopy(1), 0);
  const media = r.devices.map(({ medium }) => Uint8Array.from(medium));
  const again = new Ring(SHAPE, random, media, 2);
  t.is((await again.recover({ destagedSeq: r.journal.destagedSeq })).lastLsn, lsn);
  t.deepEqual(await again.read(again.journal.index.lookup(block)), contentOf(block, 77));
});

test('a ring that ends before what a remade segment leaves out is damage, not an older state', async (t) => {
  const { r, random, newest } = await lostRing(seedOf(t));
  stripesHave(r, newest);
  await r.during(r.replicator.run());
  const images = r.images();
  const last = r.journal.headSeq - 1;
  for (const image of images) image.fill(0, r.offsetOf(last, 0), r.offsetOf(last, 0) + SHAPE.segmentBlocks * BLOCK_BYTES);
  const again = new Ring(SHAPE, random, images, 2);
  const refusal = await t.throwsAsync(again.recover({ destagedSeq: 2 }));
  t.is((refusal as { code?: string }).code, 'JOURNAL_DAMAGED');
});
