import { randomBytes } from 'node:crypto';
import { EXIT, type ErrorRecord, KeelsonError } from '../base/errors.js';
import { isTransient, readWhole, TARGET_FILE_MISSING, type Target } from '../target/target.js';
import { CONFIG_NAME, temporaryName, withoutReplaced } from './format/names.js';
import { SCRYPT_DEFAULT } from './format/repository-key.js';
import { refuseOccupied, RepositoryFiles, systemAmbient } from './repository-files.js';

/** What a backup did that was asked before its array is made. */
export interface BackupTrial {
  /** The URL without secrets. */
  readonly target: string;
  /** The host answered, and its directory holds nothing of another array. */
  readonly reached: boolean;
  /** A file was written there, made durable, renamed, read back and removed. */
  readonly written: boolean;
  /** missing: it is made when the backup is opened for writing. */
  readonly directory: 'there' | 'made' | 'missing' | 'unknown';
  /** '' or what is weaker there than fsync and atomic rename. */
  readonly weakness: string;
  /** Why it was not reached. */
  readonly error: ErrorRecord | null;
}

const TRIAL_BYTES = 4096;
/** Here the array or the data that it names may be the only ones: nothing is begun over them. */
const COULD_LOSE = new Set(['BACKUP_CORRUPT', 'BACKUP_VERSION']);

/**
 * Asks the backup of an array that is going to be made whether it would take what is drained. write: makes the directory
 * when it is missing, and tries what a publish does with a file of its own. Without it, nothing there is changed.
 * What passes by itself is in the result. Throws, as KeelsonError with exit status 2 or 3, what does not.
 */
export async function tryRepository(target: Target, passphrase: string, write: boolean): Promise<BackupTrial> {
  const trial = { target: target.url, reached: false, written: false, directory: 'unknown' as const, weakness: '', error: null };
  try {
    return { ...trial, ...(await attempt(target, passphrase, write)) };
  } catch (cause) {
    const error = KeelsonError.from(cause);
    if (isTransient(error)) return { ...trial, error: error.toRecord() };
    if (error.exit === EXIT.refused) throw error;
    throw KeelsonError.fromRecord({ ...error.toRecord(), exit: COULD_LOSE.has(error.code) ? EXIT.refused : EXIT.usage });
  }
}

async function attempt(target: Target, passphrase: string, write: boolean): Promise<Partial<BackupTrial>> {
  const found = await openThere(target);
  if (found === null && !write) return { reached: true, directory: 'missing' };
  const { weakness } = found ?? (await target.open(true));
  await refuseHeld(target, passphrase);
  if (write) await tryFile(target);
  return { reached: true, written: write, directory: found === null ? 'made' : 'there', weakness };
}

/** null: the host answered, and the directory is not there. */
async function openThere(target: Target): Promise<{ readonly weakness: string } | null> {
  try {
    return await target.open(false);
  } catch (error) {
    if (error instanceof KeelsonError && error.code === 'BACKUP_MISSING') return null;
    throw error;
  }
}

/** An array that is going to be made has no repository yet: any that is there is of another one. */
async function refuseHeld(target: Target, passphrase: string): Promise<void> {
  const names = (await target.list()).map(({ name }) => name);
  if (!names.some((name) => withoutReplaced(name) === CONFIG_NAME)) {
    refuseOccupied(target.url, names);
    return;
  }
  throw new KeelsonError('BACKUP_FOREIGN', `the directory at ${target.url} is the backup of another array`, {
    found: await ownerOf(target, passphrase),
    expected: 'an empty directory, or none',
    action: 'name another directory in backup.url; keelson restore brings back the array whose backup this is',
    exit: EXIT.refused,
  });
}

async function ownerOf(target: Target, passphrase: string): Promise<string> {
  const files = new RepositoryFiles(target, passphrase, SCRYPT_DEFAULT);
  try {
    const { arrayUuid } = await files.config({ arrayUuid: '', epoch: 0, volumeBytes: 0, create: false, readOnly: true });
    return `the repository of array ${arrayUuid}`;
  } catch (error) {
    const known = KeelsonError.from(error);
    if (isTransient(known)) throw known;
    return `a repository that this configuration does not open (${known.code})`;
  }
}

/** What a publish does: write, sync, rename, sync of the directory; and what a restore does: read. */
async function tryFile(target: Target): Promise<void> {
  const name = temporaryName(systemAmbient.unique());
  const renamed = temporaryName(systemAmbient.unique());
  const bytes = randomBytes(TRIAL_BYTES);
  try {
    const file = await target.create(name);
    try {
      await file.write(bytes);
      await file.sync();
    } catch (error) {
      await file.abandon();
      throw error;
    }
    await file.close();
    await target.rename(name, renamed);
    await target.syncDirectory();
    if (Buffer.compare(await readWhole(target, renamed, TRIAL_BYTES), bytes) !== 0) throw notKept(target.url, 'other bytes');
  } catch (error) {
    for (const left of [name, renamed]) await target.remove(left).catch(() => undefined);
    if (error instanceof KeelsonError && error.code === TARGET_FILE_MISSING) throw notKept(target.url, 'no file of that name');
    throw error;
  }
  await target.remove(renamed);
  await target.syncDirectory();
}

function notKept(url: string, found: string): KeelsonError {
  return new KeelsonError('BACKUP_CORRUPT', `the backup at ${url} does not keep what is written there`, {
    found,
    expected: 'the bytes of a file that was written a moment ago',
    action: 'check the disks of the backup host, and that nothing else removes files there; then create the array again',
  });
}
