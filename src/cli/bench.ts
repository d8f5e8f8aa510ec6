import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { AddVerb } from './define-verb.js';
import { defineVerb } from './define-verb.js';

const FIGURES = ['parity', 'volume'] as const;

interface BenchOptions {
  readonly json?: boolean;
  readonly chart?: string;
  readonly quick?: boolean;
}

export const addBench: AddVerb = (program, context) => {
  defineVerb(program, {
    name: 'bench',
    summary: "figures for this machine: 'parity' (erasure code and checksums) or 'volume' (a whole array; needs root and fio)",
    example: 'bench parity --json',
    config: false,
    json: 'print the figures as JSON',
  })
    .argument('<what>', FIGURES.join(' or '))
    .option('--chart <file>', 'parity: also draw the figures, as an SVG file')
    .option('--quick', 'parity: 64 KiB shards and the fastest kernels only, in seconds')
    .action(async (what: string, options: BenchOptions) => {
      if (!FIGURES.some((name) => name === what)) {
        throw new KeelsonError('USAGE', 'no such benchmark', { found: what, expected: FIGURES.join(' or '), exit: EXIT.usage });
      }
      const file = fileURLToPath(new URL(`../../bench/${what}.js`, import.meta.url));
      if (!existsSync(file))
        throw new KeelsonError('BENCH_MISSING', 'this installation has no benchmarks', {
          found: `no ${file}`,
          action: 'use a checkout of the repository',
        });
      if (what !== 'parity' && (options.chart !== undefined || options.quick === true)) {
        throw new KeelsonError('USAGE', '--chart and --quick are for `bench parity`', { found: `bench ${what}`, exit: EXIT.usage });
      }
      const args = [
        ...(options.json === true ? ['--json'] : []),
        ...(options.quick === true ? ['--quick'] : []),
        ...(options.chart === undefined ? [] : ['--chart', options.chart]),
      ];
      const child = spawn(process.execPath, [file, ...args], { stdio: 'inherit' });
      const status = await new Promise<number>((resolve, reject) => {
        child.once('error', reject);
        child.once('close', (code) => resolve(code ?? EXIT.failed));
      });
      context.status = status === 0 ? EXIT.done : EXIT.failed;
    });
};
