import { KeelsonError } from '../base/errors.js';
import type { EnginePort } from './engine-port.js';

/** Loaded by the verbs that need it only: `status` and its like start without the addon. */
export async function loadEngine(): Promise<EnginePort> {
  throw new KeelsonError('NOT_BUILT', 'this build has no engine');
}
