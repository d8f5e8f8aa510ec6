import { constants } from 'node:os';
import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import type { Bytes, SlabOffset, StripeIndex } from '../base/units.js';
import type { BlockingIo, Device, DeviceProvider, IoDone, OpenOptions } from '../device/device.js';
import type { Slab } from '../memory/slab.js';
import { RING_OP_WORDS, RING_READ, RING_SYNC, RING_WRITE } from '../native/addon-api.js';
import type { SimulatedDisk, WriteInFlight } from './simulated-disk.js';
import { EVENT, type Owner, type Scheduler } from './scheduler.js';

const EBADF = -constants.errno.EBADF;
const EIO = -constants.errno.EIO;
/** Of a request on a healthy device, microseconds. */
const LATENCY_US = 180;
/** One request in so many takes much longer, so that later ones overtake it. */
const LAGGARD_ONE_IN = 24;
const LAGGARD_US = 6000;

/** One process: what it has asked of the disks ends only while it lives. */
export class SimulatedProcess implements Owner {
  alive = true;
  frozen = false;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly #disks: ReadonlyMap<string, SimulatedDisk>;
  readonly #open = new Map<number, { readonly disk: SimulatedDisk; readonly plugged: number }>();
  readonly #held: Map<SimulatedDisk, SimulatedProcess>;
  /** Operations of stripe threads until the process dies in the middle of a batch of them; Infinity: it does not. */
  dieAfterOps = Number.POSITIVE_INFINITY;
  onDeath: () => void = () => {};
  /** Files on the backup host that it writes and has neither closed nor given up. */
  openFiles = 0;
  /** Stripes of tasks that stand still between two of their operations. */
  readonly stripesInTask = new Set<StripeIndex>();
  mayDie: () => boolean = () => true;
  /** The engine did what it must never do. */
  onWrong: (message: string) => void = () => {};

  constructor(scheduler: Scheduler, random: Random, disks: ReadonlyMap<string, SimulatedDisk>, held: Map<SimulatedDisk, SimulatedProcess>) {
    this.scheduler = scheduler;
    this.random = random;
    this.#disks = disks;
    this.#held = held;
  }

  get openDevices(): number {
    return this.#open.size;
  }

  provider(slab: Slab): DeviceProvider {
    return {
      kind: 'simulated',
      open: (path, options) => this.#openDevice(path, slab, options ?? {}),
      close: () => Promise.resolve(),
    };
  }

  async #openDevice(path: string, slab: Slab, options: OpenOptions): Promise<Device> {
    const disk = this.#disks.get(path);
    if (disk === undefined || !disk.connected) throw new KeelsonError('DEVICE_MISSING', `${path} is not there`, { found: 'nothing' });
    const holder = this.#held.get(disk);
    if (holder?.alive === true && (options.exclusive ?? true)) throw new KeelsonError('DEVICE_BUSY', `${path} is in use`);
    this.#held.set(disk, this);
    this.#open.set(disk.handle, { disk, plugged: disk.plugged });
    return new SimulatedDevice(this, disk, slab, () => {
      this.#open.delete(disk.handle);
      if (this.#held.get(disk) === this) this.#held.delete(disk);
    });
  }

  latency(disk: SimulatedDisk): number {
    const { random } = this;
    const base = random.below(LAGGARD_ONE_IN) === 0 ? random.below(LAGGARD_US) : 20 + random.below(LATENCY_US);
    const due = base * disk.faults.slowness;
    const stalled = disk.faults.stalledUntil_us - this.scheduler.now_us;
    if (stalled > 0) disk.onFault('stall');
    return Math.max(due, stalled);
  }

  /** I/O of stripe threads: a batch goes through at once, unless the process dies inside it. */
  blockingIo(view: Buffer): BlockingIo {
    return {
      run: (ops, count, results) => {
        for (let i = 0; i < count; i++) results[i] = this.#operate(ops, i * RING_OP_WORDS, view);
      },
      close: () => {},
    };
  }

  #operate(ops: Float64Array, at: number, view: Buffer): number {
    if (!this.alive) return EBADF;
    const [opcode, handle, memory, offset, length] = ops.subarray(at, at + 5) as unknown as [number, number, number, number, number];
    const open = this.#open.get(handle);
    if (open === undefined) return EBADF;
    const { disk, plugged } = open;
    if (plugged !== disk.plugged) return EIO;
    if (--this.dieAfterOps < 0 && this.mayDie()) {
      if (opcode === RING_WRITE) disk.inFlight.add({ owner: this, offset, bytes: Uint8Array.from(view.subarray(memory, memory + length)) });
      this.onDeath();
      return EBADF;
    }
    const { trace } = this.scheduler;
    if (opcode === RING_READ) {
      const result = disk.read(view, memory, offset, length);
      trace.add(handle, offset, result);
      return result;
    }
    if (opcode === RING_WRITE) {
      const result = disk.write({ offset, bytes: Uint8Array.from(view.subarray(memory, memory + length)) }, this.random);
      trace.add(handle, offset, result);
      return result;
    }
    assert(opcode === RING_SYNC, 'a read, a write or a sync');
    return disk.sync(disk.order);
  }
}

class SimulatedDevice implements Device {
  readonly path: string;
  readonly sizeBytes: Bytes;
  readonly alignBytes = 4096;
  readonly isBlockDevice = true;
  readonly handle: number;
  inFlight = 0;
  readonly #process: SimulatedProcess;
  readonly #disk: SimulatedDisk;
  readonly #slab: Slab;
  readonly #closed: () => void;
  #isOpen = true;
  readonly #plugged: number;
  #idle: (() => void) | null = null;

  constructor(process: SimulatedProcess, disk: SimulatedDisk, slab: Slab, closed: () => void) {
    this.#process = process;
    this.#disk = disk;
    this.#slab = slab;
    this.#closed = closed;
    this.path = disk.path;
    this.sizeBytes = disk.sizeBytes;
    this.handle = disk.handle;
    this.#plugged = disk.plugged;
  }

  knownBlank(): boolean {
    return this.#plugged === this.#disk.plugged && this.#disk.isBlank();
  }

  read(memory: SlabOffset, offset: Bytes, length: Bytes, done: IoDone, tag: number): void {
    this.#check(memory, offset, length);
    this.#ask(EVENT.read, offset, () => this.#disk.read(this.#slab.view, memory, offset, length), done, tag);
  }

  write(memory: SlabOffset, offset: Bytes, length: Bytes, done: IoDone, tag: number): void {
    this.#check(memory, offset, length);
    const bytes = Uint8Array.from(this.#slab.view.subarray(memory, memory + length));
    const write: WriteInFlight = { owner: this.#process, offset, bytes };
    if (this.#plugged === this.#disk.plugged) this.#disk.inFlight.add(write);
    this.#ask(
      EVENT.write,
      offset,
      () => {
        this.#disk.inFlight.delete(write);
        return this.#disk.write(write, this.#process.random);
      },
      done,
      tag,
    );
  }

  sync(done: IoDone, tag: number): void {
    const covered = this.#disk.order;
    this.#ask(EVENT.sync, 0, () => this.#disk.sync(covered), done, tag);
  }

  #check(memory: SlabOffset, offset: Bytes, length: Bytes): void {
    assert(this.#isOpen, 'an open device');
    assert(memory % 4096 === 0 && offset % 4096 === 0 && length % 4096 === 0 && length > 0, 'whole pages');
    assert(offset >= 0 && offset + length <= this.sizeBytes, 'inside the device');
    assert(memory >= 0 && memory + length <= this.#slab.bytes, 'inside the slab');
  }

  #ask(kind: number, offset: Bytes, act: () => number, done: IoDone, tag: number): void {
    assert(this.#isOpen, 'an open device');
    const process = this.#process;
    this.inFlight++;
    process.scheduler.after(process.latency(this.#disk), process, kind, () => {
      this.inFlight--;
      const result = this.#plugged === this.#disk.plugged ? act() : EIO;
      process.scheduler.trace.add(this.handle, offset, result);
      done(result, tag);
      if (this.inFlight === 0) this.#idle?.();
    });
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    if (this.inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    this.#isOpen = false;
    this.#closed();
  }
}
