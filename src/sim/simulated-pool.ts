import { KeelsonError } from '../base/errors.js';
import { Slab } from '../memory/slab.js';
import { inlineStripePool } from '../stripe/inline-pool.js';
import type { StripePool, StripePoolOptions } from '../stripe/stripe-pool.js';
import { EVENT } from './scheduler.js';
import type { SimulatedProcess } from './simulated-process.js';
import { SteppedIo } from './stepped-io.js';

/** A task waits for a thread, and its result for the main thread, microseconds at most. */
const HANDOFF_US = 400;
/** Many tasks stop on the way, before one of their first operations: for the time that I/O takes, and now and then for the time that slow I/O takes. */
const PAUSE_AT_MOST = 24;
const PAUSE_US = 400;
const LONG_PAUSE_ONE_IN = 8;
const LONG_PAUSE_US = 8000;

/**
 * Stripe threads without threads: a task begins some time after it was made, may stop once on the way, and its result is known some time after its end. From the first to the
 * last its stripes are its own: two tasks of one stripe at a time mean that somebody did not ask for the lock.
 */
export function simulatedPool(process: SimulatedProcess): (options: StripePoolOptions) => Promise<StripePool> {
  return async ({ context, scratch }) => {
    const view = Slab.attach(context.slab).view;
    const io = new SteppedIo(process.blockingIo(view), view, context);
    const pool = inlineStripePool(context, io, scratch[0] as (typeof scratch)[number]);
    const { scheduler, random } = process;
    const wait = (us: number): Promise<void> =>
      new Promise((resolve) => void scheduler.after(random.below(us), process, EVENT.task, resolve));
    const pause = async (stripes: readonly number[]): Promise<void> => {
      for (const stripe of stripes) process.stripesInTask.add(stripe);
      await wait(random.below(LONG_PAUSE_ONE_IN) === 0 ? LONG_PAUSE_US : PAUSE_US);
      for (const stripe of stripes) process.stripesInTask.delete(stripe);
    };
    const underWay = new Set<number>();
    const later = async <T>(stripes: Iterable<number>, run: () => Promise<T>): Promise<T> => {
      const own = [...new Set(stripes)];
      const taken = own.filter((stripe) => underWay.has(stripe));
      if (taken.length > 0) process.onWrong(`a second task was given stripe ${taken.join(', ')} while another one had it`);
      for (const stripe of own) underWay.add(stripe);
      await wait(HANDOFF_US);
      const pauseAt = 1 + random.below(PAUSE_AT_MOST);
      try {
        return await io.task(own, pauseAt, () => pause(own), run);
      } catch (error) {
        throw KeelsonError.from(error);
      } finally {
        await wait(HANDOFF_US);
        for (const stripe of own) underWay.delete(stripe);
      }
    };
    const { geometry } = context;
    return {
      stripesPerTask: pool.stripesPerTask,
      threads: 1,
      apply: (task) => later(task.stripes, () => pool.apply(task)),
      recover: (task) =>
        later(
          Array.from(task.blocks, (block) => geometry.stripeOf(block)),
          () => pool.recover(task),
        ),
      rebuild: (task) => later(task.stripes, () => pool.rebuild(task)),
      scrub: (members, stripes, repair) => later(stripes, () => pool.scrub(members, stripes, repair)),
      close: () => pool.close(),
    };
  };
}
