import { assert } from '../base/assert.js';
import type { BlockIndex } from '../base/units.js';
import { FrameTable } from './frame-table.js';
import { type SegmentIndex, STORED_LOST } from './segment-index.js';

/** Blocks of a map page: 4 MiB of volume. */
const PAGE_BLOCKS = 1024;
/** In place of a frame's row: what was written last is lost. */
export const ROW_LOST = 0xffff_ffff;

/**
 * The newest image: for every block its frame and its checksum, 8 bytes a block in pages that exist only where there is data
 * (1/512 of the data), built by applying segments oldest first. No object a block or a frame.
 */
export class BlockMap {
  readonly volumeBlocks: number;
  readonly frames: FrameTable = new FrameTable();
  /** A page: frame rows of its blocks, then their checksums. */
  readonly #pages: (Uint32Array | undefined)[];

  constructor(volumeBlocks: number) {
    this.volumeBlocks = volumeBlocks;
    this.#pages = new Array<Uint32Array | undefined>(Math.ceil(volumeBlocks / PAGE_BLOCKS)).fill(undefined);
  }

  /** segment: the caller's number for the segment, returned by frames.segment(). */
  apply(segment: number, index: SegmentIndex): void {
    let crc = 0;
    for (let i = 0; i < index.entries; i++) {
      const first = index.first[i] as number;
      const count = index.count[i] as number;
      const stored = index.stored[i] as number;
      assert(first + count <= this.volumeBlocks, 'an entry lies inside the volume');
      if (stored === 0) {
        this.#clear(first, count);
        continue;
      }
      if (stored === STORED_LOST) {
        for (let b = 0; b < count; b++) this.#set(first + b, ROW_LOST, 0);
        continue;
      }
      const row = this.frames.add(segment, i, index.offset[i] as number, stored, first, count);
      for (let b = 0; b < count; b++) this.#set(first + b, row, index.crcs[crc++] as number);
    }
    assert(crc === index.crcs.length, 'every checksum belongs to a block');
  }

  /** Row of the block's frame, 0 when the block reads as zeroes, or ROW_LOST. */
  row(block: BlockIndex): number {
    return this.#pages[Math.floor(block / PAGE_BLOCKS)]?.[block % PAGE_BLOCKS] ?? 0;
  }

  crc(block: BlockIndex): number {
    return this.#pages[Math.floor(block / PAGE_BLOCKS)]?.[PAGE_BLOCKS + (block % PAGE_BLOCKS)] ?? 0;
  }

  /** First block at or after `from` that has data (wanted) or has none; volumeBlocks when there is no such block. */
  next(from: BlockIndex, wanted: boolean): BlockIndex {
    let block = from;
    while (block < this.volumeBlocks) {
      const page = this.#pages[Math.floor(block / PAGE_BLOCKS)];
      const pageEnd = Math.min((Math.floor(block / PAGE_BLOCKS) + 1) * PAGE_BLOCKS, this.volumeBlocks);
      if (page === undefined) {
        if (!wanted) return block;
        block = pageEnd;
        continue;
      }
      for (; block < pageEnd; block++) if (isFrame(page[block % PAGE_BLOCKS] as number) === wanted) return block;
    }
    return this.volumeBlocks;
  }

  #set(block: BlockIndex, row: number, crc: number): void {
    const number = Math.floor(block / PAGE_BLOCKS);
    let page = this.#pages[number];
    if (page === undefined) {
      page = new Uint32Array(PAGE_BLOCKS * 2);
      this.#pages[number] = page;
    }
    const slot = block % PAGE_BLOCKS;
    const old = page[slot] as number;
    if (isFrame(old)) this.frames.release(old);
    page[slot] = row;
    page[PAGE_BLOCKS + slot] = crc;
  }

  #clear(first: BlockIndex, count: number): void {
    const end = first + count;
    for (let block = first; block < end; ) {
      const number = Math.floor(block / PAGE_BLOCKS);
      const pageEnd = Math.min((number + 1) * PAGE_BLOCKS, end);
      const page = this.#pages[number];
      if (page !== undefined) {
        for (let at = block; at < pageEnd; at++) {
          const row = page[at % PAGE_BLOCKS] as number;
          if (isFrame(row)) this.frames.release(row);
          page[at % PAGE_BLOCKS] = 0;
          page[PAGE_BLOCKS + (at % PAGE_BLOCKS)] = 0;
        }
        if (pageEnd - block === PAGE_BLOCKS) this.#pages[number] = undefined;
      }
      block = pageEnd;
    }
  }
}

function isFrame(row: number): boolean {
  return row !== 0 && row !== ROW_LOST;
}
