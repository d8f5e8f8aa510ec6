/**
 * node --expose-gc pool-cycles.js CYCLES SAMPLES: starts a pool, gives it work, closes it with the work in flight; again and again. Prints what the process
 * holds after every so many cycles: resident bytes, and those of JavaScript: heap and what hangs on it.
 */
import { ErasurePool } from '../../../src/erasure/index.js';

const [cycles = 0, samples = 1] = process.argv.slice(2).map(Number);
const collect = (globalThis as { gc?: () => void }).gc;
if (collect === undefined) throw new Error('run me with --expose-gc');
const SHARD_BYTES = 16 * 1024;
const GROUPS = 16;
const memory = new Uint8Array(new SharedArrayBuffer(GROUPS * 6 * SHARD_BYTES)).fill(7);
const offsets = Float64Array.from({ length: GROUPS * 6 }, (_, i) => i * SHARD_BYTES);
const held: { readonly resident: number; readonly script: number }[] = [];

for (let cycle = 1; cycle <= cycles; cycle++) {
  const pool = new ErasurePool(memory, { k: 4, m: 2, threads: cycle % 4 === 0 ? 2 : 1, inlineBytesMax: 0 });
  memory.fill(0, 4 * SHARD_BYTES, 6 * SHARD_BYTES);
  // Not waited for: the threads are still starting, or in the middle of it, when the pool is closed.
  const work = Promise.allSettled([pool.encodeGroups(offsets, GROUPS, SHARD_BYTES), pool.encodeGroups(offsets, GROUPS, SHARD_BYTES)]);
  await pool.close();
  for (const result of await work) {
    // Refused or done: anything else is a defect.
    if (result.status === 'fulfilled' && memory[5 * SHARD_BYTES] === 0) throw new Error(`cycle ${cycle}: done, but not encoded`);
  }
  if (cycle % Math.floor(cycles / samples) === 0) {
    collect();
    const { rss, heapUsed, external } = process.memoryUsage();
    held.push({ resident: rss, script: heapUsed + external });
  }
}
process.stdout.write(`${JSON.stringify(held)}\n`);
