import { KeelsonError } from '../base/errors.js';
import type { BlockingIo } from '../device/device.js';
import { Slab } from '../memory/slab.js';
import { loadAddon } from '../native/load.js';
import { StripeOperations } from './operations.js';
import { type ScratchRange, scratchPages, stripesThatFit } from './scratch.js';
import type { StripeContext, StripePool } from './stripe-pool.js';

/** A StripePool on the calling thread, for tests and the simulator: a task has run when its call returns. The caller closes `io`. */
export function inlineStripePool(context: StripeContext, io: BlockingIo, range: ScratchRange): StripePool {
  const operations = new StripeOperations(context, Slab.attach(context.slab).view, io, loadAddon());
  const scratch = scratchPages(context.geometry, range);
  return {
    stripesPerTask: stripesThatFit(context.geometry, range),
    threads: 1,
    apply: (task) => settle(() => operations.apply(task, scratch)),
    recover: (task) => settle(() => operations.recover(task, scratch)),
    rebuild: (task) => settle(() => operations.rebuild(task, scratch)),
    scrub: (members, stripes, repair) => settle(() => operations.scrub(members, stripes, repair, scratch)),
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
