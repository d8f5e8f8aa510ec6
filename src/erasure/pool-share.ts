import { KeelsonError } from '../base/errors.js';
import { requireCount, requireOffsets } from './checks.js';
import type { ErasureCodec } from './codec.js';
import { type PoolResult, type PoolTask, runTask, strideOf } from './pool-task.js';

/** Work is taken in portions of at least this many bytes (groups x shards x length): 10 to 20 microseconds of encoding, against one to take it. */
const PORTION_BYTES_MIN = 1024 * 1024;
/** More would not end a call earlier: a thread that is done early then waits for a 32nd of a part at most. */
const PORTIONS_OF_PART_MAX = 32;

/**
 * What the threads of a pool share of one call. The groups are cut into one part for each thread, a part into portions. A thread takes the portions of its
 * own part, then what is left of the others': one that is woken late, or gets half a processor, does not hold up the call (docs/decisions/0071).
 */
export interface PoolShare {
  /** The whole call; its offsets are a copy that the threads share, checked before. */
  readonly task: PoolTask;
  readonly parts: number;
  readonly portionGroups: number;
  /** For each part, how many of its portions are taken. */
  readonly taken: Int32Array;
  /** Of the whole call, shared, each thread writes what it finds in its portions. */
  readonly results: PoolResult;
}

/** The same call with its offsets where the threads see them and the caller does not change them. */
export function onSharedMemory(codec: ErasureCodec, task: PoolTask): PoolTask {
  const stride = strideOf(codec, task);
  requireCount(task.groups, 'groups');
  requireOffsets(task.offsets, task.groups, stride);
  const offsets = new Float64Array(new SharedArrayBuffer(task.groups * stride * Float64Array.BYTES_PER_ELEMENT));
  offsets.set(task.offsets.subarray(0, offsets.length));
  return { ...task, offsets };
}

export function shareOf(codec: ErasureCodec, task: PoolTask, threads: number): PoolShare {
  const { operation, groups, length } = task;
  const parts = Math.min(groups, threads);
  const leastGroups = Math.ceil(PORTION_BYTES_MIN / (strideOf(codec, task) * length));
  const portionGroups = Math.max(leastGroups, Math.ceil(groups / parts / PORTIONS_OF_PART_MAX));
  const taken = new Int32Array(new SharedArrayBuffer(parts * Int32Array.BYTES_PER_ELEMENT));
  return { task, parts, portionGroups, taken, results: sharedResults(operation, groups, codec.m) };
}

function sharedResults(operation: PoolTask['operation'], groups: number, m: number): PoolResult {
  if (operation === 'verify') return new Float64Array(new SharedArrayBuffer(groups * m * Float64Array.BYTES_PER_ELEMENT));
  if (operation === 'locate') return new Int16Array(new SharedArrayBuffer(groups * Int16Array.BYTES_PER_ELEMENT));
  return null;
}

/** Does portions until none is left, those of `part` first. Gives how many groups it did. */
export function workOn(
  codec: ErasureCodec,
  memory: Uint8Array,
  { task, parts, portionGroups, taken, results }: PoolShare,
  part: number,
): number {
  const stride = strideOf(codec, task);
  let done = 0;
  for (let turn = 0; turn < parts; turn++) {
    const at = (part + turn) % parts;
    const start = Math.floor((task.groups * at) / parts);
    const end = Math.floor((task.groups * (at + 1)) / parts);
    for (;;) {
      const first = start + Atomics.add(taken, at, 1) * portionGroups;
      if (!(first < end)) break;
      const groups = Math.min(portionGroups, end - first);
      const found = runTask(codec, memory, { ...task, offsets: task.offsets.subarray(first * stride, (first + groups) * stride), groups });
      if (found !== null) results?.set(found, (found.length / groups) * first);
      done += groups;
    }
  }
  return done;
}

/**
 * Waits until the threads have done all groups between them: one that still waits for its turn has nothing left to do, and is not waited for. When one
 * fails all are waited for: until then they may still write.
 */
export async function allGroups(runs: readonly Promise<number>[], groups: number): Promise<void> {
  let left = groups;
  const done = new Promise<void>((resolve) => {
    const count = (did: number): void => {
      left -= did;
      if (left === 0) resolve();
    };
    // Failures are those of allSettled.
    for (const run of runs) run.then(count, () => undefined);
  });
  const settled = Promise.allSettled(runs);
  await Promise.race([done, settled]);
  if (left === 0) return;
  for (const outcome of await settled) if (outcome.status === 'rejected') throw KeelsonError.from(outcome.reason, 'ERASURE_POOL');
}
