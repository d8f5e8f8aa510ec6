import type { ErrorRecord } from '../base/errors.js';
import type { Progress } from './control-target.js';

/**
 * The control protocol: HTTP/1.1 with JSON over a unix socket. Short work answers with one JSON value, or status 4xx/5xx and an ErrorRecord.
 * Long work answers 200 with one JSON object a line (application/x-ndjson): progress lines, then one result or error line.
 */
export const CONTROL = {
  status: '/status',
  stop: '/stop',
  flush: '/flush',
  drain: '/drain',
  fail: '/fail',
  replace: '/replace',
  rebuild: '/rebuild',
  plan: '/rebuild/plan',
  metrics: '/metrics',
} as const;

export type ControlLine =
  | { readonly type: 'progress'; readonly progress: Progress }
  | { readonly type: 'result'; readonly result: unknown }
  | { readonly type: 'error'; readonly error: ErrorRecord };

/** Largest request body: names and paths only. */
export const BODY_BYTES_MAX = 64 * 1024;
