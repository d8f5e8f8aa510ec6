import { known } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import type { Addon } from '../native/addon-api.js';
import { loadAddon } from '../native/load.js';
import { requirePattern, requireShards } from './checks.js';
import { type KernelCall, KernelCalls } from './kernel-calls.js';
import { generatorRows, invert, type Matrix, multiplyMatrices, parityMatrix } from './matrix.js';

/** Loss patterns kept: more than an array meets in one rebuild (17+3 has 1,140 of three losses), at 1 to 3 KiB each. */
export const PLANS_MAX = 2048;
/** Coefficients of all of them, for the largest shapes: 41 bytes each in the kernels' tables, so 16 MiB. */
export const COEFFICIENTS_MAX = 400_000;

/** A plan that computes lost shards: what it reads and writes, in the order of its columns and rows, and its matrix. */
export interface DecodeCall extends KernelCall {
  readonly sources: readonly number[];
  readonly wanted: readonly number[];
  readonly coefficients: Matrix;
}

export interface CodecOptions {
  /** Data shards. */
  readonly k: number;
  /** Parity shards. */
  readonly m: number;
  /** Forces a kernel: one of loadAddon().cpu().available. Default: the fastest, or KEELSON_ISA. */
  readonly isa?: string;
}

/**
 * The coefficient matrices of one code, expanded for the kernels and kept: inverting a matrix and building its tables costs more than
 * decoding a small stripe.
 */
export class KernelPlans {
  readonly k: number;
  readonly m: number;
  readonly n: number;
  readonly isa: string;
  readonly parity: Matrix;
  readonly addon: Addon;
  readonly calls: KernelCalls;
  readonly #kept = new Map<string, KernelCall>();
  #coefficients = 0;
  #lastDecode: { readonly present: Uint8Array; readonly call: DecodeCall } | null = null;
  #lastUpdate: { readonly changed: readonly number[]; readonly call: KernelCall } | null = null;

  constructor({ k, m, isa = '' }: CodecOptions) {
    this.parity = parityMatrix(k, m);
    this.k = k;
    this.m = m;
    this.n = k + m;
    this.addon = loadAddon();
    this.calls = new KernelCalls(this.addon);
    const cpu = this.addon.cpu();
    if (isa !== '' && !cpu.available.includes(isa)) {
      throw new KeelsonError('ERASURE_ISA', 'this processor cannot run the kernel asked for', {
        found: isa,
        expected: `one of ${cpu.available.join(', ')}`,
        action: 'leave isa out to get the fastest',
      });
    }
    this.isa = isa === '' ? cpu.isa : isa;
    this.encode = this.#call(this.parity);
    this.syndrome = this.#call(this.#checkMatrix(), this.n);
    this.sum = this.#call({ rows: 1, columns: 2, values: new Uint8Array([1, 1]) });
  }

  /** Parities from data shards. */
  readonly encode: KernelCall;
  /** Parities recomputed plus parities stored, from all n shards: zero bytes when they agree. */
  readonly syndrome: KernelCall;
  /** a + b. */
  readonly sum: KernelCall;

  /** How many plans of updates and loss patterns are kept. */
  get kept(): number {
    return this.#kept.size;
  }

  /** Parity changes from changes of the given data shards. */
  update(changed: readonly number[]): KernelCall {
    if (this.#lastUpdate !== null && same(this.#lastUpdate.changed, changed)) return this.#lastUpdate.call;
    const list = [...changed];
    requireShards(list, this.k, 'changed');
    const call = this.#keep(`u${list.join()}`, () => this.#call(pickColumns(this.parity, list)));
    this.#lastUpdate = { changed: list, call };
    return call;
  }

  /** The same from the old and the new bytes of each: twice the columns, with the same coefficients, add up to that of the delta. Not for more than 127 shards. */
  replace(changed: readonly number[]): KernelCall {
    return this.#keep(`r${changed.join()}`, () => this.#call(pickColumns(this.parity, [...changed, ...changed])));
  }

  /**
   * Sums over all n shards that are zero when at most `shard` is wrong, whatever its bytes are: m - 1 independent combinations of the rows of the
   * syndrome in which that shard has coefficient zero.
   */
  without(shard: number): KernelCall {
    return this.#keep(`w${shard}`, () => {
      const rows = this.#checkMatrix();
      const row = (r: number): Uint8Array => rows.values.subarray(r * this.n, (r + 1) * this.n);
      // A data shard has coefficient one in row 0, so row r less M[r][shard] times row 0 is without it; a parity is in its own row only.
      const pivot = shard < this.k ? 0 : shard - this.k;
      const combined = Array.from({ length: this.m }, (_, r) => r).flatMap((r) => {
        if (r === pivot) return [];
        const factor = row(r)[shard] as number;
        return [...multiplyMatrices({ rows: 1, columns: 2, values: new Uint8Array([1, factor]) }, stack(row(r), row(pivot))).values];
      });
      return this.#call({ rows: this.m - 1, columns: this.n, values: new Uint8Array(combined) }, this.n);
    });
  }

  /**
   * The wanted shards from k of those present: data shards before parity, low parities before high ones, so that a single loss is decoded
   * by XOR whenever parity 0 is there. Throws ERASURE_TOO_FEW when fewer than k are present.
   */
  decode(present: Uint8Array, wanted: readonly number[]): DecodeCall {
    const last = this.#lastDecode;
    if (last !== null && same(last.call.wanted, wanted) && same(last.present, present)) return last.call;
    const [pattern, list] = [new Uint8Array(present), [...wanted]];
    requirePattern(pattern, this.n, list);
    const sources: number[] = [];
    for (let shard = 0; shard < this.n && sources.length < this.k; shard++) if (pattern[shard] !== 0) sources.push(shard);
    if (sources.length < this.k) {
      throw new KeelsonError('ERASURE_TOO_FEW', 'too few shards are present to reconstruct the wanted ones', {
        found: `${sources.length} present`,
        expected: `at least k = ${this.k}`,
        action: 'recover shards from elsewhere first',
      });
    }
    const call = this.#keep(`d${sources.join()}>${list.join()}`, () => {
      const inverse = known(invert(generatorRows(this.parity, sources)), 'any k rows of the generator are independent');
      const coefficients = multiplyMatrices(generatorRows(this.parity, list), inverse);
      return { ...this.#call(coefficients, this.n, [...sources, ...list]), sources, wanted: list, coefficients };
    });
    this.#lastDecode = { present: pattern, call };
    return call;
  }

  /** [M, I], m x n. */
  #checkMatrix(): Matrix {
    const values = new Uint8Array(this.m * this.n);
    for (let row = 0; row < this.m; row++) {
      values.set(this.parity.values.subarray(row * this.k, (row + 1) * this.k), row * this.n);
      values[row * this.n + this.k + row] = 1;
    }
    return { rows: this.m, columns: this.n, values };
  }

  /** By default a group holds the inputs and then the outputs. */
  #call(matrix: Matrix, stride = matrix.columns + matrix.rows, gather: readonly number[] | null = null): KernelCall {
    const plan = this.addon.gfPrepare(matrix.values, matrix.rows, matrix.columns, this.isa);
    const [inputs, outputs] = [matrix.columns, matrix.rows];
    return { plan, stride, gather, inputs, outputs, shards: inputs + outputs, bound: null };
  }

  /** Least recently used goes first: a Map keeps the order of insertion. A key's first letter says the kind of call. */
  #keep<T extends KernelCall>(key: string, make: () => T): T {
    const found = this.#kept.get(key);
    if (found !== undefined) {
      if (this.#kept.size > PLANS_MAX / 2) {
        this.#kept.delete(key);
        this.#kept.set(key, found);
      }
      return found as T;
    }
    const made = make();
    this.#coefficients += made.inputs * made.outputs;
    while (this.#kept.size > 0 && (this.#kept.size >= PLANS_MAX || this.#coefficients > COEFFICIENTS_MAX)) this.#dropOldest();
    this.#kept.set(key, made);
    return made;
  }

  #dropOldest(): void {
    const [oldest, call] = known(this.#kept.entries().next().value, 'a full cache has a first entry');
    this.#kept.delete(oldest);
    this.#coefficients -= call.inputs * call.outputs;
    this.calls.forget(call);
    if (this.#lastDecode?.call === call) this.#lastDecode = null;
    if (this.#lastUpdate?.call === call) this.#lastUpdate = null;
  }
}

function same(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function pickColumns(matrix: Matrix, columns: readonly number[]): Matrix {
  const values = new Uint8Array(matrix.rows * columns.length);
  for (let row = 0; row < matrix.rows; row++) {
    columns.forEach((column, i) => {
      values[row * columns.length + i] = matrix.values[row * matrix.columns + column] as number;
    });
  }
  return { rows: matrix.rows, columns: columns.length, values };
}

function stack(first: Uint8Array, second: Uint8Array): Matrix {
  const values = new Uint8Array(2 * first.length);
  values.set(first);
  values.set(second, first.length);
  return { rows: 2, columns: first.length, values };
}
