import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { GIB, KIB, MIB } from '../../src/base/units.js';
import { loadSettings, parseSettings } from '../../src/config/load-settings.js';

const folder = mkdtempSync(join(tmpdir(), 'keelson-settings-'));
test.after.always(() => rmSync(folder, { recursive: true }));

test('the shortest configuration gets every default, paths absolute', (t) => {
  const settings = parseSettings('name = "v"\n[stripe]\nmembers = ["a", "/dev/null-not/b", "c"]\n', '/srv/array/keelson.toml');
  t.deepEqual(settings, {
    file: '/srv/array/keelson.toml',
    directory: '/srv/array',
    name: 'v',
    stripe: {
      members: ['/srv/array/a', '/dev/null-not/b', '/srv/array/c'],
      memberBytes: null,
      dataShards: 1,
      parity: 2,
      chunkBytes: 64 * KIB,
      spares: [],
    },
    journal: { members: [], copies: 2, ringBytes: null, segmentBytes: null },
    backup: null,
    drain: { maxAge_ms: 30_000, maxBytes: 256 * MIB, maxFill: 0.5, schedule: [], onDegraded: true },
    export: { nbd: [{ kind: 'unix', path: '/srv/array/keelson.sock' }], durability: 'write-back' },
    control: { socket: '/srv/array/keelson.ctl', http: null, hosts: [] },
    memory: { slabBytes: 256 * MIB },
  });
});

test('the configuration of the documentation is understood as it says', (t) => {
  writeFileSync(join(folder, 'id'), '', { mode: 0o600 });
  writeFileSync(join(folder, 'known'), '');
  const settings = parseSettings(
    `
name = "vault"
[stripe]
members = ["/dev/x1", "/dev/x2", "/dev/x3", "/dev/x4", "/dev/x5", "/dev/x6"]   # block devices or files
memberSize = "4GiB"
parity = 2
chunk = "64KiB"
spares = []
[journal]
members = ["/dev/n0", "/dev/n1"]
copies = 2
size = "16GiB"
segment = "8MiB"
[backup]
url = "sftp://keelson@backup.example:2222/srv/vault"
identity = "id"
knownHosts = "known"
compression = "zstd"
passphraseFile = ""
onUnreachable = "stall"
keepPoints = "7d"
[drain]
maxAge = "30s"
maxBytes = "256MiB"
maxFill = 0.5
schedule = ["0 3 * * mon-fri"]
onDegraded = true
[export]
nbd = ["unix:./keelson.sock", "tcp:127.0.0.1:10809", "tcp:[::1]:0"]
durability = "sync"
[control]
socket = "./keelson.ctl"
http = "127.0.0.1:9187"
hosts = ["nas.example", "vault"]
[memory]
slab = "256MiB"
`,
    join(folder, 'keelson.toml'),
  );
  t.is(settings.stripe.dataShards, 4);
  t.is(settings.stripe.memberBytes, 4 * GIB);
  t.is(settings.journal.ringBytes, 16 * GIB);
  t.deepEqual(settings.backup, {
    target: {
      kind: 'sftp',
      url: 'sftp://keelson@backup.example:2222/srv/vault',
      host: 'backup.example',
      port: 2222,
      user: 'keelson',
      path: '/srv/vault',
      identity: join(folder, 'id'),
      knownHosts: join(folder, 'known'),
    },
    compression: 'zstd',
    passphraseFile: null,
    onUnreachable: 'stall',
    keepPoints_ms: 7 * 86_400_000,
  });
  t.deepEqual(settings.export.nbd[2], { kind: 'tcp', host: '::1', port: 0 });
  t.deepEqual(settings.control.hosts, ['nas.example', 'vault']);
  t.deepEqual(settings.control.http, { host: '127.0.0.1', port: 9187 });
});

test('file:// and embedded backups have their directory', (t) => {
  const of = (url: string): unknown =>
    parseSettings(`name = "v"\n[stripe]\nmembers = ["a", "b", "c"]\n[backup]\nurl = "${url}"\n`, '/srv/k.toml').backup?.target;
  t.deepEqual(of('file:///mnt/a%20b'), { kind: 'file', url: 'file:///mnt/a%20b', path: '/mnt/a b' });
  t.deepEqual(of('embedded'), { kind: 'embedded', url: 'embedded', path: '/srv/backup-host' });
});

test('a file that is not there is refused with what to do', (t) => {
  const error = t.throws(() => loadSettings(join(folder, 'none.toml')), { code: 'CONFIG_MISSING' });
  t.regex(error?.message ?? '', /none\.toml/);
});

test('a file is read from disk, its directory the base of its paths', (t) => {
  const file = join(folder, 'array.toml');
  writeFileSync(file, '\ufeffname = "v"\r\n[stripe]\r\nmembers = ["a", "b", "c"]\r\n');
  t.is(loadSettings(file).stripe.members[0], join(folder, 'a'));
});
