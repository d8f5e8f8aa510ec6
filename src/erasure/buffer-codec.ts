import { requireTwoParities } from './codec.js';
import { refuse, requireSet, requireShards } from './checks.js';
import { type CodecOptions, KernelPlans } from './kernel-plans.js';
import { columnSyndrome, LOCATED_NOTHING, LOCATED_SEVERAL, shardOfSyndrome } from './locate.js';
import type { GfPlan } from '../native/addon-api.js';

/** One changed data shard: its number, its old and its new bytes. */
export interface ShardChange {
  readonly shard: number;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
}

/**
 * The same code as ErasureCodec over separate Buffers, for use without a slab: an array of n equally long shards, data first. Errors as there; shards that
 * belong together must not overlap.
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
    const set = requireSet(shards, this.n, this.k);
    this.#plans.addon.gfApplyViews(this.#plans.encode.plan, set.slice(0, this.k), set.slice(this.k), false);
  }

  /** Changes the m parity shards for changed data shards, without the others. */
  update(changes: readonly ShardChange[], parity: readonly Uint8Array[]): void {
    const list = changes.map(({ shard, before, after }) => ({ shard, before, after }));
    requireShards(
      list.map(({ shard }) => shard),
      this.k,
      'changed',
    );
    const [before, after] = [list.map((change) => change.before), list.map((change) => change.after)];
    if (!Array.isArray(parity) || parity.length !== this.m) refuse('wrong number of parities', String(parity?.length), String(this.m));
    const outputs = requireSet([...before, ...after, ...parity], 2 * list.length + this.m, 2 * list.length).slice(2 * list.length);
    for (let first = 0; first < list.length; first += CHANGES_MAX) {
      const end = first + CHANGES_MAX;
      const changed = list.slice(first, end).map(({ shard }) => shard);
      const inputs = [...before.slice(first, end), ...after.slice(first, end)];
      this.#plans.addon.gfApplyViews(this.#plans.replace(changed).plan, inputs, outputs, true);
    }
  }

  /** Whether the parity shards are those of the data shards. */
  verify(shards: readonly Uint8Array[]): boolean {
    return this.disagreeing(shards).length === 0;
  }

  /** Numbers of the parities (0 .. m - 1) that are not those of the data. */
  disagreeing(shards: readonly Uint8Array[]): number[] {
    const set = requireSet(shards, this.n, this.n);
    return this.#firstWrong(this.#plans.syndrome.plan, set, this.m).flatMap((at, row) => (at === -1 ? [] : [row]));
  }

  /** The one corrupt shard, LOCATED_NOTHING or LOCATED_SEVERAL, as ErasureCodec.locateGroups. */
  locate(shards: readonly Uint8Array[]): number {
    requireTwoParities(this.m);
    const set = requireSet(shards, this.n, this.n);
    const wrong = this.#firstWrong(this.#plans.syndrome.plan, set, this.m).filter((at) => at >= 0);
    if (wrong.length === 0) return LOCATED_NOTHING;
    const column = Math.min(...wrong);
    const suspect = shardOfSyndrome(
      this.#plans.parity,
      columnSyndrome(this.#plans.parity, (shard) => set[shard]?.[column] as number),
    );
    if (suspect < 0) return LOCATED_SEVERAL;
    const others = this.#firstWrong(this.#plans.without(suspect).plan, set, this.m - 1);
    return others.every((at) => at === -1) ? suspect : LOCATED_SEVERAL;
  }

  /** All n shards, the missing ones (null) reconstructed into new Buffers. Throws ERASURE_TOO_FEW when fewer than k are given. */
  reconstruct(shards: readonly (Uint8Array | null)[]): Uint8Array[] {
    const set = this.#given(shards);
    const lost = set.flatMap((shard, i) => (shard === null ? [i] : []));
    const made = this.#decode(set, lost);
    return set.map((shard, i) => shard ?? (made[lost.indexOf(i)] as Uint8Array));
  }

  /** Only the wanted ones of the missing shards (null), in the order of `wanted`. */
  reconstructOnly(shards: readonly (Uint8Array | null)[], wanted: readonly number[]): Uint8Array[] {
    return this.#decode(this.#given(shards), [...wanted]);
  }

  #given(shards: readonly (Uint8Array | null)[]): (Uint8Array | null)[] {
    if (!Array.isArray(shards) || shards.length !== this.n) refuse('wrong number of shards', String(shards?.length), String(this.n));
    return [...shards];
  }

  #decode(set: readonly (Uint8Array | null)[], wanted: readonly number[]): Uint8Array[] {
    const given = set.filter((shard) => shard !== null);
    const length = requireSet(given, given.length, given.length)[0]?.length ?? 0;
    if (wanted.length === 0) return [];
    const present = Uint8Array.from(set, (shard) => (shard === null ? 0 : 1));
    const { plan, sources } = this.#plans.decode(present, wanted);
    const outputs = wanted.map(() => Buffer.allocUnsafeSlow(length));
    const inputs = sources.map((i) => set[i] as Uint8Array);
    this.#plans.addon.gfApplyViews(plan, inputs, outputs, false);
    return outputs;
  }

  /** Per row of the plan the first byte that is not zero, or -1, in pieces whose scratch stays small and in the cache. */
  #firstWrong(plan: GfPlan, shards: readonly Uint8Array[], rows: number): number[] {
    const length = shards[0]?.length ?? 0;
    const firstWrong = new Array<number>(rows).fill(-1);
    const scratch = new Uint8Array(rows * Math.min(CHECK_BYTES, length));
    for (let start = 0; start < length && firstWrong.includes(-1); start += CHECK_BYTES) {
      const size = Math.min(CHECK_BYTES, length - start);
      const outputs = firstWrong.map((_, row) => scratch.subarray(row * size, (row + 1) * size));
      const inputs = shards.map((shard) => shard.subarray(start, start + size));
      this.#plans.addon.gfApplyViews(plan, inputs, outputs, false);
      outputs.forEach((output, row) => {
        if (firstWrong[row] !== -1 || this.#plans.addon.isZero(output, 0, size)) return;
        firstWrong[row] = start + output.findIndex((byte) => byte !== 0);
      });
    }
    return firstWrong;
  }
}

/** Inputs of one kernel call are at most 255, two for each change. */
const CHANGES_MAX = 127;
const CHECK_BYTES = 64 * 1024;
