import type { BlockingIo } from '../device/device.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES } from '../base/units.js';
import { Slab } from '../memory/slab.js';
import { loadAddon } from '../native/load.js';
import { assert } from '../base/assert.js';
import { StripeOperations } from './operations.js';
import type { ApplyTask, MemberView, RebuildTask, RecoverOutcome, RecoverTask, ScrubOutcome, StripeContext, StripeOutcome, StripePool } from './stripe-pool.js';
import type { Scratch } from './workspace.js';

/** Slab bytes that belong to a pool or to one of its threads. */
export interface ScratchRange {
  readonly offset: number;
  readonly bytes: number;
}

export function scratchPages(range: ScratchRange): Scratch {
  assert(range.offset % BLOCK_BYTES === 0, 'scratch starts on a page of the slab');
  return { firstPage: range.offset / BLOCK_BYTES, pages: Math.floor(range.bytes / BLOCK_BYTES) };
}

/** Stripes whose worst case fits the scratch. */
export function stripesThatFit(context: StripeContext, range: ScratchRange): number {
  const stripeBytes = context.geometry.n * context.geometry.chunkBytes;
  assert(range.bytes >= stripeBytes, 'scratch of at least one stripe');
  return Math.floor(range.bytes / stripeBytes);
}

/** A StripePool on the calling thread, for tests, the simulator and machines with one core: each task has run when its call returns. */
export function inlineStripePool(context: StripeContext, io: BlockingIo, range: ScratchRange): StripePool {
  const operations = new StripeOperations(context, Slab.attach(context.slab).view, io, loadAddon());
  const scratch = scratchPages(range);
  return {
    stripesPerTask: stripesThatFit(context, range),
    threads: 1,
    apply: (task: ApplyTask): Promise<StripeOutcome> => settle(() => operations.apply(task, scratch)),
    recover: (task: RecoverTask): Promise<RecoverOutcome> => settle(() => operations.recover(task, scratch)),
    rebuild: (task: RebuildTask): Promise<StripeOutcome> => settle(() => operations.rebuild(task, scratch)),
    scrub: (members: MemberView, stripes: Float64Array, repair: boolean): Promise<ScrubOutcome> =>
      settle(() => operations.scrub(members, stripes, repair, scratch)),
    close: () => Promise.resolve(),
  };
}

function settle<T>(run: () => T): Promise<T> {
  try {
    return Promise.resolve(run());
  } catch (error) {
    return Promise.reject(KeelsonError.from(error, 'STRIPE_TASK'));
  }
}
