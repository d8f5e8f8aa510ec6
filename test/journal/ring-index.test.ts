import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { NOT_IN_RING, RingIndex, ZEROED } from '../../src/journal/ring-index.js';
import { seedOf } from './ring-fixture.js';

const PLACES = 96;
const BLOCKS = 200;
const SEGMENT = 16;

type Entry = { readonly place: number } | { readonly zeroSeq: number };

/** What the index should say, one map entry a block. Places are given out and freed segment by segment, as the ring does. */
class Model {
  readonly newest = new Map<number, Entry>();
  readonly at = new Array<number>(PLACES).fill(-1);

  lookup(block: number): number {
    const entry = this.newest.get(block);
    if (entry === undefined) return NOT_IN_RING;
    return 'place' in entry ? entry.place : ZEROED;
  }
}

test('the ring index says what a map says, through overwriting, zeroing and the wrapping of the ring', (t) => {
  const seed = seedOf(t);
  for (let round = 0; round < 30; round++) {
    const random = seededRandom(seed + round);
    const index = new RingIndex(PLACES);
    const model = new Model();
    let head = 1;
    let tail = 1;
    const slots = PLACES / SEGMENT;
    for (let step = 0; step < 400; step++) {
      if (head - tail === slots || (head > tail && random.below(4) === 0)) {
        // The oldest segment is removed: payload places first, then zero extents of removed segments.
        const first = (tail % slots) * SEGMENT;
        for (let place = first; place < first + SEGMENT; place++) {
          const block = index.blockAt[place] as number;
          if (block < 0) continue;
          const entry = model.newest.get(block);
          const newest = entry !== undefined && 'place' in entry && entry.place === place;
          t.is(index.removeIf(block, place), newest);
          if (newest) model.newest.delete(block);
          index.blockAt[place] = -1;
        }
        tail++;
        index.dropZeroesBefore(tail);
        for (const [block, entry] of model.newest) if ('zeroSeq' in entry && entry.zeroSeq < tail) model.newest.delete(block);
      } else {
        const first = (head % slots) * SEGMENT;
        for (let i = 0; i < SEGMENT; i++) {
          if (random.below(5) === 0) {
            const from = random.below(BLOCKS);
            const count = 1 + random.below(random.below(3) === 0 ? BLOCKS - from : Math.min(8, BLOCKS - from));
            index.zero(from, count, head);
            for (let block = from; block < from + count; block++) model.newest.set(block, { zeroSeq: head });
          } else {
            const block = random.below(BLOCKS);
            index.put(block, first + i);
            model.newest.set(block, { place: first + i });
          }
        }
        head++;
      }
      for (let block = 0; block < BLOCKS; block++) {
        if (index.lookup(block) !== model.lookup(block))
          t.fail(`seed ${seed + round}, step ${step}, block ${block}: ${index.lookup(block)}, not ${model.lookup(block)}`);
        const entry = model.newest.get(block);
        if (entry !== undefined && 'zeroSeq' in entry && index.zeroSeq(block) !== entry.zeroSeq) t.fail(`zero segment of block ${block}`);
      }
      const live = [...model.newest.values()].filter((entry) => 'place' in entry).length;
      if (index.live !== live) t.fail(`live ${index.live}, not ${live}`);
    }
  }
  t.pass();
});

test('zero extents split, shrink and give their edges in order', (t) => {
  const index = new RingIndex(PLACES);
  const extents = (): number[][] => {
    const list: number[][] = [];
    index.forEachZero(0, 100, (first, end) => list.push([first, end]));
    return list;
  };
  index.zero(10, 30, 1);
  index.zero(20, 5, 2);
  t.deepEqual(extents(), [
    [10, 20],
    [20, 25],
    [25, 40],
  ]);
  t.is(index.zeroSeq(22), 2);
  t.is(index.zeroSeq(25), 1);
  t.is(index.zeroSeq(40), -1);
  t.is(index.nextZeroEdge(0, 100), 10);
  t.is(index.nextZeroEdge(10, 100), 20);
  t.is(index.nextZeroEdge(39, 100), 40);
  t.is(index.nextZeroEdge(40, 100), 100);
  t.is(index.nextZeroEdge(0, 5), 5);
  index.zero(15, 20, 3);
  t.deepEqual(extents(), [
    [10, 15],
    [15, 35],
    [35, 40],
  ]);
  index.dropZeroesBefore(3);
  t.deepEqual(extents(), [[15, 35]]);
  const later: number[] = [];
  index.forEachZero(1, 3, (first) => later.push(first));
  t.deepEqual(later, []);
});

test('a range larger than what is live is zeroed as well as a small one', (t) => {
  const index = new RingIndex(PLACES);
  for (let place = 0; place < 8; place++) index.put(place * 1_000_000, place);
  index.zero(1_000_000, 2 ** 40, 5);
  t.is(index.live, 1);
  t.is(index.lookup(0), 0);
  t.is(index.lookup(7_000_000), ZEROED);
  index.put(7_000_000, 9);
  t.is(index.lookup(7_000_000), 9);
});

test('a place taken over by a newer one is not the newest any more', (t) => {
  const index = new RingIndex(PLACES);
  index.put(5, 1);
  index.put(5, 2);
  t.false(index.removeIf(5, 1));
  t.is(index.lookup(5), 2);
  t.true(index.removeIf(5, 2));
  t.is(index.lookup(5), NOT_IN_RING);
});
