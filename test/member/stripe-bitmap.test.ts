import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { bitCount, nextWrittenStripe, setStripeWritten, stripeBitmapBytes, stripeWritten } from '../../src/member/stripe-bitmap.js';

test('a stripe bitmap does what a set of stripes does, and tells the first write of each', (t) => {
  const seed = 2;
  t.log(`seed ${seed}`);
  const random = seededRandom(seed);
  for (const stripes of [1, 8, 9, 1000]) {
    const bitmap = new Uint8Array(stripeBitmapBytes(stripes));
    const model = new Set<number>();
    for (let i = 0; i < stripes; i++) {
      const stripe = random.below(stripes);
      t.is(setStripeWritten(bitmap, stripe), !model.has(stripe));
      model.add(stripe);
    }
    for (let stripe = 0; stripe < stripes; stripe++) t.is(stripeWritten(bitmap, stripe), model.has(stripe));
    t.is(bitCount(bitmap), model.size);
    t.throws(() => setStripeWritten(bitmap, stripeBitmapBytes(stripes) * 8), { code: 'ASSERTION' });
  }
});

test('the next written stripe is the one that a look at every bit finds', (t) => {
  const stripes = 203;
  for (const written of [[], [0], [7, 8], [202], [31, 64, 65, 199]]) {
    const bitmap = new Uint8Array(stripeBitmapBytes(stripes));
    for (const stripe of written) setStripeWritten(bitmap, stripe);
    for (let from = 0; from <= stripes; from++)
      for (const end of [from, Math.min(stripes, from + 9), stripes])
        t.is(nextWrittenStripe(bitmap, from, end), written.find((stripe) => stripe >= from && stripe < end) ?? end);
  }
});
