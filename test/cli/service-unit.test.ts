import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ROOT } from '../house/source-files.js';
import { CliRig } from './rig.js';

const UNIT = readFileSync(join(ROOT, 'examples/keelson.service'), 'utf8');

/** All values of a setting, in the order of the file. */
function values(setting: string): string[] {
  return UNIT.split('\n').flatMap((line) => (line.startsWith(`${setting}=`) ? [line.slice(setting.length + 1)] : []));
}

test('the unit starts a verb that is there, with the configuration named', async (t) => {
  const [command = ''] = values('ExecStart');
  const [, verb = '', flag = '', file = ''] = command.split(' ');
  t.deepEqual([flag, file], ['-c', '/etc/keelson/keelson.toml']);
  t.is(await new CliRig(t).run(verb, '--help'), 0);
});

test('the unit gives no right of root, no device that is not named, and a read-only system', (t) => {
  const wanted = {
    User: 'keelson',
    NoNewPrivileges: 'yes',
    CapabilityBoundingSet: '',
    AmbientCapabilities: '',
    DevicePolicy: 'closed',
    ProtectSystem: 'strict',
    ProtectHome: 'yes',
    PrivateTmp: 'yes',
    RestrictNamespaces: 'yes',
    RestrictAddressFamilies: 'AF_UNIX AF_INET AF_INET6',
    LimitMEMLOCK: 'infinity',
    LimitCORE: '0',
    UMask: '0077',
    StateDirectoryMode: '0700',
    RuntimeDirectoryMode: '0700',
  };
  for (const [setting, value] of Object.entries(wanted)) t.deepEqual(values(setting), [value], setting);
  t.deepEqual(values('DeviceAllow'), [], 'the devices of one machine are named in its own drop-in');
});

test('the unit shuts nothing that the engine needs: io_uring, memory of V8, placing of threads', (t) => {
  t.deepEqual(values('MemoryDenyWriteExecute'), ['no']);
  const calls = values('SystemCallFilter').filter((value) => !value.startsWith('~'));
  const allowed = new Set(calls.flatMap((value) => value.split(' ')));
  for (const call of ['@system-service', 'io_uring_setup', 'io_uring_enter', 'io_uring_register', 'sched_setaffinity'])
    t.true(allowed.has(call), call);
  t.deepEqual(values('SystemCallErrorNumber'), ['EPERM'], 'a call that is not there is refused, not answered with a kill');
});

test('the documentation has the unit by reference and no second one of its own', (t) => {
  for (const file of ['docs/operations.md', 'README.md']) t.notRegex(readFileSync(join(ROOT, file), 'utf8'), /\[Service\]|ExecStart/, file);
  t.regex(readFileSync(join(ROOT, 'docs/operations.md'), 'utf8'), /\(\.\.\/examples\/keelson\.service\)/);
});
