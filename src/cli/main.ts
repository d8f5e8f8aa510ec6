#!/usr/bin/env node
import { processContext } from './context.js';
import { runCli } from './run-cli.js';

/** All work is done by then: a handle that somebody left open must not keep the process. */
const LINGER_MS_MAX = 3_000;

// Set, not exited with: what is still being written to a pipe must get there.
process.exitCode = await runCli(process.argv.slice(2), processContext());
setTimeout(() => process.exit(), LINGER_MS_MAX).unref();
