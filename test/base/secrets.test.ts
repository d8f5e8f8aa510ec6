import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { exposed, withoutSecrets, writableByAll } from '../../src/base/secrets.js';

test('the password of a URL is never printed, whatever signs it has', (t) => {
  fc.assert(
    fc.property(fc.constantFrom('sftp', 's3', 'https'), fc.string({ minLength: 1 }), (scheme, noise) => {
      const password = `S3CR${noise}ET`;
      const printed = withoutSecrets(`url = "${scheme}://me:${password}@host.example:22/srv"`);
      return !/S3CR|ET@/.test(printed) && printed.includes('host.example:22/srv') && printed.includes(`${scheme}://me:`);
    }),
  );
  t.is(withoutSecrets('sftp://me:pa/ss@w@rd@host/srv'), 'sftp://me:***@host/srv');
});

test('a query, where tokens are put, is not printed, nor is a private key', (t) => {
  t.is(withoutSecrets('"s3://bucket/prefix?X-Amz-Signature=abc"'), '"s3://bucket/prefix?***"');
  t.is(withoutSecrets('"-----BEGIN OPENSSH PRIVATE KEY-----\\nb3Blb"'), '"***');
});

test('a text without secrets stays as it is', (t) => {
  for (const text of [
    'sftp://keelson@backup.example:22/srv/vault',
    'sftp://keelson@[2001:db8::1]:22/srv/a@b',
    'file:///srv/a:b@c',
    'unix:./keelson.sock',
    '/dev/disk/by-id/a:b@c',
    'embedded',
  ])
    t.is(withoutSecrets(text), text);
});

test('a secret is for its owner: any right of others is told, and what decides trust may not be written by all', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-secret-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'key');
  writeFileSync(path, 'key');
  for (let mode = 0; mode <= 0o777; mode++) {
    chmodSync(path, mode);
    const stat = statSync(path);
    t.is(exposed(stat) === '', (mode & 0o077) === 0, mode.toString(8));
    t.is(writableByAll(stat) === '', (mode & 0o002) === 0, mode.toString(8));
    // A file that another owner gives to a group, as systemd gives credentials: the group may read it, others never.
    t.is(exposed({ ...stat, mode: stat.mode, uid: stat.uid + 1 } as typeof stat) === '', (mode & 0o007) === 0, mode.toString(8));
  }
});
