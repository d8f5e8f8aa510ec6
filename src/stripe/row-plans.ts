import { assert } from '../base/assert.js';
import { BLOCK_BYTES } from '../base/units.js';
import { type Matrix, parityMatrix } from '../erasure/matrix.js';
import type { GfPlan } from '../native/addon-api.js';
import { ROLE_INPUT, ROLE_NEW, ROLE_OLD, ROLE_OLD_AND_NEW, ROLE_OUTPUT, ROLE_UPDATE, ROLE_ZERO } from './roles.js';
import { deltaCoefficients, deriveCoefficients } from './row-coefficients.js';
import type { StripeKernels } from './workspace.js';

/** Plans kept. Beyond, all are dropped: patterns of wide, half-written rows are nearly all different, and a plan is cheap to make. */
const PLANS_MAX = 2048;

/** One pattern of roles, its prepared coefficients, and the rows of that pattern queued for the next flush. */
export class RowPlan {
  readonly role: Uint8Array;
  readonly prepared: GfPlan;
  readonly accumulate: boolean;
  readonly next: RowPlan | undefined;
  groups = 0;
  offsets: Float64Array;
  /** Shards whose first / second page is an input, then those whose first page is an output. */
  readonly #firstInputs: Uint8Array;
  readonly #secondInputs: Uint8Array;
  readonly #outputs: Uint8Array;
  readonly #words: number;

  constructor(role: Uint8Array, parity: Matrix, kernels: StripeKernels, next: RowPlan | undefined) {
    this.role = role.slice();
    this.next = next;
    this.accumulate = role.includes(ROLE_UPDATE);
    const firstInputs: number[] = [];
    const secondInputs: number[] = [];
    const outputs: number[] = [];
    for (let shard = 0; shard < role.length; shard++) {
      const r = role[shard];
      if (r === ROLE_INPUT || r === ROLE_OLD || r === ROLE_OLD_AND_NEW) firstInputs.push(shard);
      if (r === ROLE_NEW || r === ROLE_OLD_AND_NEW) secondInputs.push(shard);
      if (r === ROLE_OUTPUT || r === ROLE_UPDATE) outputs.push(shard);
    }
    const inputs = firstInputs.concat(secondInputs);
    assert(inputs.length > 0 && outputs.length > 0, 'a row computation with inputs and outputs');
    const coefficients = this.accumulate
      ? deltaCoefficients(parity, inputs, outputs)
      : deriveCoefficients(parity, survivorsOf(role, parity.columns), inputs, outputs);
    this.prepared = kernels.gfPrepare(coefficients, outputs.length, inputs.length, '');
    this.#firstInputs = Uint8Array.from(firstInputs);
    this.#secondInputs = Uint8Array.from(secondInputs);
    this.#outputs = Uint8Array.from(outputs);
    this.#words = inputs.length + outputs.length;
    this.offsets = new Float64Array(this.#words * 4);
  }

  addGroup(first: Uint32Array, second: Uint32Array): void {
    let at = this.groups * this.#words;
    if (at + this.#words > this.offsets.length) {
      const grown = new Float64Array(this.offsets.length * 2);
      grown.set(this.offsets);
      this.offsets = grown;
    }
    for (let i = 0; i < this.#firstInputs.length; i++) this.offsets[at++] = (first[this.#firstInputs[i] as number] as number) * BLOCK_BYTES;
    for (let i = 0; i < this.#secondInputs.length; i++)
      this.offsets[at++] = (second[this.#secondInputs[i] as number] as number) * BLOCK_BYTES;
    for (let i = 0; i < this.#outputs.length; i++) this.offsets[at++] = (first[this.#outputs[i] as number] as number) * BLOCK_BYTES;
    this.groups += 1;
  }
}

/** Finds plans by pattern without making an object a row: hashed by FNV-1a over the roles, chained, the last one tried first. */
export class RowPlans {
  readonly #parity: Matrix;
  readonly #kernels: StripeKernels;
  #byHash = new Map<number, RowPlan>();
  #count = 0;
  #last: RowPlan | undefined;

  constructor(k: number, m: number, kernels: StripeKernels) {
    this.#parity = parityMatrix(k, m);
    this.#kernels = kernels;
  }

  find(role: Uint8Array): RowPlan {
    if (this.#last !== undefined && sameRoles(this.#last.role, role)) return this.#last;
    let hash = 0x811c9dc5 | 0;
    for (let i = 0; i < role.length; i++) hash = Math.imul(hash ^ (role[i] as number), 0x01000193);
    const chain = this.#byHash.get(hash);
    let plan = chain;
    while (plan !== undefined && !sameRoles(plan.role, role)) plan = plan.next;
    if (plan === undefined) {
      plan = new RowPlan(role, this.#parity, this.#kernels, chain);
      this.#byHash.set(hash, plan);
      this.#count += 1;
    }
    this.#last = plan;
    return plan;
  }

  /** Only when no plan has rows queued. */
  trim(): void {
    if (this.#count <= PLANS_MAX) return;
    this.#byHash = new Map();
    this.#count = 0;
    this.#last = undefined;
  }
}

function sameRoles(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function survivorsOf(role: Uint8Array, k: number): number[] {
  const survivors: number[] = [];
  for (let shard = 0; shard < role.length; shard++) if (role[shard] === ROLE_INPUT || role[shard] === ROLE_ZERO) survivors.push(shard);
  assert(survivors.length === k, 'exactly k shards to derive a row from');
  return survivors;
}
