import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readlinkSync,
  realpathSync,
  type Stats,
  statSync,
  unlinkSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { EXIT, KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes, roundDown } from '../base/units.js';

/** File systems of the kernel and of the running system: a name there that is not a device is a typing error, never a place for data. */
const NOT_FOR_FILES = ['/dev', '/proc', '/sys', '/run'];
/** Members hold the data of every user of the volume: nobody but their owner reads or writes them. */
const PRIVATE_MODE = 0o600;

/** What was done to a regular file so that it can become a member. */
export interface MemberFile {
  /** Without symbolic links. */
  readonly path: string;
  /** 'file': it was made; 'size': it was there, empty, and got its size; null: it is as it was found. */
  readonly made: 'file' | 'size' | null;
  readonly dev: number;
  readonly ino: number;
  /** Its mode before. */
  readonly mode: number;
}

/** The path as people know it, and what it leads to: `/dev/disk/by-id/x (/dev/sdb)`. */
export function pathWords(path: string): string {
  try {
    const real = realpathSync(path);
    return real === resolve(path) ? path : `${path} (${real})`;
  } catch {
    return path;
  }
}

/**
 * The regular file at path: made with this size where nothing is, or given it where it is empty. bytes null: no file is made. Returns
 * null for what is not a regular file. Throws DEVICE_MISSING (nothing there, and no file may be made), MEMBER_FILE (making it failed).
 */
export function memberFile(path: string, bytes: Bytes | null, configuration: string): MemberFile | null {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) {
    const real = placeForFile(path, bytes !== null, configuration);
    return makeFile(path, bytes ?? 0, real);
  }
  if (!found.isFile()) return null;
  const file = { ...identity(found), path: realpathSync(path), mode: found.mode & 0o7777 };
  if (found.size > 0 || bytes === null) return { ...file, made: null };
  refusePlace(path, dirname(file.path));
  sized(path, file.path, constants.O_WRONLY | constants.O_NOFOLLOW, bytes);
  return { ...file, made: 'size' };
}

/**
 * Where a file for a member would be made: the path without symbolic links. makes: whether one may be made. Of a path at which nothing is.
 * Throws DEVICE_MISSING.
 */
export function placeForFile(path: string, makes: boolean, configuration: string): string {
  const link = lstatSync(path, { throwIfNoEntry: false });
  if (link?.isSymbolicLink() === true) {
    throw missing(`${path} leads to ${readlinkSync(path)}, which is not there`, 'a link to a block device or file', 'correct the link');
  }
  if (!makes) {
    throw missing(
      `${path} does not exist`,
      'a block device or file, or file members and stripe.memberSize, so that a file can be made',
      `correct the path; where members are files, set stripe.memberSize in ${configuration} or make the file`,
    );
  }
  let folder: string;
  try {
    folder = realpathSync(dirname(path));
  } catch (error) {
    throw missing(
      `${path} does not exist, and neither does ${dirname(path)}`,
      'a path in a directory that is there',
      'correct the path, mount the file system, or make the directory',
      error,
    );
  }
  refusePlace(path, folder);
  return join(folder, basename(path));
}

function makeFile(path: string, bytes: Bytes, real: string): MemberFile {
  // O_EXCL: what appeared there a moment ago is somebody else's.
  const stats = sized(path, real, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, bytes);
  return { ...identity(stats), path: real, made: 'file', mode: PRIVATE_MODE };
}

function refusePlace(path: string, folder: string): void {
  const place = NOT_FOR_FILES.find((top) => folder === top || folder.startsWith(`${top}/`));
  if (place === undefined) return;
  throw missing(
    `${path} is no device, and no file is made in ${folder}`,
    `a block device, or a file outside ${place}`,
    'correct the path, or check the cabling',
  );
}

/** Opens or makes the file, and gives it its size; one that was made for nothing is removed again. */
function sized(path: string, real: string, flags: number, bytes: Bytes): Stats {
  let fd: number | null = null;
  try {
    fd = openSync(real, flags, PRIVATE_MODE);
    ftruncateSync(fd, roundDown(bytes, BLOCK_BYTES));
    return fstatSync(fd);
  } catch (error) {
    if (fd !== null && (flags & constants.O_EXCL) !== 0) unlinkSync(real);
    throw new KeelsonError('MEMBER_FILE', `no member file of ${bytes} bytes could be made at ${path}`, {
      found: error instanceof Error ? error.message : String(error),
      expected: 'a directory that this user may write to, in a file system that takes files of this size',
      action: 'use another directory or a smaller stripe.memberSize',
      cause: error,
    });
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

/** Throws MEMBER_MODE when the file cannot be closed to others. handle: a descriptor of it. */
export function makePrivate(file: MemberFile, handle: number): void {
  if (file.mode === PRIVATE_MODE) return;
  try {
    fchmodSync(handle, PRIVATE_MODE);
  } catch (error) {
    throw new KeelsonError('MEMBER_MODE', `${file.path} cannot be given mode 0600`, {
      found: `mode 0${file.mode.toString(8)}: ${error instanceof Error ? error.message : String(error)}`,
      expected: 'a file of this user, which nobody else can read or write',
      action: `make this user its owner: chown ${process.getuid?.() ?? 0} ${file.path}`,
      cause: error,
    });
  }
}

/** Undoes what was done to a file that became no member; what is at its path and is another file by now is left alone. */
export function takeFileBack(file: MemberFile): void {
  const found = lstatSync(file.path, { throwIfNoEntry: false });
  if (found === undefined || !found.isFile() || found.dev !== file.dev || found.ino !== file.ino) return;
  if (file.made === 'file') {
    unlinkSync(file.path);
    return;
  }
  const fd = openSync(file.path, constants.O_WRONLY | constants.O_NOFOLLOW);
  try {
    const opened = fstatSync(fd);
    if (opened.dev !== file.dev || opened.ino !== file.ino) return;
    if (file.made === 'size') ftruncateSync(fd, 0);
    fchmodSync(fd, file.mode);
  } finally {
    closeSync(fd);
  }
}

function identity({ dev, ino }: Stats): Pick<MemberFile, 'dev' | 'ino'> {
  return { dev, ino };
}

function missing(message: string, expected: string, action: string, cause?: unknown): KeelsonError {
  return new KeelsonError('DEVICE_MISSING', message, { expected, action, exit: EXIT.usage, cause });
}
