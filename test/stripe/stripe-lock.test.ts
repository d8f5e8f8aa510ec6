import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { type StripeHold, StripeLock } from '../../src/stripe/stripe-lock.js';

test('batches that share a stripe go one after the other in the order they asked', (t) => {
  const lock = new StripeLock();
  const log: string[] = [];
  const holds: StripeHold[] = [];
  const ask = (name: string, stripes: number[]): void =>
    lock.acquire(stripes, (hold) => {
      log.push(name);
      holds.push(hold);
    });
  ask('a', [1, 2]);
  ask('b', [2, 3]);
  ask('c', [3]);
  ask('d', [7]);
  t.deepEqual(log, ['a', 'd']);
  t.is(lock.queued, 2);
  lock.release(holds[0] as StripeHold);
  t.deepEqual(log, ['a', 'd', 'b'], 'c waits for b, which asked for 3 before it');
  lock.release(holds[2] as StripeHold);
  t.deepEqual(log, ['a', 'd', 'b', 'c']);
  lock.release(holds[1] as StripeHold);
  lock.release(holds[3] as StripeHold);
  t.false([1, 2, 3, 7].some((stripe) => lock.isLocked(stripe)));
});

test('a stripe named twice in a batch does not wait for itself', (t) => {
  const lock = new StripeLock();
  let granted = 0;
  lock.acquire([4, 4, 1, 4], (hold) => {
    granted += 1;
    lock.release(hold);
  });
  t.is(granted, 1);
  t.is(lock.held, 0);
});

test('a hold is released once', (t) => {
  const lock = new StripeLock();
  lock.acquire([1], (hold) => {
    lock.release(hold);
    t.throws(() => lock.release(hold), { message: /released once/ });
  });
});

test('random batches: never two holders of a stripe, everyone is served, nothing stays locked', (t) => {
  const seed = Date.now() % 2 ** 32;
  t.log(`seed ${seed}`);
  const random = seededRandom(seed);
  const lock = new StripeLock();
  const owner = new Map<number, number>();
  const live: { hold: StripeHold; stripes: number[] }[] = [];
  let served = 0;
  const asked = 3000;
  const releaseOne = (): void => {
    const [gone] = live.splice(random.below(live.length), 1) as [{ hold: StripeHold; stripes: number[] }];
    for (const stripe of gone.stripes) owner.delete(stripe);
    lock.release(gone.hold);
  };
  for (let batch = 0; batch < asked; batch++) {
    const stripes = [...new Set(Array.from({ length: 1 + random.below(8) }, () => random.below(40)))];
    lock.acquire(stripes, (hold) => {
      for (const stripe of stripes) {
        t.false(owner.has(stripe), `seed ${seed}: stripe ${stripe} has one holder`);
        owner.set(stripe, batch);
      }
      served += 1;
      live.push({ hold, stripes });
    });
    while (live.length > 0 && random.below(3) === 0) releaseOne();
  }
  while (live.length > 0) releaseOne();
  t.is(served, asked);
  t.is(lock.held + lock.queued, 0);
});

test('run releases also when the action fails', async (t) => {
  const lock = new StripeLock();
  await t.throwsAsync(
    lock.run([1, 2], () => Promise.reject(new Error('no'))),
    { message: 'no' },
  );
  t.is(await lock.run([2], () => Promise.resolve(5)), 5);
  t.is(lock.held, 0);
});
