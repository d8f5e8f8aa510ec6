import { cpSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync, closeSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { follow } from './follow.js';
import { Operator, type OperatorOptions, type Outcome } from './operator.js';

const NOTHING = { errors: 0, wrong: 0 };

/** Which of two codes it is may depend on how far destaging was: both say the same then. */
function adviceOf(t: ExecutionContext, outcome: Outcome | null, code: string, exit: number): string {
  t.regex(outcome?.err ?? 'it was not refused', new RegExp(`\\(${code}\\)`));
  t.is(outcome?.exit, exit);
  return /do: +(.*)/.exec(outcome?.err ?? '')?.[1] ?? '';
}

/** Moves files of the array away; the returned function puts them back. */
function takeAway(operator: Operator, ...names: readonly string[]): () => void {
  for (const name of names) renameSync(operator.path(name), operator.path(`${name}-away`));
  return () => {
    for (const name of names) renameSync(operator.path(`${name}-away`), operator.path(name));
  };
}

/** Overwrites a zone of a member with zeroes. */
async function wipeZone(operator: Operator, name: string, zone: string): Promise<void> {
  const { out } = await operator.run('inspect', operator.path(name), '--json');
  const { zones } = JSON.parse(out) as { zones: { name: string; offset: number; bytes: number }[] };
  const fd = openSync(operator.path(name), 'r+');
  for (const { offset, bytes } of zones.filter(({ name: one }) => one.startsWith(zone)))
    writeSync(fd, Buffer.alloc(bytes), 0, bytes, offset);
  closeSync(fd);
}

const settled = (operator: Operator): Promise<unknown> =>
  operator.until('the stripes to have everything', ({ journal }) => journal.destagedLsn === journal.headLsn);

/** Serving, everything on the backup. */
async function protectedArray(t: ExecutionContext, options: OperatorOptions = {}): Promise<Operator> {
  const operator = await Operator.serving(t, { backup: true, ...options });
  t.is((await operator.run('drain', '--wait')).exit, 0);
  return operator;
}

test.serial('JOURNAL_LOST: a journal member that is brought back costs nothing; no backup is advised where there is none', async (t) => {
  const operator = await Operator.serving(t);
  await operator.crash();
  const back = takeAway(operator, 'journal-0', 'journal-1');
  const advice = adviceOf(t, await operator.serve(), 'JOURNAL_(?:LOST|DAMAGED)', 5);
  t.notRegex(advice, /restore --force/);
  await follow(operator, advice, {
    deeds: { 'bring back one of member 3, 4': back, 'and start again': () => undefined },
    remarks: [/^nothing was changed/, /^there is no backup/],
  });
  t.is(await operator.serve(), null);
  t.deepEqual(await operator.lost(), NOTHING);
});

test.serial('JOURNAL_LOST: where there is a backup, the last resort gives what is on it', async (t) => {
  const operator = await protectedArray(t);
  await operator.crash();
  for (const name of ['journal-0', 'journal-1']) rmSync(operator.path(name));
  const advice = adviceOf(t, await operator.serve(), 'JOURNAL_(?:LOST|DAMAGED)', 5);
  const { commands, outcomes } = await follow(operator, advice, { remarks: [/^bring back/, /^nothing was changed/, /^if that cannot be/] });
  t.deepEqual(commands, ['restore --force']);
  t.deepEqual(
    outcomes.map(({ exit }) => exit),
    [0],
  );
  t.is(await operator.serve(), null);
  t.deepEqual(await operator.lost(), NOTHING);
});

test.serial('JOURNAL_DAMAGED: the journal member that is named has what the other lost', async (t) => {
  const operator = await Operator.serving(t, { backup: true });
  await settled(operator);
  await operator.crash();
  const back = takeAway(operator, 'journal-1');
  await wipeZone(operator, 'journal-0', 'journal');
  const advice = adviceOf(t, await operator.serve(), 'JOURNAL_DAMAGED', 5);
  await follow(operator, advice, { deeds: { 'bring back member 4': back }, steps: 1 });
  t.is(await operator.serve(), null);
  t.deepEqual(await operator.lost(), NOTHING);
});

test.serial('ARRAY_NO_CHECKPOINT: what is on the backup is had by the command that is printed', async (t) => {
  const operator = await protectedArray(t);
  await operator.stop();
  const names = readdirSync(operator.folder).filter((name) => /^(data|journal)-\d$/.test(name));
  for (const name of names) await wipeZone(operator, name, 'checkpoint');
  const advice = adviceOf(t, await operator.serve(), 'ARRAY_NO_CHECKPOINT', 5);
  const { outcomes } = await follow(operator, advice, { devices: [operator.path('data-0')], remarks: [/^if that cannot be/] });
  t.deepEqual(
    outcomes.map(({ exit }) => exit),
    [0, 0],
  );
  t.is(await operator.serve(), null);
  t.deepEqual(await operator.lost(), NOTHING);
});

test.serial('RESTORE_UNFINISHED: the command that is printed ends what was begun', async (t) => {
  const operator = await protectedArray(t);
  await operator.stop();
  const vault = operator.path('vault');
  const pack = readdirSync(vault, { recursive: true, encoding: 'utf8' }).find((name) => /seg|pack/.test(name) && !/HEAD|config/.test(name));
  const file = join(vault, pack ?? '');
  const whole = readFileSync(file);
  const spoiled = Buffer.from(whole);
  spoiled.fill(0x55, Math.floor(whole.length / 4), Math.floor(whole.length / 2));
  writeFileSync(file, spoiled);
  t.not((await operator.run('restore', '--force')).exit, 0);
  writeFileSync(file, whole);
  const advice = adviceOf(t, await operator.serve(), 'RESTORE_UNFINISHED', 5);
  const { outcomes } = await follow(operator, advice);
  t.deepEqual(
    outcomes.map(({ exit }) => exit),
    [0],
  );
  t.is(await operator.serve(), null);
  t.deepEqual(await operator.lost(), NOTHING);
});

test.serial('ARRAY_NOT_FOUND: wrong paths are corrected, and an array that is not there yet is made', async (t) => {
  const operator = await Operator.serving(t);
  await operator.stop();
  operator.edit('"data-0","data-1","data-2"', '"x-0","x-1","x-2"');
  operator.edit('"journal-0","journal-1"', '"x-3","x-4"');
  const advice = adviceOf(t, await operator.serve(), 'ARRAY_NOT_FOUND', 5);
  await follow(operator, advice, {
    deeds: {
      'correct the paths in the configuration': () => {
        operator.edit('"x-0","x-1","x-2"', '"data-0","data-1","data-2"');
        operator.edit('"x-3","x-4"', '"journal-0","journal-1"');
      },
    },
    steps: 1,
  });
  t.is(await operator.serve(), null);
  t.deepEqual(await operator.lost(), NOTHING);

  const fresh = Operator.at(t);
  const { outcomes } = await follow(fresh, adviceOf(t, await fresh.serve(), 'ARRAY_NOT_FOUND', 5), {
    remarks: [/^correct the paths/, /^if there is no array yet/],
  });
  t.deepEqual(
    outcomes.map(({ exit }) => exit),
    [0],
  );
  t.is(await fresh.serve(), null);
});

test.serial('ARRAY_AMBIGUOUS: without the other array this one starts', async (t) => {
  const operator = await Operator.serving(t, { data: 4, journal: 0 });
  await operator.stop();
  const other = await Operator.serving(t, { data: 4, journal: 0 });
  await other.stop();
  operator.edit('"data-2","data-3"', `"${other.path('data-2')}","${other.path('data-3')}"`);
  const advice = adviceOf(t, await operator.serve(), 'ARRAY_AMBIGUOUS', 3);
  await follow(operator, advice, {
    deeds: {
      'take the other array out of the configuration': () =>
        operator.edit(`"${other.path('data-2')}","${other.path('data-3')}"`, '"data-2","data-3"'),
    },
  });
  t.is(await operator.serve(), null);
  t.deepEqual(await operator.lost(), NOTHING);
});

test.serial('ARRAY_FAILED: after all members were pulled out and put back a start has everything', async (t) => {
  const operator = await Operator.serving(t);
  operator.kill('data-0', 'data-1', 'data-2', 'journal-0', 'journal-1');
  await operator.write(100, 4).catch(() => undefined);
  const ended = await operator.ended();
  const advice = adviceOf(t, ended, 'ARRAY_FAILED', 5);
  await follow(operator, advice, { deeds: { 'bring the members back': () => undefined, 'then start the server again': () => undefined } });
  t.deepEqual(await operator.lost(), NOTHING);
  t.is((await operator.status()).exit, 0);
});

test.serial('DEVICE_BUSY: the other server is stopped by the command that is printed, and this one starts', async (t) => {
  const operator = await Operator.serving(t);
  const second = await operator.run('serve');
  const advice = adviceOf(t, second, 'DEVICE_BUSY', 3);
  const { commands, outcomes } = await follow(operator, advice);
  t.deepEqual(commands, ['stop']);
  t.deepEqual(
    outcomes.map(({ exit }) => exit),
    [0],
  );
  await operator.ended();
  t.is(await operator.serve(), null);
  t.deepEqual(await operator.lost(), NOTHING);
});

test.serial('MEMBER_DUPLICATE: with the path of the member that belongs there, in place of the copy, everything is there', async (t) => {
  const operator = await Operator.serving(t);
  await operator.stop();
  cpSync(operator.path('data-0'), operator.path('clone'));
  operator.edit('"data-1"', '"clone"');
  const advice = adviceOf(t, await operator.serve(), 'MEMBER_DUPLICATE', 3);
  await follow(operator, advice, {
    deeds: {
      'write the path of the member that belongs there in the place of the one that is not to be used': () =>
        operator.edit('"clone"', '"data-1"'),
    },
    remarks: [/^if they are one device by two names/],
  });
  t.is(await operator.serve(), null);
  t.is((await operator.status()).exit, 0);
  t.deepEqual(await operator.lost(), NOTHING);
});

test.serial('ARRAY_SPLIT: the part that counts starts without the other, and gets new devices', async (t) => {
  const operator = await Operator.serving(t);
  await operator.stop();
  const backA = takeAway(operator, 'data-0', 'journal-0');
  t.is(await operator.serve(), null);
  await operator.write(10, 4);
  await settled(operator);
  await operator.stop();
  const backB = takeAway(operator, 'data-1', 'data-2', 'journal-1');
  backA();
  t.is(await operator.serve(), null);
  await operator.stop();
  backB();
  const advice = adviceOf(t, await operator.serve(), 'ARRAY_SPLIT', 3);
  await follow(operator, advice, {
    deeds: {
      'take the devices of the other part out of this host (keep them), start, and replace those members with new devices': async () => {
        takeAway(operator, 'data-0', 'journal-0');
        t.is(await operator.serve(), null);
        for (const index of ['0', '3']) t.is((await operator.run('replace', index, operator.newPath())).exit, 0);
      },
    },
    remarks: [/^find out which part/],
  });
  t.is((await operator.status()).exit, 0);
  t.deepEqual(await operator.lost(), NOTHING);
});
