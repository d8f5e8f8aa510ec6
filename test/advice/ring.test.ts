import { renameSync } from 'node:fs';
import test from 'ava';
import { follow } from './follow.js';
import { Operator } from './operator.js';

const NOTHING = { errors: 0, wrong: 0 };
const STAY = [/^do not stop the server/];

/** Everything is on the backup and out of the ring. */
async function drained(operator: Operator): Promise<void> {
  for (let i = 0; i < 2; i++) {
    await operator.write(0, 64);
    await operator.run('drain', '--wait');
    await operator.until('the stripes to have everything', ({ journal }) => journal.destagedLsn === journal.headLsn);
  }
}

test.serial('JOURNAL_GONE: writes are refused with a reason, the advice is followed, and they are taken again', async (t) => {
  const operator = await Operator.serving(t);
  operator.kill('journal-0', 'journal-1');
  await t.throwsAsync(operator.write(64, 4), { message: /NBD error 5: .*journal/ });
  const { status, exit } = await operator.status();
  t.is(exit, 4);
  const alarm = status.alarms.find(({ code }) => code === 'JOURNAL_GONE');
  t.is(alarm?.action, 'keelson replace 3 NEW-DEVICE or keelson replace 4 NEW-DEVICE; do not stop the server before');
  const { outcomes } = await follow(operator, alarm?.action ?? '', { remarks: STAY });
  t.deepEqual(
    outcomes.map(({ exit: one }) => one),
    [0],
  );
  t.is(await operator.alarm('JOURNAL_GONE'), null);
  await operator.write(64, 4);
  t.deepEqual(await operator.lost(), NOTHING);
});

test.serial(
  'JOURNAL_GONE: it is raised at the start, before any write fails, when a whole array starts without its journal members',
  async (t) => {
    const operator = await Operator.serving(t);
    await operator.stop();
    for (const i of [0, 1]) renameSync(operator.path(`journal-${i}`), operator.path(`away-${i}`));
    t.is(await operator.serve(), null);
    const { status, exit } = await operator.status();
    t.is(exit, 4);
    const alarm = status.alarms.find(({ code }) => code === 'JOURNAL_GONE');
    t.truthy(alarm, 'raised although nobody wrote anything');
    await follow(operator, alarm?.action ?? '', { remarks: STAY, choice: 1 });
    t.is(await operator.alarm('JOURNAL_GONE'), null);
    await operator.write(64, 4);
    t.deepEqual(await operator.lost(), NOTHING);
  },
);

test.serial('RING_WITHOUT_COPY: what it tells is done, and a start after it needs nobody who is gone', async (t) => {
  const operator = await Operator.serving(t, { backup: true });
  operator.kill('journal-0', 'journal-1');
  await operator.write(64, 4).catch(() => undefined);
  const alarm = await operator.alarm('RING_WITHOUT_COPY');
  t.truthy(alarm);
  const devices = [operator.newPath()];
  await follow(operator, alarm?.action ?? '', { remarks: STAY, devices });
  await operator.until('copies again', ({ alarms }) => alarms.every(({ code }) => code !== 'RING_WITHOUT_COPY'));
  operator.edit('"journal-0"', JSON.stringify(devices[0]));
  await operator.crash();
  t.is(await operator.serve(), null);
  t.deepEqual(await operator.lost(), NOTHING);
});

test.serial(
  'RING_FULL: writers that wait for the backup host are an alarm and exit status 4, and its advice lets them go on',
  async (t) => {
    const operator = await Operator.serving(t, { backup: true });
    await drained(operator);
    t.is((await operator.status()).exit, 0);
    renameSync(operator.path('vault'), operator.path('vault-away'));
    const writes = Array.from({ length: 12 }, (_, i) => operator.write(100 + 256 * i, 256));
    const all = Promise.all(writes);
    all.catch(() => undefined);
    await operator.until('the ring to be full', ({ alarms }) =>
      alarms.some(({ code, message }) => code === 'RING_FULL' && message.includes('BACKUP_MISSING')),
    );
    const { exit, status } = await operator.status();
    t.is(exit, 4);
    t.is(status.state, 'online');
    const alarm = status.alarms.find(({ code }) => code === 'RING_FULL');
    t.regex(alarm?.message ?? '', /writers have waited for room in the ring for \d+ s .*(BACKUP_|vault)/);
    await follow(operator, alarm?.action ?? '', {
      deeds: { 'mount the file system of the backup host': () => renameSync(operator.path('vault-away'), operator.path('vault')) },
      remarks: [/^the drain goes on by itself/],
    });
    await all;
    await operator.until('room', ({ alarms }) => alarms.every(({ code }) => code !== 'RING_FULL'));
    t.is((await operator.status()).exit, 0);
    t.deepEqual(await operator.lost(), NOTHING);
  },
);

test.serial(
  'DESTAGE_BLOCKED, RING_FULL: beyond parity the ring keeps the writes, both name the members, and with them it goes on',
  async (t) => {
    const operator = await Operator.serving(t, { data: 4, backup: true });
    t.is((await operator.run('drain', '--wait')).exit, 0);
    operator.kill('data-1', 'data-2');
    const writes = Array.from({ length: 12 }, (_, i) => operator.write(100 + 256 * i, 256));
    const all = Promise.all(writes);
    all.catch(() => undefined);
    const status = await operator.until('the ring to be full', ({ alarms }) => alarms.some(({ code }) => code === 'RING_FULL'));
    const blocked = status.alarms.find(({ code }) => code === 'DESTAGE_BLOCKED');
    const full = status.alarms.find(({ code }) => code === 'RING_FULL');
    t.is(blocked?.action, full?.action);
    const { outcomes } = await follow(operator, blocked?.action ?? '');
    t.is(outcomes.length, 2);
    await all;
    await operator.until('a whole array', ({ members, alarms }) => members.every(({ state }) => state === 'online') && alarms.length === 0);
    t.deepEqual(await operator.lost(), NOTHING);
  },
);
