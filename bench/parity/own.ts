import { availableParallelism } from 'node:os';
import { generatorRows, invert, type Matrix, multiplyMatrices } from '../../src/erasure/matrix.js';
import { ErasureCodec, ErasurePool, parityMatrix } from '../../src/erasure/index.js';
import { loadAddon } from '../../src/native/load.js';
import { COLD_BYTES, type Figure, type MemorySet, SAMPLE_BYTES, type Shape } from './figure.js';
import { medianRate, ratesInTurns, type Work } from './timing.js';

/** One operation on a stripe: its matrix and shards for native code, and the calls of codec and pool. */
interface Operation {
  readonly op: 'encode' | 'update' | 'reconstruct';
  readonly lost: number;
  /** Data shards whose bytes count. */
  readonly counted: number;
  readonly matrix: Matrix;
  /** Shards of the stripe that native code is given, inputs first. */
  readonly native: readonly number[];
  /** Shards that the codec is given. */
  readonly codec: readonly number[];
  readonly accumulate: boolean;
  readonly run: (codec: ErasureCodec, memory: Uint8Array, offsets: Float64Array, length: number, nonTemporal: boolean) => void;
  readonly pool: (pool: ErasurePool, offsets: Float64Array, groups: number, length: number, nonTemporal: boolean) => Promise<void>;
}

export function operationsOf({ k, m }: Shape): Operation[] {
  const n = k + m;
  const all = Array.from({ length: n }, (_, i) => i);
  const parity = parityMatrix(k, m);
  const encode: Operation = {
    op: 'encode',
    lost: 0,
    counted: k,
    matrix: parity,
    native: all,
    codec: all,
    accumulate: false,
    run: (codec, memory, offsets, length, nonTemporal) => codec.encodeGroups(memory, offsets, 1, length, { nonTemporal }),
    pool: (pool, offsets, groups, length, nonTemporal) => pool.encodeGroups(offsets, groups, length, { nonTemporal }),
  };
  // The last data shard: the first one's coefficients are all ones.
  const changed = [k - 1];
  const updated = [k - 1, ...all.slice(k)];
  const update: Operation = {
    op: 'update',
    lost: 0,
    counted: 1,
    matrix: { rows: m, columns: 1, values: Uint8Array.from({ length: m }, (_, row) => parity.values[row * k + k - 1] as number) },
    native: updated,
    codec: updated,
    accumulate: true,
    run: (codec, memory, offsets, length) => codec.updateGroups(memory, changed, offsets, 1, length),
    pool: (pool, offsets, groups, length) => pool.updateGroups(changed, offsets, groups, length),
  };
  const reconstructs = [...new Set([1, m])].map((lost): Operation => {
    const wanted = all.slice(0, Math.min(lost, k));
    const sources = all.slice(wanted.length, wanted.length + k);
    const present = Uint8Array.from(all, (i) => (i < wanted.length ? 0 : 1));
    const inverse = invert(generatorRows(parity, sources)) as Matrix;
    return {
      op: 'reconstruct',
      lost: wanted.length,
      counted: k,
      matrix: multiplyMatrices(generatorRows(parity, wanted), inverse),
      native: [...sources, ...wanted],
      codec: all,
      accumulate: false,
      run: (codec, memory, offsets, length, nonTemporal) => codec.reconstruct(memory, offsets, length, present, wanted, { nonTemporal }),
      pool: (pool, offsets, groups, length, nonTemporal) =>
        pool.reconstructGroups(offsets, groups, length, present, wanted, { nonTemporal }),
    };
  });
  return [encode, update, ...reconstructs];
}

/** Offsets of the given shards of each stripe: one stripe for the hot set, as many as 256 MiB hold for the cold one. `from`: the first stripe. */
function offsetsOf(shape: Shape, shards: readonly number[], shardBytes: number, set: MemorySet, repeat: number, from = 0): Float64Array {
  const n = shape.k + shape.m;
  const stripes = set === 'cold' ? Math.max(1, Math.floor(COLD_BYTES / (n * shardBytes))) : repeat;
  const offsets = new Float64Array(stripes * shards.length);
  for (let stripe = 0; stripe < stripes; stripe++) {
    const first = (set === 'cold' ? stripe : from) * n;
    shards.forEach((shard, i) => {
      offsets[stripe * shards.length + i] = (first + shard) * shardBytes;
    });
  }
  return offsets;
}

/** What is measured through native code, the codec or the pool. */
export class OwnFigures {
  readonly #memory: Uint8Array;
  readonly #sampling_ms: number;

  /** memory: shared, COLD_BYTES and more, written before. */
  constructor(memory: Uint8Array, sampling_ms: number) {
    this.#memory = memory;
    this.#sampling_ms = sampling_ms;
  }

  async native(shape: Shape, operation: Operation, shardBytes: number, set: MemorySet, isa: string): Promise<Measured> {
    const { matrix } = operation;
    const addon = loadAddon();
    const plan = addon.gfPrepare(matrix.values, matrix.rows, matrix.columns, isa);
    const data = operation.counted * shardBytes;
    const offsets = offsetsOf(shape, operation.native, shardBytes, set, Math.ceil(SAMPLE_BYTES / data));
    const groups = offsets.length / operation.native.length;
    const nonTemporal = set === 'cold' && !operation.accumulate;
    const gbPerSecond = await medianRate(groups * data, this.#sampling_ms, () =>
      addon.gfApply(plan, this.#memory, offsets, groups, shardBytes, operation.accumulate, nonTemporal),
    );
    return this.#figure(shape, operation, shardBytes, set, isa, 'native', 1, gbPerSecond);
  }

  async codec(shape: Shape, operation: Operation, shardBytes: number, set: MemorySet): Promise<Measured> {
    const codec = new ErasureCodec(shape);
    const data = operation.counted * shardBytes;
    const offsets = offsetsOf(shape, operation.codec, shardBytes, set, Math.ceil(SAMPLE_BYTES / data));
    const stride = operation.codec.length;
    const stripe = (i: number): Float64Array => offsets.subarray(i * stride, (i + 1) * stride);
    const first = stripe(0);
    const stripes = Array.from({ length: offsets.length / stride }, (_, i) => (set === 'hot' ? first : stripe(i)));
    // Until the calls are compiled: small shards would show the interpreter otherwise.
    for (let i = 0; i < WARM_CALLS; i++) operation.run(codec, this.#memory, first, 64, false);
    const gbPerSecond = await medianRate(stripes.length * data, this.#sampling_ms, () => {
      for (const stripe of stripes) operation.run(codec, this.#memory, stripe, shardBytes, set === 'cold');
    });
    return this.#figure(shape, operation, shardBytes, set, codec.isa, 'codec', 1, gbPerSecond);
  }

  /**
   * Encoding on one thread of a pool and on all of them, in turns: whatever else happens on the machine slows both, so that the median of the rounds' ratios
   * (speedup) says more than two medians would. Then the other operations on all threads.
   */
  async pools(
    shape: Shape,
    operations: readonly Operation[],
    shardBytes: number,
    set: MemorySet,
    threads: number,
    rounds: number,
  ): Promise<Measured[]> {
    const [encode, ...others] = operations as [Operation, ...Operation[]];
    const [alone, together] = [1, threads].map(
      (count) => new ErasurePool(this.#memory, { ...shape, threads: count, inlineBytesMax: 0 }),
    ) as [ErasurePool, ErasurePool];
    const { isa } = together.codec;
    const [one, all] = [alone, together].map((pool) => this.#pooled(pool, threads, encode, shape, shardBytes, set)) as [Work, Work];
    const inTurns = await ratesInTurns(rounds, [one, all]);
    const figures = [
      this.#figure(shape, encode, shardBytes, set, isa, 'pool', 1, inTurns.rates[0]),
      { ...this.#figure(shape, encode, shardBytes, set, isa, 'pool', threads, inTurns.rates[1]), speedup: inTurns.ratio },
    ];
    for (const operation of others) {
      const { bytes, call } = this.#pooled(together, threads, operation, shape, shardBytes, set);
      figures.push(this.#figure(shape, operation, shardBytes, set, isa, 'pool', threads, await medianRate(bytes, this.#sampling_ms, call)));
    }
    await alone.close();
    await together.close();
    return threads === 1 ? figures.slice(0, 1) : figures;
  }

  /**
   * One call over many stripes. Hot: as many stripes as threads, each again and again, so many times that what starting a task costs does not show. One thread does the same work: how fast a
   * stripe goes depends on the pages that it lies in.
   */
  #pooled(pool: ErasurePool, threads: number, operation: Operation, shape: Shape, shardBytes: number, set: MemorySet): Work {
    const data = operation.counted * shardBytes;
    const repeat = Math.ceil(POOL_BYTES / data);
    const parts = Array.from({ length: set === 'cold' ? 1 : threads }, (_, thread) =>
      offsetsOf(shape, operation.codec, shardBytes, set, repeat, thread),
    );
    const offsets = new Float64Array(parts.length * (parts[0]?.length ?? 0));
    parts.forEach((part, i) => {
      offsets.set(part, i * part.length);
    });
    const groups = offsets.length / operation.codec.length;
    return { bytes: groups * data, call: () => operation.pool(pool, offsets, groups, shardBytes, set === 'cold') };
  }

  #figure(
    { k, m }: Shape,
    { op, lost }: Operation,
    shardBytes: number,
    set: MemorySet,
    isa: string,
    via: Figure['via'],
    threads: number,
    gbPerSecond: number,
  ): Measured {
    return { op, k, m, lost, shardBytes, set, isa, threads, via, gbPerSecond, peer: null };
  }
}

/** A figure before the run's memcpy is known to it. */
export type Measured = Omit<Figure, 'memcpyRatio'>;

const WARM_CALLS = 50_000;

/**
 * Data a thread is given in one call of a hot measurement: 30 ms. A thread that is woken 1 ms late would have a part of a shorter call taken off it, and two threads on one
 * stripe, which only a benchmark puts them on, take its lines from each other.
 */
const POOL_BYTES = 2 ** 31;

export const allThreads = (): number => availableParallelism();
