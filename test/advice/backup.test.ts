import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { follow } from './follow.js';
import { Operator } from './operator.js';

/** Said with every trouble of the backup. */
const RING = 'the ring keeps everything meanwhile';
const NOTHING = { errors: 0, wrong: 0 };

/** Serving, everything on the backup and out of the ring. */
async function drained(t: ExecutionContext): Promise<Operator> {
  const operator = await Operator.serving(t, { backup: true });
  for (let i = 0; i < 2; i++) {
    await operator.write(0, 64);
    t.is((await operator.run('drain', '--wait')).exit, 0);
    await operator.until('the stripes to have everything', ({ journal }) => journal.destagedLsn === journal.headLsn);
  }
  return operator;
}

/** It answers, and takes what there is. */
async function takes(t: ExecutionContext, operator: Operator): Promise<void> {
  await operator.write(70, 4);
  const outcome = await operator.run('drain', '--wait');
  t.is(outcome.exit, 0, outcome.err);
  const { status } = await operator.status();
  t.deepEqual(
    status.alarms.map(({ code }) => code),
    [],
  );
  t.is(status.protection, 'full');
  t.deepEqual(await operator.lost(), NOTHING);
}

test.serial('UNPROTECTED, DRAIN_NO_TARGET: an array without data is given its backup by the key that is named', async (t) => {
  const operator = Operator.at(t);
  t.is((await operator.run('create')).exit, 0);
  t.is(await operator.serve(), null);
  const refused = await operator.run('drain', '--wait');
  t.regex(refused.err, /DRAIN_NO_TARGET/);
  const advice = (await operator.alarm('UNPROTECTED'))?.action ?? '';
  t.true(refused.err.includes(advice));
  await follow(operator, advice, {
    deeds: {
      'set backup.url': async () => {
        operator.edit('[drain]', `[backup]\nurl = "file://${operator.path('vault')}"\ncompression = "none"\n[drain]`);
        t.is(await operator.restart(), null);
        await operator.until('the protection', ({ protection }) => protection === 'full');
      },
    },
  });
  await takes(t, operator);
});

test.serial(
  'UNPROTECTED, NEEDS_SEEDING: an array with data is not told to set what would not help: the volume is copied to one that has a backup',
  async (t) => {
    const operator = await Operator.serving(t);
    const advice = (await operator.alarm('UNPROTECTED'))?.action ?? '';
    t.notRegex(advice, /set backup\.url/);
    operator.edit('[drain]', `[backup]\nurl = "file://${operator.path('vault')}"\ncompression = "none"\n[drain]`);
    t.is(await operator.restart(), null);
    const status = await operator.until('the backup to be refused', ({ alarms }) => alarms.some(({ code }) => code === 'NEEDS_SEEDING'));
    const other = Operator.at(t, { backup: true });
    await follow(other, status.alarms.find(({ code }) => code === 'NEEDS_SEEDING')?.action ?? '', {
      deeds: {
        'copy the volume to it': async () => {
          t.is((await other.run('create')).exit, 0);
          t.is(await other.serve(), null);
          const [from, to] = [await operator.client(), await other.client()];
          for (const [block, fill] of operator.model) {
            await to.write(block * BLOCK_BYTES, await from.read(block * BLOCK_BYTES, BLOCK_BYTES));
            other.model.set(block, fill);
          }
          from.destroy();
          to.destroy();
        },
        'take [backup] out of the configuration': async () => {
          operator.edit(/\[backup\]\n.*\n.*\n/, '');
          t.is(await operator.restart(), null);
        },
      },
    });
    await takes(t, other);
    t.deepEqual(
      (await operator.status()).status.alarms.map(({ code }) => code),
      ['UNPROTECTED'],
    );
  },
);

test.serial(
  'BACKUP_UNREACHABLE, BACKUP_MISSING: a repository that is away is not made anew; when it is back the drain goes on by itself',
  async (t) => {
    const operator = await drained(t);
    renameSync(operator.path('vault'), operator.path('vault-away'));
    await operator.write(70, 4);
    const refused = await operator.run('drain', '--wait');
    t.not(refused.exit, 0);
    await operator.until('the alarm', ({ alarms }) => alarms.some(({ code }) => code === 'BACKUP_UNREACHABLE'));
    const again = await operator.run('drain', '--wait');
    t.regex(again.err, /BACKUP_MISSING/);
    await follow(operator, /do: +(.*)/.exec(again.err)?.[1] ?? '', {
      deeds: { 'mount the file system of the backup host': () => renameSync(operator.path('vault-away'), operator.path('vault')) },
    });
    await operator.until('the backup to answer', ({ alarms }) => alarms.length === 0);
    await takes(t, operator);
  },
);

test.serial('BACKUP_FENCED: without the other process, and after a new start, the array has its backup again', async (t) => {
  const operator = await drained(t);
  await operator.stop();
  const copy = Operator.at(t, { backup: true });
  for (const name of ['data-0', 'data-1', 'data-2', 'journal-0', 'journal-1']) cpSync(operator.path(name), copy.path(name));
  copy.edit(copy.path('vault'), operator.path('vault'));
  t.is(await operator.serve(), null);
  t.is((await operator.run('drain', '--wait')).exit, 0);
  t.is(await copy.serve(), null);
  t.is(await copy.restart(), null);
  const lease = (): string => readFileSync(operator.path('vault/lease'), 'hex');
  const before = lease();
  await copy.until('the lease to be its own', () => lease() !== before);
  await operator.write(70, 4);
  await operator.run('drain', '--wait');
  const status = await operator.until('the alarm', ({ alarms }) => alarms.some(({ code }) => code === 'BACKUP_FENCED'));
  const advice = status.alarms.find(({ code }) => code === 'BACKUP_FENCED')?.action ?? '';
  for (let i = 0; i < 4 && (await operator.run('drain', '--wait')).exit !== 0; i++) {
    await follow(operator, advice, {
      deeds: {
        'stop the other process, then start this server again': async () => {
          await copy.stop();
          t.is(await operator.restart(), null);
          await operator.until('an answer', ({ drain }) => drain.state !== 'draining' && (drain.state as string) !== 'connecting');
        },
      },
      remarks: [/^the ring keeps everything meanwhile/],
    });
  }
  await takes(t, operator);
});

test.serial('BACKUP_PASSPHRASE: the file that is named is corrected, and the backup answers', async (t) => {
  const operator = Operator.at(t, { backup: true });
  writeFileSync(operator.path('secret'), 'right\n', { mode: 0o600 });
  operator.edit('compression = "none"', `compression = "none"\npassphraseFile = "${operator.path('secret')}"`);
  t.is((await operator.run('create')).exit, 0);
  t.is(await operator.serve(), null);
  await operator.write(0, 8);
  t.is((await operator.run('drain', '--wait')).exit, 0);
  writeFileSync(operator.path('secret'), 'wrong\n', { mode: 0o600 });
  t.is(await operator.restart(), null);
  const status = await operator.until('the error', ({ drain }) => drain.lastError !== null);
  t.regex(status.drain.lastError ?? '', /BACKUP_PASSPHRASE/);
  await follow(operator, status.alarms.find(({ code }) => code === 'BACKUP_UNREACHABLE')?.action ?? '', {
    deeds: {
      'correct the file named by backup.passphraseFile': async () => {
        writeFileSync(operator.path('secret'), 'right\n', { mode: 0o600 });
        t.is(await operator.restart(), null);
      },
    },
    remarks: [/^then start the server again/, RING],
  });
  await operator.until('the backup to answer', ({ alarms }) => alarms.length === 0);
  await takes(t, operator);
});

test.serial('BACKUP_CORRUPT: with the file put back, and a new start, the drain goes on', async (t) => {
  const operator = await drained(t);
  await operator.stop();
  const heads = readdirSync(operator.path('vault')).filter((name) => name.startsWith('HEAD-'));
  const whole = heads.map((name) => readFileSync(operator.path(`vault/${name}`)));
  for (const name of heads) writeFileSync(operator.path(`vault/${name}`), Buffer.alloc(200, 0x55));
  t.is(await operator.serve(), null);
  const status = await operator.until('the error', ({ drain }) => drain.lastError !== null);
  t.regex(status.drain.lastError ?? '', /BACKUP_CORRUPT/);
  await follow(operator, status.alarms.find(({ code }) => code === 'BACKUP_UNREACHABLE')?.action ?? '', {
    deeds: {
      'put the file back from a copy of the backup host, then start the server again': async () => {
        for (const [i, name] of heads.entries()) writeFileSync(operator.path(`vault/${name}`), whole[i] as Buffer);
        t.is(await operator.restart(), null);
      },
    },
    remarks: [/^until then/, RING],
  });
  await operator.until('the backup to answer', ({ alarms }) => alarms.length === 0);
  await takes(t, operator);
});

test.serial('BACKUP_FOREIGN, BACKUP_EMPTY: the right URL takes the drain, and an empty repository gives a new array', async (t) => {
  const other = await drained(t);
  await other.stop();
  const operator = await drained(t);
  await operator.stop();
  operator.edit(operator.path('vault'), other.path('vault'));
  t.is(await operator.serve(), null);
  const status = await operator.until('the error', ({ drain }) => drain.lastError !== null);
  t.regex(status.drain.lastError ?? '', /BACKUP_FOREIGN/);
  await follow(operator, status.alarms.find(({ code }) => code === 'BACKUP_UNREACHABLE')?.action ?? '', {
    deeds: {
      'correct backup.url': async () => {
        operator.edit(other.path('vault'), operator.path('vault'));
        t.is(await operator.restart(), null);
      },
    },
    remarks: [/empty directory/, /^then start the server again/, RING],
  });
  await operator.until('the backup to answer', ({ alarms }) => alarms.length === 0);
  await takes(t, operator);

  const fresh = Operator.at(t, { backup: true });
  mkdirSync(fresh.path('vault'));
  const made = Operator.at(t, { backup: true });
  made.edit(made.path('vault'), fresh.path('vault'));
  t.is((await made.run('create')).exit, 0);
  t.is(await made.serve(), null);
  await made.until('the repository to be made', ({ drain }) => drain.state === 'idle');
  await made.stop();
  const refused = await fresh.run('restore');
  t.is(refused.exit, 5);
  t.regex(refused.err, /BACKUP_EMPTY/);
  const { outcomes } = await follow(fresh, /do: +(.*)/.exec(refused.err)?.[1] ?? '', {
    deeds: { 'name an empty directory in backup.url': () => fresh.edit(fresh.path('vault'), fresh.path('another')) },
  });
  t.deepEqual(
    outcomes.map(({ exit }) => exit),
    [0],
  );
});
