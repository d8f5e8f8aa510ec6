import { seededRandom } from '../../src/base/random.js';
import { BLOCK, StripeBench } from './stripe-bench.js';

/** Fixed content for tests that need no more than "some bytes". */
export const random = seededRandom(11);

export function content(): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  random.fill(bytes);
  return bytes;
}

export function fullStripes(bench: StripeBench, stripes: readonly number[]): Map<number, Uint8Array> {
  const writes = new Map<number, Uint8Array>();
  for (const stripe of stripes) {
    for (let slot = 0; slot < bench.geometry.stripeBlocks; slot++) writes.set(stripe * bench.geometry.stripeBlocks + slot, content());
  }
  return writes;
}

/** An array with every block written. */
export async function filled(k: number, m: number, rows: number, stripes: number): Promise<StripeBench> {
  const bench = new StripeBench({ k, m, rows, stripes, scratchStripes: stripes });
  await bench.apply(
    fullStripes(
      bench,
      Array.from({ length: stripes }, (_, i) => i),
    ),
  );
  bench.io.resetCounts();
  return bench;
}
