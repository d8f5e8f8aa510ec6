import { assert } from '../base/assert.js';
import type { Bytes } from '../base/units.js';
import { PIECE_BYTES } from './pieces.js';

/** Smallest assembly buffer: a block. Classes are powers of two up to a piece. */
const CLASS_SHIFT_MIN = 12;
const CLASS_COUNT = Math.log2(PIECE_BYTES) - CLASS_SHIFT_MIN + 1;

/** Memory in which a piece of a payload is assembled. */
export interface StagingBuffer {
  readonly bytes: Buffer;
  readonly classIndex: number;
}

function classOf(length: Bytes): number {
  const classIndex = Math.max(0, 32 - Math.clz32(length - 1) - CLASS_SHIFT_MIN);
  assert(length > 0 && classIndex < CLASS_COUNT, 'a piece of 1 byte to 128 KiB');
  return classIndex;
}

/** The assembly buffers of all connections, of which a bounded number of idle bytes is kept. What is in use is bounded by the payloads' budget. */
export class Staging {
  readonly #cacheBytesMax: Bytes;
  readonly #idle: StagingBuffer[][] = Array.from({ length: CLASS_COUNT }, () => []);
  #cachedBytes = 0;

  constructor(cacheBytesMax: Bytes) {
    this.#cacheBytesMax = cacheBytesMax;
  }

  get cachedBytes(): Bytes {
    return this.#cachedBytes;
  }

  /** Bytes of the buffer that take() gives. */
  static bytesFor(length: Bytes): Bytes {
    return 1 << (classOf(length) + CLASS_SHIFT_MIN);
  }

  take(length: Bytes): StagingBuffer {
    const classIndex = classOf(length);
    const idle = this.#idle[classIndex]?.pop();
    if (idle === undefined) return { bytes: Buffer.allocUnsafeSlow(1 << (classIndex + CLASS_SHIFT_MIN)), classIndex };
    this.#cachedBytes -= idle.bytes.length;
    return idle;
  }

  give(buffer: StagingBuffer): void {
    if (this.#cachedBytes + buffer.bytes.length > this.#cacheBytesMax) return;
    this.#cachedBytes += buffer.bytes.length;
    this.#idle[buffer.classIndex]?.push(buffer);
  }
}
