import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { PageSet } from '../../src/member/page-set.js';

test('a page set does what a set of numbers does', (t) => {
  const seed = 12;
  t.log(`seed ${seed}`);
  const random = seededRandom(seed);
  for (const bound of [1, 31, 32, 33, 1000]) {
    const pages = new PageSet(bound);
    const model = new Set<number>();
    for (let i = 0; i < 3000; i++) {
      const page = random.below(bound);
      if (random.below(3) === 0) {
        pages.delete(page);
        model.delete(page);
      } else {
        pages.add(page);
        model.add(page);
      }
      if (pages.count !== model.size || pages.has(page) !== model.has(page)) t.fail(`page ${page} of ${bound}`);
    }
    const sorted = [...model].sort((a, b) => a - b);
    t.deepEqual(pages.toArray(), sorted);
    t.deepEqual(pages.drain().toArray(), sorted);
    t.is(pages.count, 0);
    t.is(pages.next(0), -1);
    t.throws(() => pages.add(bound), { code: 'ASSERTION' });
  }
});
