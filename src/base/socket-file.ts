import { randomBytes } from 'node:crypto';
import { chmodSync, linkSync, lstatSync, mkdtempSync, renameSync, rmdirSync, rmSync, type Stats, statSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';

/** How long an existing socket may take to answer before it counts as alive but busy. */
const PROBE_TIMEOUT_MS = 2000;
/** The kernel has room for so much; node:net cuts off the rest without a word, and listens elsewhere. */
const PATH_BYTES_MAX = 107;
/** Of the directory and the name in it, under which the socket is made: /.kXXXXXX/s */
const UNNAMED_BYTES = 11;
/** Others that start at the same moment may take the path in between; each of these times one of them has it. */
const ATTEMPTS_MAX = 8;

/** What stands at the path of a socket that is to be made. */
export type InTheWay = 'live socket' | 'other file';

/** The path is taken, and what is there is left as it is. */
export class SocketPathTaken extends Error {
  readonly by: InTheWay;

  constructor(path: string, by: InTheWay) {
    super(by === 'live socket' ? `another server answers on ${path}` : `${path} exists and is not a socket`);
    this.name = 'SocketPathTaken';
    this.by = by;
  }
}

/** The name of a listening socket. */
export interface SocketFile {
  /** Removes the name, if it is still that of this socket. */
  remove(): void;
}

/**
 * Gives a unix socket its name. bind listens on the path that it is given, in a directory that nobody else may enter: only when it
 * listens, with its mode, does it get its name, by a link, which replaces nothing. So the name is never there without a server, never
 * with a wider mode, and a server that ends removes no file but its own (node:net removes whatever is at the path that it bound). A dead
 * socket that has the name is removed; nothing else is. Rejects with SocketPathTaken, or what bind and the file system say.
 */
export async function nameSocket(path: string, mode: number, bind: (path: string) => Promise<void>): Promise<SocketFile> {
  const bytes = Math.max(Buffer.byteLength(path), Buffer.byteLength(dirname(path)) + UNNAMED_BYTES);
  if (bytes > PATH_BYTES_MAX) throw new Error(`${path} is too long for a socket: ${bytes - PATH_BYTES_MAX} bytes less have room`);
  requireOwnNames(dirname(path));
  await removeDeadSocket(path);
  const folder = mkdtempSync(join(dirname(path), '.k'));
  const unnamed = join(folder, 's');
  try {
    await bind(unnamed);
    chmodSync(unnamed, mode);
    const own = lstatSync(unnamed);
    await link(unnamed, path);
    return { remove: () => removeQuietly(path, own) };
  } finally {
    rmSync(unnamed, { force: true });
    rmdirSync(folder);
  }
}

/** Where every user may rename what is there, clients could be led to another server. The sticky bit, as on /tmp, keeps names to their owners. */
function requireOwnNames(folder: string): void {
  const { mode } = statSync(folder);
  if ((mode & 0o002) === 0 || (mode & 0o1000) !== 0) return;
  throw new Error(`every user may put another socket in its place, since ${folder} may be written by all: chmod o-w ${folder}`);
}

async function link(unnamed: string, path: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      linkSync(unnamed, path);
      return;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST' || attempt === ATTEMPTS_MAX) throw error;
      await removeDeadSocket(path);
    }
  }
}

/** Removes a socket that nobody answers on: one that a process left when it was killed. Rejects with SocketPathTaken for anything else. */
export async function removeDeadSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new SocketPathTaken(path, 'other file');
  // While the socket has a second name, its inode number belongs to no new socket that another process puts in its place.
  const second = join(dirname(path), spareName());
  if (!pinned(path, second)) return;
  try {
    if (await answers(second)) throw new SocketPathTaken(path, 'live socket');
    const dead = lstatSync(second);
    removeIf(path, (now) => isSame(now, dead));
  } finally {
    unlinkSync(second);
  }
}

/** Gives the socket a second name. False: it is gone. */
function pinned(path: string, second: string): boolean {
  try {
    linkSync(path, second);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    // A socket of another user. Whether somebody is there is unknown, which must count as alive.
    if (codeOf(error) === 'EPERM') throw new SocketPathTaken(path, 'live socket');
    throw error;
  }
}

/** As long as that of the directory with the unnamed socket in it: a path that has room for one has room for the other. */
function spareName(): string {
  return `.k${randomBytes(4).toString('hex')}`;
}

/** Whether somebody accepts connections at the socket. */
async function answers(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const probe = connect(path);
    const settle = (alive: boolean): void => {
      probe.destroy();
      resolve(alive);
    };
    probe.setTimeout(PROBE_TIMEOUT_MS, () => settle(true));
    probe.once('connect', () => settle(true));
    // EAGAIN is a full accept queue: somebody is there. EACCES leaves it unknown, which must count as alive.
    probe.once('error', (error) => settle(!['ECONNREFUSED', 'ENOENT'].includes(codeOf(error))));
  });
}

/**
 * Removes what is at the path if it is the right thing. It is moved aside and looked at again before it goes: another process may have
 * put something else there since the first look, and that is put back.
 */
function removeIf(path: string, isRight: (found: Stats) => boolean): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined || !isRight(found)) return;
  const aside = join(dirname(path), spareName());
  try {
    renameSync(path, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  if (!isRight(lstatSync(aside))) linkSync(aside, path);
  unlinkSync(aside);
}

/** At the end of a server there is nobody to tell: what cannot be removed is a dead socket, which the next start removes. */
function removeQuietly(path: string, own: Stats): void {
  try {
    removeIf(path, (found) => isSame(found, own));
  } catch {
    // The directory may be gone or closed to us by now.
  }
}

function isSame(a: Stats, b: Stats): boolean {
  return a.isSocket() && a.dev === b.dev && a.ino === b.ino;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
