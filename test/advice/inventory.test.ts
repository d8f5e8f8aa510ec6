import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { CliRig } from '../cli/rig.js';
import { ROOT } from '../house/source-files.js';
import { ADVICE, OPEN } from './list.js';
import { codeSites, commandsIn, mentions } from './sources.js';

test('every code of an error or an alarm is in the list of advice, and the list has no code that is gone', (t) => {
  const sites = codeSites();
  t.true(sites.length > 120, `only ${sites.length} places found: the sources are read wrongly`);
  const listed = new Set([...Object.keys(ADVICE), ...OPEN]);
  t.deepEqual(
    sites.filter(({ code }) => !listed.has(code)).map(({ code, where }) => `${code} (${where})`),
    [],
    'add a row to test/advice/list.ts',
  );
  const there = new Set(sites.map(({ code }) => code));
  t.deepEqual(
    [...listed].filter((code) => !there.has(code)),
    [],
    'take the row out of test/advice/list.ts',
  );
});

test('the test that a row of the list names is there, and names the code', (t) => {
  const wrong = Object.entries(ADVICE).flatMap(([code, way]) => {
    if ('inner' in way) return [];
    const file = 'followed' in way ? way.followed : way.mistake;
    if (!existsSync(join(ROOT, file))) return [`${code}: ${file} is not there`];
    return readFileSync(join(ROOT, file), 'utf8').includes(code.replace('*', '')) ? [] : [`${code}: ${file} does not name it`];
  });
  t.deepEqual(wrong, []);
});

test('a command is found in a sentence as far as it is one', (t) => {
  t.deepEqual(commandsIn('keelson replace 2 NEW-DEVICE; else keelson drain --wait, before you stop'), [
    ['replace', '2', 'NEW-DEVICE'],
    ['drain', '--wait'],
  ]);
  t.deepEqual(commandsIn('stop it (keelson stop), or run `keelson wipe /dev/sdb`'), [['stop'], ['wipe', '/dev/sdb']]);
});

test('no message and no page promises a command, an argument or a flag that is not built', async (t) => {
  const rig = new CliRig(t);
  const helps = new Map<string, string | null>();
  const helpOf = async (verb: string): Promise<string | null> => {
    if (!helps.has(verb)) helps.set(verb, (await rig.run(verb, '--help')) === 0 ? rig.stdout : null);
    return helps.get(verb) ?? null;
  };
  const wrong: string[] = [];
  const all = mentions();
  t.true(all.length > 40, `only ${all.length} mentions found: the texts are read wrongly`);
  for (const { words, where } of all) {
    const [verb = '', ...rest] = words;
    const help = await helpOf(verb);
    const say = (why: string): void => void wrong.push(`${where}: keelson ${words.join(' ')}: ${why}`);
    if (help === null) {
      say('no such verb');
      continue;
    }
    for (const flag of rest.filter((word) => word.startsWith('-'))) if (!help.includes(`${flag} `)) say(`no such flag ${flag}`);
  }
  t.deepEqual(wrong, []);
});
