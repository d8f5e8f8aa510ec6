import { assert } from '../base/assert.js';
import type { Bytes, StripeIndex } from '../base/units.js';

/*
 * The stripe bitmap of a checkpoint: bit s % 8 of byte s / 8 is 1 when stripe s was written, so that its integrity entries are valid on
 * every data member; 0: it reads as zeroes, is not rebuilt, and nothing on the members is looked at.
 */

export function stripeBitmapBytes(stripes: number): Bytes {
  return Math.ceil(stripes / 8);
}

export function stripeWritten(bitmap: Uint8Array, stripe: StripeIndex): boolean {
  return (((bitmap[stripe >>> 3] ?? 0) >>> (stripe & 7)) & 1) === 1;
}

/** Returns true when the bit was not set before: then the stripe has to be marked in the integrity tables of all data members. */
export function setStripeWritten(bitmap: Uint8Array, stripe: StripeIndex): boolean {
  assert(stripe >= 0 && stripe >>> 3 < bitmap.length, 'a stripe of the bitmap');
  if (stripeWritten(bitmap, stripe)) return false;
  bitmap[stripe >>> 3] = (bitmap[stripe >>> 3] as number) | (1 << (stripe & 7));
  return true;
}

/** The first written stripe from `from` on and below `end`, else `end`. Eight stripes at a time where none is. */
export function nextWrittenStripe(bitmap: Uint8Array, from: StripeIndex, end: StripeIndex): StripeIndex {
  let stripe = from;
  while (stripe < end) {
    const bits = (bitmap[Math.floor(stripe / 8)] as number) >>> (stripe % 8);
    if (bits !== 0) return Math.min(end, stripe + (31 - Math.clz32(bits & -bits)));
    stripe += 8 - (stripe % 8);
  }
  return end;
}

/** Bits that are set. */
export function bitCount(bitmap: Uint8Array): number {
  let count = 0;
  for (const byte of bitmap) {
    let bits = byte;
    bits -= (bits >>> 1) & 0x55;
    bits = (bits & 0x33) + ((bits >>> 2) & 0x33);
    count += (bits + (bits >>> 4)) & 0x0f;
  }
  return count;
}
