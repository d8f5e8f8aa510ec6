import { join } from 'node:path';
import test from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import { CliRig } from './rig.js';

const KEYS = ['code', 'message', 'found', 'expected', 'action', 'exit'];

interface Told {
  readonly code: string;
  readonly message: string;
  readonly exit: number;
  readonly mistakes?: readonly { readonly line: number; readonly key: string }[];
}

/** The one line on stderr. */
function told(rig: CliRig): Told {
  const lines = rig.stderr.split('\n');
  if (lines.length !== 2 || lines[1] !== '') throw new Error(`not one line: ${rig.stderr}`);
  const { error } = JSON.parse(rig.stderr) as { error: Told };
  return error;
}

for (const args of [
  [],
  ['nonsense'],
  ['scrub'],
  ['status', '--bogus'],
  ['status', '-c'],
  ['fail'],
  ['fail', '1', '2'],
  ['replace', '1'],
  ['bench'],
  ['bench', 'disk'],
  ['bench', 'parity', '--bogus'],
  ['restore', '--to', '12'],
  ['stress', '--seed', 'one'],
]) {
  for (const line of args.length === 0
    ? [['--json']]
    : [
        ['--json', ...args],
        [...args, '--json'],
      ]) {
    // There --json would be what -c names.
    if (line.join(' ') === 'status -c --json') continue;
    test(`wrong usage is one JSON object on stderr, and nothing on stdout: keelson ${line.join(' ')}`, async (t) => {
      const rig = new CliRig(t);
      t.is(await rig.run(...line), 2);
      const error = told(rig);
      t.deepEqual(Object.keys(error), KEYS);
      t.is(error.exit, 2);
      t.notRegex(error.message, /^error:|outputHelp/);
      t.is(rig.stdout, '');
    });
  }
}

test('a wrong configuration is one JSON object that lists every mistake with its line', async (t) => {
  const rig = new CliRig(t, 'name = ""\n[stripe]\nmembers = ["a", "b", "c"]\nparity = 0\n');
  t.is(await rig.run('status', '--json', '-c', rig.config), 2);
  const { code, message, mistakes = [] } = told(rig);
  t.is(code, 'CONFIG');
  t.is(message, `${rig.config}: 2 mistakes in the configuration`);
  t.deepEqual(
    mistakes.map(({ line, key }) => [line, key]),
    [
      [1, 'name'],
      [4, 'stripe.parity'],
    ],
  );
  t.is(await rig.run('status', '--json', '-c', join(rig.folder, 'none.toml')), 2);
  t.is(told(rig).code, 'CONFIG_MISSING');
});

for (const verb of [
  ['status'],
  ['stop'],
  ['flush'],
  ['drain', '--wait'],
  ['fail', '1'],
  ['replace', '1', 'x'],
  ['rebuild'],
  ['rebuild', '--plan'],
]) {
  test(`without a server the error is one JSON object: ${verb.join(' ')}`, async (t) => {
    const rig = new CliRig(t);
    t.is(await rig.run(...verb, '--json', '-c', rig.config), 1);
    const error = told(rig);
    t.is(error.code, 'CONTROL_NOT_RUNNING');
    t.deepEqual(Object.keys(error), KEYS);
    t.is(rig.stdout, '');
  });
}

test('a refusal and a defect are JSON objects too; a defect has its stack', async (t) => {
  const rig = new CliRig(t);
  rig.engine.refusal = new KeelsonError('MEMBER_IN_USE', '/dev/sdb holds ext4', { action: 'insist with --force', exit: 3 });
  t.is(await rig.run('create', '--json', '-c', rig.config), 3);
  t.deepEqual(JSON.parse(rig.stderr), {
    error: { code: 'MEMBER_IN_USE', message: '/dev/sdb holds ext4', found: null, expected: null, action: 'insist with --force', exit: 3 },
  });
  rig.engine.refusal = KeelsonError.from(new TypeError('x is not a function'));
  t.is(await rig.run('create', '--json', '-c', rig.config), 1);
  t.regex((told(rig) as Told & { stack: string }).stack, /^TypeError: x is not a function\n +at /);
});

test('a value after -- is no option: its errors stay text', async (t) => {
  const rig = new CliRig(t);
  t.is(await rig.run('fail', '-c', rig.config, '--', '--json'), 1);
  t.regex(rig.stderr, /^keelson: the server of this array is not running/);
});
