import { constants } from 'node:os';
import type { BlockingIo } from '../../src/device/device.js';
import { RING_OP_WORDS, RING_READ, RING_SYNC, RING_WRITE } from '../../src/native/addon-api.js';

/**
 * BlockingIo over devices in memory (handle = index). Faults: a read that touches a listed 4096-byte block of a device fails as a whole with EIO;
 * a device in failWrites fails all its writes, after the first half of the bytes has landed (torn).
 */
export class MemoryIo implements BlockingIo {
  readonly devices: Uint8Array[];
  readonly unreadable: Set<number>[];
  readonly failWrites = new Set<number>();
  reads = 0;
  writes = 0;
  syncs = 0;
  batches = 0;
  readonly #memory: Uint8Array;

  constructor(memory: Uint8Array, count: number, bytes: number) {
    this.#memory = memory;
    this.devices = Array.from({ length: count }, () => new Uint8Array(bytes));
    this.unreadable = Array.from({ length: count }, () => new Set<number>());
  }

  resetCounts(): void {
    this.reads = 0;
    this.writes = 0;
    this.syncs = 0;
    this.batches = 0;
  }

  run(ops: Float64Array, count: number, results: Int32Array): void {
    this.batches += 1;
    for (let i = 0; i < count; i++) {
      const [opcode, handle, memory, offset, length] = ops.subarray(i * RING_OP_WORDS) as unknown as [
        number,
        number,
        number,
        number,
        number,
      ];
      results[i] = this.#one(opcode, handle, memory, offset, length);
    }
  }

  #one(opcode: number, handle: number, memory: number, offset: number, length: number): number {
    const device = this.devices[handle];
    if (device === undefined) return -constants.errno.EBADF;
    if (opcode === RING_SYNC) {
      this.syncs += 1;
      return 0;
    }
    if (offset + length > device.length || memory + length > this.#memory.length) return -constants.errno.EINVAL;
    if (opcode === RING_READ) {
      this.reads += 1;
      for (let block = offset / 4096; block < (offset + length) / 4096; block++)
        if (this.unreadable[handle]?.has(block)) return -constants.errno.EIO;
      this.#memory.set(device.subarray(offset, offset + length), memory);
      return length;
    }
    if (opcode !== RING_WRITE) return -constants.errno.EINVAL;
    this.writes += 1;
    const fails = this.failWrites.has(handle);
    device.set(this.#memory.subarray(memory, memory + (fails ? length / 2 : length)), offset);
    if (fails) return -constants.errno.EIO;
    for (let block = offset / 4096; block < (offset + length) / 4096; block++) this.unreadable[handle]?.delete(block);
    return length;
  }

  close(): void {
    // Nothing is held.
  }
}
