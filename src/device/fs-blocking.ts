import { fdatasyncSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { assert } from '../base/assert.js';
import { RING_OP_WORDS, RING_READ, RING_SYNC, RING_WRITE } from '../native/addon-api.js';
import type { BlockingIo } from './device.js';

/** One operation after the other through node:fs, where io_uring is not permitted. */
export class FsBlockingIo implements BlockingIo {
  readonly #view: Uint8Array;

  constructor(view: Uint8Array) {
    this.#view = view;
  }

  run(ops: Float64Array, count: number, results: Int32Array): void {
    assert(count * RING_OP_WORDS <= ops.length && count <= results.length, 'as many results as operations');
    for (let i = 0; i < count; i++) {
      const at = i * RING_OP_WORDS;
      results[i] = this.#one(ops[at] as number, ops[at + 1] as number, ops[at + 2] as number, ops[at + 3] as number, ops[at + 4] as number);
    }
  }

  #one(opcode: number, fd: number, memory: number, offset: number, length: number): number {
    try {
      if (opcode === RING_SYNC) {
        fdatasyncSync(fd);
        return 0;
      }
      assert(opcode === RING_READ || opcode === RING_WRITE, 'a known operation');
      let moved = 0;
      while (moved < length) {
        const bytes =
          opcode === RING_READ
            ? readSync(fd, this.#view, memory + moved, length - moved, offset + moved)
            : writeSync(fd, this.#view, memory + moved, length - moved, offset + moved);
        if (bytes === 0) return -constants.errno.EIO;
        moved += bytes;
      }
      return length;
    } catch (error) {
      if (error instanceof Error && 'errno' in error && typeof error.errno === 'number') return error.errno;
      throw error;
    }
  }

  close(): void {
    // Nothing is held: the descriptors belong to the devices.
  }
}
