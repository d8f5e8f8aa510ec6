import {
  type Addon,
  GF_ACCUMULATE,
  GF_CACHED,
  GF_CONTROL_FLAGS,
  GF_CONTROL_GROUPS,
  GF_CONTROL_LENGTH,
  GF_CONTROL_OFFSETS,
  GF_NON_TEMPORAL,
  type GfPlan,
} from '../native/addon-api.js';
import { type GroupShape, packGroups, requireBytes, requireCount, requireOffsets } from './checks.js';

/** Offsets of larger calls are handed over as they are: the cost of the call no longer shows. */
const BOUND_OFFSETS_MAX = 1024;

/** A plan with the shape of its offsets, and its function bound to the memory of KernelCalls, if it has one. */
export interface KernelCall extends GroupShape {
  readonly plan: GfPlan;
  /** inputs + outputs */
  readonly shards: number;
  bound: (() => void) | null;
}

/**
 * The way to native code for work on one memory: checks the arguments, then applies a plan. A memory that comes twice in a row is bound, which makes
 * a call five times cheaper; the last such memory is kept alive. What is bound cannot go stale: a memory that was detached since has no bytes, so
 * that the checks refuse every offset, and those that can be resized are not bound.
 */
export class KernelCalls {
  readonly #addon: Addon;
  readonly #control = new Float64Array(GF_CONTROL_OFFSETS + BOUND_OFFSETS_MAX);
  readonly #bound = new Set<KernelCall>();
  #packed = new Float64Array(0);
  #memory: Uint8Array | null = null;
  #last: Uint8Array | null = null;

  constructor(addon: Addon) {
    this.#addon = addon;
  }

  apply(
    call: KernelCall,
    memory: Uint8Array,
    offsets: Float64Array,
    groups: number,
    length: number,
    accumulate: boolean,
    nonTemporal: boolean | undefined,
  ): void {
    const flags = (accumulate ? GF_ACCUMULATE : 0) + (nonTemporal === undefined ? 0 : nonTemporal ? GF_NON_TEMPORAL : GF_CACHED);
    if (groups * call.shards <= BOUND_OFFSETS_MAX && this.#applyBound(call, memory, offsets, groups, length, flags)) return;
    requireBytes(memory, 'memory');
    requireCount(groups, 'groups');
    requireCount(length, 'length');
    requireOffsets(offsets, groups, call.stride);
    const words = groups * call.shards;
    if (this.#packed.length < words) this.#packed = new Float64Array(2 * words);
    packGroups(memory, offsets, groups, length, call, this.#packed, 0);
    this.#addon.gfApply(call.plan, memory, this.#packed, groups, length, accumulate, nonTemporal);
  }

  /**
   * The short way of small calls. False: nothing was done, because the memory is not bound or an argument is wrong; which one, the long way says. Every
   * number is looked at in native code, where it cannot change any more.
   */
  #applyBound(call: KernelCall, memory: Uint8Array, offsets: Float64Array, groups: number, length: number, flags: number): boolean {
    if (!this.#isBound(memory) || memory.length === 0) return false;
    const { stride, gather, shards } = call;
    if (!(offsets instanceof Float64Array) || !(offsets.length >= groups * stride)) return false;
    const control = this.#control;
    if (gather === null) {
      const words = groups * shards;
      for (let i = 0; i < words; i++) control[GF_CONTROL_OFFSETS + i] = offsets[i] as number;
    } else {
      let to = GF_CONTROL_OFFSETS;
      for (let group = 0; group < groups; group++) {
        for (let i = 0; i < shards; i++) control[to++] = offsets[group * stride + (gather[i] as number)] as number;
      }
    }
    control[GF_CONTROL_GROUPS] = groups;
    control[GF_CONTROL_LENGTH] = length;
    control[GF_CONTROL_FLAGS] = flags;
    try {
      (call.bound ?? this.#bind(call, memory))();
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Where in each group the plan's sums, which ought to be zero, are not: per group and row the first such byte, or -1. Reads only; `call` writes nothing,
   * so its shards may overlap.
   */
  check(call: KernelCall, memory: Uint8Array, offsets: Float64Array, groups: number, length: number): Float64Array {
    requireBytes(memory, 'memory');
    requireCount(groups, 'groups');
    requireCount(length, 'length');
    requireOffsets(offsets, groups, call.stride);
    const words = groups * call.inputs;
    if (this.#packed.length < words) this.#packed = new Float64Array(2 * words);
    packGroups(memory, offsets, groups, length, { ...call, outputs: 0 }, this.#packed, 0);
    const firstWrong = new Float64Array(groups * call.outputs);
    this.#addon.gfCheck(call.plan, memory, this.#packed, groups, length, firstWrong);
    return firstWrong;
  }

  #isBound(memory: Uint8Array): boolean {
    const again = memory === this.#last;
    if (!again) this.#last = memory;
    if (memory === this.#memory) return true;
    if (!again || !(memory instanceof Uint8Array) || !isFixed(memory.buffer)) return false;
    for (const call of this.#bound) call.bound = null;
    this.#bound.clear();
    this.#memory = memory;
    return true;
  }

  #bind(call: KernelCall, memory: Uint8Array): () => void {
    call.bound = this.#addon.gfBind(call.plan, memory, this.#control);
    this.#bound.add(call);
    return call.bound;
  }

  /** A plan that is no longer kept keeps no memory alive. */
  forget(call: KernelCall): void {
    call.bound = null;
    this.#bound.delete(call);
  }
}

function isFixed(buffer: ArrayBufferLike): boolean {
  const { resizable, growable } = buffer as { readonly resizable?: boolean; readonly growable?: boolean };
  return resizable !== true && growable !== true;
}
