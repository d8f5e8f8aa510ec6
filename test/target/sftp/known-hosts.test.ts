import { createHmac, randomBytes } from 'node:crypto';
import test from 'ava';
import ssh2 from 'ssh2';
import { seededRandom } from '../../../src/base/random.js';
import { fingerprint, hostName, judgeHostKey, knownKeyTypes, matchesHost, parseKnownHosts } from '../../../src/target/sftp/known-hosts.js';
import { sshKeyPair } from '../../../src/backup-host/ssh-key-pair.js';

const ONE = sshKeyPair().public;
const TWO = sshKeyPair().public;
const ECDSA = ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 }).public;
const blob = (line: string): Buffer => Buffer.from(line.split(' ')[1] ?? '', 'base64');
const judge = (text: string, host: string, port: number, shown: string) =>
  judgeHostKey(parseKnownHosts(text), host, port, blob(shown), 'known_hosts');

test('a plain name is known on port 22, and [host]:port on another', (t) => {
  t.is(judge(`vault ${ONE}\n`, 'vault', 22, ONE), null);
  t.is(judge(`vault ${ONE}\n`, 'VAULT', 22, ONE), null);
  t.is(judge(`vault ${ONE}\n`, 'vault', 2222, ONE)?.code, 'BACKUP_HOST_KEY');
  t.is(judge(`[vault]:2222 ${ONE}\n`, 'vault', 2222, ONE), null);
  t.is(judge(`[vault]:2222 ${ONE}\n`, 'vault', 22, ONE)?.code, 'BACKUP_HOST_KEY');
  t.is(hostName('::1', 2222), '[::1]:2222');
  t.is(hostName('[::1]', 22), '::1');
});

test('a hashed name is known', (t) => {
  const salt = randomBytes(20);
  const hash = (name: string): string => `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`;
  t.is(judge(`${hash('vault')} ${ONE}`, 'vault', 22, ONE), null);
  t.is(judge(`${hash('[10.0.0.1]:2022')} ${ONE}`, '10.0.0.1', 2022, ONE), null);
  t.is(judge(`${hash('vault')} ${ONE}`, 'other', 22, ONE)?.code, 'BACKUP_HOST_KEY');
  t.is(
    judge(`${hash('vault').replace('|1|', '|2|')} ${ONE}`, 'vault', 22, ONE)?.code,
    'BACKUP_HOST_KEY',
    'a hash that nobody has described',
  );
});

test('lists, wildcards and negation are as in OpenSSH', (t) => {
  const text = `a,b*.example,!bad.example,c?d ${ONE}`;
  for (const host of ['a', 'b.example', 'backup.example', 'cxd']) t.is(judge(text, host, 22, ONE), null, host);
  for (const host of ['bad.example', 'cd', 'example', 'aa']) t.is(judge(text, host, 22, ONE)?.code, 'BACKUP_HOST_KEY', host);
  t.is(judge(`*,!vault ${ONE}`, 'vault', 22, ONE)?.code, 'BACKUP_HOST_KEY');
});

test('a changed key is refused with both fingerprints and the line', (t) => {
  const error = judge(`# comment\n\nvault ${ONE}\n`, 'vault', 22, TWO);
  t.is(error?.code, 'BACKUP_HOST_KEY');
  t.true(error?.found?.includes(fingerprint(blob(TWO))));
  t.true(error?.expected?.includes(fingerprint(blob(ONE))));
  t.true(error?.expected?.includes('line 3'));
});

test('a revoked key is refused though another line knows it; authorities are not taken for host keys', (t) => {
  t.regex(judge(`vault ${ONE}\n@revoked * ${ONE}\n`, 'vault', 22, ONE)?.message ?? '', /revoked/);
  t.is(judge(`@cert-authority * ${ONE}\n`, 'vault', 22, ONE)?.code, 'BACKUP_HOST_KEY');
  t.is(judge(`@unknown vault ${ONE}\n`, 'vault', 22, ONE)?.code, 'BACKUP_HOST_KEY');
});

test('several keys of a host are all known, and their types are preferred', (t) => {
  const text = `vault ${ONE}\nvault ${ECDSA}\n`;
  t.is(judge(text, 'vault', 22, ONE), null);
  t.is(judge(text, 'vault', 22, ECDSA), null);
  t.deepEqual(knownKeyTypes(parseKnownHosts(text), 'vault', 22), ['ssh-ed25519', 'ecdsa-sha2-nistp256']);
});

test('a line whose key is not of the type it says is not used', (t) => {
  t.is(judge(`vault ecdsa-sha2-nistp256 ${ONE.split(' ')[1]}\n`, 'vault', 22, ONE)?.code, 'BACKUP_HOST_KEY');
  t.is(parseKnownHosts('vault ssh-ed25519\nvault ssh-ed25519 !!!\n').length, 0);
});

test('any text is parsed without throwing and knows nobody by accident', (t) => {
  const seed = Date.now() >>> 0;
  t.log(`seed ${seed}`);
  const random = seededRandom(seed);
  const alphabet = '@|1*?!,[]: \t\n#abA=+/';
  for (let round = 0; round < 2000; round++) {
    let text = '';
    for (let i = random.below(80); i > 0; i--) text += alphabet[random.below(alphabet.length)];
    for (const entry of parseKnownHosts(text)) matchesHost(entry, 'vault', 22);
    t.is(judge(text, 'vault', 22, ONE)?.code, 'BACKUP_HOST_KEY');
  }
});
