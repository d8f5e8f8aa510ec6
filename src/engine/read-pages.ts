import { BLOCK_BYTES, type Bytes, MIB, roundDown, roundUp } from '../base/units.js';
import { PageAllocator } from '../memory/page-allocator.js';
import type { SlabRegion } from '../memory/slab-region.js';
import { READ_PIECE_BYTES, SMALL_READ_BYTES } from './block-volume.js';

/** 2,048 reads of a block at once: more than the devices take. Small reads are copied as soon as they are there, so that only devices hold this memory, never a client. */
const SMALL_AREA_BYTES = 8 * MIB;

/** The memory of reads: small ones, among them those that a write of part of a block makes, never wait for large ones. */
export class ReadPages {
  readonly small: PageAllocator;
  readonly large: PageAllocator;

  constructor(region: SlabRegion) {
    this.small = new PageAllocator(region.offset, SMALL_AREA_BYTES);
    this.large = new PageAllocator(region.offset + SMALL_AREA_BYTES, roundDown(region.bytes - SMALL_AREA_BYTES, READ_PIECE_BYTES));
  }

  of(length: Bytes): PageAllocator {
    return length <= SMALL_READ_BYTES ? this.small : this.large;
  }

  get usedPages(): number {
    return this.small.usedPages + this.large.usedPages;
  }

  get waiting(): number {
    return this.small.waiting + this.large.waiting;
  }
}

/** Pages that a read holds: a large one whole pieces, so that whatever is free is long enough for a piece. */
export function heldPages(read: { readonly length: Bytes; readonly pages: number }): number {
  return read.length <= SMALL_READ_BYTES ? read.pages : roundUp(read.pages, READ_PIECE_BYTES / BLOCK_BYTES);
}
