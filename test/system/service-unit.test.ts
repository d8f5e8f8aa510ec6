import { chmodSync, chownSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { RealArray, SMALL_ARRAY, WITH_HTTP } from '../cli/real-server.js';
import { ROOT } from '../house/source-files.js';
import { NbdClient } from '../nbd/nbd-client.js';
import { attempt } from './rig/command.js';

/** Tenths. The unit without any of these lines gets 96. */
const EXPOSURE_MAX = 20;
const NOBODY = 65_534;

test('systemd rates the unit as well shut in', async (t) => {
  const { status, stdout, stderr } = await attempt('systemd-analyze', [
    'security',
    '--offline=true',
    `--threshold=${EXPOSURE_MAX}`,
    '--no-pager',
    join(ROOT, 'examples/keelson.service'),
  ]);
  t.is(status, 0, stdout + stderr);
});

test('without any capability, as another user, the server serves, drains, loses and replaces a member, and stops', async (t) => {
  const own = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'];
  const shut = ['--no-new-privs', '--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all'];
  const toml = `${SMALL_ARRAY}[backup]\nurl = "embedded"\n${WITH_HTTP}`;
  const array = new RealArray(t, toml, ['setpriv', ...own, ...shut]);
  chownSync(array.folder, NOBODY, NOBODY);
  chmodSync(array.config, 0o644);
  await array.serve(t);
  const client = await NbdClient.open(array.nbd);
  const payload = Buffer.alloc(2 ** 20, 7);
  await client.write(0, payload);
  await client.flush();
  for (const [verb, ...args] of [
    ['drain', '--wait'],
    ['fail', '0'],
    ['replace', '0', join(array.folder, 'new')],
  ] as const) {
    const { status, stderr } = await array.run(verb, ...args);
    t.is(status, 0, `${verb}: ${stderr}`);
  }
  t.true((await client.read(0, payload.length)).equals(payload));
  await client.disconnect();
  t.is((await array.run('stop')).status, 0);
});
