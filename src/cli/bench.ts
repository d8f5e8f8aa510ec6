import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { CliContext } from './context.js';
import type { AddVerb } from './define-verb.js';
import { defineVerb } from './define-verb.js';
import { OutputFile } from './output-file.js';

/** Stands at the start of every chart. */
const CHART_MARK = '<title>Keelson';

interface BenchOptions {
  readonly json?: boolean;
  readonly chart?: string;
  readonly quick?: boolean;
}

/** Programs that `bench volume` starts, and the Debian packages that have them. */
const VOLUME_PROGRAMS = { fio: 'fio', 'mkfs.btrfs': 'btrfs-progs', 'qemu-nbd': 'qemu-utils', sshd: 'openssh-server' } as const;

export const addBench: AddVerb = (program, context) => {
  const bench = program
    .command('bench')
    .helpCommand(false)
    .description('figures for this machine: of the erasure code and checksums, or of a whole array')
    .addHelpText('after', '\nExamples:\n  keelson bench parity --quick\n  keelson bench volume --help');
  addParity(bench, context);
  addVolume(bench, context);
};

function addParity(bench: Command, context: CliContext): void {
  defineVerb(bench, {
    name: 'parity',
    summary: 'speed of the erasure code and of checksums, against memcpy and other libraries that are installed',
    examples: ['bench parity --quick', 'bench parity --chart parity.svg'],
    json: 'print the figures as JSON',
  })
    .option('--chart <file>', 'also draw the figures, as an SVG file')
    .option('--quick', '64 KiB shards and the fastest kernels only, in seconds')
    .action((options: BenchOptions) => {
      if (options.chart !== undefined) new OutputFile('--chart', options.chart, CHART_MARK);
      return run('parity', options, context);
    });
}

function addVolume(bench: Command, context: CliContext): void {
  defineVerb(bench, {
    name: 'volume',
    summary:
      'speed of a whole array on loop devices in memory, of btrfs raid6 on the same ones, and of qemu-nbd; needs root, ' +
      `${Object.values(VOLUME_PROGRAMS).join(', ')}, and 6 GiB of memory (--quick: 1.5 GiB)`,
    examples: ['bench volume', 'bench volume --quick --json'],
    json: 'print the figures as JSON',
  })
    .option('--quick', 'small devices and one round, in about a minute')
    .action((options: BenchOptions) => {
      refuseWithoutMeans();
      return run('volume', options, context);
    });
}

function refuseWithoutMeans(): void {
  const missing = Object.entries(VOLUME_PROGRAMS).filter(([program]) => !isInstalled(program));
  const found = [...(process.getuid?.() === 0 ? [] : ['a user who is not root']), ...missing.map(([program]) => `no ${program}`)];
  if (found.length === 0) return;
  throw new KeelsonError('BENCH_NEEDS', 'bench volume cannot run here', {
    found: found.join(', '),
    expected: `root, and ${Object.keys(VOLUME_PROGRAMS).join(', ')}`,
    action:
      missing.length === 0 ? 'run it as root' : `apt-get install ${missing.map(([, debian]) => debian).join(' ')}, then run it as root`,
  });
}

function isInstalled(program: string): boolean {
  // sshd and mkfs live where a user's PATH may not look.
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Benchmarks are programs of their own: what they measure shares no thread with the command line. */
async function run(what: 'parity' | 'volume', { json, quick, chart }: BenchOptions, context: CliContext): Promise<void> {
  const file = fileURLToPath(new URL(`../../bench/${what}.js`, import.meta.url));
  if (!existsSync(file)) {
    throw new KeelsonError('BENCH_MISSING', 'this installation has no benchmarks', {
      found: `no ${file}`,
      action: 'use a checkout of the repository',
    });
  }
  const args = [
    ...(json === true ? ['--json'] : []),
    ...(quick === true ? ['--quick'] : []),
    ...(chart === undefined ? [] : ['--chart', chart]),
  ];
  const child = spawn(process.execPath, [file, ...args], { stdio: 'inherit' });
  const status = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? EXIT.failed));
  });
  context.status = status === 0 ? EXIT.done : EXIT.failed;
}
