import type { ArrayEngine } from '../engine/array-engine.js';
import { heldByEngine, heldByProcess } from './leftovers.js';
import type { MemberWatch } from './member-watch.js';
import { EVENT } from './scheduler.js';
import type { SimulatedProcess } from './simulated-process.js';
import type { Finding } from './volume-history.js';

const LOOK_US = 1000;

/** `keelson stop`, once nobody replaces or scrubs any more; what is open afterwards is a leak. */
export async function stopOrderly(engine: ArrayEngine, process: SimulatedProcess, watch: MemberWatch): Promise<Finding | null> {
  const { scheduler } = process;
  while (!watch.goHome()) await new Promise<void>((resolve) => void scheduler.after(LOOK_US, process, EVENT.driver, resolve));
  await engine.stop();
  const held = [heldByEngine(engine), heldByProcess(process, scheduler)].filter((what) => what !== '').join(', ');
  return held === '' ? null : { promise: 'leak', message: `after the stop there are ${held}` };
}
