import test from 'ava';
import { parseSettings } from '../../src/config/load-settings.js';
import { ConfigError } from '../../src/config/mistakes.js';

/** Keys of all mistakes, in the order of the file. */
function mistakesIn(text: string): string[] {
  try {
    parseSettings(text, '/nowhere/keelson.toml');
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes.map(({ key }) => key);
    throw error;
  }
}

/** A member named twice, beside each of these. */
for (const [beside, key] of [
  ['parity = 0', 'stripe.parity'],
  ['chunk = "3KiB"', 'stripe.chunk'],
  ['memberSize = "a lot"', 'stripe.memberSize'],
  ['nonsense = 1', 'stripe.nonsense'],
] as const) {
  test(`a member named twice is told beside a wrong ${key}`, (t) => {
    t.deepEqual(mistakesIn(`name = "v"\n[stripe]\nmembers = ["a", "b", "a"]\n${beside}\n`), ['stripe.members[2]', key]);
  });
}

test('every mistake of a file is told in one go, whatever else is wrong in its section', (t) => {
  const text = `name = ""
colour = "red"
[stripe]
members = ["a", "b", 7, "a"]
parity = 4
chunk = "3KiB"
[journal]
members = ["b", "c", "c"]
copies = 0
[backup]
url = "sftp://me@host/srv"
identity = 5
knownHosts = "/nowhere/known"
compression = "gzip"
passphraseFile = "/nowhere/passphrase"
[export]
nbd = ["unix:./x", "bogus", "tcp:127.0.0.1:10809", "tcp:127.0.0.1:10809"]
durability = "perhaps"
[control]
socket = "./x"
http = "nowhere"
`;
  t.deepEqual(mistakesIn(text).sort(), [
    'backup.compression',
    'backup.identity',
    'backup.knownHosts',
    'backup.passphraseFile',
    'colour',
    'control.http',
    'control.socket',
    'export.durability',
    'export.nbd[1]',
    'export.nbd[3]',
    'journal.copies',
    'journal.members[0]',
    'journal.members[2]',
    'name',
    'stripe.chunk',
    'stripe.members[2]',
    'stripe.members[3]',
    'stripe.parity',
  ]);
});

test('a key is told once', (t) => {
  t.deepEqual(
    mistakesIn('name = "v"\n[stripe]\nmembers = ["a", "b", "c"]\n[backup]\nurl = "sftp://me@host/srv"\nidentity = 5\nknownHosts = 5\n'),
    ['backup.identity', 'backup.knownHosts'],
  );
});

test('a list where one value belongs is a mistake like any other', (t) => {
  const good = 'name = "v"\n[stripe]\nmembers = ["a", "b", "c"]\n';
  t.deepEqual(mistakesIn(`${good}parity = ["x"]\n`), ['stripe.parity']);
  t.deepEqual(mistakesIn(`${good}[control]\nsocket = ["x"]\n`), ['control.socket']);
  for (const key of ['url', 'identity', 'passphraseFile'])
    t.true(mistakesIn(`${good}[backup]\n${key} = ["x"]\n`).includes(`backup.${key}`), key);
});
