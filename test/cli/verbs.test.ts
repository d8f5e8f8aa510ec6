import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import { PLAN, REBUILT, STATUS } from '../control/fake-target.js';
import { CliRig, served, startServer } from './rig.js';

const VERBS = [
  'create',
  'serve',
  'status',
  'stop',
  'flush',
  'drain',
  'fail',
  'replace',
  'rebuild',
  'restore',
  'inspect',
  'wipe',
  'bench',
  'stress',
];

for (const verb of VERBS) {
  test(`${verb} --help explains it with an example and ends with 0`, async (t) => {
    const rig = new CliRig(t);
    t.is(await rig.run(verb, '--help'), 0);
    t.regex(rig.stdout, new RegExp(`Examples?:\n  keelson ${verb}`));
    t.is(rig.stderr, '');
  });
}

test('help and help VERB are --help', async (t) => {
  const rig = new CliRig(t);
  t.is(await rig.run('help'), 0);
  t.regex(rig.stdout, /^Usage: keelson \[options\] \[command\]/);
  t.is(await rig.run('help', 'drain'), 0);
  t.regex(rig.stdout, /^Usage: keelson drain/);
});

test('--help lists every verb and the exit statuses', async (t) => {
  const rig = new CliRig(t);
  t.is(await rig.run('--help'), 0);
  for (const verb of VERBS) t.regex(rig.stdout, new RegExp(`^  ${verb} `, 'm'));
  t.regex(rig.stdout, /4 {2}degraded but working/);
  t.is(await rig.run('--version'), 0);
  t.regex(rig.stdout, /^\d+\.\d+\.\d+\n$/);
});

for (const args of [
  ['scrub'],
  ['add', 'x'],
  ['nonsense'],
  [],
  ['status', '--bogus'],
  ['fail'],
  ['fail', '1', '2'],
  ['replace', '1'],
  ['status', '-c'],
  ['bench', 'disk'],
  ['bench', 'volume', '--chart', 'x.svg'],
  ['bench'],
  ['stress', '--faults', 'gremlins'],
  ['stress', '--seed', 'one'],
  ['stress', '--seeds', '0'],
  ['stress', '--script', 'x.json', '--seed', '1'],
  ['stress', '--script', '/nowhere/x.json'],
]) {
  test(`wrong usage ends with 2 and says so: ${JSON.stringify(args)}`, async (t) => {
    const rig = new CliRig(t);
    t.is(await rig.run(...args), 2);
    t.not(rig.stderr, '');
    t.is(rig.stdout, '');
  });
}

test('a wrong configuration ends with 2 and names file and line', async (t) => {
  const rig = new CliRig(t, 'name = "vault"\n[stripe]\nmembers = ["a", "b", "c"]\nparity = 0\n');
  t.is(await rig.run('status', '-c', rig.config), 2);
  t.true(rig.stderr.startsWith(`keelson: ${rig.config}: one mistake in the configuration (CONFIG)\n`), rig.stderr);
  t.true(rig.stderr.includes(`${rig.config}:4: stripe.parity: found 0`));
  t.is(await rig.run('status', '-c', join(rig.folder, 'none.toml')), 2);
  t.regex(rig.stderr, /CONFIG_MISSING/);
});

for (const args of [['status'], ['stop'], ['flush'], ['drain'], ['fail', '1'], ['replace', '1', 'x'], ['rebuild'], ['rebuild', '--plan']]) {
  test(`without a server it fails and says how to start one: ${args.join(' ')}`, async (t) => {
    const rig = new CliRig(t);
    t.is(await rig.run(...args, '-c', rig.config), 1);
    t.regex(
      rig.stderr,
      /^keelson: the server of this array is not running \(CONTROL_NOT_RUNNING\)\n {2}found: .*keelson\.ctl\n {2}expected: .*\n {2}do: .*keelson serve/,
    );
  });
}

test('create reports the new array; a refusal ends with 3 and keeps its advice', async (t) => {
  const rig = new CliRig(t);
  t.is(await rig.run('create', '-c', rig.config), 0);
  t.regex(rig.stdout, /^created vault: 8 members, volume of 1\.00 GiB/);
  t.is(await rig.run('create', '--force', '--json', '-c', rig.config), 0);
  t.like(JSON.parse(rig.stdout), { uuid: 'u-u-i-d', volumeBytes: 2 ** 30 });
  t.deepEqual(rig.engine.calls, ['create false', 'create true']);
  rig.engine.refusal = new KeelsonError('MEMBER_IN_USE', '/dev/sdb holds ext4', { action: 'insist with --force', exit: 3 });
  t.is(await rig.run('create', '-c', rig.config), 3);
  t.is(rig.stderr, 'keelson: /dev/sdb holds ext4 (MEMBER_IN_USE)\n  do:       insist with --force\n');
});

test('status ends with 0, 4 or 5 as the array is', async (t) => {
  const rig = await served(t);
  for (const [state, exit] of [
    ['online', 0],
    ['degraded', 4],
    ['beyond-parity', 4],
    ['failed', 5],
  ] as const) {
    rig.engine.target.current = { ...STATUS, state };
    t.is(await rig.run('status', '-c', rig.config), exit, state);
    t.true(rig.stdout.includes(state.toUpperCase()));
    t.is(await rig.run('status', '--json', '-c', rig.config), exit);
    t.deepEqual(JSON.parse(rig.stdout), { ...STATUS, state });
  }
});

test('status shows what may be lost, what survives, and every alarm with what to do', async (t) => {
  const rig = await served(t);
  rig.engine.target.current = {
    ...STATUS,
    protection: 'unprotected',
    drain: { ...STATUS.drain, lastError: 'connection refused', state: 'unreachable' },
    rebuild: { ...REBUILT, doneBytes: 1024, totalBytes: 4096, secondsLeft: 100 },
    alarms: [{ code: 'MEMBER_FAILED', message: 'member 1 has failed', action: 'keelson replace 1 DEV' }],
  };
  await rig.run('status', '-c', rig.config);
  for (const line of [
    'vault  ONLINE; UNPROTECTED: no backup',
    '  survives 4 more device losses: parity covers 2, and 2 journal copies outside the stripes',
    '  ! member 1 has failed (MEMBER_FAILED)',
    '    do: keelson replace 1 DEV',
    '  #  role     state   read err  write err  checksum err  device',
    '  1  data     failed         3          1             2  /dev/<sdc>',
    '  2 copies, 64.0 MiB of 256 MiB used (25 %)',
    '  3.00 MiB not yet on the backup, the oldest for 13 s',
    '  last error: connection refused',
    '  1.00 KiB of 4.00 KiB (25 %), 1 min 40 s left',
  ]) {
    t.true(rig.stdout.split('\n').includes(line), `${line}\n${rig.stdout}`);
  }
  rig.engine.target.current = { ...STATUS, drain: { ...STATUS.drain, target: null } };
  await rig.run('status', '-c', rig.config);
  t.regex(rig.stdout, /none: losing this host loses the volume/);
});

test('status --watch shows it again until a signal', async (t) => {
  const rig = await served(t);
  let shown = 0;
  rig.onWrite = () => {
    shown++;
    if (shown === 3) rig.signal('SIGINT');
  };
  t.is(await rig.run('status', '--watch', '--json', '-c', rig.config), 0);
  t.is(rig.stdout.trimEnd().split('\n').length, 3);
  t.deepEqual(rig.exits, [0]);
});

for (const json of [[], ['--json']]) {
  test(`status --watch ${json.join('')} goes on over a restart of the server, and says once that it is gone`, async (t) => {
    const rig = new CliRig(t);
    const server = await startServer(t, rig);
    let gone = false;
    rig.onWrite = () => {
      if (gone) rig.signal('SIGINT');
      else void server.close();
    };
    rig.onComplaint = () => {
      gone = true;
      void startServer(t, rig);
    };
    t.is(await rig.run('status', '--watch', ...json, '-c', rig.config), 0);
    t.is(rig.stderr.match(/CONTROL_NOT_RUNNING|CONTROL_LOST/g)?.length, 1, rig.stderr);
    t.deepEqual(rig.exits, [0]);
  });
}

test('flush, fail and replace reach the server with what was typed', async (t) => {
  const rig = await served(t);
  const c = ['-c', rig.config];
  t.is(await rig.run('flush', ...c), 0);
  t.is(await rig.run('fail', '3', ...c), 3);
  t.regex(rig.stderr, /insist with --force/);
  t.is(await rig.run('fail', '3', '--force', ...c), 0);
  t.is(await rig.run('replace', '/dev/sdb', '/dev/sdh', ...c), 0);
  t.regex(rig.stdout, /^rebuilt 4\.00 KiB: from survivors 1\.00 KiB, parity 3\.00 KiB/);
  t.true(
    rig.stdout.endsWith(`\nnow put /dev/sdh in the place of /dev/sdb in ${rig.config}: the next start looks there\n`),
    'the next start finds members by the file',
  );
  t.is(await rig.run('replace', '1', '/bad', ...c), 1);
  t.is(await rig.run('replace', '1', '/dev/sdi', '--force', ...c), 0);
  t.deepEqual(rig.engine.target.calls, [
    'flush',
    'fail 3 false',
    'fail 3 true',
    'replace /dev/sdb /dev/sdh false',
    'replace 1 /bad false',
    'replace 1 /dev/sdi true',
  ]);
});

test('a replace that lost blocks ends with 5 and says how many, in text and as JSON; --give-up names a member', async (t) => {
  const rig = await served(t);
  const c = ['-c', rig.config];
  t.is(await rig.run('replace', '1', '/lossy', '--give-up', '3', ...c), 5);
  t.regex(rig.stdout, /\n34 blocks were lost: .*keelson status lists them/);
  t.regex(rig.stdout, /now put \/lossy in the place of a path that no member is at any more/);
  t.is(await rig.run('replace', '1', '/lossy', '--json', ...c), 5);
  t.regex(rig.stdout, /"lostBlocks":34/);
  t.is(await rig.run('replace', '1', '/dev/sdh', '--json', ...c), 0);
  t.deepEqual(rig.engine.target.calls, ['replace 1 /lossy false giving up 3', 'replace 1 /lossy false', 'replace 1 /dev/sdh false']);
});

test('long work with --json prints an object a line: progress with rate and time left, then the result', async (t) => {
  const rig = await served(t);
  t.is(await rig.run('drain', '--wait', '--json', '-c', rig.config), 0);
  const lines = rig.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  t.is(lines.length, 3);
  t.like(lines[0], { task: 'drain', doneBytes: 1, totalBytes: 2 });
  t.deepEqual(Object.keys(lines[0] ?? {}).sort(), ['bytesPerSecond', 'doneBytes', 'secondsLeft', 'task', 'totalBytes']);
  t.deepEqual(lines[2], { drainedLsn: 1200, lostBlocks: 0 });
});

test('rebuild --plan says where each range comes from', async (t) => {
  const rig = await served(t);
  t.is(await rig.run('rebuild', '--plan', '-c', rig.config), 0);
  t.regex(rig.stdout, /^ +65536 +4\.00 KiB +journal$/m);
  t.regex(rig.stdout, /in all: survivor 0 B, parity 64\.0 KiB, journal 4\.00 KiB, backup 0 B; about 1 min 1 s/);
  await rig.run('rebuild', '--plan', '--json', '-c', rig.config);
  t.deepEqual(JSON.parse(rig.stdout), PLAN);
  t.is(await rig.run('rebuild', '-c', rig.config), 0);
  t.is(rig.stdout, 'nothing to rebuild\n');
});

test('stop returns when the server is gone', async (t) => {
  const rig = await served(t);
  t.is(await rig.run('stop', '-c', rig.config), 0);
  t.is(await rig.run('status', '-c', rig.config), 1);
});

test('serve prints a line for each export and stops cleanly at a signal, at `stop`, and at a second signal at once', async (t) => {
  const rig = new CliRig(t);
  const c = ['-c', rig.config];
  process.env.KEELSON_LOG = 'silent';
  rig.onWrite = (text) => {
    if (text.includes('nbd://')) rig.signal('SIGTERM');
  };
  t.is(await rig.run('serve', ...c), 0);
  t.is(rig.stdout, 'serving nbd+unix:///vault?socket=/x\nserving nbd://127.0.0.1:10809/vault\n');
  t.deepEqual(rig.engine.calls, ['open', 'close']);
  t.deepEqual(rig.exits, []);

  rig.onWrite = (text) => {
    if (!text.includes('nbd://')) return;
    rig.signal('SIGINT');
    rig.signal('SIGINT');
  };
  await rig.run('serve', ...c);
  t.deepEqual(rig.exits, [130]);
});

test('serve ends with the error that the array cannot go on with', async (t) => {
  const rig = new CliRig(t);
  process.env.KEELSON_LOG = 'silent';
  rig.onWrite = () => rig.engine.endWith(new KeelsonError('FENCED', 'a newer epoch owns the members', { exit: 5 }));
  t.is(await rig.run('serve', '-c', rig.config), 5);
  t.regex(rig.stderr, /FENCED/);
  t.deepEqual(rig.engine.calls, ['open', 'close']);
});

test('serve releases the members when its control socket cannot be made', async (t) => {
  const rig = new CliRig(t, 'name = "v"\n[stripe]\nmembers = ["a", "b", "c"]\n[control]\nsocket = "none/ctl"\n');
  process.env.KEELSON_LOG = 'silent';
  t.is(await rig.run('serve', '-c', rig.config), 1);
  t.regex(rig.stderr, /CONTROL_LISTEN/);
  t.deepEqual(rig.engine.calls, ['open', 'close']);
});

test('restore offers the newest image alone: --help names no other point, and another one is refused', async (t) => {
  const rig = new CliRig(t);
  t.is(await rig.run('restore', '--force', '-c', rig.config), 0);
  t.regex(rig.stdout, /^restored 1\.50 KiB: the volume is as it was at LSN 7/);
  t.is(await rig.run('restore', '--to', 'newest', '-c', rig.config), 0);
  t.deepEqual(rig.engine.calls, ['restore true', 'restore false']);
  for (const other of ['12', '2026-11-22T10:00:00Z', 'soon', '']) {
    t.is(await rig.run('restore', '--to', other, '-c', rig.config), 2, other);
    t.regex(rig.stderr, /RESTORE_POINT/);
  }
  await rig.run('restore', '--help');
  t.notRegex(rig.stdout, /--to|LSN|20\d\d-/);
});

test('restore says up to what, of when, and whether it is the newest; what is not there, or not the newest, ends with 5', async (t) => {
  const rig = new CliRig(t);
  t.is(await rig.run('restore', '-c', rig.config), 0);
  t.regex(rig.stdout, /at LSN 7, published at 2025-11-24T16:00:00\.000Z, the newest that the backup has\n$/);
  t.is(await rig.run('restore', '--json', '-c', rig.config), 0);
  t.like(JSON.parse(rig.stdout.trimEnd().split('\n').at(-1) as string), { lsn: 7, newest: true, time: '2025-11-24T16:00:00.000Z' });

  rig.engine.restored = { lostBlocks: 3 };
  t.is(await rig.run('restore', '-c', rig.config), 5);
  t.regex(rig.stdout, /the newest that the backup has, but for 3 blocks\n$/);
  t.regex(rig.stderr, /^3 blocks of it had been lost/);

  rig.engine.restored = { newestLsn: 9 };
  t.is(await rig.run('restore', '-c', rig.config), 5);
  t.notRegex(rig.stdout, /newest/);
  t.regex(rig.stderr, /newer image now, of LSN 9[\s\S]*do: stop that server, then keelson restore --force/);

  rig.engine.restored = { newestLsn: null };
  t.is(await rig.run('restore', '-c', rig.config), 0);
  t.notRegex(rig.stdout, /newest/);
  t.regex(rig.stderr, /did not say/);
});

test('inspect needs no configuration and prints what the device says', async (t) => {
  const rig = new CliRig(t);
  t.is(await rig.run('inspect', '/dev/sdb'), 0);
  t.is(rig.stdout, 'path: /dev/sdb\nsuperblock:\n  epoch: 3\n  zones:\n    data: 0, 4096\nmembers 0:\n  index: 0\n  state: online\n');
  t.is(await rig.run('inspect', '/dev/sdb', '--json'), 0);
  t.like(JSON.parse(rig.stdout), { superblock: { epoch: 3 } });
});

test('KEELSON_CONFIG names the configuration when -c does not', async (t) => {
  const rig = await served(t);
  writeFileSync(join(rig.folder, 'other.toml'), 'nonsense');
  const before = process.env.KEELSON_CONFIG;
  process.env.KEELSON_CONFIG = rig.config;
  t.is(await rig.run('status'), 0);
  t.is(await rig.run('status', '-c', join(rig.folder, 'other.toml')), 2, '-c wins');
  if (before === undefined) delete process.env.KEELSON_CONFIG;
  else process.env.KEELSON_CONFIG = before;
});
