import { assert } from '../../base/assert.js';
import type { BlockIndex } from '../../base/units.js';
import { FrameTable } from './frame-table.js';
import { type SegmentIndex, STORED_LOST } from './segment-index.js';

/** Blocks of a map page: 4 MiB of volume. */
const PAGE_BLOCKS = 1024;
/** Blocks of a group of pages: 4 GiB of volume. */
const GROUP_BLOCKS = 1024 * PAGE_BLOCKS;
/** In place of a frame's row: what was written last is lost. */
export const ROW_LOST = 0xffff_ffff;

/** Frame rows of its blocks, then their checksums; undefined: all of its blocks read as zeroes. */
type Page = Uint32Array | undefined;

/** What stands for every page, and every group of pages, of which all is lost: one entry of a segment may say so of the whole volume. Never written to. */
const LOST_PAGE = new Uint32Array(PAGE_BLOCKS * 2).fill(ROW_LOST, 0, PAGE_BLOCKS);
const LOST_GROUP: Page[] = new Array<Page>(GROUP_BLOCKS / PAGE_BLOCKS).fill(LOST_PAGE);

/**
 * The newest image: for every block its frame and its checksum, 8 bytes a block in pages that exist only where there is data
 * (1/512 of the data), built by applying segments oldest first. No object a block or a frame, and no memory for what an entry or a HEAD only says.
 */
export class BlockMap {
  readonly volumeBlocks: number;
  readonly frames: FrameTable = new FrameTable();
  readonly #groups: (Page[] | undefined)[];

  constructor(volumeBlocks: number) {
    this.volumeBlocks = volumeBlocks;
    this.#groups = new Array<Page[] | undefined>(Math.ceil(volumeBlocks / GROUP_BLOCKS)).fill(undefined);
  }

  /** segment: the caller's number for the segment, returned by frames.segment(). */
  apply(segment: number, index: SegmentIndex): void {
    let crc = 0;
    for (let i = 0; i < index.entries; i++) {
      const first = index.first[i] as number;
      const count = index.count[i] as number;
      const stored = index.stored[i] as number;
      assert(first + count <= this.volumeBlocks, 'an entry lies inside the volume');
      if (stored === 0 || stored === STORED_LOST) {
        this.#fill(first, count, stored === STORED_LOST);
        continue;
      }
      const row = this.frames.add(segment, i, index.offset[i] as number, stored, first, count);
      for (let b = 0; b < count; b++) this.#set(first + b, row, index.crcs[crc++] as number);
    }
    assert(crc === index.crcs.length, 'every checksum belongs to a block');
  }

  #page(block: BlockIndex): Page {
    return this.#groups[Math.floor(block / GROUP_BLOCKS)]?.[Math.floor((block % GROUP_BLOCKS) / PAGE_BLOCKS)];
  }

  /** Row of the block's frame, 0 when the block reads as zeroes, or ROW_LOST. */
  row(block: BlockIndex): number {
    return this.#page(block)?.[block % PAGE_BLOCKS] ?? 0;
  }

  crc(block: BlockIndex): number {
    return this.#page(block)?.[PAGE_BLOCKS + (block % PAGE_BLOCKS)] ?? 0;
  }

  /** First block at or after `from` that has data (wanted) or has none; volumeBlocks when there is no such block. */
  next(from: BlockIndex, wanted: boolean): BlockIndex {
    let block = from;
    while (block < this.volumeBlocks) {
      const group = this.#groups[Math.floor(block / GROUP_BLOCKS)];
      if (group === undefined || group === LOST_GROUP) {
        if (!wanted) return block;
        block = endOf(block, GROUP_BLOCKS);
        continue;
      }
      const page = this.#page(block);
      if (page === undefined || page === LOST_PAGE) {
        if (!wanted) return block;
        block = endOf(block, PAGE_BLOCKS);
        continue;
      }
      const end = Math.min(endOf(block, PAGE_BLOCKS), this.volumeBlocks);
      for (; block < end; block++) if (isFrame(page[block % PAGE_BLOCKS] as number) === wanted) return block;
    }
    return this.volumeBlocks;
  }

  /** The page that holds this block, to be written to. */
  #own(block: BlockIndex): Uint32Array {
    const group = this.#ownGroup(Math.floor(block / GROUP_BLOCKS));
    const number = Math.floor((block % GROUP_BLOCKS) / PAGE_BLOCKS);
    let page = group[number];
    if (page === undefined || page === LOST_PAGE) {
      page = page?.slice() ?? new Uint32Array(PAGE_BLOCKS * 2);
      group[number] = page;
    }
    return page;
  }

  #ownGroup(number: number): Page[] {
    let group = this.#groups[number];
    if (group === undefined || group === LOST_GROUP) {
      group = group?.slice() ?? new Array<Page>(GROUP_BLOCKS / PAGE_BLOCKS).fill(undefined);
      this.#groups[number] = group;
    }
    return group;
  }

  #set(block: BlockIndex, row: number, crc: number): void {
    const page = this.#own(block);
    const slot = block % PAGE_BLOCKS;
    const old = page[slot] as number;
    if (isFrame(old)) this.frames.release(old);
    page[slot] = row;
    page[PAGE_BLOCKS + slot] = crc;
  }

  /** The range reads as zeroes, or is lost: whole groups and pages are replaced, not filled. */
  #fill(first: BlockIndex, count: number, lost: boolean): void {
    const end = first + count;
    for (let block = first; block < end; ) {
      const number = Math.floor(block / GROUP_BLOCKS);
      const groupEnd = Math.min(endOf(block, GROUP_BLOCKS), end);
      const group = this.#groups[number];
      if (groupEnd - block === GROUP_BLOCKS) {
        if (group !== undefined && group !== LOST_GROUP) for (const page of group) this.#release(page);
        this.#groups[number] = lost ? LOST_GROUP : undefined;
      } else if (group !== (lost ? LOST_GROUP : undefined)) {
        this.#fillPages(block, groupEnd, lost);
      }
      block = groupEnd;
    }
  }

  /** Inside one group. */
  #fillPages(first: BlockIndex, end: BlockIndex, lost: boolean): void {
    const group = this.#ownGroup(Math.floor(first / GROUP_BLOCKS));
    for (let block = first; block < end; ) {
      const pageEnd = Math.min(endOf(block, PAGE_BLOCKS), end);
      const number = Math.floor((block % GROUP_BLOCKS) / PAGE_BLOCKS);
      if (pageEnd - block === PAGE_BLOCKS) {
        this.#release(group[number]);
        group[number] = lost ? LOST_PAGE : undefined;
      } else if (group[number] !== (lost ? LOST_PAGE : undefined)) {
        for (let at = block; at < pageEnd; at++) this.#set(at, lost ? ROW_LOST : 0, 0);
      }
      block = pageEnd;
    }
  }

  #release(page: Page): void {
    if (page === undefined || page === LOST_PAGE) return;
    for (let slot = 0; slot < PAGE_BLOCKS; slot++) if (isFrame(page[slot] as number)) this.frames.release(page[slot] as number);
  }
}

function isFrame(row: number): boolean {
  return row !== 0 && row !== ROW_LOST;
}

/** Where the next piece of this many blocks begins. */
function endOf(block: BlockIndex, blocks: number): BlockIndex {
  return (Math.floor(block / blocks) + 1) * blocks;
}
