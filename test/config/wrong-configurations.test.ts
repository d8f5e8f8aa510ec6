import { linkSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { EXIT } from '../../src/base/errors.js';
import { parseSettings } from '../../src/config/load-settings.js';
import { ConfigError } from '../../src/config/mistakes.js';

const folder = mkdtempSync(join(tmpdir(), 'keelson-config-'));
writeFileSync(join(folder, 'disk'), '');
symlinkSync('disk', join(folder, 'link'));
linkSync(join(folder, 'disk'), join(folder, 'hard'));
writeFileSync(join(folder, 'id'), 'key');
writeFileSync(join(folder, 'known'), 'host');
test.after.always(() => rmSync(folder, { recursive: true }));

const STRIPE = '[stripe]\nmembers = ["a", "b", "c", "d", "e", "f"]\n';
const GOOD = `name = "vault"\n${STRIPE}`;

interface Wrong {
  readonly title: string;
  readonly text: string;
  readonly line: number;
  readonly key: string;
  readonly found: RegExp;
  readonly allowed: RegExp;
}

/** A line put at the end of the good configuration, in a section of its own: it is line 5. */
const inSection = (section: string, line: string): string => `${GOOD}[${section}]\n${line}\n`;

const SFTP = 'url = "sftp://me@host/srv/vault"';
const wrongs: readonly Wrong[] = [
  { title: 'a syntax error', text: `${GOOD}[journal\n`, line: 4, key: '', found: /\[journal/, allowed: /TOML/ },
  { title: 'a key given twice', text: 'name = "a"\nname = "b"\n', line: 2, key: '', found: /name/, allowed: /TOML/ },
  { title: 'no name', text: STRIPE, line: 1, key: 'name', found: /nothing/, allowed: /value/ },
  { title: 'a name that is a number', text: `name = 5\n${STRIPE}`, line: 1, key: 'name', found: /5/, allowed: /text in quotes/ },
  { title: 'a name with a slash', text: `name = "a/b"\n${STRIPE}`, line: 1, key: 'name', found: /a\/b/, allowed: /letters/ },
  { title: 'no stripe section', text: 'name = "v"\n', line: 1, key: 'stripe.members', found: /nothing/, allowed: /no default/ },
  { title: 'stripe that is no table', text: 'name = "v"\nstripe = 3\n', line: 2, key: 'stripe', found: /3/, allowed: /\[stripe\]/ },
  {
    title: 'members that are no list',
    text: 'name = "v"\n[stripe]\nmembers = "a"\n',
    line: 3,
    key: 'stripe.members',
    found: /"a"/,
    allowed: /list of paths/,
  },
  {
    title: 'a member that is a number',
    text: 'name = "v"\n[stripe]\nmembers = [\n  "a",\n  7,\n  "c",\n]\n',
    line: 5,
    key: 'stripe.members[1]',
    found: /7/,
    allowed: /path/,
  },
  {
    title: 'an empty path',
    text: 'name = "v"\n[stripe]\nmembers = ["a", "", "c"]\n',
    line: 3,
    key: 'stripe.members[1]',
    found: /""/,
    allowed: /not empty/,
  },
  {
    title: 'one member only',
    text: 'name = "v"\n[stripe]\nparity = 1\nmembers = ["a"]\n[journal]\ncopies = 1\n',
    line: 4,
    key: 'stripe.members',
    found: /one member/,
    allowed: /at least 2/,
  },
  {
    title: 'the same member twice',
    text: 'name = "v"\n[stripe]\nmembers = ["a", "b", "c",\n "b"]\n',
    line: 4,
    key: 'stripe.members[3]',
    found: /second time/,
    allowed: /stripe\.members\[1\]/,
  },
  {
    title: 'the same member by another path',
    text: 'name = "v"\n[stripe]\nmembers = ["a", "./x/../a", "c"]\n',
    line: 3,
    key: 'stripe.members[1]',
    found: /same device as "a"/,
    allowed: /once/,
  },
  {
    title: 'the same member through a symbolic link',
    text: 'name = "v"\n[stripe]\nmembers = ["disk", "link", "c"]\n',
    line: 3,
    key: 'stripe.members[1]',
    found: /same device as "disk"/,
    allowed: /once/,
  },
  {
    title: 'the same member through a hard link',
    text: 'name = "v"\n[stripe]\nmembers = ["disk", "b", "hard"]\n',
    line: 3,
    key: 'stripe.members[2]',
    found: /same device as "disk"/,
    allowed: /once/,
  },
  {
    title: 'a stripe member used for the journal too',
    text: inSection('journal', 'members = ["a", "j"]'),
    line: 5,
    key: 'journal.members[0]',
    found: /second time/,
    allowed: /stripe\.members\[0\]/,
  },
  {
    title: 'a spare that is a member',
    text: `${GOOD}spares = ["f"]\n`,
    line: 4,
    key: 'stripe.spares[0]',
    found: /second time/,
    allowed: /once/,
  },
  {
    title: 'a member that is a directory',
    text: 'name = "v"\n[stripe]\nmembers = ["a", ".", "c"]\n',
    line: 3,
    key: 'stripe.members[1]',
    found: /directory/,
    allowed: /block device or a regular file/,
  },
  { title: 'parity 0', text: `${GOOD}parity = 0\n`, line: 4, key: 'stripe.parity', found: /0/, allowed: /from 1/ },
  {
    title: 'parity that is a fraction',
    text: `${GOOD}parity = 1.5\n`,
    line: 4,
    key: 'stripe.parity',
    found: /1\.5/,
    allowed: /whole number/,
  },
  { title: 'parity in quotes', text: `${GOOD}parity = "2"\n`, line: 4, key: 'stripe.parity', found: /"2"/, allowed: /whole number/ },
  { title: 'as much parity as members', text: `${GOOD}parity = 6\n`, line: 4, key: 'stripe.parity', found: /6 of 6/, allowed: /1 to 5/ },
  {
    title: 'a chunk that is no power of two',
    text: `${GOOD}chunk = "48KiB"\n`,
    line: 4,
    key: 'stripe.chunk',
    found: /48KiB/,
    allowed: /power of two/,
  },
  { title: 'a chunk below a block', text: `${GOOD}chunk = "2KiB"\n`, line: 4, key: 'stripe.chunk', found: /2KiB/, allowed: /4KiB to 1MiB/ },
  { title: 'a chunk above 1 MiB', text: `${GOOD}chunk = "2MiB"\n`, line: 4, key: 'stripe.chunk', found: /2MiB/, allowed: /4KiB to 1MiB/ },
  { title: 'a decimal size unit', text: `${GOOD}chunk = "64KB"\n`, line: 4, key: 'stripe.chunk', found: /64KB/, allowed: /KiB, MiB, GiB/ },
  { title: 'a size without a unit', text: `${GOOD}chunk = 65536\n`, line: 4, key: 'stripe.chunk', found: /65536/, allowed: /64KiB/ },
  {
    title: 'members too small',
    text: `${GOOD}memberSize = "1MiB"\n`,
    line: 4,
    key: 'stripe.memberSize',
    found: /1MiB/,
    allowed: /at least 16MiB/,
  },
  {
    title: 'an unknown section',
    text: inSection('journl', 'copies = 2'),
    line: 4,
    key: 'journl',
    found: /unknown/,
    allowed: /did you mean "journal"/,
  },
  {
    title: 'an unknown key',
    text: `${GOOD}\nparty = 2\n`,
    line: 5,
    key: 'stripe.party',
    found: /unknown/,
    allowed: /did you mean "parity"/,
  },
  {
    title: 'a key with the wrong case',
    text: inSection('drain', 'maxage = "3s"'),
    line: 5,
    key: 'drain.maxage',
    found: /unknown/,
    allowed: /did you mean "maxAge"/,
  },
  {
    title: 'an unknown key that resembles none',
    text: `${GOOD}zzz = 2\n`,
    line: 4,
    key: 'stripe.zzz',
    found: /unknown/,
    allowed: /members, memberSize, parity, chunk, spares$/,
  },
  {
    title: 'an unknown key in an inline table',
    text: `${GOOD}[drain]\n[export]\n[x]\ny = { a = 1 }\n`,
    line: 6,
    key: 'x',
    found: /unknown/,
    allowed: /name, stripe/,
  },
  {
    title: 'more copies than journal members',
    text: inSection('journal', 'members = ["j"]\ncopies = 2'),
    line: 6,
    key: 'journal.copies',
    found: /2 copies on 1 journal member/,
    allowed: /1 to 1/,
  },
  {
    title: 'two copies by default on one journal member',
    text: inSection('journal', 'members = ["j"]'),
    line: 4,
    key: 'journal.copies',
    found: /2 copies/,
    allowed: /1 to 1/,
  },
  {
    title: 'more copies than stripe members',
    text: inSection('journal', 'copies = 7'),
    line: 5,
    key: 'journal.copies',
    found: /6 stripe members/,
    allowed: /1 to 6/,
  },
  { title: 'no copy', text: inSection('journal', 'copies = 0'), line: 5, key: 'journal.copies', found: /0/, allowed: /from 1/ },
  {
    title: 'a ring of too few segments',
    text: inSection('journal', 'size = "32MiB"'),
    line: 5,
    key: 'journal.size',
    found: /32MiB with segments of 8MiB/,
    allowed: /64MiB/,
  },
  {
    title: 'a ring that is no multiple of its segment',
    text: inSection('journal', 'size = "100MiB"'),
    line: 5,
    key: 'journal.size',
    found: /100MiB/,
    allowed: /multiple of the segment/,
  },
  {
    title: 'a ring that fills the stripe members',
    text: `${GOOD}memberSize = "64MiB"\n[journal]\nsize = "1GiB"\n`,
    line: 6,
    key: 'journal.size',
    found: /2 copies of 1GiB/,
    allowed: /at most 96MiB/,
  },
  {
    title: 'a segment that is no whole number of MiB',
    text: inSection('journal', 'segment = "1.5MiB"'),
    line: 5,
    key: 'journal.segment',
    found: /1\.5MiB/,
    allowed: /multiple of 1MiB/,
  },
  {
    title: 'a segment above its bound',
    text: inSection('journal', 'segment = "128MiB"'),
    line: 5,
    key: 'journal.segment',
    found: /128MiB/,
    allowed: /1MiB to 64MiB/,
  },
  {
    title: 'a slab that is too small',
    text: inSection('memory', 'slab = "1MiB"'),
    line: 5,
    key: 'memory.slab',
    found: /1MiB/,
    allowed: /64MiB/,
  },
  {
    title: 'a slab too small for the segments',
    text: `${GOOD}[journal]\nsegment = "32MiB"\n[memory]\nslab = "128MiB"\n`,
    line: 7,
    key: 'memory.slab',
    found: /128MiB/,
    allowed: /at least 262MiB/,
  },
  {
    title: 'a backup without a URL',
    text: inSection('backup', 'compression = "none"'),
    line: 4,
    key: 'backup.url',
    found: /nothing/,
    allowed: /no default/,
  },
  {
    title: 'a URL of an unknown scheme',
    text: inSection('backup', 'url = "s3://bucket/x"'),
    line: 5,
    key: 'backup.url',
    found: /s3/,
    allowed: /sftp:\/\/.*"s3:" is not known/,
  },
  {
    title: 'a URL that is none',
    text: inSection('backup', 'url = "backup host"'),
    line: 5,
    key: 'backup.url',
    found: /backup host/,
    allowed: /sftp:\/\//,
  },
  {
    title: 'a URL without a user',
    text: inSection('backup', 'url = "sftp://host/srv"'),
    line: 5,
    key: 'backup.url',
    found: /host/,
    allowed: /user is missing/,
  },
  {
    title: 'a URL without a directory',
    text: inSection('backup', 'url = "sftp://me@host"'),
    line: 5,
    key: 'backup.url',
    found: /host/,
    allowed: /directory is missing/,
  },
  {
    title: 'a URL with a password',
    text: inSection('backup', 'url = "sftp://me:secret@host/srv"'),
    line: 5,
    key: 'backup.url',
    found: /host/,
    allowed: /without a password/,
  },
  {
    title: 'a file URL with a host',
    text: inSection('backup', 'url = "file://srv/vault"'),
    line: 5,
    key: 'backup.url',
    found: /srv/,
    allowed: /file:\/\/\/ABSOLUTE/,
  },
  {
    title: 'sftp without an identity',
    text: inSection('backup', `${SFTP}\nknownHosts = "known"`),
    line: 4,
    key: 'backup.identity',
    found: /nothing/,
    allowed: /private key/,
  },
  {
    title: 'sftp with an identity that is not there',
    text: inSection('backup', `${SFTP}\nknownHosts = "known"\nidentity = "gone"`),
    line: 7,
    key: 'backup.identity',
    found: /does not exist/,
    allowed: /private key/,
  },
  {
    title: 'sftp without known hosts',
    text: inSection('backup', `${SFTP}\nidentity = "id"`),
    line: 4,
    key: 'backup.knownHosts',
    found: /nothing/,
    allowed: /known_hosts/,
  },
  {
    title: 'an identity where none is used',
    text: inSection('backup', 'url = "embedded"\nidentity = "id"'),
    line: 6,
    key: 'backup.identity',
    found: /"id"/,
    allowed: /leave it out/,
  },
  {
    title: 'an unknown compression',
    text: inSection('backup', 'url = "embedded"\ncompression = "lz4"'),
    line: 6,
    key: 'backup.compression',
    found: /lz4/,
    allowed: /"zstd" or "none"/,
  },
  {
    title: 'a passphrase file that is not there',
    text: inSection('backup', 'url = "embedded"\npassphraseFile = "gone"'),
    line: 6,
    key: 'backup.passphraseFile',
    found: /does not exist/,
    allowed: /passphrase/,
  },
  {
    title: 'an unknown policy',
    text: inSection('backup', 'url = "embedded"\nonUnreachable = "wait"'),
    line: 6,
    key: 'backup.onUnreachable',
    found: /wait/,
    allowed: /"stall" or "detach"/,
  },
  {
    title: 'a duration without a unit',
    text: inSection('drain', 'maxAge = 30'),
    line: 5,
    key: 'drain.maxAge',
    found: /30/,
    allowed: /"30s"/,
  },
  {
    title: 'a duration in milliseconds',
    text: inSection('drain', 'maxAge = "300ms"'),
    line: 5,
    key: 'drain.maxAge',
    found: /300ms/,
    allowed: /"30s"/,
  },
  {
    title: 'a fill of a whole ring',
    text: inSection('drain', 'maxFill = 1.0'),
    line: 5,
    key: 'drain.maxFill',
    found: /1/,
    allowed: /0\.05 to 0\.95/,
  },
  {
    title: 'a cron expression of four fields',
    text: inSection('drain', 'schedule = ["0 3 * *"]'),
    line: 5,
    key: 'drain.schedule[0]',
    found: /0 3 \* \*/,
    allowed: /five fields/,
  },
  {
    title: 'a cron minute of 60',
    text: inSection('drain', 'schedule = [\n"0 3 * * *",\n"60 3 * * *"]'),
    line: 7,
    key: 'drain.schedule[1]',
    found: /60 3/,
    allowed: /five fields/,
  },
  {
    title: 'a cron date that never comes',
    text: inSection('drain', 'schedule = ["0 0 30 2 *"]'),
    line: 5,
    key: 'drain.schedule[0]',
    found: /30 2/,
    allowed: /five fields/,
  },
  {
    title: 'a switch in quotes',
    text: inSection('drain', 'onDegraded = "yes"'),
    line: 5,
    key: 'drain.onDegraded',
    found: /"yes"/,
    allowed: /true or false/,
  },
  {
    title: 'an export address without a kind',
    text: inSection('export', 'nbd = ["/run/x.sock"]'),
    line: 5,
    key: 'export.nbd[0]',
    found: /run/,
    allowed: /unix:PATH/,
  },
  {
    title: 'an export port that is out of range',
    text: inSection('export', 'nbd = ["tcp:127.0.0.1:70000"]'),
    line: 5,
    key: 'export.nbd[0]',
    found: /70000/,
    allowed: /tcp:HOST:PORT/,
  },
  {
    title: 'an export address twice',
    text: inSection('export', 'nbd = ["tcp:[::1]:10809", "tcp:[::1]:10809"]'),
    line: 5,
    key: 'export.nbd[1]',
    found: /second time/,
    allowed: /once/,
  },
  {
    title: 'a socket path that no socket can have',
    text: inSection('export', `nbd = ["unix:/${'x'.repeat(120)}"]`),
    line: 5,
    key: 'export.nbd[0]',
    found: /121 bytes/,
    allowed: /at most 107/,
  },
  {
    title: 'one socket for two uses',
    text: `${GOOD}[export]\nnbd = ["unix:one"]\n[control]\nsocket = "one"\n`,
    line: 7,
    key: 'control.socket',
    found: /export\.nbd\[0\]/,
    allowed: /its own/,
  },
  {
    title: 'an unknown durability',
    text: inSection('export', 'durability = "write-through"'),
    line: 5,
    key: 'export.durability',
    found: /write-through/,
    allowed: /"write-back" or "sync"/,
  },
  {
    title: 'an http address without a port',
    text: inSection('control', 'http = "localhost"'),
    line: 5,
    key: 'control.http',
    found: /localhost/,
    allowed: /HOST:PORT/,
  },
  {
    title: 'an http address with a bad number',
    text: inSection('control', 'http = "127.0.0.256:80"'),
    line: 5,
    key: 'control.http',
    found: /256/,
    allowed: /HOST:PORT/,
  },
];

for (const wrong of wrongs) {
  test(`refused with line, key and what is allowed: ${wrong.title}`, (t) => {
    const file = join(folder, 'keelson.toml');
    const error = t.throws(() => parseSettings(wrong.text, file), { instanceOf: ConfigError });
    t.is(error?.exit, EXIT.usage);
    t.is(error?.code, 'CONFIG');
    const [first, ...others] = error?.mistakes ?? [];
    t.deepEqual(others, [], 'one mistake gives one message');
    t.like(first, { file, line: wrong.line, key: wrong.key });
    t.regex(first?.found ?? '', wrong.found);
    t.regex(first?.allowed ?? '', wrong.allowed);
    t.true(error?.message.includes(`${file}:${wrong.line}:`));
  });
}

test('all mistakes are told at once, in the order of the file', (t) => {
  const text =
    'name = "v"\nnme = 1\n[stripe]\nmembers = ["a", "a", "c"]\nparity = 9\nchunk = "3KiB"\n[export]\ndurability = "no"\n[drain]\nmaxFill = 2\n';
  const error = t.throws(() => parseSettings(text, join(folder, 'k.toml')), { instanceOf: ConfigError });
  t.deepEqual(
    error?.mistakes.map(({ line, key }) => `${line} ${key}`),
    ['2 nme', '6 stripe.chunk', '8 export.durability', '10 drain.maxFill'],
    'sections with mistakes of their own are not compared with others',
  );
});
