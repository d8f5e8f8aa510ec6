import type { StripeIndex } from '../base/units.js';
import type { ArrayEngine } from './array-engine.js';

/** Reads one written stripe under its lock and writes again what is damaged of it. The caller leaves out stripes that a crash may have torn. */
export async function scrubStripe(engine: ArrayEngine, stripe: StripeIndex): Promise<void> {
  const { state, parts } = engine;
  const one = Float64Array.of(stripe);
  const hold = await engine.lock(one);
  try {
    const outcome = await parts.pool.scrub(state.memberView(), one, true);
    await engine.account(outcome);
    if (outcome.repaired > 0) state.markChanged(stripe);
  } finally {
    engine.locks.release(hold);
  }
}
