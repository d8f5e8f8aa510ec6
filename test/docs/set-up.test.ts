import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { endsWithTest } from '../cli/server-process.js';
import { CHECKOUT } from './readme.js';

interface BuildTools {
  missingTools(env: Record<string, string>): string;
  missingHeaders(node: string, prefix: string): string;
}

const loadTools = async (): Promise<BuildTools> => (await import(join(CHECKOUT, 'scripts', 'build-tools.mjs'))) as BuildTools;

function scratch(t: ExecutionContext): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'keelson-set-up-')));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A PATH that has these programs and nothing else. */
function pathWith(folder: string, ...programs: string[]): string {
  mkdirSync(folder);
  for (const program of programs) symlinkSync('/bin/true', join(folder, program));
  return folder;
}

test('set-up names each tool that is missing, and the packages to install', async (t) => {
  const { missingTools } = await loadTools();
  const folder = scratch(t);
  t.is(missingTools({ PATH: pathWith(join(folder, 'all'), 'g++', 'make', 'python3') }), '');
  t.is(missingTools({ PATH: pathWith(join(folder, 'clang'), 'clang++', 'make', 'python') }), '', 'another compiler will do');
  const none = missingTools({ PATH: pathWith(join(folder, 'none')) });
  t.regex(none, /found: +no a C\+\+ compiler .*, no make .*, no Python 3/);
  t.regex(none, /apt-get install g\+\+ make python3/);
  const noCompiler = missingTools({ PATH: pathWith(join(folder, 'two'), 'make', 'python3') });
  t.regex(noCompiler, /apt-get install g\+\+ {2}/);
  t.notRegex(noCompiler, /no make/);
  t.regex(missingTools({ PATH: join(folder, 'all'), CXX: 'ccache-that-is-not-there g++' }), /no a C\+\+ compiler/);
});

test('where the headers of Node are missing, a failed compilation says where they come from', async (t) => {
  const { missingHeaders } = await loadTools();
  t.is(missingHeaders('/usr/bin/node', '/usr'), '');
  t.regex(missingHeaders('/usr/bin/node', ''), /include\/node\/node\.h.*\n.*apt-get install libnode-dev/);
});

test('npm start prints the URI and what to try only when clients can connect', async (t) => {
  const folder = scratch(t);
  const child = spawn(process.execPath, [join(CHECKOUT, 'scripts', 'start.mjs')], {
    cwd: folder,
    env: { ...process.env, KEELSON_LOG: 'silent' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(endsWithTest(child, 'SIGINT'));
  let uri = '';
  for await (const line of createInterface({ input: child.stdout })) {
    uri = /^NBD URI: (\S+)/.exec(line)?.[1] ?? '';
    if (uri !== '') break;
  }
  const socket = new URL(uri).searchParams.get('socket') ?? '';
  t.is(socket, join(folder, 'keelson-data', 'keelson.sock'));
  await new Promise<void>((resolve, reject) => {
    const client = connect(socket);
    client.once('error', reject);
    // The server greets first.
    client.once('data', (greeting) => {
      t.is(greeting.subarray(0, 8).toString('latin1'), 'NBDMAGIC');
      client.destroy();
      resolve();
    });
  });
});
