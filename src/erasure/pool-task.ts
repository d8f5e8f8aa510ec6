import type { ErrorRecord } from '../base/errors.js';
import { type GroupShape, packGroups, requireBytes, requireCount, requireOffsets, requireShards } from './checks.js';
import { type ErasureCodec, requireTwoParities, type WriteOptions } from './codec.js';

/** What a worker is started with. */
export interface PoolContext {
  readonly k: number;
  readonly m: number;
  readonly isa: string;
  readonly shared: SharedArrayBuffer;
  readonly byteOffset: number;
  readonly byteLength: number;
  /** One counter, from which each worker takes its place among the threads. */
  readonly places: Int32Array;
}

/** shards: the changed or wanted; present: only for reconstruct. */
export interface PoolTask {
  readonly operation: 'encode' | 'update' | 'reconstruct' | 'verify' | 'locate';
  readonly offsets: Float64Array;
  readonly groups: number;
  readonly length: number;
  readonly shards: readonly number[];
  readonly present: Uint8Array;
  readonly nonTemporal: boolean | undefined;
}

/** What verify and locate find, per group; nothing of the others. */
export type PoolResult = Float64Array | Int16Array | null;

/** A thread's answer. An error that is thrown across a thread loses its code, so it comes as a value. */
export interface PoolAnswer {
  readonly failure: ErrorRecord | null;
  /** How many groups of the call this thread did. */
  readonly groups: number;
}

export function runTask(codec: ErasureCodec, memory: Uint8Array, task: PoolTask): PoolResult {
  const { offsets, groups, length, shards, present, nonTemporal } = task;
  switch (task.operation) {
    case 'encode':
      codec.encodeGroups(memory, offsets, groups, length, writeOptions(nonTemporal));
      return null;
    case 'update':
      codec.updateGroups(memory, shards, offsets, groups, length);
      return null;
    case 'reconstruct':
      codec.reconstructGroups(memory, offsets, groups, length, present, shards, writeOptions(nonTemporal));
      return null;
    case 'verify':
      return codec.verifyGroups(memory, offsets, groups, length).firstWrong;
    case 'locate':
      return codec.locateGroups(memory, offsets, groups, length);
  }
}

/** Offsets of one group of a task. */
export function strideOf(codec: ErasureCodec, task: PoolTask): number {
  return task.operation === 'update' ? task.shards.length + codec.m : codec.n;
}

/** Throws what runTask would throw, before a part of the task was given to any thread. */
export function checkTask(codec: ErasureCodec, memory: Uint8Array, task: PoolTask): void {
  const { operation, offsets, groups, length, shards } = task;
  const stride = strideOf(codec, task);
  requireBytes(memory, 'memory');
  requireCount(groups, 'groups');
  requireCount(length, 'length');
  if (operation === 'update') requireShards(shards, codec.k, 'changed');
  if (operation === 'locate') requireTwoParities(codec.m);
  const gather = operation === 'reconstruct' ? [...codec.sourcesFor(task.present, shards), ...shards] : null;
  requireOffsets(offsets, groups, stride);
  const outputs = operation === 'reconstruct' ? shards.length : operation === 'verify' || operation === 'locate' ? 0 : codec.m;
  const shape: GroupShape = { stride, gather, inputs: (gather?.length ?? stride) - outputs, outputs };
  packGroups(memory, offsets, groups, length, shape, new Float64Array(groups * (shape.inputs + outputs)), 0);
}

function writeOptions(nonTemporal: boolean | undefined): WriteOptions {
  return nonTemporal === undefined ? {} : { nonTemporal };
}
