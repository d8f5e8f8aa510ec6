import type { SFTPWrapper } from 'ssh2';
import { type Clock, systemClock } from '../../base/clock.js';
import { KeelsonError } from '../../base/errors.js';
import { SftpSession, type SftpAddress, type SftpCredentials } from './sftp-session.js';
import { SftpWriter } from './sftp-writer.js';
import {
  denied,
  directoryMissing,
  fileMissing,
  noSpace,
  REPLACED_SUFFIX,
  type Target,
  type TargetEntry,
  type TargetStrength,
  type TargetWriter,
  unreachable,
} from '../target.js';

/** SFTP status codes (draft-ietf-secsh-filexfer-02, 7). */
const STATUS = { eof: 1, noSuchFile: 2, permissionDenied: 3, failure: 4, noConnection: 6, connectionLost: 7, unsupported: 8 } as const;

/** ssh2 asks servers other than OpenSSH for at most 31,952 bytes at once; 1 MiB in flight fills a loopback and a 100 Mbit/s line of 80 ms. */
const READ_BYTES = 31 * 1024;
const READS_IN_FLIGHT_MAX = 32;
/** With less than this left, a plain "failure" of a write is taken for a full file system: SFTP version 3 has no code of its own for it. */
const FULL_BELOW_BYTES = 8 * 1024 * 1024;

/** Names in one listing. A repository has one a publish; a server that goes on for ever must not fill our memory. */
const NAMES_MAX = 1_000_000;

export interface SftpLimits {
  readonly clock?: Clock;
  readonly namesMax?: number;
}

interface ListedFile {
  readonly filename: string;
  readonly attrs: { readonly size: number; readonly mode: number };
}

/** @types/ssh2 leaves the options out. full: names as they come, "." and ".." among them. */
interface FullListing {
  readdir(
    handle: Buffer,
    options: { readonly full: boolean },
    done: (error: Error | undefined | null, list?: readonly ListedFile[]) => void,
  ): void;
}

/** statvfs@openssh.com, as ssh2 hands it over. */
interface FileSystemStatus {
  readonly f_frsize: number;
  readonly f_bavail: number;
}

/** A backup target on an SFTP server. Connects on first use, and again on the first use after a connection was lost. */
export class SftpTarget implements Target {
  readonly url: string;
  readonly #address: SftpAddress;
  readonly #credentials: SftpCredentials;
  readonly #clock: Clock;
  readonly #namesMax: number;
  #session: SftpSession | null = null;
  #connecting: Promise<SftpSession> | null = null;
  #posixRename = true;
  #fsync = true;
  #directorySync = true;

  constructor(address: SftpAddress, credentials: SftpCredentials, limits: SftpLimits = {}) {
    this.url = address.url;
    this.#clock = limits.clock ?? systemClock;
    this.#namesMax = limits.namesMax ?? NAMES_MAX;
    this.#address = address;
    this.#credentials = credentials;
  }

  async open(create: boolean): Promise<TargetStrength> {
    if ((await this.#attributes(this.#address.directory)) === null) {
      if (!create) throw directoryMissing(this.url);
      await this.#makeDirectory();
    }
    await this.#probe();
    return { weakness: this.#weakness() };
  }

  async create(name: string): Promise<TargetWriter> {
    const session = await this.#connected();
    const handle = await this.#call<Buffer>(`creating ${name}`, name, (sftp, done) =>
      sftp.open(this.#path(name), 'w', { mode: 0o600 }, done),
    );
    return new SftpWriter(session, handle, this.#fsync, (error) => this.#writeFailure(error, name));
  }

  async read(name: string, offset: number, into: Uint8Array): Promise<number> {
    const what = `reading ${name}`;
    const handle = await this.#call<Buffer>(what, name, (sftp, done) => sftp.open(this.#path(name), 'r', done));
    try {
      return await this.#readAll(name, handle, offset, Buffer.from(into.buffer, into.byteOffset, into.byteLength));
    } finally {
      await this.#call<void>(what, name, (sftp, done) => sftp.close(handle, done)).catch(() => undefined);
    }
  }

  async rename(from: string, to: string): Promise<void> {
    const what = `renaming ${from} to ${to}`;
    if (this.#posixRename) {
      await this.#call<void>(what, from, (sftp, done) => sftp.ext_openssh_rename(this.#path(from), this.#path(to), done));
      return;
    }
    // Version 3 RENAME refuses an existing name. The old file stays beside the new one until the new one has its name.
    const replaced = to + REPLACED_SUFFIX;
    if ((await this.stat(to)) !== null) {
      await this.remove(replaced);
      await this.#call<void>(what, to, (sftp, done) => sftp.rename(this.#path(to), this.#path(replaced), done));
    }
    await this.#call<void>(what, from, (sftp, done) => sftp.rename(this.#path(from), this.#path(to), done));
    await this.remove(replaced);
  }

  async syncDirectory(): Promise<void> {
    if (!this.#directorySync) return;
    const what = 'syncing the directory';
    const handle = await this.#call<Buffer>(what, '', (sftp, done) => sftp.open(this.#address.directory, 'r', done));
    try {
      await this.#call<void>(what, '', (sftp, done) => sftp.ext_openssh_fsync(handle, done));
    } finally {
      await this.#call<void>(what, '', (sftp, done) => sftp.close(handle, done)).catch(() => undefined);
    }
  }

  async remove(name: string): Promise<void> {
    try {
      await this.#call<void>(`removing ${name}`, name, (sftp, done) => sftp.unlink(this.#path(name), done));
    } catch (error) {
      if (!(error instanceof KeelsonError && error.code === 'TARGET_FILE_MISSING')) throw error;
    }
  }

  async list(): Promise<TargetEntry[]> {
    const what = 'listing the directory';
    const handle = await this.#call<Buffer>(what, '', (sftp, done) => sftp.opendir(this.#address.directory, done));
    const entries: ListedFile[] = [];
    try {
      for (let more = await this.#nextNames(handle); more !== null; more = await this.#nextNames(handle)) {
        for (const entry of more) entries.push(entry);
        // Each reply but the last brings a name, or the listing would not have to end.
        if (more.length === 0 || entries.length > this.#namesMax)
          throw unreachable(this.url, what, new Error(`a listing that does not end, after ${entries.length} names`));
      }
    } finally {
      await this.#call<void>(what, '', (sftp, done) => sftp.close(handle, done)).catch(() => undefined);
    }
    return entries
      .filter((entry) => (entry.attrs.mode & 0o170000) === 0o100000)
      .map((entry) => ({ name: entry.filename, bytes: entry.attrs.size }));
  }

  /** null at the end of the listing. */
  async #nextNames(handle: Buffer): Promise<readonly ListedFile[] | null> {
    const session = await this.#connected();
    try {
      return await session.call<readonly ListedFile[]>((done) =>
        (session.sftp as unknown as FullListing).readdir(handle, { full: true }, done),
      );
    } catch (error) {
      if (statusOf(error) === STATUS.eof) return null;
      throw this.#failure(error, 'listing the directory', '');
    }
  }

  async stat(name: string): Promise<number | null> {
    return (await this.#attributes(this.#path(name)))?.size ?? null;
  }

  async freeBytes(): Promise<number | null> {
    try {
      const status = await this.#call<FileSystemStatus>('asking for free space', '', (sftp, done) =>
        sftp.ext_openssh_statvfs(this.#address.directory, done as (error: Error | undefined, info: FileSystemStatus) => void),
      );
      return status.f_frsize * status.f_bavail;
    } catch (error) {
      if (error instanceof KeelsonError && error.code === 'TARGET_UNSUPPORTED') return null;
      throw error;
    }
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    await session?.close();
  }

  #path(name: string): string {
    return `${this.#address.directory.replace(/\/$/, '')}/${name}`;
  }

  async #connected(): Promise<SftpSession> {
    if (this.#session !== null && this.#session.lost === null) return this.#session;
    this.#connecting ??= SftpSession.connect(this.#address, this.#credentials, this.#clock).finally(() => {
      this.#connecting = null;
    });
    this.#session = await this.#connecting;
    return this.#session;
  }

  async #call<T>(
    what: string,
    name: string,
    start: (sftp: SFTPWrapper, done: (error: Error | undefined | null, value?: T) => void) => void,
  ): Promise<T> {
    const session = await this.#connected();
    try {
      return await session.call<T>((done) => {
        try {
          start(session.sftp, done);
        } catch (error) {
          // ssh2 throws at once when the server did not announce an extension.
          done(new KeelsonError('TARGET_UNSUPPORTED', `${this.url} cannot do this: ${what}`, { cause: error }));
        }
      });
    } catch (error) {
      throw this.#failure(error, what, name);
    }
  }

  async #attributes(path: string): Promise<{ readonly size: number } | null> {
    try {
      return await this.#call<{ size: number }>(`looking at ${path}`, path, (sftp, done) => sftp.stat(path, done));
    } catch (error) {
      if (error instanceof KeelsonError && error.code === 'TARGET_FILE_MISSING') return null;
      throw error;
    }
  }

  async #makeDirectory(): Promise<void> {
    const parts = this.#address.directory.split('/').filter((part) => part !== '');
    for (let depth = 1; depth <= parts.length; depth++) {
      const path = `/${parts.slice(0, depth).join('/')}`;
      if ((await this.#attributes(path)) !== null) continue;
      await this.#call<void>(`making the directory ${path}`, path, (sftp, done) => sftp.mkdir(path, { mode: 0o700 }, done));
    }
  }

  /** Finds out what the server can do. The probes name things that do not exist, so that they change nothing. */
  async #probe(): Promise<void> {
    this.#posixRename = await this.#supports('rename', (sftp, done) =>
      sftp.ext_openssh_rename(this.#path('.keelson-probe'), this.#path('.keelson-probe'), done),
    );
    this.#fsync = await this.#supports('fsync', (sftp, done) => sftp.ext_openssh_fsync(Buffer.from('none'), done));
    this.#directorySync = this.#fsync;
    if (!this.#fsync) return;
    try {
      await this.syncDirectory();
    } catch (error) {
      if (error instanceof KeelsonError && error.code === 'BACKUP_UNREACHABLE' && this.#session?.lost !== null) throw error;
      this.#directorySync = false;
    }
  }

  async #supports(what: string, probe: (sftp: SFTPWrapper, done: (error: Error | undefined | null) => void) => void): Promise<boolean> {
    try {
      await this.#call<void>(what, '.keelson-probe', probe);
      return true;
    } catch (error) {
      if (!(error instanceof KeelsonError)) throw error;
      if (error.code === 'BACKUP_UNREACHABLE' && this.#session?.lost !== null) throw error;
      return error.code !== 'TARGET_UNSUPPORTED';
    }
  }

  #weakness(): string {
    const missing: string[] = [];
    if (!this.#fsync) missing.push('no fsync@openssh.com: a power cut of the backup host may lose what was just drained');
    else if (!this.#directorySync) missing.push('the directory cannot be synced: a power cut of the backup host may undo the last renames');
    if (!this.#posixRename) missing.push('no posix-rename@openssh.com: HEAD is replaced by two renames');
    return missing.join('; ');
  }

  async #readAll(name: string, handle: Buffer, offset: number, into: Buffer): Promise<number> {
    let end = into.length;
    let next = 0;
    const fetch = async (): Promise<void> => {
      while (next < end) {
        let at = next;
        const stop = Math.min(next + READ_BYTES, into.length);
        next = stop;
        while (at < stop) {
          const from = at;
          const got = await this.#call<number>(`reading ${name}`, name, (sftp, done) =>
            sftp.read(handle, into, from, stop - from, offset + from, done),
          );
          if (got === 0) {
            end = Math.min(end, at);
            return;
          }
          at += got;
        }
      }
    };
    const workers = Math.min(READS_IN_FLIGHT_MAX, Math.ceil(into.length / READ_BYTES));
    await Promise.all(Array.from({ length: workers }, fetch));
    return end;
  }

  /** A failure of a write may mean that the file system is full: only then is it worth a question. */
  async #writeFailure(error: unknown, name: string): Promise<KeelsonError> {
    if (statusOf(error) === STATUS.failure) {
      const free = await this.freeBytes().catch(() => null);
      if (free !== null && free < FULL_BELOW_BYTES) return noSpace(this.url, error);
    }
    return this.#failure(error, `writing ${name}`, name);
  }

  #failure(error: unknown, what: string, name: string): KeelsonError {
    if (error instanceof KeelsonError) return error;
    const status = statusOf(error);
    if (status === STATUS.noSuchFile) return name === '' ? directoryMissing(this.url) : fileMissing(this.url, name);
    if (status === STATUS.permissionDenied) return denied(this.url, what, error);
    if (status === STATUS.unsupported)
      return new KeelsonError('TARGET_UNSUPPORTED', `${this.url} cannot do this: ${what}`, { cause: error });
    return unreachable(this.url, what, error);
  }
}

function statusOf(error: unknown): number {
  if (error instanceof Error && 'code' in error && typeof error.code === 'number') return error.code;
  return -1;
}
