import { refuse, requireShards } from './checks.js';
import { type CodecOptions, KernelPlans } from './kernel-plans.js';

/** One changed data shard: its number, its old and its new bytes. */
export interface ShardChange {
  readonly shard: number;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
}

/**
 * The same code as ErasureCodec over separate Buffers, for use without a slab: an array of n equally long shards, data first.
 * Shards that belong together must not overlap.
 */
export class BufferCodec {
  readonly k: number;
  readonly m: number;
  readonly n: number;
  readonly isa: string;
  readonly #plans: KernelPlans;

  /** Throws ERASURE_SHAPE, or ERASURE_ISA. */
  constructor(options: CodecOptions) {
    this.#plans = new KernelPlans(options);
    this.k = this.#plans.k;
    this.m = this.#plans.m;
    this.n = this.#plans.n;
    this.isa = this.#plans.isa;
  }

  /** Writes the last m shards from the first k. */
  encode(shards: readonly Uint8Array[]): void {
    requireLengths(shards, this.n);
    this.#plans.addon.gfApplyViews(this.#plans.encode(), shards.slice(0, this.k), shards.slice(this.k), false);
  }

  /** Changes the m parity shards for changed data shards, without the others. */
  update(changes: readonly ShardChange[], parity: readonly Uint8Array[]): void {
    const changed = changes.map((change) => change.shard);
    requireShards(changed, this.k, 'changed');
    const inputs = [...changes.map((change) => change.before), ...changes.map((change) => change.after)];
    requireLengths([...parity, ...inputs], this.m + inputs.length);
    // before and after with the same coefficient add up to the coefficient times the delta; at most 127 shards, so 254 inputs, in one go.
    for (let first = 0; first < changed.length; first += CHANGES_MAX) {
      const some = changes.slice(first, first + CHANGES_MAX);
      const views = [...some.map((change) => change.before), ...some.map((change) => change.after)];
      this.#plans.addon.gfApplyViews(this.#plans.update(changed.slice(first, first + CHANGES_MAX), 2), views, parity, true);
    }
  }

  /** Whether the parity shards are those of the data shards. */
  verify(shards: readonly Uint8Array[]): boolean {
    const length = requireLengths(shards, this.n);
    for (let start = 0; start < length; start += VERIFY_BYTES) {
      const size = Math.min(VERIFY_BYTES, length - start);
      const scratch = new Uint8Array(this.m * size);
      const outputs = Array.from({ length: this.m }, (_, row) => scratch.subarray(row * size, (row + 1) * size));
      const inputs = shards.map((shard) => shard.subarray(start, start + size));
      this.#plans.addon.gfApplyViews(this.#plans.syndrome(), inputs, outputs, false);
      if (!this.#plans.addon.isZero(scratch, 0, scratch.length)) return false;
    }
    return true;
  }

  /** All n shards, the missing ones (null) reconstructed into new Buffers. Throws ERASURE_TOO_FEW when fewer than k are given. */
  reconstruct(shards: readonly (Uint8Array | null)[]): Uint8Array[] {
    if (shards.length !== this.n) refuse('wrong number of shards', String(shards.length), String(this.n));
    const given = shards.filter((shard) => shard !== null);
    const length = requireLengths(given, given.length);
    const result = shards.map((shard) => shard ?? Buffer.alloc(length));
    const wanted = shards.flatMap((shard, i) => (shard === null ? [i] : []));
    if (wanted.length === 0) return result;
    const { plan, sources } = this.#plans.decode(
      Uint8Array.from(shards, (shard) => (shard === null ? 0 : 1)),
      wanted,
    );
    const pick = (indices: readonly number[]): Uint8Array[] => indices.map((i) => result[i] as Uint8Array);
    this.#plans.addon.gfApplyViews(plan, pick(sources), pick(wanted), false);
    return result;
  }
}

/** Inputs of one kernel call are at most 255. */
const CHANGES_MAX = 127;
/** Verified in pieces, so that the scratch stays small and in the cache. */
const VERIFY_BYTES = 64 * 1024;

function requireLengths(shards: readonly Uint8Array[], count: number): number {
  if (shards.length !== count) refuse('wrong number of shards', String(shards.length), String(count));
  const length = shards[0]?.length ?? 0;
  for (const shard of shards)
    if (shard.length !== length) refuse('shards differ in length', `${length} and ${shard.length} bytes`, 'equal lengths');
  return length;
}
