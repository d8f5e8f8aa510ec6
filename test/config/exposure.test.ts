import test from 'ava';
import { exposures, isLoopback } from '../../src/config/exposure.js';
import { parseSettings } from '../../src/config/load-settings.js';
import { GOOD } from './wrong.js';

test('loopback is every address of this host alone, in every spelling; a name may be anything', (t) => {
  for (const host of ['127.0.0.1', '127.9.8.7', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', 'localhost', 'LOCALHOST'])
    t.true(isLoopback(host), host);
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', '2001:db8::1', '::ffff:10.0.0.1', 'nas.example', 'localhost.example'])
    t.false(isLoopback(host), host);
});

test('each address that other hosts reach is told by its key, and none of this host alone', (t) => {
  const of = (text: string): string[] =>
    exposures(parseSettings(GOOD + text, '/srv/k.toml')).map(({ code, message }) => `${code} ${message.split(' is ')[0]}`);
  t.deepEqual(of(''), []);
  t.deepEqual(of('[export]\nnbd = ["unix:./s", "tcp:127.0.0.1:10809", "tcp:[::1]:1"]\n[control]\nhttp = "localhost:9187"\n'), []);
  t.deepEqual(of('[export]\nnbd = ["unix:./s", "tcp:0.0.0.0:10809", "tcp:[::]:10809"]\n[control]\nhttp = "nas.example:9187"\n'), [
    'NBD_IN_CLEAR export.nbd[1] (0.0.0.0:10809)',
    'NBD_IN_CLEAR export.nbd[2] ([::]:10809)',
    'HTTP_IN_CLEAR control.http (nas.example:9187)',
  ]);
});
