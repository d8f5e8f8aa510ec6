import type { Slab } from '../memory/slab.js';
import { RING_OP_WORDS, type Ring } from '../native/addon-api.js';
import { loadAddon } from '../native/load.js';
import { KeelsonError } from '../base/errors.js';
import type { RequestBackend, RequestQueue } from './request-queue.js';

/** Requests in the kernel at once: enough to keep a dozen NVMe devices busy; more only lengthens the queue inside the devices. */
const RING_DEPTH = 512;

/** Requests through the thread's io_uring: one submission per turn, completions in batches. */
export class RingBackend implements RequestBackend {
  readonly depth = RING_DEPTH;
  readonly #ring: Ring;
  readonly #ops = new Float64Array(RING_DEPTH * RING_OP_WORDS);
  readonly #completions = new Int32Array(RING_DEPTH * 2);
  #queue: RequestQueue | null = null;

  constructor(slab: Slab) {
    const addon = loadAddon();
    const reason = addon.ringAvailable();
    if (reason !== '') {
      throw new KeelsonError('IO_RING_UNAVAILABLE', 'io_uring cannot be used here', {
        found: reason,
        action: 'set KEELSON_IO=fs, or leave it unset to have it chosen',
      });
    }
    this.#ring = new addon.Ring(slab.view, RING_DEPTH);
    this.#ring.listen(this.#completions, (pairs) => this.#deliver(pairs));
  }

  begin(queue: RequestQueue, slots: Int32Array, count: number): void {
    this.#queue = queue;
    const ops = this.#ops;
    for (let i = 0, at = 0; i < count; i++, at += RING_OP_WORDS) {
      const slot = slots[i] as number;
      ops[at] = queue.opcode[slot] as number;
      ops[at + 1] = queue.fd[slot] as number;
      ops[at + 2] = queue.memory[slot] as number;
      ops[at + 3] = queue.offset[slot] as number;
      ops[at + 4] = queue.length[slot] as number;
      ops[at + 5] = slot;
    }
    this.#ring.submit(ops, 0, count);
  }

  #deliver(pairs: number): void {
    const queue = this.#queue as RequestQueue;
    let failure: unknown;
    let failed = false;
    for (let i = 0; i < pairs; i++) {
      // A callback that throws must not take the other completions with it.
      try {
        queue.complete(this.#completions[i * 2] as number, this.#completions[i * 2 + 1] as number);
      } catch (error) {
        failure = failed ? failure : error;
        failed = true;
      }
    }
    if (failed) throw failure;
  }

  close(): void {
    this.#ring.close();
  }
}
