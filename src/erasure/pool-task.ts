import type { ErasureCodec } from './codec.js';

/** What a worker is started with. */
export interface PoolContext {
  readonly k: number;
  readonly m: number;
  readonly isa: string;
  readonly shared: SharedArrayBuffer;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** shards of the changed or wanted; present only for reconstruct. */
export interface PoolTask {
  readonly operation: 'encode' | 'update' | 'reconstruct';
  readonly offsets: Float64Array;
  readonly groups: number;
  readonly length: number;
  readonly shards: readonly number[];
  readonly present: Uint8Array;
}

export function runTask(codec: ErasureCodec, memory: Uint8Array, task: PoolTask): void {
  const { offsets, groups, length, shards } = task;
  if (task.operation === 'encode') codec.encodeGroups(memory, offsets, groups, length);
  else if (task.operation === 'update') codec.updateGroups(memory, shards, offsets, groups, length);
  else codec.reconstructGroups(memory, offsets, groups, length, task.present, shards);
}
