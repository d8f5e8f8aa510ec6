import { KeelsonError } from '../base/errors.js';
import type { Slab } from '../memory/slab.js';
import { loadAddon } from '../native/load.js';
import type { BlockingIo, Device, DeviceProvider, OpenOptions } from './device.js';
import { FsBlockingIo } from './fs-blocking.js';
import { FsBackend } from './fs-device.js';
import { openDevice } from './open-device.js';
import { QueuedDevice } from './queued-device.js';
import { RequestQueue } from './request-queue.js';
import { RingBlockingIo } from './ring-blocking.js';
import { RingBackend } from './ring-device.js';

export type IoKind = 'ring' | 'fs';

/** How devices are reached in this process: KEELSON_IO when it is set, else the ring where io_uring is permitted. Throws IO_KIND. */
export function chooseIo(): IoKind {
  const forced = process.env.KEELSON_IO;
  if (forced === 'ring' || forced === 'fs') return forced;
  if (forced !== undefined && forced !== '') {
    throw new KeelsonError('IO_KIND', 'KEELSON_IO is set to something unknown', { found: forced, expected: 'ring or fs', exit: 2 });
  }
  return loadAddon().ringAvailable() === '' ? 'ring' : 'fs';
}

/** Devices whose I/O runs over the slab on this thread. Throws IO_RING_UNAVAILABLE when the ring is asked for and not permitted. */
export function createDeviceProvider(slab: Slab, kind: IoKind = chooseIo()): QueuedDeviceProvider {
  return new QueuedDeviceProvider(slab, kind);
}

/** Blocking I/O for a worker thread; view is Slab.attach(shared).view. */
export function createBlockingIo(view: Uint8Array, kind: IoKind): BlockingIo {
  return kind === 'ring' ? new RingBlockingIo(view) : new FsBlockingIo(view);
}

/** False when the device is reached through the page cache because its file system refuses O_DIRECT. */
export function isDirect(device: Device): boolean {
  return !('direct' in device) || device.direct === true;
}

export class QueuedDeviceProvider implements DeviceProvider {
  readonly kind: IoKind;
  readonly #slab: Slab;
  readonly #backend: RingBackend | FsBackend;
  readonly #queue: RequestQueue;
  readonly #open = new Set<QueuedDevice>();
  readonly #release = (device: QueuedDevice): void => {
    this.#open.delete(device);
    loadAddon().closeDevice(device.handle);
  };

  constructor(slab: Slab, kind: IoKind) {
    this.kind = kind;
    this.#slab = slab;
    this.#backend = kind === 'ring' ? new RingBackend(slab) : new FsBackend(slab);
    this.#queue = new RequestQueue(this.#backend);
  }

  /** Gauges: requests handed to the kernel, and requests that wait for their turn. */
  get running(): number {
    return this.#queue.running;
  }

  get waiting(): number {
    return this.#queue.waiting;
  }

  async open(path: string, options: OpenOptions = {}): Promise<Device> {
    const device = new QueuedDevice(openDevice(path, options), this.#queue, this.#slab.bytes, this.#release);
    this.#open.add(device);
    return device;
  }

  /** Closes the devices still open, then the ring. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map((device) => device.close()));
    this.#backend.close();
  }
}
