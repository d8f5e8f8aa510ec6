import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { OutputFile } from '../../src/cli/output-file.js';
import { CliRig } from './rig.js';

test('a file named for output is made, or written over when it is an earlier output; anything else is kept', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-output-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'script.json');
  new OutputFile('--save', file, 'the mark').write('the mark, a long first one');
  new OutputFile('--save', file, 'the mark').write('the mark, 2');
  t.is(readFileSync(file, 'utf8'), 'the mark, 2');
  const letters = join(folder, 'letters.txt');
  writeFileSync(letters, 'my letters');
  symlinkSync(letters, join(folder, 'link'));
  mkdirSync(join(folder, 'directory'));
  for (const path of [letters, join(folder, 'link'), join(folder, 'directory'), '/dev/null'])
    t.throws(() => new OutputFile('--save', path, 'the mark'), { code: 'OUTPUT_EXISTS' }, path);
  const late = new OutputFile('--save', join(folder, 'late'), 'the mark');
  writeFileSync(join(folder, 'late'), 'somebody else');
  t.throws(() => late.write('the mark'), { message: /appeared meanwhile/ });
  t.is(readFileSync(letters, 'utf8'), 'my letters');
});

test('stress --save and bench --chart keep a file that is none of theirs, before they begin', async (t) => {
  const rig = new CliRig(t);
  const before = readFileSync(rig.config, 'utf8');
  t.is(await rig.run('stress', '--seed', '1', '--save', rig.config), 2);
  t.regex(rig.stderr, /OUTPUT_EXISTS/);
  t.is(await rig.run('bench', 'parity', '--quick', '--chart', rig.config), 2);
  t.regex(rig.stderr, /OUTPUT_EXISTS/);
  t.is(readFileSync(rig.config, 'utf8'), before);
  t.false(existsSync(join(rig.folder, 'new')));
});
