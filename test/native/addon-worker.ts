import { parentPort, workerData } from 'node:worker_threads';
import { loadAddon } from '../../src/native/load.js';

/** Says that it loads the addon, loads it, says that it is at work, and encodes and checksums in the memory given until state[0] is set; then gives the checksum of its parity. */
interface Task {
  readonly memory: Uint8Array;
  readonly state: Int32Array;
  readonly shardBytes: number;
}

const { memory, state, shardBytes } = workerData as Task;
parentPort?.postMessage('loading');
const addon = loadAddon();
const plan = addon.gfPrepare(new Uint8Array([1, 1, 1, 1, 2, 3]), 2, 3, '');
const offsets = Float64Array.from({ length: 5 }, (_, shard) => shard * shardBytes);
parentPort?.postMessage('at work');
let rounds = 0;
do {
  addon.gfApply(plan, memory, offsets, 1, shardBytes, false, rounds % 2 === 1);
  rounds++;
} while (Atomics.load(state, 0) === 0);
parentPort?.postMessage({ checksum: addon.crc32c(memory, 3 * shardBytes, 2 * shardBytes, 0) });
