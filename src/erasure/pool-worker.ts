import { workerData } from 'node:worker_threads';
import { KeelsonError } from '../base/errors.js';
import { loadAddon } from '../native/load.js';
import { ErasureCodec } from './codec.js';
import { type PoolShare, workOn } from './pool-share.js';
import type { PoolAnswer, PoolContext } from './pool-task.js';

/** Entry of ErasurePool's threads. */
const context = workerData as PoolContext;
const codec = new ErasureCodec(context);
const memory = new Uint8Array(context.shared, context.byteOffset, context.byteLength);

/** From 1, so that the processor left over, if there is one, is the first: a process usually starts there. */
const place = Atomics.add(context.places, 0, 1) + 1;

export default function run({ share, part }: { readonly share: PoolShare; readonly part: number }): PoolAnswer {
  try {
    // Each time anew: being woken for it may have brought the thread to the side of another one.
    loadAddon().placeThread(place);
    return { failure: null, groups: workOn(codec, memory, share, part) };
  } catch (error) {
    return { failure: KeelsonError.from(error).toRecord(), groups: 0 };
  }
}
