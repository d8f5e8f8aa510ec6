import { workerData } from 'node:worker_threads';
import { KeelsonError } from '../base/errors.js';
import { ErasureCodec } from './codec.js';
import { type PoolAnswer, type PoolContext, type PoolTask, runTask } from './pool-task.js';

/** Entry of ErasurePool's threads. */
const context = workerData as PoolContext;
const codec = new ErasureCodec(context);
const memory = new Uint8Array(context.shared, context.byteOffset, context.byteLength);

export default function run(task: PoolTask): PoolAnswer {
  try {
    return { failure: null, result: runTask(codec, memory, task) };
  } catch (error) {
    return { failure: KeelsonError.from(error).toRecord(), result: null };
  }
}
