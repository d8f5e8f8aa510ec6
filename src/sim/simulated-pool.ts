import { KeelsonError } from '../base/errors.js';
import { Slab } from '../memory/slab.js';
import { inlineStripePool } from '../stripe/inline-pool.js';
import type { StripePool, StripePoolOptions } from '../stripe/stripe-pool.js';
import { EVENT } from './scheduler.js';
import type { SimulatedProcess } from './simulated-process.js';

/** A task waits for a thread, and its result for the main thread, microseconds at most. */
const HANDOFF_US = 400;

/** Stripe threads without threads: a task runs some time after it was made, at one moment, and its result is known some time after that. */
export function simulatedPool(process: SimulatedProcess): (options: StripePoolOptions) => Promise<StripePool> {
  return async ({ context, scratch }) => {
    const io = process.blockingIo(Slab.attach(context.slab).view);
    const pool = inlineStripePool(context, io, scratch[0] as (typeof scratch)[number]);
    const { scheduler, random } = process;
    const later = <T>(run: () => Promise<T>): Promise<T> =>
      new Promise<T>((resolve, reject) => {
        scheduler.after(random.below(HANDOFF_US), process, EVENT.task, () => {
          run().then(
            (value) => {
              if (process.alive) scheduler.after(random.below(HANDOFF_US), process, EVENT.task, () => resolve(value));
            },
            (error: unknown) => reject(KeelsonError.from(error)),
          );
        });
      });
    return {
      stripesPerTask: pool.stripesPerTask,
      threads: 1,
      apply: (task) => later(() => pool.apply(task)),
      recover: (task) => later(() => pool.recover(task)),
      rebuild: (task) => later(() => pool.rebuild(task)),
      scrub: (members, stripes, repair) => later(() => pool.scrub(members, stripes, repair)),
      close: () => pool.close(),
    };
  };
}
