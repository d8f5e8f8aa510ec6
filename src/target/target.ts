import { KeelsonError } from '../base/errors.js';
import type { Bytes } from '../base/units.js';

/** What a target without atomic replacement leaves beside a name while it puts the new file in place. */
export const REPLACED_SUFFIX = '.replaced';

/**
 * A backup target: one flat directory of write-once files. A file is created under a temporary name, written from its start to its end,
 * synced, and renamed into place; from then on it is never changed. Targets know bytes and names, nothing of what is inside.
 *
 * Every method may throw a KeelsonError:
 *   transient (isTransient): BACKUP_UNREACHABLE, BACKUP_SPACE. Trying again later may succeed.
 *   permanent: BACKUP_DENIED, BACKUP_AUTH, BACKUP_HOST_KEY, BACKUP_URL, and TARGET_FILE_MISSING for a name that is not there.
 * After BACKUP_UNREACHABLE the outcome of the operation is not known; the next operation connects again.
 */
export interface Target {
  /** URL without secrets, for messages. */
  readonly url: string;

  /**
   * Connects when not connected, and makes the directory when `create` is set and it is missing.
   * Throws BACKUP_MISSING when the directory is not there.
   */
  open(create: boolean): Promise<TargetStrength>;

  /** A new file; one of that name is replaced. */
  create(name: string): Promise<TargetWriter>;

  /** Fills `into` from `offset` of the file. Resolves to the bytes read: fewer than into.length only when the file ends before. */
  read(name: string, offset: Bytes, into: Uint8Array): Promise<Bytes>;

  /** Renames atomically, replacing `to` (POSIX rename), or by the fallback that open() reported. */
  rename(from: string, to: string): Promise<void>;

  /** Makes renames and removals done before it durable, where the target can. */
  syncDirectory(): Promise<void>;

  /** Removes a file; one that is not there is no error. */
  remove(name: string): Promise<void>;

  /** Regular files only. */
  list(): Promise<TargetEntry[]>;

  /** Size of a file, or null when there is none of that name. */
  stat(name: string): Promise<Bytes | null>;

  /** Bytes that can still be written, or null when the target cannot say. */
  freeBytes(): Promise<Bytes | null>;

  close(): Promise<void>;
}

export interface TargetWriter {
  /** Appends. Resolves when `bytes` may be reused, which is before they are on the target; an error of an earlier write may surface here. */
  write(bytes: Uint8Array): Promise<void>;
  /** Waits for every write and makes the file durable. */
  sync(): Promise<void>;
  /** Waits for every write and closes. */
  close(): Promise<void>;
  /** Closes without caring for errors: the file is going to be removed. */
  abandon(): Promise<void>;
}

export interface TargetEntry {
  readonly name: string;
  readonly bytes: Bytes;
}

export interface TargetStrength {
  /** '' or what is weaker here than fsync and atomic rename, in one line. */
  readonly weakness: string;
}

export const TARGET_FILE_MISSING = 'TARGET_FILE_MISSING';

/** True when trying again later may succeed without anybody changing anything here. */
export function isTransient(error: KeelsonError): boolean {
  return error.code === 'BACKUP_UNREACHABLE' || error.code === 'BACKUP_SPACE';
}

export function fileMissing(url: string, name: string): KeelsonError {
  return new KeelsonError(TARGET_FILE_MISSING, `${name} is not on ${url}`, { found: 'no such file', expected: name });
}

export function unreachable(url: string, what: string, cause: unknown): KeelsonError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new KeelsonError('BACKUP_UNREACHABLE', `the backup target ${url} cannot be reached: ${what}`, {
    found: reason,
    action: 'check the network and the backup host; the next attempt connects again',
    cause,
  });
}

export function noSpace(url: string, cause: unknown): KeelsonError {
  return new KeelsonError('BACKUP_SPACE', `the backup target ${url} is full`, {
    found: cause instanceof Error ? cause.message : String(cause),
    action: 'free space on the backup host; nothing was published and nothing is lost',
    cause,
  });
}

export function denied(url: string, what: string, cause: unknown): KeelsonError {
  return new KeelsonError('BACKUP_DENIED', `the backup target ${url} refuses ${what}`, {
    found: cause instanceof Error ? cause.message : String(cause),
    expected: 'read and write permission for the backup user',
    action: 'correct owner and mode of the directory on the backup host',
    cause,
  });
}

export function directoryMissing(url: string): KeelsonError {
  return new KeelsonError('BACKUP_MISSING', `there is no directory at ${url}`, {
    expected: 'an existing directory',
    action: 'mount the file system of the backup host, or correct backup.url',
  });
}

/** A file of the target, whole. Throws TARGET_FILE_MISSING, and BACKUP_CORRUPT when it is longer than `limit`. */
export async function readWhole(target: Target, name: string, limit: Bytes): Promise<Uint8Array> {
  const size = await target.stat(name);
  if (size === null) throw fileMissing(target.url, name);
  if (size > limit) {
    throw new KeelsonError('BACKUP_CORRUPT', `${name} on ${target.url} is too long`, {
      found: `${size} bytes`,
      expected: `at most ${limit} bytes`,
    });
  }
  const bytes = new Uint8Array(size);
  const got = await target.read(name, 0, bytes);
  return bytes.subarray(0, got);
}
