import { KeelsonError } from '../base/errors.js';
import { type CodecOptions, KernelPlans } from './kernel-plans.js';
import { columnSyndrome, LOCATED_NOTHING, LOCATED_SEVERAL, shardOfSyndrome } from './locate.js';
import type { Matrix } from './matrix.js';

export interface WriteOptions {
  /** Whether outputs bypass the cache: faster when the working set is larger than the cache, slower when it is not. Default: when the shards of the call are 8 MiB or more. */
  readonly nonTemporal?: boolean;
}

/** What verifyGroups found. */
export interface Verification {
  /** How many groups have a parity that disagrees with their data. */
  readonly wrongGroups: number;
  /** groups x m: the first byte at which parity r of group g is not that of the data, or -1. */
  readonly firstWrong: Float64Array;
}

/**
 * Systematic Reed-Solomon over GF(2^8): k data shards (0 .. k - 1), m parity shards (k .. k + m - 1), any k of which give all the others.
 *
 * Works in one memory (a slab, a SharedArrayBuffer, a Buffer): shards are byte offsets into it, of any alignment, all of one length. A group is one set of
 * shards (a stripe, a 4 KiB row of it); the methods ending in Groups take many of equal shape in one call, the others one. A call runs to its end
 * on the calling thread; ErasurePool has the same calls over threads, BufferCodec over separate Buffers.
 *
 * Wrong arguments throw KeelsonError, and nothing is touched: ERASURE_ARGUMENT (kind, count, length), ERASURE_OUTSIDE (an offset that is not inside the
 * memory), ERASURE_OVERLAP (a shard that is written lies over another of its group), ERASURE_DETACHED (the memory's buffer is gone, or shrunk away).
 */
export class ErasureCodec {
  readonly k: number;
  readonly m: number;
  /** k + m */
  readonly n: number;
  /** Name of the kernel in use. */
  readonly isa: string;
  /** The m x k parity matrix. */
  readonly matrix: Matrix;
  readonly #plans: KernelPlans;

  /** Throws ERASURE_SHAPE, or ERASURE_ISA. */
  constructor(options: CodecOptions) {
    this.#plans = new KernelPlans(options);
    this.k = this.#plans.k;
    this.m = this.#plans.m;
    this.n = this.#plans.n;
    this.isa = this.#plans.isa;
    this.matrix = this.#plans.parity;
  }

  /** Writes the m parities of one group. offsets: n shard offsets, k data and then m parity. */
  encode(memory: Uint8Array, offsets: Float64Array, length: number, options?: WriteOptions): void {
    this.encodeGroups(memory, offsets, 1, length, options);
  }

  /** Writes the parities of each group. offsets: groups x n. */
  encodeGroups(memory: Uint8Array, offsets: Float64Array, groups: number, length: number, options?: WriteOptions): void {
    // Read first: a getter could do anything to the memory.
    const nonTemporal = nonTemporalOf(options);
    this.#plans.calls.apply(this.#plans.encode, memory, offsets, groups, length, false, nonTemporal);
  }

  /** As updateGroups, for one group. offsets: changed.length deltas, then all m parities. */
  update(memory: Uint8Array, changed: readonly number[], offsets: Float64Array, length: number): void {
    this.updateGroups(memory, changed, offsets, 1, length);
  }

  /**
   * Changes the parities of each group for one or more changed data shards, without the others. offsets: groups x (changed.length + m): the delta
   * (old XOR new; deltaGroups makes it) of each changed shard in the order of `changed`, then all m parities.
   */
  updateGroups(memory: Uint8Array, changed: readonly number[], offsets: Float64Array, groups: number, length: number): void {
    this.#plans.calls.apply(this.#plans.update(changed), memory, offsets, groups, length, true, undefined);
  }

  /** offsets: groups x 3: target = a XOR b, in the order a, b, target. Makes the deltas for updateGroups. */
  deltaGroups(memory: Uint8Array, offsets: Float64Array, groups: number, length: number): void {
    this.#plans.calls.apply(this.#plans.sum, memory, offsets, groups, length, false, undefined);
  }

  /** Whether data and parity of one group agree. offsets: n. */
  verify(memory: Uint8Array, offsets: Float64Array, length: number): boolean {
    return this.verifyGroups(memory, offsets, 1, length).wrongGroups === 0;
  }

  /** Which parities of which groups disagree with their data, and from which byte on. Nothing is written. offsets: groups x n. */
  verifyGroups(memory: Uint8Array, offsets: Float64Array, groups: number, length: number): Verification {
    const firstWrong = this.#plans.calls.check(this.#plans.syndrome, memory, offsets, groups, length);
    let wrongGroups = 0;
    for (let group = 0; group < groups; group++) {
      for (let row = 0; row < this.m; row++) {
        if (firstWrong[group * this.m + row] === -1) continue;
        wrongGroups++;
        break;
      }
    }
    return { wrongGroups, firstWrong };
  }

  /** As locateGroups, for one group. offsets: n. */
  locate(memory: Uint8Array, offsets: Float64Array, length: number): number {
    return this.locateGroups(memory, offsets, 1, length)[0] as number;
  }

  /**
   * Which single shard of each group is corrupt: its number, LOCATED_NOTHING where data and parity agree, or LOCATED_SEVERAL where what is wrong in all
   * columns of bytes together is not explained by one shard. Right whenever no column of bytes has more than m - 1 wrong shards; m wrong ones in
   * one column can look like one (docs/erasure-code.md). Throws ERASURE_SHAPE when m is 1: one parity tells that a byte is wrong, not where.
   */
  locateGroups(memory: Uint8Array, offsets: Float64Array, groups: number, length: number): Int16Array {
    requireTwoParities(this.m);
    const { firstWrong } = this.verifyGroups(memory, offsets, groups, length);
    const located = new Int16Array(groups).fill(LOCATED_NOTHING);
    for (let group = 0; group < groups; group++) {
      const rows = firstWrong.subarray(group * this.m, (group + 1) * this.m);
      const column = rows.reduce((first, at) => (at >= 0 && at < first ? at : first), Number.POSITIVE_INFINITY);
      if (column === Number.POSITIVE_INFINITY) continue;
      const shards = offsets.slice(group * this.n, (group + 1) * this.n);
      const suspect = shardOfSyndrome(
        this.matrix,
        columnSyndrome(this.matrix, (shard) => memory[(shards[shard] as number) + column] as number),
      );
      // One column names the suspect; the others must have no other.
      const alone =
        suspect >= 0 &&
        this.#plans.calls.check(this.#plans.without(suspect), memory, shards, 1, length).every((firstOther) => firstOther === -1);
      located[group] = alone ? suspect : LOCATED_SEVERAL;
    }
    return located;
  }

  /**
   * Writes the wanted lost shards, data or parity, from k of those present. offsets: n shard offsets; those of shards neither used nor wanted
   * are not looked at. present: n bytes, not 0 = present. Throws ERASURE_TOO_FEW when fewer than k are.
   */
  reconstruct(
    memory: Uint8Array,
    offsets: Float64Array,
    length: number,
    present: Uint8Array,
    wanted: readonly number[],
    options?: WriteOptions,
  ): void {
    this.reconstructGroups(memory, offsets, 1, length, present, wanted, options);
  }

  /** The same for many groups with the same loss pattern. offsets: groups x n. */
  reconstructGroups(
    memory: Uint8Array,
    offsets: Float64Array,
    groups: number,
    length: number,
    present: Uint8Array,
    wanted: readonly number[],
    options?: WriteOptions,
  ): void {
    const nonTemporal = nonTemporalOf(options);
    this.#plans.calls.apply(this.#plans.decode(present, wanted), memory, offsets, groups, length, false, nonTemporal);
  }

  /** Shards that reconstruct() would read for this pattern, so that a caller reads no others. Throws ERASURE_TOO_FEW. */
  sourcesFor(present: Uint8Array, wanted: readonly number[]): readonly number[] {
    return this.#plans.decode(present, wanted).sources;
  }
}

function nonTemporalOf(options: WriteOptions | undefined): boolean | undefined {
  const value = options?.nonTemporal;
  return typeof value === 'boolean' ? value : undefined;
}

export function requireTwoParities(m: number): void {
  if (m >= 2) return;
  throw new KeelsonError('ERASURE_SHAPE', 'one parity cannot tell which shard is corrupt', {
    found: `m = ${m}`,
    expected: 'm >= 2',
    action: 'use checksums to find the shard, or a code with two parities',
  });
}
