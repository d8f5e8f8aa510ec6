import { BLOCK_BYTES, type SlabOffset } from '../base/units.js';
import type { Slab } from '../memory/slab.js';
import { loadAddon } from '../native/load.js';
import { decodeBatch } from './batch-format.js';
import type { Journal } from './journal.js';

/** Holds what was read of a segment against the segment table: payload by its checksums, headers by their own. */
export class SegmentCheck {
  readonly #journal: Journal;
  readonly #slab: Slab;
  readonly #view: DataView;
  readonly #crc = new Uint32Array(1);

  constructor(journal: Journal, slab: Slab) {
    this.#journal = journal;
    this.#slab = slab;
    this.#view = new DataView(slab.view.buffer, slab.view.byteOffset, slab.view.byteLength);
  }

  /** Blocks of the slot, from its start, that are not what they should be. memory holds its used part. */
  bad(slot: number, memory: SlabOffset): number[] {
    const used = this.#journal.table.used[slot] as number;
    const list: number[] = [];
    for (let at = 0; at < used; at++) if (!this.good(slot, at, memory + at * BLOCK_BYTES)) list.push(at);
    return list;
  }

  /** Whether the block at `memory` is block `at` of the slot. */
  good(slot: number, at: number, memory: SlabOffset): boolean {
    const { table, index, arrayTag } = this.#journal;
    const place = slot * table.segmentBlocks + at;
    const block = index.blockAt[place] as number;
    if (block < 0) {
      const header = decodeBatch(this.#view, this.#slab.view, memory, arrayTag, table.segmentBlocks);
      return header !== null && header.seq === table.seq[slot] && header.at === at;
    }
    return this.payload(block, table.crc[place] as number, memory);
  }

  payload(block: number, crc: number, memory: SlabOffset): boolean {
    loadAddon().crcRun(this.#slab.view, memory, block, 1, this.#crc, 0);
    return this.#crc[0] === crc;
  }
}
