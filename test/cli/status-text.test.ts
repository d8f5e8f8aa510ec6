import { stripVTControlCharacters } from 'node:util';
import test from 'ava';
import { statusText } from '../../src/cli/status-text.js';
import type { ArrayState, ArrayStatus } from '../../src/control/status.js';
import { STATUS } from '../control/fake-target.js';

const PLAIN = { colour: false, columns: Number.POSITIVE_INFINITY };
const MIB = 2 ** 20;

type Backup = 'whole' | 'behind' | 'connecting' | 'unreachable' | 'unreachable behind' | 'seeding' | 'unprotected';

function statusOf(state: ArrayState, backup: Backup): ArrayStatus {
  const protection = backup === 'seeding' || backup === 'unprotected' ? backup : 'full';
  const drain = {
    ...STATUS.drain,
    undrainedBytes: backup.endsWith('behind') ? 3 * MIB : 0,
    state: backup === 'connecting' ? backup : backup.startsWith('unreachable') ? ('unreachable' as const) : ('idle' as const),
  };
  return { ...STATUS, state, protection, drain, alarms: [] };
}

/** All of them: none may read as if one half qualified the other. */
const HEADLINES: Record<ArrayState, Record<Backup, string>> = {
  online: {
    whole: 'vault  ONLINE; backed up',
    behind: 'vault  ONLINE; backed up but for 3.00 MiB',
    connecting: 'vault  ONLINE; BACKUP NOT REACHED YET',
    unreachable: 'vault  ONLINE; BACKUP UNREACHABLE, nothing waits to be drained',
    'unreachable behind': 'vault  ONLINE; BACKUP UNREACHABLE, 3.00 MiB waits to be drained',
    seeding: 'vault  ONLINE; SEEDING: the backup is not complete yet',
    unprotected: 'vault  ONLINE; UNPROTECTED: no backup',
  },
  degraded: {
    whole: 'vault  DEGRADED, still serving; backed up',
    behind: 'vault  DEGRADED, still serving; backed up but for 3.00 MiB',
    connecting: 'vault  DEGRADED, still serving; BACKUP NOT REACHED YET',
    unreachable: 'vault  DEGRADED, still serving; BACKUP UNREACHABLE, nothing waits to be drained',
    'unreachable behind': 'vault  DEGRADED, still serving; BACKUP UNREACHABLE, 3.00 MiB waits to be drained',
    seeding: 'vault  DEGRADED, still serving; SEEDING: the backup is not complete yet',
    unprotected: 'vault  DEGRADED, still serving; UNPROTECTED: no backup',
  },
  'beyond-parity': {
    whole: 'vault  BEYOND-PARITY, still serving; backed up',
    behind: 'vault  BEYOND-PARITY, still serving; backed up but for 3.00 MiB',
    connecting: 'vault  BEYOND-PARITY, still serving; BACKUP NOT REACHED YET',
    unreachable: 'vault  BEYOND-PARITY, still serving; BACKUP UNREACHABLE, nothing waits to be drained',
    'unreachable behind': 'vault  BEYOND-PARITY, still serving; BACKUP UNREACHABLE, 3.00 MiB waits to be drained',
    seeding: 'vault  BEYOND-PARITY, still serving; SEEDING: the backup is not complete yet',
    unprotected: 'vault  BEYOND-PARITY, still serving; UNPROTECTED: no backup',
  },
  failed: {
    whole: 'vault  FAILED, data are unavailable; backed up',
    behind: 'vault  FAILED, data are unavailable; backed up but for 3.00 MiB',
    connecting: 'vault  FAILED, data are unavailable; BACKUP NOT REACHED YET',
    unreachable: 'vault  FAILED, data are unavailable; BACKUP UNREACHABLE, nothing waits to be drained',
    'unreachable behind': 'vault  FAILED, data are unavailable; BACKUP UNREACHABLE, 3.00 MiB waits to be drained',
    seeding: 'vault  FAILED, data are unavailable; SEEDING: the backup is not complete yet',
    unprotected: 'vault  FAILED, data are unavailable; UNPROTECTED: no backup',
  },
};

for (const [state, headlines] of Object.entries(HEADLINES) as [ArrayState, Record<Backup, string>][]) {
  for (const [backup, expected] of Object.entries(headlines) as [Backup, string][]) {
    test(`the headline of ${state} with a backup that is ${backup} reads: ${expected}`, (t) => {
      const status = statusOf(state, backup);
      t.is(statusText(status, PLAIN).split('\n')[0], expected);
      const painted = statusText(status, { ...PLAIN, colour: true }).split('\n')[0] ?? '';
      t.is(stripVTControlCharacters(painted), expected, 'colour adds nothing and takes nothing away');
      if (state !== 'failed') t.regex(statusText(status, PLAIN), /survives/);
      else t.notRegex(statusText(status, PLAIN), /survives/, 'a failed array promises no survival');
    });
  }
}

const LONG_ALARM = {
  code: 'RING_WITHOUT_COPY',
  message:
    '1 ring segment that the backup does not have is on no journal member any more: what is in it is safe in the stripes and in this process',
  action: 'wait until this is gone, or keelson drain --wait, before you stop the server',
};

for (const columns of [40, 60, 80, 120]) {
  test(`nothing but a path or a table of lost ranges is wider than the terminal of ${columns} columns`, (t) => {
    const status: ArrayStatus = {
      ...statusOf('beyond-parity', 'unreachable behind'),
      alarms: [LONG_ALARM],
      rebuild: { doneBytes: MIB, totalBytes: 4 * MIB, fromSurvivors: 0, fromParity: MIB, fromJournal: 0, fromBackup: 0, secondsLeft: 61 },
      drain: { ...STATUS.drain, lastError: 'connect ECONNREFUSED after ten attempts, the last of them a moment ago' },
    };
    const text = statusText(status, { colour: false, columns });
    for (const line of text.split('\n')) t.true(line.length <= columns || !line.trim().includes(' '), line);
    t.is(text.match(/RING_WITHOUT_COPY/g)?.length, 1);
    t.is(text.match(/do: /g)?.length, 1);
    for (const { path } of status.members) t.true(text.includes(path), path);
  });
}

test('an alarm is its message with the code once, then what to do, each on lines of its own', (t) => {
  const text = statusText({ ...STATUS, alarms: [LONG_ALARM] }, { colour: false, columns: 72 });
  t.true(
    text.includes(`  ! 1 ring segment that the backup does not have is on no journal member
    any more: what is in it is safe in the stripes and in this process
    (RING_WITHOUT_COPY)
    do: wait until this is gone, or keelson drain --wait, before you
        stop the server
`),
    text,
  );
});

test('what an alarm of the backup says is not said again under backup', (t) => {
  const drain = { ...STATUS.drain, state: 'unreachable' as const, lastError: 'connect ECONNREFUSED (BACKUP_UNREACHABLE); do: check it' };
  const alarm = { code: 'BACKUP_UNREACHABLE', message: 'connect ECONNREFUSED', action: 'check it' };
  const text = statusText({ ...STATUS, drain, alarms: [alarm] }, PLAIN);
  t.is(text.match(/ECONNREFUSED/g)?.length, 1, text);
  t.is(text.match(/BACKUP_UNREACHABLE/g)?.length, 1, text);
  t.regex(statusText({ ...STATUS, drain }, PLAIN), /last error: connect ECONNREFUSED/, 'without the alarm it is');
});

test('without a terminal every sentence is one line, for those who search', (t) => {
  const text = statusText({ ...STATUS, alarms: [LONG_ALARM] }, PLAIN);
  t.true(text.split('\n').includes(`  ! ${LONG_ALARM.message} (${LONG_ALARM.code})`));
});

test('errors of members are shown on a narrow terminal where there are any', (t) => {
  const text = statusText(STATUS, { colour: false, columns: 40 });
  t.true(text.includes('  1  data  failed\n     /dev/<sdc>\n     3 read errors\n     1 write error\n     2 checksum errors\n'), text);
  t.is(text.match(/read error/g)?.length, 1);
});

test('one is singular', (t) => {
  const one = { ...STATUS, tolerance: { devices: 1, because: 'x' }, journal: { ...STATUS.journal, copies: 1 } };
  const scrub = { state: 'running' as const, doneBytes: 1, totalBytes: 2, errorsFound: 1, errorsRepaired: 1 };
  const text = statusText({ ...one, scrub }, PLAIN);
  for (const words of ['survives 1 more device loss: x', '  1 copy, ', ', 1 error found, 1 repaired']) t.true(text.includes(words), words);
});

test('NO_COLOR leaves the words', (t) => {
  const before = process.env.NO_COLOR;
  t.teardown(() => {
    if (before === undefined) delete process.env.NO_COLOR;
    else process.env.NO_COLOR = before;
  });
  process.env.NO_COLOR = '1';
  const status = statusOf('failed', 'unprotected');
  t.is(statusText(status, { ...PLAIN, colour: true }), statusText(status, PLAIN));
});
