import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import type { Settings } from '../config/settings.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import { assembleArray } from '../engine/assemble.js';
import { createArray, type CreatedArray } from '../engine/create.js';
import type { EngineLog } from '../engine/log.js';
import { restoreArray } from '../engine/restore-array.js';
import type { Slab } from '../memory/slab.js';
import { isTransient } from '../target/target.js';
import { simulatedRepository } from './backup-checks.js';
import { EVENT } from './scheduler.js';
import { STRIPE_THREADS } from './settings.js';
import { simulatedPool } from './simulated-pool.js';
import type { SimulatedHost } from './simulated-target.js';
import type { SimulatedProcess } from './simulated-process.js';

/** A restore that met a broken connection is begun anew after this. */
const AGAIN_US = 200_000;

/** What the engine of a simulated process gets from outside. */
function surroundings(settings: Settings, process: SimulatedProcess) {
  return {
    settings,
    clock: process.scheduler.clock(process),
    provider: (slab: Slab) => process.provider(slab),
    random: process.random,
    stripeThreads: STRIPE_THREADS,
  };
}

/** `keelson create` */
export function createOn(settings: Settings, process: SimulatedProcess): Promise<CreatedArray> {
  return createArray({ ...surroundings(settings, process), force: false });
}

/** `keelson serve`, up to where the movers start. */
export async function assembleOn(
  settings: Settings,
  process: SimulatedProcess,
  log: EngineLog,
): Promise<{ readonly engine: ArrayEngine; readonly slab: Slab }> {
  let slab: Slab | null = null;
  const around = surroundings(settings, process);
  const provider = (memory: Slab) => {
    slab = memory;
    return around.provider(memory);
  };
  const engine = await assembleArray({ ...around, provider, log, pool: simulatedPool(process) });
  assert(slab !== null, 'assembly has a slab');
  return { engine, slab };
}

/** `keelson restore --force` onto the members as they are, as often as it takes. */
export async function restoreOn(host: SimulatedHost, settings: Settings, process: SimulatedProcess, log: EngineLog): Promise<void> {
  const { scheduler } = process;
  for (;;) {
    try {
      await restoreArray({
        ...surroundings(settings, process),
        force: true,
        log,
        pool: simulatedPool(process),
        backup: (slab) => simulatedRepository(host, process, slab.view),
        onProgress: () => {},
      });
      return;
    } catch (error) {
      const known = KeelsonError.from(error);
      if (!isTransient(known)) throw known;
      await new Promise<void>((resolve) => void scheduler.after(AGAIN_US, process, EVENT.driver, resolve));
    }
  }
}

/** A log in which assertions that failed are looked for. */
export function watchedLog(process: SimulatedProcess, failed: (message: string) => void): EngineLog {
  const note = (fields: object, message: string): void => {
    const text = JSON.stringify(fields);
    if (process.alive && /\((ASSERTION|INTERNAL)\)/.test(text)) failed(`${message}: ${text}`);
  };
  return { debug() {}, info() {}, warn: note, error: note };
}
