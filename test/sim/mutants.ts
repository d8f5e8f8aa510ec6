import { execFile, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Mutation } from './mutations.js';
import type { TestedMutation } from './mutations-by-test.js';

export interface Catch {
  readonly seed: number;
  readonly runs: number;
  readonly promise: string;
  readonly message: string;
}

/** Which seeds are run to catch a mutation. */
export interface Hunt {
  readonly from: number;
  readonly count: number;
  /** Before all others. */
  readonly first: readonly number[];
  /** How many times as often as usual what would be if everything stopped is tried (src/sim/rehearsal.ts). */
  readonly rehearsals: number;
}

export interface Ended {
  readonly output: string;
  readonly stderr: string;
  readonly failed: boolean;
}

/** What AVA says of these files (below dist/test of a copy) when a test of them fails; '' when all pass. atOnce: it is not waited for what a test that failed leaves behind. */
export function failedTests(
  out: string,
  files: readonly string[],
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  atOnce = false,
): Promise<string> {
  const root = dirname(out);
  const ava = join(root, 'node_modules', 'ava', 'entrypoints', 'cli.mjs');
  const child = spawn(
    process.execPath,
    [ava, '--serial', '--fail-fast', ...args, ...files.map((file) => join('dist', 'test', `${file}.test.js`))],
    {
      cwd: root,
      env: { ...process.env, KEELSON_OUT: 'dist', FORCE_COLOR: '0', TERM: 'dumb', ...env },
      stdio: ['ignore', 'pipe', 'ignore'],
      // A group of its own: the process of a test file outlives AVA where the bug made it wait for ever.
      detached: atOnce,
    },
  );
  let text = '';
  let stopped = false;
  child.stdout.on('data', (piece: Buffer) => {
    text += piece.toString();
    if (!atOnce || stopped || child.pid === undefined || !/\[fail\].*\n/.test(text)) return;
    stopped = true;
    process.kill(-child.pid, 'SIGKILL');
  });
  return new Promise((resolve) => {
    child.on('close', (code) => resolve(code === 0 ? '' : text));
  });
}

/** Of the tests that are named: with it each was seen to fail. */
const TEST_SEED = '20261122';

/** The compiled output that this file belongs to, and the package around it. */
const OUT = fileURLToPath(new URL('../..', import.meta.url));

/** A copy of the compiled package in which one line at a time can be wrong. */
export class Mutant {
  readonly #root = mkdtempSync(join(tmpdir(), 'keelson-mutant-'));

  /** tests: folders of tests that come along. */
  constructor(tests: readonly string[] = ['test/sim']) {
    let root = dirname(OUT);
    while (!isPackage(root)) root = dirname(root);
    for (const name of ['node_modules', 'build', 'package.json', 'ava.config.js', 'test'])
      symlinkSync(join(root, name), join(this.#root, name));
    for (const folder of ['src', ...tests])
      cpSync(join(OUT, folder), join(this.#root, 'dist', folder), { recursive: true, filter: (path) => !/\.(map|d\.ts)$/.test(path) });
  }

  /** The seed that caught it, null when none of `seeds` did. Throws when the line is not there exactly once. */
  async run(mutation: Mutation | null, from: number, seeds: number): Promise<Catch | null> {
    const hunt: Hunt = { from, count: seeds, first: mutation?.seeds ?? [], rehearsals: mutation?.rehearsals ?? 1 };
    const { output, stderr, failed } = await this.command(mutation, 'test/sim/mutant-child.js', [JSON.stringify(hunt)]);
    // A process that dies of its bug has caught it as well.
    if (failed && stderr !== '') return died(stderr);
    return JSON.parse(output.trim().split('\n').at(-1) ?? 'null') as Catch | null;
  }

  /** True when the test fails that is said to catch it, by an assertion of its own. */
  async failsTest(mutation: TestedMutation): Promise<boolean> {
    const { file, title } = mutation.by;
    // Whether a random test meets the bug may rest on its seed.
    const env = { KEELSON_TESTS: '', KEELSON_SEED: TEST_SEED };
    const text = await this.with(mutation, (out) => failedTests(out, [file], ['--match', title], env, true));
    return text.includes('[fail]') && text.includes(title);
  }

  /** Runs a file of the copy while its line is wrong. */
  command(mutation: Mutation | null, file: string, args: readonly string[]): Promise<Ended> {
    return this.with(
      mutation,
      (out) =>
        new Promise((resolve) => {
          execFile(process.execPath, [join(out, file), ...args], { maxBuffer: 1 << 24 }, (error, output, stderr) =>
            resolve({ output, stderr, failed: error !== null }),
          );
        }),
    );
  }

  /** Does something with the copy of the compiled output while its line is wrong. Throws when the line is not there exactly once. */
  async with<T>(mutation: Mutation | null, use: (out: string) => Promise<T>): Promise<T> {
    const out = join(this.#root, 'dist');
    if (mutation === null) return use(out);
    const path = join(out, 'src', mutation.file);
    const whole = readFileSync(path, 'utf8');
    const places = whole.split(mutation.find).length - 1;
    if (places !== 1) throw new Error(`${mutation.name}: "${mutation.find}" stands ${places} times in ${mutation.file}`);
    writeFileSync(
      path,
      whole.replace(mutation.find, () => mutation.put),
    );
    try {
      return await use(out);
    } finally {
      writeFileSync(path, whole);
    }
  }

  close(): void {
    rmSync(this.#root, { recursive: true, force: true });
  }
}

function died(stderr: string): Catch {
  return { seed: -1, runs: -1, promise: 'process', message: stderr.trim().split('\n')[0] ?? '' };
}

function isPackage(folder: string): boolean {
  try {
    return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: string }).name === 'keelson';
  } catch {
    return false;
  }
}
