import type { CliContext } from './context.js';
import { runCli } from './run-cli.js';

/** All work is done by then: a handle that somebody left open must not keep the process. */
const LINGER_MS_MAX = 3_000;

/** Runs one command line as the work of this process, and ends it with the command's exit status. */
export async function runProcess(args: readonly string[], context: CliContext): Promise<void> {
  // Set, not exited with: what is still being written to a pipe must get there.
  process.exitCode = await runCli(args, context);
  setTimeout(() => process.exit(), LINGER_MS_MAX).unref();
}
