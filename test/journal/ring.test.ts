import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { Replicator } from '../../src/journal/replicator.js';
import { NOT_IN_RING } from '../../src/journal/ring-index.js';
import { contentOf, Ring, SMALL } from './ring-fixture.js';

function ring(change: Partial<typeof SMALL> = {}): Ring {
  return new Ring({ ...SMALL, ...change }, seededRandom(2));
}

/** Fills segments until writers find no room. Returns the entries appended. */
async function fill(r: Ring, from = 0): Promise<number> {
  let n = 0;
  while (r.write(from + n, 1, 1) > 0) {
    n++;
    await r.settle();
  }
  return n;
}

test('a full ring refuses writers, keeps room for internal writes, and takes writers again after removal', async (t) => {
  const r = ring();
  await fill(r);
  t.is(r.journal.writeRoom(false), 0);
  t.true(r.journal.writeRoom(true) > 0);
  let internal = 0;
  while (r.write(1000 + internal, 1, 1, true) > 0) {
    internal++;
    await r.settle();
  }
  t.true(internal > SMALL.segmentBlocks / 2);
  t.is(r.journal.headSeq - r.journal.tailSeq, SMALL.slots);
  const before = r.spaces;
  r.removeClosed();
  t.true(r.spaces > before);
  t.true(r.journal.writeRoom(false) > 0);
  t.is(r.journal.index.lookup(0), NOT_IN_RING);
  t.is(r.journal.index.live, 0);
});

test('the ring wraps many times and holds exactly what was written last', async (t) => {
  const r = ring();
  const newest = new Map<number, number>();
  for (let version = 1; version <= 900; version++) {
    const block = r.random.below(40);
    if (r.write(block, 1, version) < 0) {
      await r.settle();
      r.removeClosed();
      for (const [old] of newest) if (r.journal.index.lookup(old) === NOT_IN_RING) newest.delete(old);
      t.true(r.write(block, 1, version) > 0);
    }
    newest.set(block, version);
  }
  await r.settle();
  t.true(r.journal.tailSeq > 5 * SMALL.slots);
  for (const [block, version] of newest)
    t.is(Buffer.compare((await r.read(r.journal.index.lookup(block))) as Uint8Array, contentOf(block, version)), 0);
});

test('a segment in use is not removed; its removal goes on by itself when it is let go', async (t) => {
  const r = ring();
  await fill(r);
  r.journal.close();
  await r.settle();
  const slot = r.journal.table.slotOf(2);
  r.journal.pin(slot);
  r.removeClosed();
  t.is(r.journal.tailSeq, 2);
  t.is(r.journal.writeRoom(true) > 0, true);
  const before = r.spaces;
  r.journal.unpin(slot);
  await r.settle();
  t.is(r.journal.tailSeq, r.journal.headSeq);
  t.true(r.spaces > before);
});

test('copies rotate over the stripe members, so that all of them carry the ring alike', async (t) => {
  const r = ring({ members: 4 });
  const carried = [0, 0, 0, 0];
  for (let i = 0; i < 4; i++) {
    r.write(i, 1, 1);
    const mask = r.journal.table.copies[r.journal.table.slotOf(r.journal.headSeq)] as number;
    for (let position = 0; position < 4; position++)
      if ((mask & (1 << position)) !== 0) carried[position] = (carried[position] as number) + 1;
    r.journal.close();
    await r.settle();
  }
  t.deepEqual(carried, [2, 2, 2, 2]);
});

test('the memory of a segment is not taken before it is destaged, and then it is', async (t) => {
  const r = ring({ buffers: 4 });
  const n = await fill(r);
  t.true(r.journal.headSeq < SMALL.slots - 2);
  for (let block = 0; block < n; block++) t.true(r.journal.table.memoryOf(r.journal.index.lookup(block)) >= 0);
  r.journal.setDestaged(r.journal.headSeq);
  t.true((await fill(r, n)) > 0);
  // What gave its memory away is read from the members.
  const evicted = r.journal.index.lookup(0);
  t.is(r.journal.table.memoryOf(evicted), -1);
  t.deepEqual(await r.read(evicted), contentOf(0, 1));
});

test('the memory of a segment that somebody uses is not taken, although it is destaged', async (t) => {
  const r = ring({ buffers: 4 });
  const n = await fill(r);
  const { table, index } = r.journal;
  const used = table.slotOfPlace(index.lookup(0));
  const memory = table.memory[used] as number;
  r.journal.pin(used);
  r.journal.setDestaged(r.journal.headSeq);
  t.true((await fill(r, n)) > 0);
  t.is(table.memory[used], memory);
  t.is(table.memory.filter((at) => at === memory).length, 1);
  r.journal.unpin(used);
});

test('a copy that was lost is made again on a healthy member, from memory or from another copy', async (t) => {
  for (const resident of [true, false]) {
    const r = ring({ members: 4, buffers: resident ? 8 : 4 });
    const n = await fill(r);
    if (!resident) {
      r.journal.setDestaged(r.journal.headSeq);
      await fill(r, n);
    }
    r.journal.close();
    await r.settle();
    r.fail(2, 'by hand');
    t.true(r.replicator.wanting().length > 0);
    await r.during(r.replicator.run());
    t.deepEqual(r.replicator.wanting(), []);
    for (let seq = r.journal.tailSeq; seq < r.journal.headSeq; seq++) {
      const mask = r.journal.table.copies[r.journal.table.slotOf(seq)] as number;
      t.is([0, 1, 3].filter((position) => (mask & (1 << position)) !== 0).length, 2);
      const used = (r.journal.table.used[r.journal.table.slotOf(seq)] as number) * 4096;
      const whole = [0, 1, 3]
        .filter((position) => (mask & (1 << position)) !== 0)
        .map((position) => r.devices[position]?.cache.slice(r.offsetOf(seq, 0), r.offsetOf(seq, 0) + used));
      t.is(Buffer.compare(whole[0] as Uint8Array, whole[1] as Uint8Array), 0);
    }
  }
});

test('a segment that one member alone holds gets all the copies it lacks in one run', async (t) => {
  const r = ring({ members: 3, copies: 3 });
  await fill(r);
  r.journal.close();
  await r.settle();
  const { table } = r.journal;
  const closed = Array.from({ length: r.journal.headSeq - r.journal.tailSeq }, (_, i) => table.slotOf(r.journal.tailSeq + i));
  t.true(closed.length > 1);
  for (const slot of closed) table.copies[slot] = 0b010;
  await r.during(r.replicator.run());
  t.deepEqual(r.replicator.wanting(), []);
  for (const slot of closed) t.is(table.copies[slot], 0b111);
});

test('damage on one copy is read from the other, and is not spread by replication', async (t) => {
  const r = ring({ members: 3, buffers: 4 });
  const n = await fill(r);
  r.journal.setDestaged(r.journal.headSeq);
  await fill(r, n);
  await r.settle();
  const { table } = r.journal;
  t.is(table.memory[1], -1);
  const holders = [0, 1, 2].filter((position) => ((table.copies[1] as number) & (1 << position)) !== 0);
  const third = [0, 1, 2].find((position) => !holders.includes(position)) as number;
  // Each of the two copies has another bad block: a header and a payload block.
  for (const [i, at] of [
    [0, 0],
    [1, 1],
  ] as const) {
    const { cache } = r.devices[holders[i] as number] as (typeof r.devices)[number];
    cache[r.offsetOf(1, at) + 100] = (cache[r.offsetOf(1, at) + 100] as number) ^ 1;
  }
  t.deepEqual(await r.read(r.journal.index.lookup(0)), contentOf(0, 1));
  // Neither copy is whole; together they are, and so is what is made of them when a third one is wanted.
  const replicator = new Replicator(
    r.journal,
    3,
    (SMALL.segmentBlocks * 4 + SMALL.segmentBlocks * 8) * 4096,
    { recover: async () => false },
    async () => {},
  );
  await r.during(replicator.run());
  t.is(table.copies[1], 0b111);
  r.fail(holders[0] as number, 'by hand');
  r.fail(holders[1] as number, 'by hand');
  t.deepEqual(await r.read(r.journal.index.lookup(0)), contentOf(0, 1));
  const copy = r.devices[third]?.medium as Uint8Array;
  t.is(Buffer.from(copy).toString('latin1', r.offsetOf(1, 0), r.offsetOf(1, 0) + 4), 'KJB1');
});

test('what is damaged on every copy is an error, and no new copy of it counts as whole', async (t) => {
  const r = ring({ members: 3, buffers: 4 });
  const n = await fill(r);
  r.journal.setDestaged(r.journal.headSeq);
  await fill(r, n);
  await r.settle();
  const before = r.journal.table.copies[1];
  for (const { cache } of r.devices) cache[r.offsetOf(1, 1)] = (cache[r.offsetOf(1, 1)] as number) ^ 0x80;
  t.is(await r.read(r.journal.index.lookup(0)), null);
  await r.during(new Replicator(r.journal, 3, SMALL.segmentBlocks * 12 * 4096, { recover: async () => false }, async () => {}).run());
  t.is(r.journal.table.copies[1], before);
});
