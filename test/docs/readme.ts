import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { endsWithTest } from '../cli/server-process.js';

// dist/test/docs -> the checkout.
export const CHECKOUT = fileURLToPath(new URL('../../../', import.meta.url));
export const README = readFileSync(join(CHECKOUT, 'README.md'), 'utf8');

/** The fenced blocks of a language, in order. */
export function fenced(language: string): readonly string[] {
  return [...README.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, 'gm'))].map(([, text = '']) => text);
}

export const SERVE = 'npm start -- serve';

/** The blocks of the README that make, use, mount and end the array of files. */
export function tryBlocks(): { readonly make: string; readonly use: string; readonly mount: string; readonly end: string } {
  const [first = '', use = '', mount = '', end = ''] = fenced('sh');
  const at = first.indexOf(SERVE);
  if (at < 0) throw new Error(`no ${SERVE} in the first block`);
  return { make: first.slice(0, at), use, mount, end };
}

/** npm runs in the checkout; here its commands run in the folder of the test. */
const NPM = `npm() {
  [ "$1" = start ] && shift
  [ "$1" = -- ] && shift
  node '${CHECKOUT}scripts/start.mjs' "$@"
}
`;

export interface ShellOutcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A terminal: its blocks run in one shell, one after the other, and stop at the first command that fails. What they leave in the background
 * has the terminal as its output, as with any terminal: the shell has ended when it has ended itself, and not when they have.
 */
export async function shell(folder: string, ...blocks: readonly string[]): Promise<ShellOutcome> {
  const script = `set -euo pipefail\n${NPM}export KEELSON_CONFIG="$PWD/try/keelson.toml"\n${blocks.join('\n')}`;
  const output = mkdtempSync(join(tmpdir(), 'keelson-terminal-'));
  const [out, err] = [join(output, 'out'), join(output, 'err')];
  const files = [openSync(out, 'w'), openSync(err, 'w')];
  try {
    const child = spawn('bash', ['-c', script], { cwd: folder, stdio: ['ignore', ...files] });
    const [status] = (await once(child, 'exit')) as [number | null];
    return { status: status ?? -1, stdout: readFileSync(out, 'utf8'), stderr: readFileSync(err, 'utf8') };
  } finally {
    for (const file of files) closeSync(file);
    rmSync(output, { recursive: true });
  }
}

/** Another terminal with the server in it. Resolves when clients can connect; the returned function ends it with Ctrl-C. */
export async function serve(folder: string): Promise<() => Promise<void>> {
  const child = spawn(process.execPath, [`${CHECKOUT}scripts/start.mjs`, 'serve'], {
    cwd: folder,
    env: { ...process.env, KEELSON_CONFIG: join(folder, 'try', 'keelson.toml'), KEELSON_LOG: 'warn' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = endsWithTest(child, 'SIGINT');
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('serving ')) return stop;
  }
  throw new Error('the server ended before it served');
}
