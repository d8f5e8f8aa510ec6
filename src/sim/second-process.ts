import { KeelsonError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import type { Settings } from '../config/settings.js';
import type { EngineLog } from '../engine/log.js';
import { assembleOn, createOn } from './array-life.js';
import type { SimulatedProcess } from './simulated-process.js';
import type { Finding } from './volume-history.js';

const SILENT: EngineLog = { debug() {}, info() {}, warn() {}, error() {} };

/** Another process on this host wants the members of a running array: to serve them, or to make an array of them. It is refused, and does nothing to them. */
export async function startSecond(settings: Settings, second: SimulatedProcess, random: Random): Promise<Finding | null> {
  const what = random.below(3) === 0 ? 'create' : 'serve';
  const error = await (what === 'create' ? createOn(settings, second) : assembleOn(settings, second, SILENT)).then(
    () => null,
    (reason: unknown) => KeelsonError.from(reason),
  );
  // Where a device is not there, creating ends with that.
  if (error?.code === 'DEVICE_BUSY' || (what === 'create' && error?.code.startsWith('DEVICE_') === true)) return null;
  return {
    promise: 'P10',
    message: `a second process could ${what} the members of a running array: ${error?.describe() ?? 'it was not refused'}`,
  };
}
