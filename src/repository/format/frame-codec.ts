import type zstd from 'zstd-napi/binding.js';
import { BLOCK_BYTES } from '../../base/units.js';
import { FRAME_BLOCKS_MAX } from './segment-index.js';
import { requireZstd } from './zstd.js';

export type Compression = 'zstd' | 'none';

/** Level 1: higher ones win a few percent on 64 KiB frames and would not keep up with the drain on one core. */
const ZSTD_LEVEL = 1;

/** RFC 8878, 3.1.1.1.1: bits of the frame header descriptor that a decoder may pass over. Nobody sets them, so when one is set the byte is damaged. */
const DESCRIPTOR_AT = 4;
const DESCRIPTOR_SPARE = 0x18;

/**
 * Compresses and expands frames. The results are views of scratch memory that the next call overwrites. Throws ZSTD_MISSING when something is to be
 * compressed or expanded where zstd is not installed.
 */
export class FrameCodec {
  readonly #compress: zstd.CCtx | null;
  #expand: zstd.DCtx | null = null;
  readonly #packed: Uint8Array;
  readonly #plain = new Uint8Array(FRAME_BLOCKS_MAX * BLOCK_BYTES);

  constructor(compression: Compression) {
    const zstd = compression === 'zstd' ? requireZstd() : null;
    this.#compress = zstd === null ? null : new zstd.CCtx();
    this.#packed = new Uint8Array(zstd?.compressBound(FRAME_BLOCKS_MAX * BLOCK_BYTES) ?? 0);
  }

  get compresses(): boolean {
    return this.#compress !== null;
  }

  /** The payload to store: `data` itself when compression is off or would not make it smaller. */
  pack(data: Uint8Array): Uint8Array {
    if (this.#compress === null) return data;
    const length = this.#compress.compress(this.#packed, data, ZSTD_LEVEL);
    return length < data.length ? this.#packed.subarray(0, length) : data;
  }

  /** The data of a payload, or null when it does not expand to exactly `blocks` blocks. */
  unpack(payload: Uint8Array, blocks: number): Uint8Array | null {
    const bytes = blocks * BLOCK_BYTES;
    if (payload.length === bytes) return payload;
    const zstd = requireZstd();
    this.#expand ??= new zstd.DCtx();
    try {
      if (zstd.getFrameContentSize(payload) !== bytes || ((payload[DESCRIPTOR_AT] as number) & DESCRIPTOR_SPARE) !== 0) return null;
      const length = this.#expand.decompress(this.#plain.subarray(0, bytes), payload);
      return length === bytes ? this.#plain.subarray(0, bytes) : null;
    } catch {
      return null;
    }
  }
}
