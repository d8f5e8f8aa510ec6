import { closeSync, constants as fsConstants, openSync } from 'node:fs';
import { constants } from 'node:os';
import { assert } from '../base/assert.js';
import { type Clock, systemClock } from '../base/clock.js';
import { KeelsonError } from '../base/errors.js';
import type { Bytes, SlabOffset } from '../base/units.js';
import type { Slab } from '../memory/slab.js';
import { loadAddon } from '../native/load.js';
import type { Device, DeviceProvider, IoDone, OpenOptions } from './device.js';

/*
 * Fault model. A layer over any provider, after nbdkit's filters. Per path, from the moment it is asked for and until heal():
 *   fail    the next requests of a kind give an error and do not reach the device
 *   flip    a bit of what is read is inverted (the medium stays as it is)
 *   delay   requests reach the device some time later
 *   hold    requests reach the device only at release(): late writes, in any order the test likes
 *   kill    every request fails from now on, also those in flight, and the path cannot be opened; the descriptor is put over by one on which
 *           all I/O fails, so that worker threads, which go by the descriptor, see the death too
 */

export type IoKind = 'read' | 'write' | 'sync';

interface Failure {
  readonly kind: IoKind;
  readonly result: number;
  readonly from: Bytes;
  readonly to: Bytes;
  times: number;
}

/** What is done to one path. */
export class DeviceFaults {
  readonly path: string;
  /** Requests that were made to fail, and reads that were changed. */
  injected = 0;
  #dead = false;
  #held: (() => void)[] | null = null;
  readonly #failures: Failure[] = [];
  readonly #flips = new Map<Bytes, number>();
  readonly #handles = new Set<number>();
  readonly #realHandles: boolean;
  delay_ms = 0;

  constructor(path: string, realHandles: boolean) {
    this.path = path;
    this.#realHandles = realHandles;
  }

  get dead(): boolean {
    return this.#dead;
  }

  /** Requests held back. */
  get held(): number {
    return this.#held?.length ?? 0;
  }

  /** The next `times` requests of this kind that touch bytes [from, to) give `result` (default -EIO). */
  fail(kind: IoKind, times = 1, from: Bytes = 0, to: Bytes = Infinity, result = -constants.errno.EIO): void {
    assert(result < 0, 'a failure is -errno');
    this.#failures.push({ kind, times, from, to, result });
  }

  /** Bit `bit` of the byte at `offset` comes back inverted from every read. */
  flip(offset: Bytes, bit: number): void {
    this.#flips.set(offset, (this.#flips.get(offset) ?? 0) ^ (1 << bit));
  }

  hold(): void {
    this.#held ??= [];
  }

  /** Lets what is held go, in `order` (indices into the held requests) or as it came. */
  release(order?: readonly number[]): void {
    const held = this.#held ?? [];
    this.#held = null;
    if (order === undefined) for (const start of held) start();
    else {
      assert(order.length === held.length, 'an order of all that is held');
      for (const index of order) held[index]?.();
    }
  }

  kill(): void {
    this.#dead = true;
    if (!this.#realHandles) return;
    // Opened for writing only: reads give EBADF, writes ENOSPC, syncs EINVAL.
    const broken = openSync('/dev/full', fsConstants.O_WRONLY);
    for (const handle of this.#handles) loadAddon().dupOver(handle, broken);
    closeSync(broken);
  }

  /** Ends everything but death. */
  heal(): void {
    this.#failures.length = 0;
    this.#flips.clear();
    this.delay_ms = 0;
    this.release();
  }

  /** The path can be opened again; devices that were open when it died stay dead. */
  revive(): void {
    this.#dead = false;
  }

  opened(handle: number): void {
    this.#handles.add(handle);
  }

  closed(handle: number): void {
    this.#handles.delete(handle);
  }

  /** Starts the request now, or keeps it. */
  admit(start: () => void): void {
    if (this.#held !== null) this.#held.push(start);
    else start();
  }

  /** -errno, or 0 when the request may go on. */
  failureOf(kind: IoKind, offset: Bytes, length: Bytes): number {
    const index = this.#failures.findIndex(
      (failure) => failure.kind === kind && offset < failure.to && (kind === 'sync' || offset + length > failure.from),
    );
    const failure = this.#failures[index];
    if (failure === undefined) return 0;
    failure.times -= 1;
    if (failure.times <= 0) this.#failures.splice(index, 1);
    this.injected += 1;
    return failure.result;
  }

  /** Applies the flips to what was just read. */
  spoil(memory: Buffer, offset: Bytes, length: Bytes): void {
    for (const [at, mask] of this.#flips) {
      if (at < offset || at >= offset + length) continue;
      memory[at - offset] = (memory[at - offset] as number) ^ mask;
      this.injected += 1;
    }
  }
}

class FaultyDevice implements Device {
  readonly #inner: Device;
  readonly #faults: DeviceFaults;
  readonly #slab: Slab;
  readonly #clock: Clock;
  #inFlight = 0;
  #idle: (() => void) | null = null;
  /** Death outlives revive() on a device that was open. */
  #died = false;

  constructor(inner: Device, faults: DeviceFaults, slab: Slab, clock: Clock) {
    this.#inner = inner;
    this.#faults = faults;
    this.#slab = slab;
    this.#clock = clock;
    faults.opened(inner.handle);
  }

  get path(): string {
    return this.#inner.path;
  }

  get sizeBytes(): Bytes {
    return this.#inner.sizeBytes;
  }

  get alignBytes(): Bytes {
    return this.#inner.alignBytes;
  }

  get isBlockDevice(): boolean {
    return this.#inner.isBlockDevice;
  }

  get handle(): number {
    return this.#inner.handle;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  read(memory: SlabOffset, offset: Bytes, length: Bytes, done: IoDone, tag: number): void {
    const spoiled: IoDone = (result, innerTag) => {
      if (result > 0) this.#faults.spoil(this.#slab.view.subarray(memory, memory + length), offset, length);
      done(result, innerTag);
    };
    this.#request('read', offset, length, spoiled, tag, (finish) => this.#inner.read(memory, offset, length, finish, tag));
  }

  write(memory: SlabOffset, offset: Bytes, length: Bytes, done: IoDone, tag: number): void {
    this.#request('write', offset, length, done, tag, (finish) => this.#inner.write(memory, offset, length, finish, tag));
  }

  sync(done: IoDone, tag: number): void {
    this.#request('sync', 0, 0, done, tag, (finish) => this.#inner.sync(finish, tag));
  }

  #request(kind: IoKind, offset: Bytes, length: Bytes, done: IoDone, tag: number, issue: (finish: IoDone) => void): void {
    this.#inFlight += 1;
    const finish: IoDone = (result) => {
      this.#inFlight -= 1;
      this.#died ||= this.#faults.dead;
      done(this.#died ? -constants.errno.EIO : result, tag);
      if (this.#inFlight === 0) this.#idle?.();
    };
    const start = (): void => {
      this.#died ||= this.#faults.dead;
      const failure = this.#died ? -constants.errno.EIO : this.#faults.failureOf(kind, offset, length);
      if (failure < 0) {
        queueMicrotask(() => finish(failure, tag));
        return;
      }
      try {
        issue(finish);
      } catch (error) {
        // Refused by the device below: nothing is in flight.
        this.#inFlight -= 1;
        throw error;
      }
    };
    this.#faults.admit(() => {
      if (this.#faults.delay_ms > 0) this.#clock.after(this.#faults.delay_ms, start);
      else start();
    });
  }

  async close(): Promise<void> {
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    this.#faults.closed(this.#inner.handle);
    await this.#inner.close();
  }
}

export class FaultyProvider implements DeviceProvider {
  readonly #inner: DeviceProvider;
  readonly #slab: Slab;
  readonly #clock: Clock;
  readonly #faults = new Map<string, DeviceFaults>();

  constructor(inner: DeviceProvider, slab: Slab, clock: Clock) {
    this.#inner = inner;
    this.#slab = slab;
    this.#clock = clock;
  }

  get kind(): DeviceProvider['kind'] {
    return this.#inner.kind;
  }

  /** The control of a path; it may be asked for before the path is opened. */
  faults(path: string): DeviceFaults {
    const known = this.#faults.get(path);
    if (known !== undefined) return known;
    const faults = new DeviceFaults(path, this.#inner.kind !== 'simulated');
    this.#faults.set(path, faults);
    return faults;
  }

  async open(path: string, options: OpenOptions = {}): Promise<Device> {
    const faults = this.faults(path);
    if (faults.dead) throw new KeelsonError('DEVICE_MISSING', `${path} is not there`, { found: 'an injected death' });
    return new FaultyDevice(await this.#inner.open(path, options), faults, this.#slab, this.#clock);
  }

  async close(): Promise<void> {
    for (const faults of this.#faults.values()) faults.heal();
    await this.#inner.close();
  }
}

/** Puts fault injection over a provider. slab: the memory its requests go by; clock: what delays go by. */
export function faultyProvider(inner: DeviceProvider, slab: Slab, clock: Clock = systemClock): FaultyProvider {
  return new FaultyProvider(inner, slab, clock);
}
