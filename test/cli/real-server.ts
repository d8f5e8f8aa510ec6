import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import { endsWithTest } from './server-process.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Three small file members, parity 1, the ring on a member of its own; figures on a free port. */
export const SMALL_ARRAY = `name = "vault"
[stripe]
members = ["m0", "m1", "m2"]
memberSize = "16MiB"
parity = 1
chunk = "16KiB"
[journal]
members = ["j0"]
copies = 1
size = "8MiB"
segment = "1MiB"
[export]
nbd = ["unix:./nbd"]
[memory]
slab = "128MiB"
`;
export const WITH_HTTP = '[control]\nsocket = "./ctl"\nhttp = "127.0.0.1:0"\n';

/** The real program, as a process: the command line, the engine and the devices, over files in a folder of its own. */
export class RealArray {
  readonly folder: string;
  readonly config: string;
  stderr = '';
  readonly #command: readonly [program: string, ...args: string[]];

  /** under: a program that runs the one it is given, such as setpriv with its options. */
  constructor(t: ExecutionContext, toml = SMALL_ARRAY + WITH_HTTP, under: readonly string[] = []) {
    const [program = process.execPath, ...args] = [...under, process.execPath, MAIN];
    this.#command = [program, ...args];
    this.folder = mkdtempSync(join(tmpdir(), 'keelson-real-'));
    this.config = join(this.folder, 'keelson.toml');
    writeFileSync(this.config, toml);
    t.teardown(() => rmSync(this.folder, { recursive: true }));
  }

  get nbd(): string {
    return `unix:${join(this.folder, 'nbd')}`;
  }

  /** Runs one verb to its end. */
  run(verb: string, ...args: string[]): Promise<Ended> {
    return new Promise((resolve) => {
      const [program, ...before] = this.#command;
      execFile(program, [...before, verb, '-c', this.config, ...args], (error, stdout, stderr) =>
        resolve({ status: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr }),
      );
    });
  }

  /** Creates the array if it is to, and serves it until the test ends. Resolves to the lines printed, when both exports and figures are there. */
  async serve(t: ExecutionContext, create = true): Promise<readonly string[]> {
    const created = create ? await this.run('create') : null;
    if (created !== null && created.status !== 0) throw new Error(`create ended with ${created.status}\n${created.stderr}`);
    const [program, ...before] = this.#command;
    const child = spawn(program, [...before, 'serve', '-c', this.config], { stdio: ['ignore', 'pipe', 'pipe'] });
    t.teardown(endsWithTest(child, 'SIGTERM'));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    createInterface({ input: child.stderr }).on('line', (line) => this.#heard(line));
    const lines: string[] = [];
    const served = new Promise<readonly string[]>((resolve, reject) => {
      createInterface({ input: child.stdout })
        .on('line', (line) => {
          lines.push(line);
          this.#heard(line);
          if (line.startsWith('figures on ')) resolve([...lines]);
        })
        .on('close', () => reject(new Error(`serve ended before it served\n${this.stderr}`)));
    });
    return served;
  }

  readonly #lines: string[] = [];
  #waiting: { readonly wanted: RegExp; readonly resolve: (line: string) => void }[] = [];

  #heard(line: string): void {
    this.#lines.push(line);
    for (const { wanted, resolve } of this.#waiting) if (wanted.test(line)) resolve(line);
  }

  /** The first line of stdout or of the log that serve wrote, or is going to write, that matches. */
  line(wanted: RegExp): Promise<string> {
    const said = this.#lines.find((line) => wanted.test(line));
    if (said !== undefined) return Promise.resolve(said);
    return new Promise((resolve) => this.#waiting.push({ wanted, resolve }));
  }

  /** Where the figures are, out of what serve printed. */
  static pages(lines: readonly string[]): string {
    const line = lines.find((one) => one.startsWith('figures on ')) ?? '';
    return line.slice('figures on '.length).replace(/\/$/, '');
  }
}
