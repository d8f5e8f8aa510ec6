import test from 'ava';
import type { KeelsonError } from '../../src/base/errors.js';
import { parseSettings } from '../../src/config/load-settings.js';
import { targetFor, printableUrl } from '../../src/target/open-target.js';
import { CliRig } from '../cli/rig.js';
import { GOOD, inSection } from './wrong.js';

const SECRET = /hunter|2!?@?x|k3y/;
const URLS = [
  'sftp://me:hunter2@host/srv',
  'sftp://me:hunter@2x@host/srv',
  'sftp://me:hunter/2x@host/srv',
  'sftp://me:hunter 2x@host/srv',
  'sftp://me:hunter%402x@host',
  'sftp://:hunter2@host/srv',
  's3://AKIA:hunter2@bucket/prefix',
  'ftp://me:hunter2@host/srv',
  'sftp://me@host/srv?token=hunter2',
  `sftp://me:${'hunter2'.repeat(20)}@host/srv`,
];

for (const url of URLS) {
  test(`no refusal of a configuration prints the password: ${url.slice(0, 40)}`, (t) => {
    for (const text of [
      inSection('backup', `url = "${url}"`),
      inSection('backup', `url = ["${url}"]`),
      inSection('backup', `url = "${url}"\nurl = "again"`),
      inSection('backup', `url = "${url}`),
      inSection('backup', `url = "embedded"\nidentity = "${url}"`),
      `${GOOD}backup = "${url}"\n`,
      GOOD.replace('"a"', `"${url}"`).replace('"b"', `"${url}"`),
    ]) {
      const error = t.throws(() => parseSettings(text, '/srv/k.toml')) as KeelsonError;
      t.notRegex(`${error.message} ${JSON.stringify(error)} ${JSON.stringify(error.toRecord())}`, SECRET, text);
    }
  });
}

test('a passphrase or a private key that stands where its file is to be named is not printed', (t) => {
  for (const value of ['"hunter2"', '"/etc/hunter2/k3y"', '["hunter2"]', '"hunter \\"2x\\""']) {
    const error = t.throws(() => parseSettings(inSection('backup', `url = "embedded"\npassphraseFile = ${value}`), '/srv/k.toml'));
    t.notRegex(error?.message ?? '', SECRET);
    t.regex(error?.message ?? '', /passphraseFile/);
  }
  const key = '"""-----BEGIN OPENSSH PRIVATE KEY-----\nk3y\n-----END OPENSSH PRIVATE KEY-----"""';
  const error = t.throws(() => parseSettings(inSection('backup', `url = "sftp://me@h/s"\nidentity = ${key}`), '/srv/k.toml'));
  t.notRegex(error?.message ?? '', SECRET);
});

test('nor does a command, as text or as JSON', async (t) => {
  for (const more of [[], ['--json']]) {
    const rig = new CliRig(t, inSection('backup', 'url = "sftp://me:hunter2@host/srv"'));
    t.is(await rig.run('status', '-c', rig.config, ...more), 2);
    t.notRegex(rig.stdout + rig.stderr, SECRET);
    t.regex(rig.stderr, /without a password/);
  }
});

test('nor does a program that opens a target by itself: the target of status, and the refusal of a URL', (t) => {
  for (const url of URLS) {
    try {
      const target = targetFor(url, { identity: '/nonexistent', knownHosts: '/nonexistent' });
      t.notRegex(target.url, SECRET);
      t.notRegex(printableUrl(url), SECRET);
    } catch (error) {
      t.notRegex(JSON.stringify({ ...(error as KeelsonError).toRecord(), text: (error as Error).message }), SECRET);
    }
  }
});
