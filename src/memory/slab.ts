import { assert } from '../base/assert.js';
import { BLOCK_BYTES, type Bytes, roundUp } from '../base/units.js';
import { loadAddon } from '../native/load.js';
import { allocating } from './allocation.js';

/**
 * The one payload memory: a SharedArrayBuffer that every thread sees, used from its first page-aligned byte. Payload lands here
 * once and only offsets travel from then on. A big SharedArrayBuffer starts 16 bytes past a page, so it is over-allocated by one page.
 */
export class Slab {
  readonly shared: SharedArrayBuffer;
  readonly bytes: Bytes;
  /** Page-aligned view; slab offsets count from its start. */
  readonly view: Buffer;

  private constructor(shared: SharedArrayBuffer, start: number, bytes: number) {
    this.shared = shared;
    this.bytes = bytes;
    this.view = Buffer.from(shared, start, bytes);
  }

  /** A new slab of at least `bytes` bytes, rounded up to whole pages. Throws MEMORY_DENIED. */
  static allocate(bytes: Bytes): Slab {
    const rounded = roundUp(bytes, BLOCK_BYTES);
    return Slab.attach(allocating('the slab (memory.slab)', rounded, () => new SharedArrayBuffer(rounded + BLOCK_BYTES)));
  }

  /** The same slab as seen by another thread that was handed its SharedArrayBuffer. */
  static attach(shared: SharedArrayBuffer): Slab {
    const start = loadAddon().alignedOffset(new Uint8Array(shared, 0, 1), BLOCK_BYTES);
    assert(start < BLOCK_BYTES, 'alignment offset below a page');
    return new Slab(shared, start, shared.byteLength - BLOCK_BYTES);
  }
}
