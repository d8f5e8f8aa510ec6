#!/usr/bin/env node
import { processContext } from './context.js';
import { runProcess } from './run-process.js';

await runProcess(process.argv.slice(2), processContext());
