import { assert } from '../../../src/base/assert.js';
import type { Bytes, SlabOffset } from '../../../src/base/units.js';
import type { BlockingIo, Device, DeviceProvider, IoDone, OpenOptions } from '../../../src/device/device.js';
import type { Slab } from '../../../src/memory/slab.js';
import { RING_OP_WORDS, RING_SYNC, RING_WRITE } from '../../../src/native/addon-api.js';

/*
 * A layer over any provider, after the manner of dm-log-writes: it keeps what every member was asked to write and to make durable, by the one clock of
 * this process. One tick is one event: a request that leaves for a device, one that comes back, or whatever the caller marks with tick().
 */

export const NEVER = Number.POSITIVE_INFINITY;

export interface RecordedWrite {
  readonly offset: Bytes;
  readonly bytes: Uint8Array;
  readonly submitted: number;
  /** NEVER also when it failed: it may have landed. */
  completed: number;
}

export interface RecordedSync {
  readonly submitted: number;
  completed: number;
}

/** The requests of one path, in the order of their submission. */
export interface PathLog {
  readonly path: string;
  readonly writes: RecordedWrite[];
  readonly syncs: RecordedSync[];
  /** Writes that were on their way together and touch the same bytes: a device may end them in either order. */
  readonly racing: string[];
}

export class WriteRecorder {
  readonly logs = new Map<string, PathLog>();
  readonly #handles = new Map<number, PathLog>();
  readonly #inFlight = new Map<PathLog, Set<RecordedWrite>>();
  #time = 0;

  /** The present moment. */
  get time(): number {
    return this.#time;
  }

  /** A new moment. */
  tick(): number {
    return ++this.#time;
  }

  provider(inner: DeviceProvider, slab: Slab): DeviceProvider {
    return {
      kind: inner.kind,
      open: async (path: string, options?: OpenOptions) => {
        const device = await inner.open(path, options);
        const log = this.#logOf(path);
        this.#handles.set(device.handle, log);
        return new RecordedDevice(device, this, log, slab);
      },
      close: () => inner.close(),
    };
  }

  /** The same for the blocking I/O of stripe work; view: the memory that its operations address. */
  blockingIo(inner: BlockingIo, view: Uint8Array): BlockingIo {
    return {
      run: (ops, count, results) => {
        const settle: ((result: number) => void)[] = [];
        for (let i = 0; i < count; i++) {
          const at = i * RING_OP_WORDS;
          const log = this.#handles.get(ops[at + 1] as number);
          const [opcode, memory, offset, length] = [ops[at], ops[at + 2], ops[at + 3], ops[at + 4]] as [number, number, number, number];
          assert(log !== undefined || (opcode !== RING_WRITE && opcode !== RING_SYNC), 'a device that was opened through the recorder');
          if (log !== undefined && opcode === RING_WRITE)
            settle[i] = this.wrote(log, offset, Uint8Array.from(view.subarray(memory, memory + length)));
          if (log !== undefined && opcode === RING_SYNC) settle[i] = this.synced(log);
        }
        inner.run(ops, count, results);
        for (let i = 0; i < count; i++) settle[i]?.(results[i] as number);
      },
      close: () => inner.close(),
    };
  }

  /** A write leaves; call the result with what the device answered. */
  wrote(log: PathLog, offset: Bytes, bytes: Uint8Array): (result: number) => void {
    const write: RecordedWrite = { offset, bytes, submitted: this.tick(), completed: NEVER };
    const together = this.#inFlight.get(log) as Set<RecordedWrite>;
    for (const other of together) {
      if (other.offset < offset + bytes.length && offset < other.offset + other.bytes.length)
        log.racing.push(`${log.path}: [${other.offset}, +${other.bytes.length}) and [${offset}, +${bytes.length}) at ${write.submitted}`);
    }
    log.writes.push(write);
    together.add(write);
    return (result) => {
      together.delete(write);
      const now = this.tick();
      if (result === bytes.length) write.completed = now;
    };
  }

  synced(log: PathLog): (result: number) => void {
    const sync: RecordedSync = { submitted: this.tick(), completed: NEVER };
    log.syncs.push(sync);
    return (result) => {
      const now = this.tick();
      if (result === 0) sync.completed = now;
    };
  }

  #logOf(path: string): PathLog {
    const known = this.logs.get(path);
    if (known !== undefined) return known;
    const log: PathLog = { path, writes: [], syncs: [], racing: [] };
    this.logs.set(path, log);
    this.#inFlight.set(log, new Set());
    return log;
  }
}

class RecordedDevice implements Device {
  readonly path: string;
  readonly sizeBytes: Bytes;
  readonly alignBytes: Bytes;
  readonly isBlockDevice: boolean;
  readonly handle: number;
  readonly #inner: Device;
  readonly #recorder: WriteRecorder;
  readonly #log: PathLog;
  readonly #slab: Slab;

  constructor(inner: Device, recorder: WriteRecorder, log: PathLog, slab: Slab) {
    this.#inner = inner;
    this.#recorder = recorder;
    this.#log = log;
    this.#slab = slab;
    this.path = inner.path;
    this.sizeBytes = inner.sizeBytes;
    this.alignBytes = inner.alignBytes;
    this.isBlockDevice = inner.isBlockDevice;
    this.handle = inner.handle;
  }

  get inFlight(): number {
    return this.#inner.inFlight;
  }

  read(memory: SlabOffset, offset: Bytes, length: Bytes, done: IoDone, tag: number): void {
    this.#inner.read(memory, offset, length, done, tag);
  }

  write(memory: SlabOffset, offset: Bytes, length: Bytes, done: IoDone, tag: number): void {
    const ended = this.#recorder.wrote(this.#log, offset, Uint8Array.from(this.#slab.view.subarray(memory, memory + length)));
    this.#inner.write(
      memory,
      offset,
      length,
      (result, innerTag) => {
        ended(result);
        done(result, innerTag);
      },
      tag,
    );
  }

  sync(done: IoDone, tag: number): void {
    const ended = this.#recorder.synced(this.#log);
    this.#inner.sync((result, innerTag) => {
      ended(result);
      done(result, innerTag);
    }, tag);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
