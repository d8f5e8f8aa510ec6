import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { parseSettings } from '../../src/config/load-settings.js';
import { CliRig } from '../cli/rig.js';
import { CHECKOUT, fenced, README, serve, shell, tryBlocks } from './readme.js';

function scratch(t: ExecutionContext): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'keelson-readme-')));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What differs from machine to machine and from run to run. */
function shape(text: string): string {
  return text
    .replaceAll(/\S+\/try\//g, '/try/')
    .replaceAll(/uuid \S+/g, 'uuid')
    .replaceAll(/\d+/g, '0');
}

test('the array of files can be made, served, drained and asked as the README says, and status prints what it shows', async (t) => {
  const folder = scratch(t);
  const { make, use } = tryBlocks();
  const made = await shell(folder, make);
  t.is(made.status, 0, made.stderr);
  t.regex(made.stdout, /^created try: 8 members/);
  const stop = await serve(folder);
  t.teardown(stop);
  const used = await shell(folder, use);
  t.is(used.status, 0, used.stderr);
  const [sample = ''] = fenced('text');
  t.is(shape(used.stdout.replace(/^drained.*\n/, '')), shape(sample));
  const stopped = await shell(folder, 'npm start -- stop');
  t.is(stopped.status, 0, stopped.stderr);
});

test('the terminal of these tests ends with the command that fails, though what it started before goes on', async (t) => {
  const { status, stdout } = await shell(scratch(t), 'sleep infinity &', 'echo $!', 'false', 'echo not reached');
  t.teardown(() => process.kill(Number.parseInt(stdout, 10)));
  t.is(status, 1);
  t.regex(stdout, /^\d+\n$/);
});

test('the configuration of an array of devices is accepted as it stands, once its key files exist', (t) => {
  const folder = scratch(t);
  for (const name of ['id_ed25519', 'known_hosts']) writeFileSync(join(folder, name), 'x', { mode: 0o600 });
  const text = fenced('toml').find((block) => block.includes('sftp://')) ?? '';
  const settings = parseSettings(text.replaceAll('/etc/keelson/', `${folder}/`), join(folder, 'keelson.toml'));
  t.is(settings.name, 'vault');
  t.is(settings.journal.members.length, 2);
});

test('the table of verbs has the verbs that there are', async (t) => {
  const rig = new CliRig(t);
  await rig.run('--help');
  const offered = [...rig.stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, verb]) => verb);
  const [table = ''] = README.slice(README.indexOf('\n| verb | does |')).split('\n\n', 1);
  const rows = table.split('\n').flatMap((line) => /^\| (.*?) \|/.exec(line)?.[1]?.split(', ') ?? []);
  const told = new Set(rows.map((cell) => cell.split(' ')[0]).filter((verb) => verb !== 'verb' && /^[a-z]+$/.test(verb ?? '')));
  t.deepEqual([...told].sort(), offered.sort());
});

test('what the README links to and the commands it names are there', (t) => {
  for (const [, target = ''] of README.matchAll(/\]\(([^)#]+)[^)]*\)/g)) {
    if (!/^https?:/.test(target)) t.true(existsSync(join(CHECKOUT, target)), target);
  }
  const { scripts } = JSON.parse(readFileSync(join(CHECKOUT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
  for (const [, script = ''] of README.matchAll(/npm run ([a-z:]+)/g)) t.true(script in scripts, script);
});
