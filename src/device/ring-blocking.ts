import type { Ring } from '../native/addon-api.js';
import { loadAddon } from '../native/load.js';
import type { BlockingIo } from './device.js';

/** Operations a worker has in the kernel at once; a longer batch is worked off in turns. */
const BLOCKING_DEPTH = 256;

/** Submit and wait on the thread's own ring. */
export class RingBlockingIo implements BlockingIo {
  readonly #ring: Ring;

  constructor(view: Uint8Array) {
    this.#ring = new (loadAddon().Ring)(view, BLOCKING_DEPTH);
  }

  run(ops: Float64Array, count: number, results: Int32Array): void {
    this.#ring.run(ops, count, results);
  }

  close(): void {
    this.#ring.close();
  }
}
