import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import { PageAllocator } from '../../src/memory/page-allocator.js';

const START = 3 * MIB;

function allocator(pages: number): PageAllocator {
  return new PageAllocator(START, pages * BLOCK_BYTES);
}

test('runs are granted at once while there is memory, never overlap, and lie inside the range', (t) => {
  const memory = allocator(64);
  const seen = new Set<number>();
  for (let i = 0; i < 64; i++) {
    memory.allocate(1, (offset) => {
      t.is(offset % BLOCK_BYTES, 0);
      t.true(offset >= START && offset < START + 64 * BLOCK_BYTES);
      seen.add(offset);
    });
  }
  t.is(seen.size, 64);
  t.is(memory.usedPages, 64);
  t.is(memory.freePages, 0);
  t.is(memory.tryAllocate(1), -1);
});

test('random runs behave as a model of pages says, and everything freed is one run again', (t) => {
  const seed = 9_001;
  t.log(`seed ${seed}`);
  const random = seededRandom(seed);
  for (const pages of [1, 7, 64, 1000, 8192 + 77]) {
    const memory = allocator(pages);
    const used = new Uint8Array(pages);
    const held: { offset: number; count: number }[] = [];
    for (let i = 0; i < 4000; i++) {
      if (random.below(2) === 0 || held.length === 0) {
        const count = 1 + random.below(random.below(4) === 0 ? pages : Math.min(pages, 9));
        const offset = memory.tryAllocate(count);
        if (offset < 0) {
          if (longestZeroes(used) >= count) t.fail(`${count} pages are free and were not granted`);
          continue;
        }
        const first = (offset - START) / BLOCK_BYTES;
        if (used.subarray(first, first + count).some((value) => value === 1)) t.fail('a page granted twice');
        used.fill(1, first, first + count);
        held.push({ offset, count });
      } else {
        const [run] = held.splice(random.below(held.length), 1) as [{ offset: number; count: number }];
        // Now and then in two parts, the last part first.
        const tail = run.count > 1 && random.below(4) === 0 ? 1 + random.below(run.count - 1) : 0;
        if (tail > 0) memory.free(run.offset + (run.count - tail) * BLOCK_BYTES, tail);
        memory.free(run.offset, run.count - tail);
        const first = (run.offset - START) / BLOCK_BYTES;
        used.fill(0, first, first + run.count);
      }
      const count = used.reduce((sum, value) => sum + value, 0);
      if (i % 100 === 0 && memory.usedPages !== count) t.fail(`${memory.usedPages} pages in use, the model says ${count}`);
      if (i % 100 === 0 && memory.longestFreeRun !== longestZeroes(used)) t.fail('the longest free run is another one');
    }
    for (const { offset, count } of held) memory.free(offset, count);
    t.is(memory.usedPages, 0);
    t.is(memory.longestFreeRun, pages);
    t.is(memory.tryAllocate(pages), START);
  }
});

test('waiting requests are granted strictly in order: a large one is not starved by small ones behind it', (t) => {
  const memory = allocator(16);
  const held: number[] = [];
  for (let i = 0; i < 16; i++) memory.allocate(1, (offset) => held.push(offset));
  const order: number[] = [];
  memory.allocate(12, (_, tag) => order.push(tag), 1);
  memory.allocate(1, (_, tag) => order.push(tag), 2);
  memory.allocate(3, (_, tag) => order.push(tag), 3);
  t.is(memory.waiting, 3);
  for (let i = 0; i < 11; i++) memory.free(held[i] as number, 1);
  t.is(memory.tryAllocate(1), -1, 'others wait');
  t.deepEqual(order, []);
  memory.free(held[11] as number, 1);
  t.deepEqual(order, [1]);
  memory.free(held[12] as number, 1);
  t.deepEqual(order, [1, 2]);
  for (let i = 13; i < 16; i++) memory.free(held[i] as number, 1);
  t.deepEqual(order, [1, 2, 3]);
  t.is(memory.waiting, 0);
});

test('a callback may free and ask again at once; nobody is granted twice or forgotten', (t) => {
  const memory = allocator(4);
  let granted = 0;
  const first = memory.tryAllocate(4);
  const use = (offset: number, left: number): void => {
    granted += 1;
    memory.free(offset, 4);
    if (left > 0) memory.allocate(4, use, left - 1);
  };
  for (let i = 0; i < 100; i++) memory.allocate(4, use, 3);
  memory.free(first, 4);
  t.is(granted, 400);
  t.is(memory.waiting, 0);
  t.is(memory.usedPages, 0);
});

test('freeing twice, freeing what was never granted and asking for more than there is are assertion failures', (t) => {
  const memory = allocator(8);
  const offset = memory.tryAllocate(3);
  memory.free(offset, 3);
  t.throws(() => memory.free(offset, 3), { code: 'ASSERTION' });
  const again = memory.tryAllocate(2);
  t.throws(() => memory.free(again, 3), { code: 'ASSERTION' });
  t.throws(() => memory.free(again + 1, 1), { code: 'ASSERTION' });
  t.throws(() => memory.free(START - BLOCK_BYTES, 1), { code: 'ASSERTION' });
  t.throws(() => memory.free(START + 7 * BLOCK_BYTES, 2), { code: 'ASSERTION' });
  t.throws(() => memory.allocate(9, () => undefined), { code: 'ASSERTION' });
  t.throws(() => memory.allocate(0, () => undefined), { code: 'ASSERTION' });
  memory.free(again, 2);
  t.is(memory.longestFreeRun, 8);
});

function longestZeroes(used: Uint8Array): number {
  let longest = 0;
  let length = 0;
  for (const value of used) {
    length = value === 0 ? length + 1 : 0;
    longest = Math.max(longest, length);
  }
  return longest;
}
