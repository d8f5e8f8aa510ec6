import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { AddVerb } from './define-verb.js';
import { defineVerb } from './define-verb.js';

const FIGURES = ['parity', 'volume'] as const;

export const addBench: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'bench',
    summary: "figures for this machine: 'parity' (erasure code and checksums) or 'volume' (a whole array; needs root and fio)",
    example: 'bench parity --json',
    config: false,
    json: 'print the figures as JSON',
  })
    .argument('<what>', FIGURES.join(' or '))
    .action(async (what: string, options: { json?: boolean }) => {
      if (!FIGURES.some((name) => name === what)) {
        throw new KeelsonError('USAGE', 'no such benchmark', { found: what, expected: FIGURES.join(' or '), exit: EXIT.usage });
      }
      const file = fileURLToPath(new URL(`../../bench/${what}.js`, import.meta.url));
      if (!existsSync(file))
        throw new KeelsonError('BENCH_MISSING', 'this installation has no benchmarks', {
          found: `no ${file}`,
          action: 'use a checkout of the repository',
        });
      const child = spawn(process.execPath, options.json === true ? [file, '--json'] : [file], { stdio: 'inherit' });
      const status = await new Promise<number>((resolve, reject) => {
        child.once('error', reject);
        child.once('close', (code) => resolve(code ?? EXIT.failed));
      });
      context.status = status === 0 ? EXIT.done : EXIT.failed;
    });
};
