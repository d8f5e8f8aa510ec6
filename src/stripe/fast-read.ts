import { assert } from '../base/assert.js';
import { BLOCK_BYTES, type BlockIndex, type SlabOffset } from '../base/units.js';
import type { Addon } from '../native/addon-api.js';
import { CRC_LOST, CRC_UNWRITTEN, integrityEntry, type StripeGeometry } from './geometry.js';

/** One run of planRead: RUN_WORDS doubles. Every run lies in one chunk, so it is contiguous on its member and in the slab. */
export const RUN_WORDS = 5;
export const RUN_MEMBER = 0;
/** Byte offset on the member's device. */
export const RUN_DEVICE_OFFSET = 1;
export const RUN_SLAB_OFFSET = 2;
/** Blocks of the run. */
export const RUN_BLOCKS = 3;
/** First volume block of the run. */
export const RUN_FIRST = 4;

/** Runs that `count` blocks can need at most. */
export function readRunsMax(geometry: StripeGeometry, count: number): number {
  return Math.ceil(count / geometry.rows) + 1;
}

/**
 * Splits the reading of `count` volume blocks from `block` into device reads, block after block into the slab from slabOffset. Fills `out` with RUN_WORDS doubles a
 * run and returns the number of runs. out holds readRunsMax runs.
 */
export function planRead(
  geometry: StripeGeometry,
  dataOffset: Float64Array,
  block: BlockIndex,
  count: number,
  slabOffset: SlabOffset,
  out: Float64Array,
): number {
  assert(block >= 0 && block + count <= geometry.volumeBlocks, 'blocks of the volume');
  const { rows } = geometry;
  let runs = 0;
  for (let done = 0; done < count; ) {
    const stripe = geometry.stripeOf(block + done);
    const slot = geometry.slotOf(block + done);
    const shard = Math.floor(slot / rows);
    const row = slot - shard * rows;
    const blocks = Math.min(rows - row, count - done);
    const member = geometry.memberOf(stripe, shard);
    const at = runs * RUN_WORDS;
    assert(at + RUN_WORDS <= out.length, 'room for the runs of a read');
    out[at + RUN_MEMBER] = member;
    out[at + RUN_DEVICE_OFFSET] = (dataOffset[member] as number) + geometry.memberBlock(stripe, row) * BLOCK_BYTES;
    out[at + RUN_SLAB_OFFSET] = slabOffset + done * BLOCK_BYTES;
    out[at + RUN_BLOCKS] = blocks;
    out[at + RUN_FIRST] = block + done;
    runs += 1;
    done += blocks;
  }
  return runs;
}

/** No block of the run is written: zeroes, no read needed. */
export const RUN_ALL_ZERO = 0;
/** Some blocks are written. */
export const RUN_HAS_DATA = 1;
/** Some blocks are lost for good. */
export const RUN_HAS_LOST = 2;

/** What the member's integrity table says of a run before it is read. */
export function runContent(geometry: StripeGeometry, table: Uint32Array, first: BlockIndex, blocks: number): number {
  const from = tableIndex(geometry, first);
  let content = RUN_ALL_ZERO;
  for (let i = from; i < from + blocks; i++) {
    if (table[i] === CRC_LOST) return RUN_HAS_LOST;
    if (table[i] !== CRC_UNWRITTEN) content = RUN_HAS_DATA;
  }
  return content;
}

/** Verifies landed runs on the main thread. Holds one buffer for checksums; nothing is allocated per run or block. */
export class RunVerifier {
  readonly #geometry: StripeGeometry;
  readonly #memory: Uint8Array;
  readonly #addon: Pick<Addon, 'crcRun'>;
  readonly #crcs: Uint32Array;

  /** memory: the slab view. */
  constructor(geometry: StripeGeometry, memory: Uint8Array, addon: Pick<Addon, 'crcRun'>) {
    this.#geometry = geometry;
    this.#memory = memory;
    this.#addon = addon;
    this.#crcs = new Uint32Array(geometry.rows);
  }

  /**
   * Compares the blocks of a run (all of one chunk, landed at slabOffset) with the member's integrity table. Unwritten blocks become zeroes in the slab. Blocks whose
   * checksum is wrong, or that are lost for good, go to bad[badAt ...] (volume blocks, ascending); returns how many. bad has room for all.
   */
  verifyRun(table: Uint32Array, first: BlockIndex, blocks: number, slabOffset: SlabOffset, bad: Float64Array, badAt: number): number {
    assert(blocks <= this.#geometry.rows, 'a run inside one chunk');
    this.#addon.crcRun(this.#memory, slabOffset, first, blocks, this.#crcs, 0);
    const from = tableIndex(this.#geometry, first);
    let found = 0;
    for (let i = 0; i < blocks; i++) {
      const entry = table[from + i];
      if (entry === CRC_UNWRITTEN) {
        const at = slabOffset + i * BLOCK_BYTES;
        this.#memory.fill(0, at, at + BLOCK_BYTES);
      } else if (entry === CRC_LOST || entry !== integrityEntry(this.#crcs[i] as number)) {
        bad[badAt + found] = first + i;
        found += 1;
      }
    }
    return found;
  }
}

/** Index in its member's integrity table of a data block. */
function tableIndex(geometry: StripeGeometry, block: BlockIndex): number {
  return geometry.memberBlock(geometry.stripeOf(block), geometry.slotOf(block) % geometry.rows);
}
