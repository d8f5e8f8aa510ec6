import test from 'ava';
import { systemClock } from '../../src/base/clock.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import type { Done } from '../../src/engine/block-volume.js';
import { FairQueue } from '../../src/engine/fair-queue.js';
import { WritePath } from '../../src/engine/write-path.js';
import { Ring } from '../journal/ring-fixture.js';

/** A ring in which a segment is kept for small writes. Blocks are whole, so nothing is read. */
function bench(segmentBlocks: number): { ring: Ring; writes: WritePath } {
  const ring = new Ring({ members: 2, copies: 2, slots: 14, segmentBlocks, buffers: 8 }, seededRandom(1));
  const noRead = (): void => {
    throw new Error('a write of whole blocks reads nothing');
  };
  return { ring, writes: new WritePath(ring.journal, noRead, systemClock, false) };
}

const LARGE = new Uint8Array(32 * BLOCK_BYTES);
const BLOCK = new Uint8Array(BLOCK_BYTES);

test('a small write has room where large ones wait for it, whoever sent more of them', async (t) => {
  const { ring, writes } = bench(64);
  let large = 0;
  for (let n = 0; n < 100; n++) writes.write(n * LARGE.length, LARGE, false, () => large++, 1);
  await ring.settle();
  t.true(writes.waiting > 0, 'the ring has no more room for large ones');
  const before = large;
  for (const client of [1, 2]) {
    let small = 0;
    for (let n = 0; n < 10; n++) writes.write(n * BLOCK_BYTES, BLOCK, false, () => small++, client);
    await ring.settle();
    t.is(small, 10, `client ${client}`);
  }
  t.is(large, before, 'nothing has made room');
});

test('a small write passes the large ones that are not on their way to the devices yet', (t) => {
  const { ring, writes } = bench(2048);
  const order: string[] = [];
  for (let n = 0; n < 100; n++) writes.write(n * LARGE.length, LARGE, false, () => order.push('large'), 1);
  t.is(writes.waiting, 100 - 1024 / 32, 'so many are ahead of it, and no more');
  const lsn = ring.journal.nextLsn;
  writes.write(0, BLOCK, false, () => order.push('small'), 2);
  t.is(ring.journal.nextLsn, lsn + 1);
});

test('what waits goes on when what is ahead of it is committed, and all of it is acknowledged', async (t) => {
  const { ring, writes } = bench(2048);
  let done = 0;
  for (let n = 0; n < 100; n++) writes.write((n % 7) * LARGE.length, LARGE, n % 2 === 0, () => done++, n % 3);
  await ring.settle();
  t.deepEqual([done, writes.waiting], [100, 0]);
});

test('a large write that waits is served, although small ones never end', async (t) => {
  const { ring, writes } = bench(1024);
  let large = 0;
  // The ring has room for so many and no more; then small writes take turns with what makes room.
  for (let n = 0; n < 400; n++) writes.write((n % 9) * LARGE.length, LARGE, false, () => large++, 1);
  await ring.settle();
  const before = large;
  let small = 0;
  const again: Done = () => {
    small++;
    if (small < 12_000 && large === before) writes.write(0, BLOCK, false, again, 2);
  };
  for (let n = 0; n < 64; n++) writes.write(0, BLOCK, false, again, 2);
  for (let round = 0; round < 200 && large === before && small < 12_000; round++) {
    await ring.settle();
    // A single segment becomes free each time, and small writes would take it.
    ring.journal.close();
    const { journal } = ring;
    if (journal.destagedSeq < journal.headSeq) {
      journal.setDestaged(journal.destagedSeq + 1);
      journal.setDrained(journal.destagedSeq);
      journal.removeBefore(journal.destagedSeq);
    }
    writes.pump();
  }
  t.true(large > before, `${small} small ones have passed`);
});

test('of clients that wait each has its turn, and each is served in its order', (t) => {
  const queue = new FairQueue<string>();
  for (const item of ['a1', 'a2', 'a3']) queue.push(1, item);
  for (const item of ['b1', 'b2']) queue.push(2, item);
  queue.push(3, 'c1');
  const order: (string | undefined)[] = [];
  while (queue.length > 0) {
    order.push(queue.first);
    queue.shift();
  }
  t.deepEqual(order, ['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
  t.is(queue.first, undefined);
});
