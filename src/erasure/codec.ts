import type { Matrix } from './matrix.js';
import { requireCount, refuse, requireGroups, requirePattern, requireShards } from './checks.js';
import { type CodecOptions, KernelPlans } from './kernel-plans.js';

export interface WriteOptions {
  /** Outputs bypass the cache: faster when the working set is larger than the cache, slower when it is not. Default false. */
  readonly nonTemporal?: boolean;
}

/**
 * Systematic Reed-Solomon over GF(2^8): k data shards (0 .. k - 1), m parity shards (k .. k + m - 1), any k of which give all the others.
 *
 * Works in one memory, usually the slab: shards are byte offsets into it, and many groups (rows, stripes) of equal shape go in one call, which
 * runs to its end on the calling thread. Any length and alignment. Wrong arguments throw KeelsonError ERASURE_ARGUMENT, and nothing is touched.
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
  #packed = new Float64Array(256);

  /** Throws ERASURE_SHAPE, or ERASURE_ISA. */
  constructor(options: CodecOptions) {
    this.#plans = new KernelPlans(options);
    this.k = this.#plans.k;
    this.m = this.#plans.m;
    this.n = this.#plans.n;
    this.isa = this.#plans.isa;
    this.matrix = this.#plans.parity;
  }

  /** Writes the parities of each group. offsets: groups x n shard offsets (k data, then m parity). */
  encodeGroups(memory: Uint8Array, offsets: Float64Array, groups: number, length: number, options: WriteOptions = {}): void {
    requireGroups(memory, offsets, groups, this.k, this.m, length);
    this.#plans.addon.gfApply(this.#plans.encode(), memory, offsets, groups, length, false, options.nonTemporal === true);
  }

  /**
   * Changes the parities of each group for changed data shards. offsets: groups x (changed.length + m): the delta (old XOR new) of each changed
   * shard in the order of `changed`, then all m parities.
   */
  updateGroups(memory: Uint8Array, changed: readonly number[], offsets: Float64Array, groups: number, length: number): void {
    requireShards(changed, this.k, 'changed');
    requireGroups(memory, offsets, groups, changed.length, this.m, length);
    this.#plans.addon.gfApply(this.#plans.update(changed, 1), memory, offsets, groups, length, true, false);
  }

  /** offsets: groups x 3: target = a XOR b, in the order a, b, target. Makes the deltas for updateGroups. */
  deltaGroups(memory: Uint8Array, offsets: Float64Array, groups: number, length: number): void {
    requireGroups(memory, offsets, groups, 2, 1, length);
    this.#plans.addon.gfApply(this.#plans.sum(), memory, offsets, groups, length, false, false);
  }

  /**
   * Whether data and parity of each group agree: agrees[group] becomes 1 or 0, and the number that do not is returned.
   * offsets: groups x n. scratch: offset of m x length bytes that are overwritten; they must lie apart from the shards.
   */
  verifyGroups(memory: Uint8Array, offsets: Float64Array, groups: number, length: number, scratch: number, agrees: Uint8Array): number {
    requireCount(groups, 'groups');
    requireCount(length, 'length');
    if (agrees.length < groups) refuse('agrees is too short', String(agrees.length), String(groups));
    if (offsets.length < groups * this.n) refuse('too few offsets', String(offsets.length), `groups x n = ${groups} x ${this.n}`);
    const packed = this.#pack(this.n + this.m);
    for (let row = 0; row < this.m; row++) packed[this.n + row] = scratch + row * length;
    let wrong = 0;
    for (let group = 0; group < groups; group++) {
      for (let shard = 0; shard < this.n; shard++) packed[shard] = offsets[group * this.n + shard] as number;
      requireGroups(memory, packed, 1, this.n, this.m, length);
      this.#plans.addon.gfApply(this.#plans.syndrome(), memory, packed, 1, length, false, false);
      const agree = this.#plans.addon.isZero(memory, scratch, this.m * length);
      agrees[group] = agree ? 1 : 0;
      if (!agree) wrong++;
    }
    return wrong;
  }

  /**
   * Writes the wanted lost shards, data or parity, from k of those present. offsets: n shard offsets; those of shards neither used nor wanted
   * are not looked at. present: n bytes, not 0 = present. Throws ERASURE_TOO_FEW when fewer than k are.
   */
  reconstruct(memory: Uint8Array, offsets: Float64Array, length: number, present: Uint8Array, wanted: readonly number[]): void {
    this.reconstructGroups(memory, offsets, 1, length, present, wanted);
  }

  /** The same for many groups with the same loss pattern. offsets: groups x n. */
  reconstructGroups(
    memory: Uint8Array,
    offsets: Float64Array,
    groups: number,
    length: number,
    present: Uint8Array,
    wanted: readonly number[],
    options: WriteOptions = {},
  ): void {
    requireCount(groups, 'groups');
    requirePattern(present, this.n, wanted);
    if (offsets.length < groups * this.n) refuse('too few offsets', String(offsets.length), `groups x n = ${groups} x ${this.n}`);
    const { plan, sources } = this.#plans.decode(present, wanted);
    const packed = this.#pack(groups * (this.k + wanted.length));
    let at = 0;
    for (let group = 0; group < groups; group++) {
      const start = group * this.n;
      for (let i = 0; i < sources.length; i++) packed[at++] = offsets[start + (sources[i] as number)] as number;
      for (let i = 0; i < wanted.length; i++) packed[at++] = offsets[start + (wanted[i] as number)] as number;
    }
    requireGroups(memory, packed, groups, this.k, wanted.length, length);
    this.#plans.addon.gfApply(plan, memory, packed, groups, length, false, options.nonTemporal === true);
  }

  /** Shards that reconstruct() would read for this pattern, so that a caller reads no others. Throws ERASURE_TOO_FEW. */
  sourcesFor(present: Uint8Array, wanted: readonly number[]): readonly number[] {
    requirePattern(present, this.n, wanted);
    return this.#plans.decode(present, wanted).sources;
  }

  /** A descriptor array that is used again by every call. */
  #pack(length: number): Float64Array {
    if (this.#packed.length < length) this.#packed = new Float64Array(2 * length);
    return this.#packed;
  }
}
