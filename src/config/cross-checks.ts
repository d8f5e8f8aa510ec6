import { accessSync, constants, realpathSync, type Stats, statSync } from 'node:fs';
import { totalmem } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { exposed, passphraseIn, writableByAll } from '../base/secrets.js';
import { SOCKET_PATH_BYTES_MAX } from './addresses.js';
import type { LooseSections } from './loose-sections.js';
import { formatSize } from './quantities.js';
import { MEMBERS_MAX, type Parsed, SEGMENT_BYTES_MIN } from './schema.js';

/** Fewer slots than this and destaging, draining and the open segment block one another. */
export const RING_SLOTS_MIN = 8;
/** Segments the slab holds at the least: the open ones, those being destaged, and those on their way to the backup. */
export const SLAB_SEGMENTS_MIN = 8;
/** Stripes the slab holds at the least: two for each of eight workers. */
export const SLAB_STRIPES_MIN = 16;

/** Members that the ring lies on: where the copies of a segment are is a bit each of 32. */
export const RING_MEMBERS_MAX = 32;

export type Report = (key: string, found: string, allowed: string) => void;

/** What one key alone cannot show. parsed: without the sections that have mistakes of their own (undefined); loose: what is right in those too. */
export function crossCheck(parsed: Parsed, loose: LooseSections, directory: string, report: Report): void {
  checkStripe(loose, report);
  checkJournal(parsed, report);
  checkPlaces(loose, directory, report);
  checkBackup(loose, directory, report);
  checkSlab(parsed, report);
  checkSockets(loose, directory, report);
}

function checkStripe({ stripe: { members, parity } }: LooseSections, report: Report): void {
  if (members === undefined) return;
  const count = members.length;
  if (count < 2) {
    report('stripe.members', count === 1 ? 'one member' : 'no member', 'at least 2 members: one with data, one with parity');
  } else if (parity !== undefined && parity >= count) {
    report('stripe.parity', `${parity} of ${count} members`, `1 to ${count - 1}: at least one of the ${count} members holds data`);
  }
}

function checkJournal({ stripe, journal }: Parsed, report: Report): void {
  if (journal === undefined) return;
  const own = journal.members.length;
  const members = stripe?.members.length ?? 0;
  if (members + own > MEMBERS_MAX) {
    report('journal.members', `${own} beside ${members} stripe members`, `at most ${MEMBERS_MAX} members in all`);
  } else if (own === 0 && members > RING_MEMBERS_MAX) {
    report(
      'stripe.members',
      `${members} members that hold the ring, there being no journal members`,
      `at most ${RING_MEMBERS_MAX}, or journal members of their own`,
    );
  }
  const available = own > 0 ? own : stripe?.members.length;
  if (available !== undefined && journal.copies > available) {
    const places = own > 0 ? `${own} journal ${own === 1 ? 'member' : 'members'}` : `${available} stripe members that hold the ring`;
    report('journal.copies', `${journal.copies} copies on ${places}`, `1 to ${available}: each copy lies on a member of its own`);
  }
  checkRing(journal, own === 0 ? stripe?.memberSize : undefined, report);
}

/** memberSize: of the stripe members that the ring lies on. */
function checkRing({ size, segment }: NonNullable<Parsed['journal']>, memberSize: number | undefined, report: Report): void {
  const unit = segment ?? SEGMENT_BYTES_MIN;
  const least = unit * RING_SLOTS_MIN;
  if (size !== undefined && (size % unit !== 0 || size < least)) {
    const found = segment === undefined ? formatSize(size) : `${formatSize(size)} with segments of ${formatSize(segment)}`;
    const of = segment === undefined ? 'a multiple of 1MiB' : 'a multiple of the segment';
    report('journal.size', found, `${of}, at least ${RING_SLOTS_MIN} segments (${formatSize(least)})`);
  }
  // Each stripe member gives a whole ring. Half is the largest share that leaves a volume worth having.
  if (memberSize === undefined || (size ?? least) <= memberSize / 2) return;
  const members = `of each of the stripe members of ${formatSize(memberSize)}`;
  const half = `at most ${formatSize(Math.floor(memberSize / 2))}: a ring on the stripe members takes half of each at most`;
  if (size !== undefined) report('journal.size', `a ring of ${formatSize(size)} ${members}`, `${half}; left out, it is fitted`);
  else
    report(
      'journal.segment',
      `${RING_SLOTS_MIN} segments of ${formatSize(unit)} ${members}`,
      `${half}, in ${RING_SLOTS_MIN} segments or more`,
    );
}

/** The same device under two names is one device: links are followed. */
function checkPlaces({ stripe, journal }: LooseSections, directory: string, report: Report): void {
  const seen = new Map<string, { key: string; written: string }>();
  const lists: [string, readonly (string | undefined)[]][] = [
    ['stripe.members', stripe.members ?? []],
    ['journal.members', journal.members ?? []],
  ];
  for (const [list, members] of lists) {
    members.forEach((written, index) => {
      if (written === undefined) return;
      const key = `${list}[${index}]`;
      const path = resolve(directory, written);
      const { stat, trouble } = lookAt(path);
      if (trouble !== '') {
        report(key, `${JSON.stringify(written)}, which ${trouble}`, 'a block device or a regular file');
        return;
      }
      if (stat !== undefined && !stat.isFile() && !stat.isBlockDevice()) {
        report(
          key,
          `${JSON.stringify(written)}, which is ${stat.isDirectory() ? 'a directory' : 'neither'}`,
          'a block device or a regular file',
        );
        return;
      }
      const identity = deviceIdentity(path, stat);
      const first = seen.get(identity);
      if (first !== undefined) {
        const same = first.written === written ? '' : ` (the same device as ${JSON.stringify(first.written)})`;
        report(key, `${JSON.stringify(written)} a second time${same}`, `each device once; it is ${first.key} already`);
      } else {
        seen.set(identity, { key, written });
      }
    });
  }
}

/** What is at a path; undefined when nothing is. trouble: why that cannot be told (a name too long, a directory that may not be entered), or ''. */
function lookAt(path: string): { readonly stat: Stats | undefined; readonly trouble: string } {
  try {
    return { stat: statSync(path), trouble: '' };
  } catch (error) {
    // Not throwIfNoEntry: newer versions of Node call a path below a file one at which nothing is, too.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { stat: undefined, trouble: '' };
    return {
      stat: undefined,
      trouble: `cannot be looked at (${error instanceof Error && 'code' in error ? String(error.code) : String(error)})`,
    };
  }
}

function deviceIdentity(path: string, stat: Stats | undefined): string {
  if (stat?.isBlockDevice() === true) return `block ${stat.rdev}`;
  // Hard links are two names of one file.
  if (stat !== undefined) return `file ${stat.dev} ${stat.ino}`;
  try {
    return `path ${join(realpathSync(dirname(path)), basename(path))}`;
  } catch {
    return `path ${path}`;
  }
}

function checkBackup({ backup }: LooseSections, directory: string, report: Report): void {
  if (backup === undefined) return;
  const check = (key: string, path: string | undefined, what: string, wrong: (stat: Stats) => string, mode: string): boolean =>
    checkReadable(`backup.${key}`, path, what, wrong, mode, directory, report);
  const { passphraseFile = '' } = backup;
  const passphrase = 'a file with the passphrase, or "" for no encryption';
  if (passphraseFile !== '' && check('passphraseFile', passphraseFile, passphrase, exposed, '600'))
    checkPassphrase(resolve(directory, passphraseFile), passphraseFile, passphrase, report);
  if (backup.url === undefined) return;
  if (backup.url.kind === 'sftp') {
    check('identity', backup.identity, 'the private key that logs in at the backup host', exposed, '600');
    const hosts = "a known_hosts file with the backup host's key (ssh-keyscan writes one)";
    check('knownHosts', backup.knownHosts, hosts, writableByAll, 'o-w');
  } else {
    for (const key of ['identity', 'knownHosts'] as const) {
      if (backup[key] !== undefined)
        report(
          `backup.${key}`,
          JSON.stringify(backup[key]),
          `leave it out: ${backup.url.kind === 'file' ? 'file://' : '"embedded"'} needs none`,
        );
    }
  }
}

/** A passphrase that is named and not there would leave the repository unencrypted without a word. */
function checkPassphrase(path: string, written: string, what: string, report: Report): void {
  try {
    if (passphraseIn(path) !== '') return;
    report('backup.passphraseFile', `${JSON.stringify(written)}, which holds no passphrase`, what);
  } catch (error) {
    report('backup.passphraseFile', `${JSON.stringify(written)}, which cannot be read (${(error as Error).message})`, what);
  }
}

/** True: nothing is to be said. wrong: what the rights of the file must not be; mode: what chmod is given to set that right. */
function checkReadable(
  key: string,
  path: string | undefined,
  what: string,
  wrong: (stat: Stats) => string,
  mode: string,
  directory: string,
  report: Report,
): boolean {
  if (path === undefined) {
    report(key, 'nothing', `a path: ${what}`);
    return false;
  }
  const absolute = resolve(directory, path);
  const trouble = unreadable(absolute);
  if (trouble !== '') {
    report(key, `${JSON.stringify(path)}, which ${trouble}`, what);
    return false;
  }
  const open = wrong(statSync(absolute));
  if (open !== '') report(key, `${JSON.stringify(path)}, which ${open}`, `${what}, for its owner alone: chmod ${mode} ${absolute}`);
  return open === '';
}

function unreadable(path: string): string {
  const { stat, trouble } = lookAt(path);
  if (trouble !== '') return trouble;
  if (stat === undefined) return 'does not exist';
  if (!stat.isFile()) return 'is no file';
  try {
    accessSync(path, constants.R_OK);
    return '';
  } catch {
    return 'this user may not read';
  }
}

function checkSlab({ stripe, journal, memory }: Parsed, report: Report): void {
  if (stripe === undefined || journal === undefined || memory === undefined) return;
  checkSlabFits(memory.slab, report);
  // A fitted segment is as small as the members make it.
  const segment = journal.segment ?? SEGMENT_BYTES_MIN;
  const need = segment * SLAB_SEGMENTS_MIN + stripe.chunk * stripe.members.length * SLAB_STRIPES_MIN;
  if (memory.slab < need) {
    const mebibytes = Math.ceil(need / 2 ** 20);
    report(
      'memory.slab',
      formatSize(memory.slab),
      `at least ${mebibytes}MiB with segments of ${formatSize(segment)} and ${stripe.members.length} chunks of ${formatSize(stripe.chunk)} a stripe`,
    );
  }
}

function checkSlabFits(slab: number, report: Report): void {
  const host = totalmem();
  if (slab > host) report('memory.slab', formatSize(slab), `less than the memory of this host, which is ${Math.floor(host / 2 ** 20)}MiB`);
}

function checkSockets({ stripe, journal, export: exported, control }: LooseSections, directory: string, report: Report): void {
  const seen = new Map<string, string>();
  // A server that finds its own member where its socket is to be does not start.
  for (const [list, members] of [
    ['stripe.members', stripe.members],
    ['journal.members', journal.members],
  ] as const)
    members?.forEach((path, index) => {
      if (path !== undefined) seen.set(resolve(directory, path), `${list}[${index}]`);
    });
  const sockets: [string, string][] = (exported.nbd ?? []).flatMap((address, index): [string, string][] =>
    address?.kind === 'unix' ? [[`export.nbd[${index}]`, resolve(directory, address.path)]] : [],
  );
  if (control.socket !== undefined) sockets.push(['control.socket', resolve(directory, control.socket)]);
  for (const [key, path] of sockets) {
    const length = Buffer.byteLength(path);
    if (length > SOCKET_PATH_BYTES_MAX)
      report(key, `a socket path of ${length} bytes (${path})`, `at most ${SOCKET_PATH_BYTES_MAX} bytes: use a shorter absolute path`);
    const first = seen.get(path);
    if (first !== undefined) report(key, `the path of ${first}`, 'a path of its own for each socket');
    else seen.set(path, key);
  }
  const tcp = new Map<string, string>();
  exported.nbd?.forEach((address, index) => {
    if (address?.kind !== 'tcp' || address.port === 0) return;
    const written = `${address.host}:${address.port}`;
    const first = tcp.get(written);
    if (first !== undefined) report(`export.nbd[${index}]`, `${written} a second time`, `each address once; it is ${first} already`);
    else tcp.set(written, `export.nbd[${index}]`);
  });
}
