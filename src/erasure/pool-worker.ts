import { workerData } from 'node:worker_threads';
import { type ErrorRecord, KeelsonError } from '../base/errors.js';
import { ErasureCodec } from './codec.js';
import { type PoolContext, type PoolTask, runTask } from './pool-task.js';

/** Entry of ErasurePool's threads. */
const context = workerData as PoolContext;
const codec = new ErasureCodec(context);
const memory = new Uint8Array(context.shared, context.byteOffset, context.byteLength);

/** null, or the error: an error that is thrown across a thread loses its code. */
export default function run(task: PoolTask): ErrorRecord | null {
  try {
    runTask(codec, memory, task);
    return null;
  } catch (error) {
    return KeelsonError.from(error).toRecord();
  }
}
