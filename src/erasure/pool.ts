import { availableParallelism } from 'node:os';
import { Piscina } from 'piscina';
import { KeelsonError } from '../base/errors.js';
import { refuse } from './checks.js';
import { ErasureCodec, type Verification, type WriteOptions } from './codec.js';
import type { CodecOptions } from './kernel-plans.js';
import { allGroups, onSharedMemory, type PoolShare, shareOf } from './pool-share.js';
import { checkTask, type PoolAnswer, type PoolContext, type PoolResult, type PoolTask, runTask, strideOf } from './pool-task.js';

/**
 * Work of fewer bytes (groups x shards x length) is done at once by the caller: a task costs 50 to 100 microseconds, in which one thread encodes
 * about this much from memory (docs/erasure-code.md).
 */
export const INLINE_BYTES_MAX = 2 * 1024 * 1024;
/** Tasks that wait for a thread; one more is refused, so that a caller who does not wait cannot fill the memory. */
const TASKS_WAITING_MAX = 1024;

export interface PoolOptions extends CodecOptions {
  /** Worker threads. Default: those the machine runs at once, less one for the caller. */
  readonly threads?: number;
  /** Default INLINE_BYTES_MAX; 0 sends everything to the threads. */
  readonly inlineBytesMax?: number;
}

/**
 * ErasureCodec over worker threads, for large work on one shared memory: the same operations, split over the threads by groups. Shards of a call
 * must not be touched until its promise is settled.
 */
export class ErasurePool {
  readonly codec: ErasureCodec;
  readonly threads: number;
  readonly #memory: Uint8Array;
  readonly #inlineBytesMax: number;
  readonly #piscina: Piscina;
  readonly #running = new Set<Promise<unknown>>();
  #closed = false;

  /** memory must be a view over a SharedArrayBuffer. Throws ERASURE_SHAPE, ERASURE_ISA or ERASURE_ARGUMENT. */
  constructor(memory: Uint8Array, options: PoolOptions) {
    const shared = memory.buffer;
    if (!(shared instanceof SharedArrayBuffer)) refuse('the memory cannot be shared with threads', 'an ArrayBuffer', 'a SharedArrayBuffer');
    this.codec = new ErasureCodec(options);
    this.threads = options.threads ?? Math.max(1, availableParallelism() - 1);
    if (!Number.isInteger(this.threads) || this.threads < 1) refuse('wrong number of threads', String(this.threads), 'at least 1');
    this.#memory = memory;
    this.#inlineBytesMax = options.inlineBytesMax ?? INLINE_BYTES_MAX;
    const { k, m, isa } = this.codec;
    const places = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    const context: PoolContext = { k, m, isa, shared, byteOffset: memory.byteOffset, byteLength: memory.byteLength, places };
    this.#piscina = new Piscina({
      filename: new URL('./pool-worker.js', import.meta.url).href,
      workerData: context,
      minThreads: this.threads,
      maxThreads: this.threads,
      maxQueue: TASKS_WAITING_MAX,
      // A worker that sleeps in Atomics.wait has its own event loop frozen.
      atomics: 'disabled',
    });
  }

  /** As ErasureCodec.encodeGroups. */
  async encodeGroups(offsets: Float64Array, groups: number, length: number, options: WriteOptions = {}): Promise<void> {
    await this.#run({ ...READ, operation: 'encode', offsets, groups, length, nonTemporal: options.nonTemporal });
  }

  /** As ErasureCodec.updateGroups. */
  async updateGroups(changed: readonly number[], offsets: Float64Array, groups: number, length: number): Promise<void> {
    await this.#run({ ...READ, operation: 'update', offsets, groups, length, shards: changed });
  }

  /** As ErasureCodec.reconstructGroups. */
  async reconstructGroups(
    offsets: Float64Array,
    groups: number,
    length: number,
    present: Uint8Array,
    wanted: readonly number[],
    options: WriteOptions = {},
  ): Promise<void> {
    const { nonTemporal } = options;
    await this.#run({ operation: 'reconstruct', offsets, groups, length, shards: wanted, present, nonTemporal });
  }

  /** As ErasureCodec.verifyGroups. */
  async verifyGroups(offsets: Float64Array, groups: number, length: number): Promise<Verification> {
    const { m } = this.codec;
    const firstWrong = Float64Array.from((await this.#run({ ...READ, operation: 'verify', offsets, groups, length })) ?? []);
    let wrongGroups = 0;
    for (let group = 0; group < groups; group++) {
      if (firstWrong.subarray(group * m, (group + 1) * m).some((at) => at !== -1)) wrongGroups++;
    }
    return { wrongGroups, firstWrong };
  }

  /** As ErasureCodec.locateGroups. */
  async locateGroups(offsets: Float64Array, groups: number, length: number): Promise<Int16Array> {
    return Int16Array.from((await this.#run({ ...READ, operation: 'locate', offsets, groups, length })) ?? []);
  }

  /** Lets the tasks that wait or run end, then stops the threads. Calls made from now on are refused. */
  async close(): Promise<void> {
    this.#closed = true;
    // Piscina's own close() holds on to the pool for half a minute, by a timer.
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
    await this.#piscina.destroy();
  }

  async #run(task: PoolTask): Promise<PoolResult> {
    const bytes = task.groups * strideOf(this.codec, task) * task.length;
    // Wrong numbers take this path too, and are refused by the codec.
    if (!(bytes > this.#inlineBytesMax)) return runTask(this.codec, this.#memory, task);
    const own = onSharedMemory(this.codec, task);
    checkTask(this.codec, this.#memory, own);
    const share = shareOf(this.codec, own, this.threads);
    const runs = Array.from({ length: share.parts }, (_, part) => this.#send(share, part));
    await allGroups(runs, task.groups);
    return share.results;
  }

  /** Gives how many groups a thread did. */
  async #send(share: PoolShare, part: number): Promise<number> {
    if (this.#closed) {
      throw new KeelsonError('ERASURE_POOL', 'the pool is closed', { found: 'a call after close()', action: 'make a new pool' });
    }
    const run = this.#piscina.run({ share, part }) as Promise<PoolAnswer>;
    this.#running.add(run);
    try {
      const { failure, groups } = await run;
      if (failure !== null) throw KeelsonError.fromRecord(failure);
      return groups;
    } finally {
      this.#running.delete(run);
    }
  }
}

const READ = { shards: [], present: new Uint8Array(0), nonTemporal: undefined } as const;
