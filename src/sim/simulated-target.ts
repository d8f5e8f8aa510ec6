import type { Random } from '../base/random.js';
import {
  denied,
  fileMissing,
  noSpace,
  type Target,
  type TargetEntry,
  type TargetStrength,
  type TargetWriter,
  unreachable,
} from '../target/target.js';
import { EVENT, type Owner, WORLD } from './scheduler.js';
import type { SimulatedProcess } from './simulated-process.js';

export interface HostFile {
  bytes: Buffer;
  /** Bytes that a power failure of the host leaves. */
  synced: number;
}

const URL = 'sim://vault';
const LATENCY_US = 900;

/** One operation on the directory: what it makes of the names that it touches, null = they are gone. Lost or kept as a whole. */
type DirectoryChange = ReadonlyMap<string, HostFile | null>;

/** The backup host, which outlives the processes that use it: files, of which a power failure keeps what was synced, and a directory likewise. */
export class SimulatedHost {
  #files = new Map<string, HostFile>();
  /** Operations on the directory since it was last synced, oldest first. */
  #unsynced: DirectoryChange[] = [];
  #durable = new Map<string, HostFile>();
  /** Rises when connections are cut: what belongs to an older one fails. */
  connection = 0;
  /** Bytes until the connection is cut in the middle of a write; Infinity: it holds. */
  cutAfterBytes = Number.POSITIVE_INFINITY;
  downUntil_us = 0;
  fullUntil_us = 0;
  deniedUntil_us = 0;
  slowness = 1;
  onFault: (kind: string) => void = () => {};
  askedAt_us = 0;
  onSynced: () => void = () => {};

  get files(): ReadonlyMap<string, HostFile> {
    return this.#files;
  }

  get(name: string): HostFile {
    const file = this.#files.get(name);
    if (file === undefined) throw fileMissing(URL, name);
    return file;
  }

  create(name: string): HostFile {
    const file = { bytes: Buffer.alloc(0), synced: 0 };
    this.#change(new Map([[name, file]]));
    return file;
  }

  rename(from: string, to: string): void {
    const file = this.get(from);
    this.#change(
      new Map([
        [from, null],
        [to, file],
      ]),
    );
  }

  remove(name: string): void {
    this.#change(new Map([[name, null]]));
  }

  idle_us(now_us: number): number {
    return now_us - this.askedAt_us;
  }

  /** The host is put back to an earlier state of its files. */
  putBack(files: ReadonlyMap<string, HostFile>): void {
    this.#files = new Map([...files].map(([name, { bytes }]) => [name, { bytes, synced: bytes.length }]));
    this.syncDirectory();
  }

  syncDirectory(): void {
    this.#durable = new Map(this.#files);
    this.#unsynced = [];
    this.onSynced();
  }

  #change(change: DirectoryChange): void {
    apply(this.#files, change);
    this.#unsynced.push(change);
  }

  /**
   * The host loses its power and comes back: of the directory what was synced, and any of the operations since, as long as it comes after those on the same names; of each file
   * what was synced, or more.
   */
  powerFailure(random: Random): void {
    const survived = this.#durable;
    const lost = new Set<string>();
    const kept = random.below(5);
    for (const change of this.#unsynced) {
      const names = [...change.keys()];
      if (random.below(4) < kept && !names.some((name) => lost.has(name))) apply(survived, change);
      else for (const name of names) lost.add(name);
    }
    this.#files = new Map();
    for (const [name, file] of survived) {
      const bytes = file.synced + random.below(file.bytes.length - file.synced + 1);
      this.#files.set(name, { bytes: Buffer.from(file.bytes.subarray(0, bytes)), synced: bytes });
    }
    this.syncDirectory();
    this.connection++;
  }

  /** Another host with the same files, which nobody asks anything. */
  copy(): SimulatedHost {
    const copy = new SimulatedHost();
    // A file that has two names, one of them to come, is one file.
    const twins = new Map<HostFile, HostFile>();
    const twin = (file: HostFile): HostFile => {
      const found = twins.get(file) ?? { ...file };
      twins.set(file, found);
      return found;
    };
    const twinned = (files: ReadonlyMap<string, HostFile | null>): Map<string, HostFile | null> =>
      new Map([...files].map(([name, file]) => [name, file === null ? null : twin(file)]));
    copy.#files = twinned(this.#files) as Map<string, HostFile>;
    copy.#unsynced = this.#unsynced.map(twinned);
    copy.#durable = twinned(this.#durable) as Map<string, HostFile>;
    return copy;
  }

  /** What another host would find if this one lost its power now. */
  copyAfterPowerFailure(random: Random): SimulatedHost {
    const copy = this.copy();
    copy.powerFailure(random);
    return copy;
  }

  /** Operations on the directory that a power failure may take back. */
  get unsyncedChanges(): number {
    return this.#unsynced.length;
  }

  heal(): void {
    this.cutAfterBytes = Number.POSITIVE_INFINITY;
    this.downUntil_us = 0;
    this.fullUntil_us = 0;
    this.deniedUntil_us = 0;
    this.slowness = 1;
  }
}

function apply(files: Map<string, HostFile>, change: DirectoryChange): void {
  for (const [name, file] of change) {
    if (file === null) files.delete(name);
    else files.set(name, file);
  }
}

/**
 * One process's connection to the host. Every operation takes its time, and may fail before it has its effect or after. One that finds the connection lost connects again,
 * so that a host that was away in between may go unnoticed; a file that was being written is of the connection that it was begun in.
 */
export class SimulatedTarget implements Target {
  readonly url = URL;
  readonly #host: SimulatedHost;
  readonly #process: SimulatedProcess;

  constructor(host: SimulatedHost, process: SimulatedProcess) {
    this.#host = host;
    this.#process = process;
  }

  open(): Promise<TargetStrength> {
    return this.#run('open', () => ({ weakness: '' }));
  }

  async create(name: string): Promise<TargetWriter> {
    const writer = await this.#run('create', () => this.#createFile(name));
    // Whoever did not get the reply has nothing to close.
    this.#process.openFiles++;
    return writer;
  }

  #createFile(name: string): TargetWriter {
    this.#refuseWrites();
    const file = this.#host.create(name);
    const { connection } = this.#host;
    let open = 1;
    const gone = (): void => {
      this.#process.openFiles -= open;
      open = 0;
    };
    return {
      write: (bytes) => {
        // The bytes may be used again once this resolves.
        const copy = Buffer.from(bytes);
        return this.#run('write', () => this.#append(file, copy), connection);
      },
      sync: () =>
        this.#run(
          'sync',
          () => {
            file.synced = file.bytes.length;
          },
          connection,
        ),
      close: () => {
        gone();
        return this.#run('close', () => undefined, connection);
      },
      abandon: () => Promise.resolve(gone()),
    };
  }

  #append(file: HostFile, bytes: Buffer): void {
    this.#refuseWrites();
    const host = this.#host;
    if (bytes.length < host.cutAfterBytes) {
      host.cutAfterBytes -= bytes.length;
      file.bytes = Buffer.concat([file.bytes, bytes]);
      return;
    }
    file.bytes = Buffer.concat([file.bytes, bytes.subarray(0, host.cutAfterBytes)]);
    host.cutAfterBytes = Number.POSITIVE_INFINITY;
    host.connection++;
    host.onFault('target-disconnect');
    throw unreachable(URL, 'write', 'the connection was cut');
  }

  #refuseWrites(): void {
    const now = this.#process.scheduler.now_us;
    if (now < this.#host.fullUntil_us) {
      this.#host.onFault('target-full');
      throw noSpace(URL, 'no space left on the device');
    }
    if (now < this.#host.deniedUntil_us) {
      this.#host.onFault('target-denied');
      throw denied(URL, 'write', 'permission denied');
    }
  }

  read(name: string, offset: number, into: Uint8Array): Promise<number> {
    return this.#run('read', () => {
      const part = this.#host.get(name).bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#run('rename', () => this.#host.rename(from, to));
  }

  syncDirectory(): Promise<void> {
    return this.#run('syncDirectory', () => this.#host.syncDirectory());
  }

  remove(name: string): Promise<void> {
    return this.#run('remove', () => this.#host.remove(name));
  }

  list(): Promise<TargetEntry[]> {
    return this.#run('list', () => [...this.#host.files].map(([name, file]) => ({ name, bytes: file.bytes.length })));
  }

  stat(name: string): Promise<number | null> {
    return this.#run('stat', () => this.#host.files.get(name)?.bytes.length ?? null);
  }

  freeBytes(): Promise<number | null> {
    return Promise.resolve(null);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** The effect, and then the reply: between the two the connection may be lost. */
  #run<T>(what: string, effect: () => T, connection = this.#host.connection): Promise<T> {
    const process = this.#process;
    const host = this.#host;
    const later = (run: () => void, owner: Owner = process): void =>
      void process.scheduler.after((50 + process.random.below(LATENCY_US)) * host.slowness, owner, EVENT.target, run);
    return new Promise<T>((resolve, reject) => {
      const lost = (): boolean => {
        if (connection === host.connection && process.scheduler.now_us >= host.downUntil_us) return false;
        host.onFault('target-unreachable');
        reject(unreachable(URL, what, 'no connection'));
        return true;
      };
      // What was sent is done, whether or not whoever sent it still lives.
      const sent = process.random.below(2) === 0 ? WORLD : process;
      later(() => {
        if (lost()) return;
        host.askedAt_us = process.scheduler.now_us;
        if (!process.alive) host.onFault('target-late-request');
        process.scheduler.trace.add(what.length, what.charCodeAt(0), host.files.size);
        let result: T;
        try {
          result = effect();
        } catch (error) {
          reject(error);
          return;
        }
        later(() => {
          if (!lost()) resolve(result);
        });
      }, sent);
    });
  }
}
