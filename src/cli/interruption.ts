import { EXIT, KeelsonError } from '../base/errors.js';
import type { CliContext } from './context.js';

/** Work that makes something: at the first SIGINT or SIGTERM it ends early and takes back what it made, at the second the process ends at once. */
export async function interruptible<Result>(context: CliContext, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const controller = new AbortController();
  const off = context.onSignal(() => {
    if (controller.signal.aborted) context.exit(EXIT.interrupted);
    controller.abort(new KeelsonError('INTERRUPTED', 'interrupted: what was made is taken back', { exit: EXIT.interrupted }));
  });
  try {
    return await work(controller.signal);
  } finally {
    off();
  }
}
