import { BLOCK_BYTES } from '../base/units.js';
import { type RowPlan, RowPlans } from './row-plans.js';
import type { StripeKernels } from './workspace.js';

/**
 * Row computations, gathered by pattern: the caller fills role, first and second (pages) for one row and queues it; flush runs all rows of equal pattern in
 * one native call. Computations queued together must not depend on each other.
 */
export class RowMath {
  /** Per shard of the row being queued. The caller sets all n roles, and the pages that they need. */
  readonly role: Uint8Array;
  readonly first: Uint32Array;
  readonly second: Uint32Array;
  /** Rows queued since the last flush. */
  queued = 0;

  readonly #memory: Uint8Array;
  readonly #kernels: StripeKernels;
  readonly #plans: RowPlans;
  #pending: RowPlan[] = [];

  constructor(k: number, m: number, memory: Uint8Array, kernels: StripeKernels) {
    this.role = new Uint8Array(k + m);
    this.first = new Uint32Array(k + m);
    this.second = new Uint32Array(k + m);
    this.#memory = memory;
    this.#kernels = kernels;
    this.#plans = new RowPlans(k, m, kernels);
  }

  queue(): void {
    const plan = this.#plans.find(this.role);
    if (plan.groups === 0) this.#pending.push(plan);
    plan.addGroup(this.first, this.second);
    this.queued += 1;
  }

  flush(): void {
    for (const plan of this.#pending) {
      this.#kernels.gfApply(plan.prepared, this.#memory, plan.offsets, plan.groups, BLOCK_BYTES, plan.accumulate, false);
      plan.groups = 0;
    }
    this.#pending.length = 0;
    this.queued = 0;
    this.#plans.trim();
  }

  /** Drops what was queued, after an error. */
  discard(): void {
    for (const plan of this.#pending) plan.groups = 0;
    this.#pending.length = 0;
    this.queued = 0;
  }
}
