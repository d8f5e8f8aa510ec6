import type { ClientRequest } from './client-requests.js';
import type { ScenarioEvent } from './scenario.js';

export interface Failure {
  readonly promise: string;
  readonly step: number;
  readonly message: string;
}

/** What came of one run. */
export interface Outcome {
  readonly seed: number;
  readonly operations: number;
  readonly steps: number;
  readonly simulated_ms: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly checks: Readonly<Record<string, number>>;
  readonly traceHash: string;
  readonly failure: Failure | null;
}

/** What a run tells while it goes on. */
export interface RunWatcher {
  /** A client will make this request. */
  request(request: ClientRequest): void;
  /** An event happens, so many microseconds after the first assembly. */
  event(event: ScenarioEvent, at_us: number): void;
}
