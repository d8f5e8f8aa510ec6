import type { Bytes } from '../../../src/base/units.js';
import type { Target, TargetEntry, TargetStrength, TargetWriter } from '../../../src/target/target.js';
import { NEVER, type WriteRecorder } from './write-recorder.js';

/** Bytes that were appended to one file, and when it was synced. */
export interface RecordedFile {
  readonly pieces: { readonly submitted: number; readonly bytes: Uint8Array }[];
  readonly syncs: { readonly submitted: number; completed: number }[];
}

/** A change of the directory: `to` names the file from then on, and `from` nothing. */
export interface DirectoryChange {
  readonly submitted: number;
  completed: number;
  readonly from: string;
  readonly to: string;
  readonly file: RecordedFile | null;
}

/** What a backup directory was asked for, in the order of submission, by the same clock as the writes to members. */
export interface TargetLog {
  readonly before: ReadonlyMap<string, RecordedFile>;
  readonly changes: DirectoryChange[];
  readonly syncs: { readonly submitted: number; completed: number }[];
}

/** A layer over any target, as WriteRecorder is one over devices. */
export class RecordedTarget implements Target {
  readonly url: string;
  readonly #inner: Target;
  readonly #recorder: WriteRecorder;
  readonly #log: TargetLog;
  readonly #names: Map<string, RecordedFile>;

  constructor(inner: Target, recorder: WriteRecorder, log: TargetLog) {
    this.#inner = inner;
    this.#recorder = recorder;
    this.#log = log;
    this.#names = new Map(log.before);
    this.url = inner.url;
  }

  open(create: boolean): Promise<TargetStrength> {
    return this.#inner.open(create);
  }

  async create(name: string): Promise<TargetWriter> {
    const file: RecordedFile = { pieces: [], syncs: [] };
    const writer = await this.#change('', name, file, () => this.#inner.create(name));
    return {
      write: (bytes) => {
        file.pieces.push({ submitted: this.#recorder.tick(), bytes: Uint8Array.from(bytes) });
        return writer.write(bytes);
      },
      sync: () => this.#sync(file.syncs, () => writer.sync()),
      close: () => writer.close(),
      abandon: () => writer.abandon(),
    };
  }

  rename(from: string, to: string): Promise<void> {
    return this.#change(from, to, this.#names.get(from) ?? null, () => this.#inner.rename(from, to));
  }

  remove(name: string): Promise<void> {
    return this.#change(name, '', null, () => this.#inner.remove(name));
  }

  syncDirectory(): Promise<void> {
    return this.#sync(this.#log.syncs, () => this.#inner.syncDirectory());
  }

  read(name: string, offset: Bytes, into: Uint8Array): Promise<Bytes> {
    return this.#inner.read(name, offset, into);
  }

  list(): Promise<TargetEntry[]> {
    return this.#inner.list();
  }

  stat(name: string): Promise<Bytes | null> {
    return this.#inner.stat(name);
  }

  freeBytes(): Promise<Bytes | null> {
    return this.#inner.freeBytes();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #change<T>(from: string, to: string, file: RecordedFile | null, run: () => Promise<T>): Promise<T> {
    const change = { submitted: this.#recorder.tick(), completed: NEVER, from, to, file };
    this.#log.changes.push(change);
    const result = await run();
    change.completed = this.#recorder.tick();
    if (from !== '') this.#names.delete(from);
    if (to !== '' && file !== null) this.#names.set(to, file);
    return result;
  }

  async #sync(syncs: { readonly submitted: number; completed: number }[], run: () => Promise<void>): Promise<void> {
    const sync = { submitted: this.#recorder.tick(), completed: NEVER };
    syncs.push(sync);
    await run();
    sync.completed = this.#recorder.tick();
  }
}
