import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeelsonError } from '../base/errors.js';
import {
  denied,
  directoryMissing,
  fileMissing,
  noSpace,
  type Target,
  type TargetEntry,
  type TargetStrength,
  type TargetWriter,
  unreachable,
} from './target.js';

/** A backup target in a directory of this host: file:///path. */
export class FileTarget implements Target {
  readonly url: string;
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.url = `file://${directory}`;
  }

  async open(create: boolean): Promise<TargetStrength> {
    try {
      if (create) await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      const found = await stat(this.#directory);
      if (!found.isDirectory()) throw directoryMissing(this.url);
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') throw directoryMissing(this.url);
      throw this.#failure(error, 'opening the directory', '');
    }
    return { weakness: '' };
  }

  async create(name: string): Promise<TargetWriter> {
    try {
      const handle = await open(this.#path(name), 'w', 0o600);
      return new FileWriter(handle, (error) => this.#failure(error, `writing ${name}`, name));
    } catch (error) {
      throw this.#failure(error, `creating ${name}`, name);
    }
  }

  async read(name: string, offset: number, into: Uint8Array): Promise<number> {
    let handle: FileHandle | null = null;
    try {
      handle = await open(this.#path(name), 'r');
      let done = 0;
      while (done < into.length) {
        const { bytesRead } = await handle.read(into, done, into.length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    } catch (error) {
      throw this.#failure(error, `reading ${name}`, name);
    } finally {
      await handle?.close();
    }
  }

  async rename(from: string, to: string): Promise<void> {
    try {
      await rename(this.#path(from), this.#path(to));
    } catch (error) {
      throw this.#failure(error, `renaming ${from} to ${to}`, from);
    }
  }

  async syncDirectory(): Promise<void> {
    let handle: FileHandle | null = null;
    try {
      handle = await open(this.#directory, 'r');
      await handle.sync();
    } catch (error) {
      throw this.#failure(error, 'syncing the directory', '');
    } finally {
      await handle?.close();
    }
  }

  async remove(name: string): Promise<void> {
    try {
      await rm(this.#path(name), { force: true });
    } catch (error) {
      throw this.#failure(error, `removing ${name}`, name);
    }
  }

  async list(): Promise<TargetEntry[]> {
    try {
      const entries: TargetEntry[] = [];
      for (const entry of await readdir(this.#directory, { withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const size = await this.stat(entry.name);
        if (size !== null) entries.push({ name: entry.name, bytes: size });
      }
      return entries;
    } catch (error) {
      throw this.#failure(error, 'listing the directory', '');
    }
  }

  async stat(name: string): Promise<number | null> {
    try {
      return (await stat(this.#path(name))).size;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return null;
      throw this.#failure(error, `looking at ${name}`, name);
    }
  }

  async freeBytes(): Promise<number | null> {
    try {
      const found = await statfs(this.#directory);
      return found.bavail * found.bsize;
    } catch (error) {
      throw this.#failure(error, 'asking for free space', '');
    }
  }

  async close(): Promise<void> {}

  #path(name: string): string {
    return join(this.#directory, name);
  }

  #failure(error: unknown, what: string, name: string): KeelsonError {
    const code = codeOf(error);
    if (code === 'ENOSPC' || code === 'EDQUOT') return noSpace(this.url, error);
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return denied(this.url, what, error);
    if (code === 'ENOENT' && name !== '') return fileMissing(this.url, name);
    if (code === 'ENOENT') return directoryMissing(this.url);
    if (isOurs(error)) return error;
    return unreachable(this.url, what, error);
  }
}

class FileWriter implements TargetWriter {
  readonly #handle: FileHandle;
  readonly #failure: (error: unknown) => KeelsonError;
  #position = 0;

  constructor(handle: FileHandle, failure: (error: unknown) => KeelsonError) {
    this.#handle = handle;
    this.#failure = failure;
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      let done = 0;
      while (done < bytes.length) {
        const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, this.#position);
        done += bytesWritten;
        this.#position += bytesWritten;
      }
    } catch (error) {
      throw this.#failure(error);
    }
  }

  async sync(): Promise<void> {
    try {
      await this.#handle.sync();
    } catch (error) {
      throw this.#failure(error);
    }
  }

  async close(): Promise<void> {
    try {
      await this.#handle.close();
    } catch (error) {
      throw this.#failure(error);
    }
  }

  async abandon(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
  }
}

function codeOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return '';
}

function isOurs(error: unknown): error is KeelsonError {
  return codeOf(error).startsWith('BACKUP_');
}
