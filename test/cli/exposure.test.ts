import test from 'ava';
import { RealArray, SMALL_ARRAY, WITH_HTTP } from './real-server.js';

const OPEN = SMALL_ARRAY.replace('["unix:./nbd"]', '["unix:./nbd", "tcp:0.0.0.0:0"]') + WITH_HTTP;

test('an export that other hosts can reach is told by create, by serve, in the log and by status, until it is bound to this host', async (t) => {
  const open = new RealArray(t, OPEN);
  const created = await open.run('create', '--json');
  t.is(created.status, 0);
  t.like(JSON.parse(created.stdout), { hints: [{ code: 'NBD_IN_CLEAR' }] });
  const printed = (await open.serve(t, false)).join('\n');
  t.regex(printed, /note: export\.nbd\[1\] \(0\.0\.0\.0:0\) is open to other hosts.*\(NBD_IN_CLEAR\)\n {4}do: bind it to 127\.0\.0\.1/);
  t.regex(open.stderr, /"level":40.*"code":"NBD_IN_CLEAR"/);
  t.regex((await open.run('status')).stdout, /note: export\.nbd\[1\].*\(NBD_IN_CLEAR\)/);
  t.like(JSON.parse((await open.run('status', '--json')).stdout), { hints: [{ code: 'NBD_IN_CLEAR' }] });

  // As the advice says.
  const bound = new RealArray(t, OPEN.replace('0.0.0.0', '127.0.0.1'));
  const lines = await bound.serve(t);
  t.notRegex(lines.join('\n'), /note:/);
  t.notRegex(bound.stderr, /IN_CLEAR/);
  t.like(JSON.parse((await bound.run('status', '--json')).stdout), { hints: [] });
});
