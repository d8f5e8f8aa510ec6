import { renameSync } from 'node:fs';
import test from 'ava';
import { follow } from './follow.js';
import { Operator } from './operator.js';

const NOTHING = { errors: 0, wrong: 0 };
/** What the text says beside its steps. */
const WRITE_PATH = 'at its place in';

function correctPath(operator: Operator, from: string, to: string): () => void {
  return () => operator.edit(`"${from}"`, JSON.stringify(to));
}

test.serial(
  'MEMBER_FAILED_*: the advice about a member that died is followed, and the array is whole, at the next start too',
  async (t) => {
    const operator = await Operator.serving(t);
    operator.kill('data-1');
    await operator.write(64, 64);
    const before = await operator.until('a failed member', ({ state }) => state === 'degraded');
    const alarm = before.alarms.find(({ code }) => code === 'MEMBER_FAILED_1');
    t.regex(alarm?.message ?? '', /: (EIO|ENOSPC|EBADF|EINVAL)$/, 'it says which error the device gave');
    const device = operator.newPath();
    const { outcomes } = await follow(operator, alarm?.action ?? '', {
      devices: [device],
      deeds: { [WRITE_PATH]: correctPath(operator, 'data-1', device) },
    });
    t.deepEqual(
      outcomes.map(({ exit }) => exit),
      [0],
    );
    t.is(await operator.alarm('MEMBER_FAILED_'), null);
    t.is((await operator.status()).exit, 0);
    t.is(await operator.restart(), null);
    t.is((await operator.status()).exit, 0);
    t.deepEqual(await operator.lost(), NOTHING);
  },
);

test.serial('MEMBER_FAILED_*: a device that is only at another path is taken again: nobody is told to buy a new one', async (t) => {
  const operator = await Operator.serving(t);
  await operator.stop();
  renameSync(operator.path('data-2'), operator.path('moved-2'));
  t.is(await operator.serve(), null);
  await operator.write(10, 20);
  const alarm = await operator.alarm('MEMBER_FAILED_2');
  t.regex(alarm?.action ?? '', /its own device, if that is here by another path, else a new one/);
  const { outcomes } = await follow(operator, alarm?.action ?? '', {
    devices: [operator.path('moved-2')],
    deeds: { [WRITE_PATH]: correctPath(operator, 'data-2', operator.path('moved-2')) },
  });
  t.deepEqual(
    outcomes.map(({ exit }) => exit),
    [0],
  );
  t.is(await operator.alarm('MEMBER_FAILED_'), null);
  t.is(await operator.restart(), null);
  t.is((await operator.status()).exit, 0);
  t.deepEqual(await operator.lost(), NOTHING);
});

test.serial('MEMBER_STALE: a member that comes back is named with the command that makes it whole, on its own device', async (t) => {
  const operator = await Operator.serving(t);
  await operator.stop();
  renameSync(operator.path('data-0'), operator.path('away'));
  t.is(await operator.serve(), null);
  await operator.write(5, 40);
  await operator.stop();
  renameSync(operator.path('away'), operator.path('data-0'));
  t.is(await operator.serve(), null);
  const alarm = await operator.alarm('MEMBER_FAILED_0');
  t.regex(alarm?.message ?? '', /was away while the array went on.*MEMBER_STALE/);
  const { commands, outcomes } = await follow(operator, alarm?.action ?? '', { remarks: [/^it is made whole again/] });
  t.deepEqual(commands, [`replace 0 ${operator.path('data-0')}`]);
  t.deepEqual(
    outcomes.map(({ exit }) => exit),
    [0],
  );
  t.is((await operator.status()).exit, 0);
  t.is(await operator.restart(), null);
  t.is((await operator.status()).exit, 0);
  t.deepEqual(await operator.lost(), NOTHING);
});

test.serial('TOLERANCE_ZERO, WOULD_LOSE_DATA: both name the command after which one more loss is survived again', async (t) => {
  const operator = await Operator.serving(t);
  operator.kill('data-1');
  await operator.write(0, 64);
  await operator.until('a failed member', ({ state }) => state === 'degraded');
  const refused = await operator.run('fail', '0');
  t.is(refused.exit, 3);
  t.regex(refused.err, /WOULD_LOSE_DATA/);
  const { outcomes } = await follow(operator, (await operator.alarm('TOLERANCE_ZERO'))?.action ?? '');
  t.deepEqual(
    outcomes.map(({ exit }) => exit),
    [0],
  );
  t.is(await operator.alarm('TOLERANCE_ZERO'), null);
  t.is((await operator.run('fail', '0')).exit, 0, 'and what was refused may be done now');
  t.deepEqual(await operator.lost(), NOTHING);
});

test.serial('REBUILD_NO_DEVICE: rebuild of a degraded array says what it lacks, not that there is nothing to do', async (t) => {
  const operator = await Operator.serving(t);
  t.is((await operator.run('rebuild')).out, 'nothing to rebuild\n', 'of a whole one there is not');
  operator.kill('data-1');
  await operator.write(0, 64);
  await operator.until('a failed member', ({ state }) => state === 'degraded');
  const refused = await operator.run('rebuild');
  t.is(refused.exit, 1);
  t.regex(refused.err, /REBUILD_NO_DEVICE/);
  const { outcomes } = await follow(operator, /do: +(.*)/.exec(refused.err)?.[1] ?? '');
  t.deepEqual(
    outcomes.map(({ exit }) => exit),
    [0],
  );
  t.is((await operator.status()).exit, 0);
  t.is((await operator.run('rebuild')).exit, 0);
});

test.serial(
  'MEMBER_FAILED_*, REBUILD_NO_DEVICE: beyond parity without a backup nobody is told to replace before he knows what that gives up; BLOCKS_LOST: then they are written again',
  async (t) => {
    const operator = await Operator.serving(t, { data: 4 });
    await operator.until(
      'the stripes to have everything',
      ({ journal }) => journal.destagedLsn === journal.headLsn && journal.usedBytes === 0,
    );
    operator.kill('data-1', 'data-2');
    await operator.write(0, 8).catch(() => undefined);
    await operator.until('both to be failed', ({ members }) => members.filter(({ state }) => state === 'failed').length === 2);
    const before = await operator.lost();
    const alarm = await operator.alarm('MEMBER_FAILED_1');
    t.regex(alarm?.action ?? '', /^keep the lost devices; keelson rebuild --plan/);
    const remarks = [/^keep the lost devices/, /^to give that up/];
    const { outcomes, commands } = await follow(operator, alarm?.action ?? '', { remarks });
    t.is(commands[0], 'rebuild --plan');
    t.is(outcomes[0]?.exit, 0);
    const second = await operator.alarm('MEMBER_FAILED_2');
    await follow(operator, second?.action ?? '', { remarks: [...remarks, WRITE_PATH] });
    const after = await operator.lost();
    t.is(after.wrong, 0);
    t.true(after.errors <= before.errors, `${after.errors} errors after, ${before.errors} before`);
    const status = await operator.until('a whole array', ({ members }) => members.every(({ state }) => state === 'online'));
    const lost = status.alarms.find(({ code }) => code === 'BLOCKS_LOST');
    t.regex(lost?.action ?? '', /^write them again/);
    t.notRegex(lost?.action ?? '', /restore|backup/);
    await follow(operator, lost?.action ?? '', {
      deeds: { 'write them again': async () => await operator.write(0, 64) },
      remarks: [/until then/],
    });
    await operator.until('no block to be lost', ({ alarms }) => alarms.every(({ code }) => code !== 'BLOCKS_LOST'));
    t.deepEqual(await operator.lost(), NOTHING);
  },
);

test.serial('MEMBER_FAILED_*: beyond parity with the backup host away, that one is brought back first, and nothing is lost', async (t) => {
  const operator = await Operator.serving(t, { data: 4, backup: true });
  await operator.run('drain', '--wait');
  await operator.until('the stripes to have everything', ({ journal }) => journal.destagedLsn === journal.headLsn);
  await operator.write(64, 4);
  t.is((await operator.run('drain', '--wait')).exit, 0);
  renameSync(operator.path('vault'), operator.path('vault-away'));
  await operator.write(70, 2);
  await operator.run('drain', '--wait');
  operator.kill('data-1', 'data-2');
  await operator.write(0, 8).catch(() => undefined);
  await operator.run('flush');
  await operator.until('both to be failed', ({ members }) => members.filter(({ state }) => state === 'failed').length === 2);
  const alarm = await operator.alarm('MEMBER_FAILED_1');
  const back = {
    'bring the backup host back first': async () => {
      renameSync(operator.path('vault-away'), operator.path('vault'));
      await operator.until('the backup to answer', ({ drain }) => drain.state === 'idle' || drain.state === 'draining');
    },
  };
  await follow(operator, alarm?.action ?? '', { deeds: back });
  await follow(operator, (await operator.alarm('MEMBER_FAILED_2'))?.action ?? '', { remarks: [WRITE_PATH] });
  await operator.until('a whole array', ({ members }) => members.every(({ state }) => state === 'online'));
  t.deepEqual(await operator.lost(), NOTHING);
});

test.serial('REBUILD_WAITS: both ways that it names end with a whole array', async (t) => {
  for (const choice of [0, 1]) {
    const operator = await Operator.serving(t, { data: 4, backup: true });
    t.is((await operator.run('drain', '--wait')).exit, 0);
    operator.kill('data-0', 'data-1', 'data-2');
    await operator.write(0, 8).catch(() => undefined);
    await operator.until('three to be failed', ({ members }) => members.filter(({ state }) => state === 'failed').length === 3);
    await operator.run('replace', '0', operator.newPath());
    const alarm = await operator.alarm('REBUILD_WAITS');
    t.truthy(alarm);
    const clauses = alarm?.action.split('; or ') ?? [];
    const { outcomes } = await follow(operator, clauses[choice] ?? '', { remarks: [/begin with what is there/] });
    t.deepEqual(
      outcomes.map(({ exit }) => exit),
      [0],
      clauses[choice] ?? '',
    );
    t.is(await operator.alarm('REBUILD_WAITS'), null);
    t.is((await operator.status()).status.members[0]?.state, 'online');
    t.deepEqual(await operator.lost(), NOTHING);
    await operator.end();
  }
});
