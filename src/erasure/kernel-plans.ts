import { known } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import type { Addon, GfPlan } from '../native/addon-api.js';
import { loadAddon } from '../native/load.js';
import { generatorRows, invert, type Matrix, multiplyMatrices, parityMatrix } from './matrix.js';

/** Loss patterns kept: more than an array meets in one rebuild (17+3 has 1,140 of three losses), at about 1 KiB each. */
const PLANS_MAX = 2048;

/** A kernel plan and the shards it reads, in its column order. */
export interface DecodePlan {
  readonly plan: GfPlan;
  readonly sources: readonly number[];
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
  readonly #plans = new Map<string, DecodePlan>();

  constructor({ k, m, isa = '' }: CodecOptions) {
    this.parity = parityMatrix(k, m);
    this.k = k;
    this.m = m;
    this.n = k + m;
    this.addon = loadAddon();
    const cpu = this.addon.cpu();
    if (isa !== '' && !cpu.available.includes(isa)) {
      throw new KeelsonError('ERASURE_ISA', 'this processor cannot run the kernel asked for', {
        found: isa,
        expected: `one of ${cpu.available.join(', ')}`,
        action: 'leave isa out to get the fastest',
      });
    }
    this.isa = isa === '' ? cpu.isa : isa;
  }

  /** Parities from data shards. */
  encode(): GfPlan {
    return this.#keep('e', () => ({ plan: this.#prepare(this.parity), sources: [] })).plan;
  }

  /** Parity changes from changes of the given data shards; `copies` sets of inputs with the same coefficients are summed. */
  update(changed: readonly number[], copies: number): GfPlan {
    return this.#keep(`u${copies}:${changed.join()}`, () => {
      const values = new Uint8Array(this.m * changed.length * copies);
      for (let row = 0; row < this.m; row++) {
        for (let c = 0; c < changed.length * copies; c++) {
          values[row * changed.length * copies + c] = this.parity.values[row * this.k + (changed[c % changed.length] as number)] as number;
        }
      }
      return { plan: this.#prepare({ rows: this.m, columns: changed.length * copies, values }), sources: [] };
    }).plan;
  }

  /** Parities recomputed plus parities stored, from all n shards: zero bytes when they agree. */
  syndrome(): GfPlan {
    return this.#keep('s', () => {
      const values = new Uint8Array(this.m * this.n);
      for (let row = 0; row < this.m; row++) {
        values.set(this.parity.values.subarray(row * this.k, (row + 1) * this.k), row * this.n);
        values[row * this.n + this.k + row] = 1;
      }
      return { plan: this.#prepare({ rows: this.m, columns: this.n, values }), sources: [] };
    }).plan;
  }

  /** a + b. */
  sum(): GfPlan {
    return this.#keep('x', () => ({ plan: this.#prepare({ rows: 1, columns: 2, values: new Uint8Array([1, 1]) }), sources: [] })).plan;
  }

  /**
   * The wanted shards from k of those present: data shards before parity, low parities before high ones, so that a single loss is decoded
   * by XOR whenever parity 0 is there. Throws ERASURE_TOO_FEW when fewer than k are present.
   */
  decode(present: Uint8Array, wanted: readonly number[]): DecodePlan {
    const sources: number[] = [];
    for (let shard = 0; shard < this.n && sources.length < this.k; shard++) if (present[shard] !== 0) sources.push(shard);
    if (sources.length < this.k) {
      throw new KeelsonError('ERASURE_TOO_FEW', 'too few shards are present to reconstruct the wanted ones', {
        found: `${sources.length} present`,
        expected: `at least k = ${this.k}`,
        action: 'recover shards from elsewhere first',
      });
    }
    return this.#keep(`d${sources.join()}>${wanted.join()}`, () => {
      const inverse = known(invert(generatorRows(this.parity, sources)), 'any k rows of the generator are independent');
      return { plan: this.#prepare(multiplyMatrices(generatorRows(this.parity, wanted), inverse)), sources };
    });
  }

  #prepare(matrix: Matrix): GfPlan {
    return this.addon.gfPrepare(matrix.values, matrix.rows, matrix.columns, this.isa);
  }

  /** Least recently used goes first: a Map keeps the order of insertion. */
  #keep(key: string, make: () => DecodePlan): DecodePlan {
    const found = this.#plans.get(key);
    if (found !== undefined) {
      if (this.#plans.size > PLANS_MAX / 2) {
        this.#plans.delete(key);
        this.#plans.set(key, found);
      }
      return found;
    }
    const made = make();
    if (this.#plans.size >= PLANS_MAX) this.#plans.delete(known(this.#plans.keys().next().value, 'a full cache has a first key'));
    this.#plans.set(key, made);
    return made;
  }
}
