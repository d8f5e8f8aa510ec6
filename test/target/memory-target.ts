import type { Random } from '../../src/base/random.js';
import {
  fileMissing,
  type Target,
  type TargetEntry,
  type TargetStrength,
  type TargetWriter,
  unreachable,
} from '../../src/target/target.js';

/** A file as the host's disk and cache see it: what is past `synced` is lost by a crash. */
interface MemoryFile {
  bytes: Buffer;
  synced: number;
}

/**
 * A backup target in memory, with the faults of a real one:
 *  - each operation may be the one at which the connection goes: it fails, having taken effect (reply lost) or not;
 *  - a crash of the host loses what was not synced: the ends of files, and the renames, removals and creations after the last
 *    syncDirectory, of which a prefix survives (as on a journalling file system).
 */
export class MemoryTarget implements Target {
  readonly url = 'memory://test';
  readonly files = new Map<string, MemoryFile>();
  /** States of the directory since it was last synced, oldest first. */
  readonly #unsynced: Map<string, MemoryFile>[] = [];
  #durable = new Map<string, MemoryFile>();
  operations = 0;
  bytesRead = 0;
  /** Called with the name of each operation before it runs; a throw fails it. */
  before: (operation: string) => void = () => undefined;
  /** The operation of this number fails. */
  failAt = Infinity;
  failAfterEffect = false;
  /** Once failed, everything fails until heal(). */
  #down = false;

  async open(): Promise<TargetStrength> {
    return this.#run('open', () => ({ weakness: '' }));
  }

  async create(name: string): Promise<TargetWriter> {
    return this.#run('create', () => {
      const file: MemoryFile = { bytes: Buffer.alloc(0), synced: 0 };
      this.#change(() => this.files.set(name, file));
      return {
        write: (bytes) =>
          this.#run('write', () => {
            file.bytes = Buffer.concat([file.bytes, bytes]);
          }),
        sync: () =>
          this.#run('sync', () => {
            file.synced = file.bytes.length;
          }),
        close: () => this.#run('close', () => undefined),
        abandon: async () => undefined,
      };
    });
  }

  async read(name: string, offset: number, into: Uint8Array): Promise<number> {
    return this.#run('read', () => {
      const part = this.#file(name).bytes.subarray(offset, offset + into.length);
      into.set(part);
      this.bytesRead += part.length;
      return part.length;
    });
  }

  async rename(from: string, to: string): Promise<void> {
    return this.#run('rename', () => {
      const file = this.#file(from);
      this.#change(() => {
        this.files.set(to, file);
        this.files.delete(from);
      });
    });
  }

  async syncDirectory(): Promise<void> {
    return this.#run('syncDirectory', () => {
      this.#durable = new Map(this.files);
      this.#unsynced.length = 0;
    });
  }

  async remove(name: string): Promise<void> {
    return this.#run('remove', () => this.#change(() => this.files.delete(name)));
  }

  async list(): Promise<TargetEntry[]> {
    return this.#run('list', () => [...this.files].map(([name, file]) => ({ name, bytes: file.bytes.length })));
  }

  async stat(name: string): Promise<number | null> {
    return this.#run('stat', () => this.files.get(name)?.bytes.length ?? null);
  }

  async freeBytes(): Promise<number | null> {
    return null;
  }

  async close(): Promise<void> {}

  heal(): void {
    this.#down = false;
    this.failAt = Infinity;
  }

  /** Power cut of the host, and its return. */
  crash(random: Random): void {
    const states = [this.#durable, ...this.#unsynced];
    const survived = states[random.below(states.length)] as Map<string, MemoryFile>;
    this.files.clear();
    for (const [name, file] of survived) {
      const kept = file.synced + random.below(file.bytes.length - file.synced + 1);
      this.files.set(name, { bytes: Buffer.from(file.bytes.subarray(0, kept)), synced: kept });
    }
    this.#durable = new Map(this.files);
    this.#unsynced.length = 0;
    this.heal();
  }

  #change(change: () => void): void {
    change();
    this.#unsynced.push(new Map(this.files));
  }

  #file(name: string): MemoryFile {
    const file = this.files.get(name);
    if (file === undefined) throw fileMissing(this.url, name);
    return file;
  }

  async #run<T>(operation: string, effect: () => T): Promise<T> {
    await Promise.resolve();
    this.before(operation);
    if (this.#down) throw unreachable(this.url, operation, 'down');
    if (this.operations++ >= this.failAt) {
      this.#down = true;
      if (this.failAfterEffect) effect();
      throw unreachable(this.url, operation, 'the connection was cut');
    }
    return effect();
  }
}
