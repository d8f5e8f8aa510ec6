import type { Bytes, SlabOffset } from '../base/units.js';

/** result: the full length in bytes (0 for a sync), or -errno. tag is what the caller gave. */
export type IoDone = (result: number, tag: number) => void;

/**
 * One open device or file, as the main thread uses it. Memory is slab memory; all offsets and lengths are multiples of the device's
 * alignment (4096 is always enough). Callbacks come on this thread, never before the call returns. Requests of one turn of the
 * event loop are submitted together. Order between requests is not kept: whoever needs it waits for the first one.
 */
export interface Device {
  readonly path: string;
  readonly sizeBytes: Bytes;
  readonly alignBytes: Bytes;
  readonly isBlockDevice: boolean;
  /** What BlockingIo in any thread of this process addresses this device by (the file descriptor). */
  readonly handle: number;
  /** Requests submitted and not yet completed. */
  readonly inFlight: number;
  /** true: it reads zeroes from end to end, and knows it without reading. Only simulated devices do; of others reading tells. */
  knownBlank?(): boolean;
  read(memory: SlabOffset, offset: Bytes, length: Bytes, done: IoDone, tag: number): void;
  write(memory: SlabOffset, offset: Bytes, length: Bytes, done: IoDone, tag: number): void;
  /** Makes every write completed before it durable (fdatasync). */
  sync(done: IoDone, tag: number): void;
  /** Waits for what is in flight, then closes and releases the exclusive hold. */
  close(): Promise<void>;
}

export interface OpenOptions {
  /** Refuse when anyone else, in this process or another, holds it. Default true. */
  readonly exclusive?: boolean;
  readonly readOnly?: boolean;
}

/** Opens devices; production has one (ring or fs), the simulator its own. */
export interface DeviceProvider {
  readonly kind: 'ring' | 'fs' | 'simulated';
  /** Throws KeelsonError DEVICE_MISSING, DEVICE_BUSY, DEVICE_DENIED, DEVICE_NO_DIRECT or DEVICE_OPEN. */
  open(path: string, options?: OpenOptions): Promise<Device>;
  close(): Promise<void>;
}

/**
 * Blocking I/O for worker threads: a batch of operations goes in, all results come out. Operations are RING_OP_WORDS doubles each
 * (native/addon-api.ts), the fd word being a Device.handle. results[i] = length or -errno.
 */
export interface BlockingIo {
  run(ops: Float64Array, count: number, results: Int32Array): void;
  close(): void;
}
