import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { NbdClient } from '../nbd/nbd-client.js';
import { type Ended, RealArray, SMALL_ARRAY, WITH_HTTP } from './real-server.js';
import { CliRig, served as rigWithServer } from './rig.js';

/** Verbs with sub-verbs, as they stand in the help of the one above. */
async function verbsUnder(t: ExecutionContext, ...above: string[]): Promise<string[][]> {
  const rig = new CliRig(t);
  t.is(await rig.run(...above, '--help'), 0);
  const [, list = ''] = rig.stdout.split('\nCommands:\n');
  const [names = ''] = list.split('\n\n');
  return [...names.matchAll(/^ {2}([a-z]+)\b/gm)].map(([, name = '']) => [...above, name]);
}

/** The lines under "Example" of a --help, without `keelson`. */
async function examplesOf(t: ExecutionContext, verb: readonly string[]): Promise<string[]> {
  const rig = new CliRig(t);
  t.is(await rig.run(...verb, '--help'), 0);
  const [, examples = ''] = rig.stdout.split(/\nExamples?:\n/);
  return [...examples.matchAll(/^ {2}keelson (.+)$/gm)].map(([, line = '']) => line);
}

/** Runs a line with the real program: a device of the line is a file of the test. */
function runLine(array: RealArray, line: string): Promise<Ended> {
  const words = line.replace(/ -c \S+/, '').split(' ');
  const [verb = '', ...rest] = words.map((word) => word.replace(/^\/dev\//, `${array.folder}/`));
  return array.run(verb, ...rest);
}

test('every --help has examples of its own verb', async (t) => {
  for (const verb of [...(await verbsUnder(t)), ...(await verbsUnder(t, 'bench'))]) {
    const examples = await examplesOf(t, verb);
    t.true(examples.length > 0, verb.join(' '));
    for (const line of examples) t.true(`${line} `.startsWith(`${verb.join(' ')} `), `${verb.join(' ')}: ${line}`);
  }
});

test('every example of every --help has only options that the help explains, and the verb understands it', async (t) => {
  for (const verb of [...(await verbsUnder(t)), ...(await verbsUnder(t, 'bench'))]) {
    const rig = new CliRig(t);
    await rig.run(...verb, '--help');
    const help = rig.stdout;
    for (const line of await examplesOf(t, verb)) {
      for (const [option] of line.matchAll(/--?[a-z]+/g)) t.regex(help, new RegExp(`^ .*${option}\\b`, 'm'), line);
      // These would measure or simulate for minutes; the server would serve.
      if (/bench|stress|serve|--watch/.test(line)) continue;
      const served = await rigWithServer(t);
      t.not(await served.run(...line.replace(/ -c \S+/, '').split(' '), '-c', served.config), 2, `${line}\n${served.stderr}`);
    }
  }
});

test('the examples of the verbs for an array work on a real one', async (t) => {
  const array = new RealArray(t);
  const toml = SMALL_ARRAY.replace('"m0", "m1", "m2"', '"m0", "m1", "m2", "m3"') + WITH_HTTP;
  writeFileSync(array.config, `${toml}[backup]\nurl = "file://${array.folder}/backup"\n`);
  const ran: string[] = [];
  const works = async (verb: string, statuses: readonly number[] = [0]): Promise<void> => {
    for (const line of await examplesOf(t, verb.split(' '))) {
      if (line.includes('--watch')) continue;
      const { status, stderr } = await runLine(array, line);
      t.true(statuses.includes(status), `keelson ${line} ended with ${status}\n${stderr}`);
      ran.push(line);
    }
  };
  await array.serve(t);
  await works('status');
  const client = await NbdClient.open(array.nbd);
  await client.write(0, Buffer.alloc(8192, 7));
  await client.disconnect();
  await works('flush');
  await works('drain');
  await works('fail');
  await works('status', [4]);
  await works('replace');
  await works('rebuild');
  await works('status');
  await works('stop');
  t.true(ran.length >= 8, ran.join(', '));
  t.regex((await runLine(array, 'inspect /dev/m0')).stdout, /superblock/);
  for (const member of ['m0', 'm1', 'm2', 'm3', 'j0', 'sdh']) rmSync(join(array.folder, member), { force: true });
  await works('restore');
});
