import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { KeelsonError } from '../../base/errors.js';

/** One line of a known_hosts file that names a key. Source: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. */
export interface KnownHost {
  readonly marker: '' | '@cert-authority' | '@revoked';
  /** Comma-separated patterns, or one hashed name (|1|salt|hash). */
  readonly hosts: string;
  readonly keyType: string;
  readonly key: Buffer;
  readonly line: number;
}

/** Lines that are empty, comments or not understood are left out: they can only make fewer hosts known. */
export function parseKnownHosts(text: string): KnownHost[] {
  const known: KnownHost[] = [];
  text.split('\n').forEach((raw, index) => {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) return;
    const fields = line.split(/[ \t]+/);
    let marker: KnownHost['marker'] = '';
    if (fields[0] === '@cert-authority' || fields[0] === '@revoked') marker = fields.shift() as KnownHost['marker'];
    else if (fields[0]?.startsWith('@')) return;
    const [hosts, keyType, encoded] = fields;
    if (hosts === undefined || keyType === undefined || encoded === undefined) return;
    const key = Buffer.from(encoded, 'base64');
    if (keyTypeOf(key) !== keyType) return;
    known.push({ marker, hosts, keyType, key, line: index + 1 });
  });
  return known;
}

/** The name under which OpenSSH files a host: plain on port 22, else [host]:port. */
export function hostName(host: string, port: number): string {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  return port === 22 ? bare : `[${bare}]:${port}`;
}

/** True when the entry's patterns or its hash name the host. A negated pattern that matches wins. */
export function matchesHost(entry: KnownHost, host: string, port: number): boolean {
  const name = hostName(host, port);
  if (entry.hosts.startsWith('|')) return matchesHash(entry.hosts, name);
  let matched = false;
  for (const pattern of entry.hosts.split(',')) {
    const negated = pattern.startsWith('!');
    if (!matchesPattern(negated ? pattern.slice(1) : pattern, name)) continue;
    if (negated) return false;
    matched = true;
  }
  return matched;
}

/** Key types known for the host, so that they can be preferred when algorithms are negotiated. */
export function knownKeyTypes(known: readonly KnownHost[], host: string, port: number): string[] {
  const types = known.filter((entry) => entry.marker === '' && matchesHost(entry, host, port)).map((entry) => entry.keyType);
  return [...new Set(types)];
}

/** SHA256:... as OpenSSH prints it. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

/**
 * Decides on the key that the server showed. Returns null when it is known; else the refusal, BACKUP_HOST_KEY, with the fingerprint
 * that was shown and the one that was expected. file is only named in the message.
 */
export function judgeHostKey(known: readonly KnownHost[], host: string, port: number, shown: Buffer, file: string): KeelsonError | null {
  const entries = known.filter((entry) => matchesHost(entry, host, port));
  const found = `${keyTypeOf(shown)} ${fingerprint(shown)}`;
  if (entries.some((entry) => entry.marker === '@revoked' && same(entry.key, shown))) {
    return refusal(host, port, `its key is revoked in ${file}`, found, 'a key that is not revoked', 'treat the host as compromised');
  }
  const plain = entries.filter((entry) => entry.marker === '');
  if (plain.some((entry) => same(entry.key, shown))) return null;
  if (plain.length === 0) {
    const action = `compare the fingerprint on the backup host (ssh-keygen -l), then add the key to ${file}`;
    return refusal(host, port, 'its key is not known', found, `an entry for ${hostName(host, port)} in ${file}`, action);
  }
  const expected = plain.map((entry) => `${entry.keyType} ${fingerprint(entry.key)} (${file} line ${entry.line})`).join(' or ');
  return refusal(host, port, 'its key has changed', found, expected, 'find out why; if the host was set up anew, replace the line');
}

function refusal(host: string, port: number, why: string, found: string, expected: string, action: string): KeelsonError {
  return new KeelsonError('BACKUP_HOST_KEY', `the backup host ${hostName(host, port)} is refused: ${why}`, { found, expected, action });
}

/** The type name at the start of a public key blob (RFC 4253, 6.6), or ''. */
export function keyTypeOf(key: Buffer): string {
  if (key.length < 4) return '';
  const length = key.readUInt32BE(0);
  if (length > 64 || key.length < 4 + length) return '';
  return key.toString('latin1', 4, 4 + length);
}

function matchesHash(hashed: string, name: string): boolean {
  const [empty, version, salt, hash] = hashed.split('|');
  if (empty !== '' || version !== '1' || salt === undefined || hash === undefined) return false;
  const expected = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest();
  return same(expected, Buffer.from(hash, 'base64'));
}

/** '*' and '?' as in OpenSSH; everything else is literal. Linear in pattern x name, so that no pattern can hang us. */
function matchesPattern(pattern: string, name: string): boolean {
  const wanted = pattern.toLowerCase();
  let at = 0;
  let star = -1;
  let retry = 0;
  let i = 0;
  while (i < name.length) {
    if (at < wanted.length && (wanted[at] === '?' || wanted[at] === name[i]) && wanted[at] !== '*') {
      at++;
      i++;
    } else if (wanted[at] === '*') {
      star = at++;
      retry = i;
    } else if (star >= 0) {
      at = star + 1;
      i = ++retry;
    } else {
      return false;
    }
  }
  while (wanted[at] === '*') at++;
  return at === wanted.length;
}

function same(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
