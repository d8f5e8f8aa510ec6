import { crc32 } from 'node:zlib';
import { BLOCK_BYTES, type BlockIndex } from '../../src/base/units.js';

const ZERO_BLOCK_SUM = crc32(Buffer.alloc(BLOCK_BYTES));

/**
 * What every block of the volume must hold: a checksum a block, kept by the client and not of the engine's kind (zlib's CRC-32, not CRC32C). Writes are recorded
 * as they are sent; a block has at most one write in flight.
 */
export class ContentModel {
  readonly blocks: number;
  /** The newest acknowledged content. */
  readonly #sums: Uint32Array;
  readonly #inFlight = new Map<BlockIndex, number>();
  /** While a check runs beside the writer: every content that a block may have had since the check began. */
  #seen: Map<BlockIndex, number[]> | null = null;
  /** One entry a write since the last mark, in the order of their LSNs. */
  #log: { readonly block: BlockIndex; readonly sum: number }[] = [];
  #marked: Uint32Array;

  constructor(blocks: number) {
    this.blocks = blocks;
    this.#sums = new Uint32Array(blocks).fill(ZERO_BLOCK_SUM);
    this.#marked = this.#sums;
  }

  /** Acknowledged content, set directly. bytes: whole blocks. */
  load(first: BlockIndex, bytes: Uint8Array): void {
    for (let at = 0, block = first; at < bytes.length; at += BLOCK_BYTES, block++) {
      this.#sums[block] = crc32(bytes.subarray(at, at + BLOCK_BYTES));
    }
  }

  isInFlight(block: BlockIndex): boolean {
    return this.#inFlight.has(block);
  }

  /** Call before a write of one block is sent. */
  sent(block: BlockIndex, bytes: Uint8Array): void {
    const sum = crc32(bytes);
    this.#inFlight.set(block, sum);
    this.#log.push({ block, sum });
    this.#note(block, sum);
  }

  acknowledged(block: BlockIndex): void {
    this.#sums[block] = this.#inFlight.get(block) ?? 0;
    this.#inFlight.delete(block);
  }

  /** The content as it is now is what `asOf` counts from. Nothing may be in flight. */
  mark(): void {
    this.#marked = this.#sums.slice();
    this.#log = [];
  }

  /** Writes sent since the mark. */
  get writesSinceMark(): number {
    return this.#log.length;
  }

  /** The volume as it was when the mark and the first `writes` writes after it had been made, and nothing later. */
  asOf(writes: number): ContentModel {
    const earlier = new ContentModel(this.blocks);
    earlier.#sums.set(this.#marked);
    for (const { block, sum } of this.#log.slice(0, writes)) earlier.#sums[block] = sum;
    return earlier;
  }

  /** Between beginCheck and endCheck a block that is being written may be read as before or as after. */
  beginCheck(): void {
    this.#seen = new Map();
    for (const [block, sum] of this.#inFlight) this.#note(block, sum);
  }

  endCheck(): void {
    this.#seen = null;
  }

  #note(block: BlockIndex, sum: number): void {
    if (this.#seen === null) return;
    const sums = this.#seen.get(block);
    if (sums === undefined) this.#seen.set(block, [this.#sums[block] ?? 0, sum]);
    else sums.push(sum);
  }

  /** The blocks that hold something else than they must. bytes: whole blocks from `first` on. */
  wrong(first: BlockIndex, bytes: Uint8Array): BlockIndex[] {
    const wrong: BlockIndex[] = [];
    for (let at = 0, block = first; at < bytes.length; at += BLOCK_BYTES, block++) {
      const sum = crc32(bytes.subarray(at, at + BLOCK_BYTES));
      if (sum !== this.#sums[block] && this.#seen?.get(block)?.includes(sum) !== true) wrong.push(block);
    }
    return wrong;
  }
}
