import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { seededRandom } from '../../src/base/random.js';

/** dist/test/erasure -> dist -> the repository. */
const OUT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const ROOT = dirname(OUT);

test('the example splits a file, finds a corrupt shard, loses as many as there are parities, and gives the file back', (t) => {
  // As a user has it: a project with keelson in node_modules.
  const project = mkdtempSync(join(tmpdir(), 'keelson-example-'));
  t.teardown(() => rmSync(project, { recursive: true }));
  const installed = join(project, 'node_modules', 'keelson');
  mkdirSync(installed, { recursive: true });
  copyFileSync(join(ROOT, 'package.json'), join(installed, 'package.json'));
  symlinkSync(OUT, join(installed, 'dist'));
  copyFileSync(join(ROOT, 'examples', 'split-file.mjs'), join(project, 'split-file.mjs'));
  const run = (...args: string[]): { status: number | null; text: string } => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['split-file.mjs', ...args], { cwd: project, encoding: 'utf8' });
    return { status, text: stdout + stderr };
  };
  const at = (name: string): string => join(project, name);
  const random = seededRandom(2026);
  // Nothing; less than one chunk; more than one stripe, ending in the middle of a chunk.
  for (const bytes of [0, 1000, 3_333_333]) {
    const content = new Uint8Array(bytes);
    random.fill(content);
    writeFileSync(at('file'), content);
    t.like(run('split', 'file', 'shards', '--data', '5', '--parity', '3'), { status: 0 });
    t.regex(run('check', 'shards').text, /missing: none; corrupt: none/);
    if (bytes > 0) {
      const shard = readFileSync(at('shards/shard-6'));
      const whole = Buffer.from(shard);
      shard[shard.length - 7] = (shard[shard.length - 7] as number) ^ 1;
      writeFileSync(at('shards/shard-6'), shard);
      t.regex(run('check', 'shards').text, /corrupt: 6\n/);
      writeFileSync(at('shards/shard-6'), whole);
    }
    for (const lost of [0, 3, 5]) rmSync(at(`shards/shard-${lost}`));
    const { status, text } = run('join', 'shards', 'restored');
    t.is(status, 0, text);
    t.true(readFileSync(at('restored')).equals(content), `${bytes} bytes`);
  }
  rmSync(at('shards/shard-1'));
  const { status, text } = run('join', 'shards', 'restored');
  t.is(status, 1);
  t.regex(text, /ERASURE_TOO_FEW/);
});
