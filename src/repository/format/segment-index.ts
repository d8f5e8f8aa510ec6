import { assert } from '../../base/assert.js';
import { RecordRangeError, RecordReader } from '../../base/codec.js';
import { BLOCK_BYTES, type BlockIndex, type Bytes } from '../../base/units.js';
import { TAG_BYTES } from './repository-key.js';
import { corruptFile } from './sealed-file.js';
import { HEADER_BYTES } from './segment-header.js';

/**
 * Blocks of a frame, at most; frames also end at multiples of this. A chunk of the stripes is a multiple of it by default, so what one
 * lost chunk needs is whole frames. zstd gains 1-2 % from 256 KiB and loses four times as much on a read of one chunk (decision 0021).
 */
export const FRAME_BLOCKS = 16;
/** What a reader accepts: 256 KiB of data. */
export const FRAME_BLOCKS_MAX = 64;
export const ENTRY_BYTES = 16;
/** About 60 million blocks, 240 GB, in one segment: what one Buffer takes with comfort. */
export const INDEX_BYTES_MAX = 256 * 1024 * 1024;
const HOLE_BLOCKS_MAX = 0xffff_ffff;
/** In place of the payload's bytes: the blocks are lost. Software that does not know it refuses the segment: no frame is that long. */
export const STORED_LOST = 0xffff_ffff;

/**
 * What a segment holds, entry after entry in file order: first block, block count, and the payload's stored bytes (0 = a hole that
 * reads as zeroes; STORED_LOST = lost; count * 4096 = raw; less = zstd). crcs has one checksum a data block, in the same order.
 * When encrypted each frame takes 16 bytes more in the file.
 */
export interface SegmentIndex {
  readonly entries: number;
  readonly first: Float64Array;
  readonly count: Uint32Array;
  readonly stored: Uint32Array;
  /** Byte offset of each frame in the file. */
  readonly offset: Float64Array;
  readonly crcs: Uint32Array;
}

/** Collects a segment's entries in growing typed arrays. */
export class SegmentIndexBuilder {
  #first = new Float64Array(1024);
  #count = new Uint32Array(1024);
  #stored = new Uint32Array(1024);
  #crcs = new Uint32Array(4096);
  #entries = 0;
  #dataBlocks = 0;
  #holeBlocks = 0;

  get entries(): number {
    return this.#entries;
  }
  get dataBlocks(): number {
    return this.#dataBlocks;
  }
  get holeBlocks(): number {
    return this.#holeBlocks;
  }
  get bytes(): Bytes {
    return this.#entries * ENTRY_BYTES + this.#dataBlocks * 4;
  }

  hole(first: BlockIndex, count: number): void {
    for (let at = 0; at < count; at += HOLE_BLOCKS_MAX) this.#push(first + at, Math.min(HOLE_BLOCKS_MAX, count - at), 0);
    this.#holeBlocks += count;
  }

  /** Counts as hole blocks: no data, no place in the file. */
  lost(first: BlockIndex, count: number): void {
    for (let at = 0; at < count; at += HOLE_BLOCKS_MAX) this.#push(first + at, Math.min(HOLE_BLOCKS_MAX, count - at), STORED_LOST);
    this.#holeBlocks += count;
  }

  /** stored: payload bytes without tag. The frame's checksums are crcs[crcIndex ...]. */
  frame(first: BlockIndex, count: number, stored: number, crcs: Uint32Array, crcIndex: number): void {
    assert(stored > 0 && stored <= count * BLOCK_BYTES, 'a frame stores from 1 byte to its data');
    this.#push(first, count, stored);
    if (this.#dataBlocks + count > this.#crcs.length)
      this.#crcs = grown(this.#crcs, new Uint32Array(Math.max(this.#crcs.length * 2, this.#dataBlocks + count)));
    this.#crcs.set(crcs.subarray(crcIndex, crcIndex + count), this.#dataBlocks);
    this.#dataBlocks += count;
  }

  encode(): Uint8Array {
    const bytes = new Uint8Array(this.bytes);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < this.#entries; i++) {
      const first = this.#first[i] as number;
      view.setUint32(i * ENTRY_BYTES, first >>> 0, true);
      view.setUint32(i * ENTRY_BYTES + 4, Math.floor(first / 0x1_0000_0000), true);
      view.setUint32(i * ENTRY_BYTES + 8, this.#count[i] as number, true);
      view.setUint32(i * ENTRY_BYTES + 12, this.#stored[i] as number, true);
    }
    const crcStart = this.#entries * ENTRY_BYTES;
    for (let i = 0; i < this.#dataBlocks; i++) view.setUint32(crcStart + i * 4, this.#crcs[i] as number, true);
    return bytes;
  }

  #push(first: BlockIndex, count: number, stored: number): void {
    if (this.#entries === this.#first.length) {
      this.#first = grown(this.#first, new Float64Array(this.#entries * 2));
      this.#count = grown(this.#count, new Uint32Array(this.#entries * 2));
      this.#stored = grown(this.#stored, new Uint32Array(this.#entries * 2));
    }
    this.#first[this.#entries] = first;
    this.#count[this.#entries] = count;
    this.#stored[this.#entries] = stored;
    this.#entries++;
  }
}

function grown<T extends Float64Array | Uint32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** What an index must agree with, from the header and the trailer of its segment. */
export interface IndexFrame {
  readonly entries: number;
  readonly dataBlocks: number;
  readonly holeBlocks: number;
  readonly indexOffset: Bytes;
  readonly volumeBlocks: number;
  readonly frameBlocksMax: number;
  readonly encrypted: boolean;
}

/** Throws BACKUP_CORRUPT. Allocates in proportion to the bytes given, never to what a field says. */
export function decodeSegmentIndex(name: string, bytes: Uint8Array, frame: IndexFrame): SegmentIndex {
  try {
    return decodeEntries(name, bytes, frame);
  } catch (error) {
    if (error instanceof RecordRangeError) throw corruptFile(name, error.message, 'all fields in range');
    throw error;
  }
}

function decodeEntries(name: string, bytes: Uint8Array, frame: IndexFrame): SegmentIndex {
  const { entries } = frame;
  if (entries * ENTRY_BYTES + frame.dataBlocks * 4 !== bytes.length) {
    throw corruptFile(name, `an index of ${bytes.length} bytes`, `${entries} entries and ${frame.dataBlocks} checksums`);
  }
  if (frame.frameBlocksMax < 1 || frame.frameBlocksMax > FRAME_BLOCKS_MAX) {
    throw corruptFile(name, `frames of ${frame.frameBlocksMax} blocks`, `1 to ${FRAME_BLOCKS_MAX} blocks`);
  }
  const index: SegmentIndex = {
    entries,
    first: new Float64Array(entries),
    count: new Uint32Array(entries),
    stored: new Uint32Array(entries),
    offset: new Float64Array(entries),
    crcs: new Uint32Array(frame.dataBlocks),
  };
  const reader = new RecordReader(bytes);
  let offset = HEADER_BYTES;
  let dataBlocks = 0;
  let holeBlocks = 0;
  for (let i = 0; i < entries; i++) {
    const first = reader.u64();
    const count = reader.u32();
    const stored = reader.u32();
    const data = stored > 0 && stored !== STORED_LOST;
    if (count === 0 || first + count > frame.volumeBlocks)
      throw corruptFile(name, `blocks ${first} + ${count}`, `blocks below ${frame.volumeBlocks}`);
    if (data && (count > frame.frameBlocksMax || stored > count * BLOCK_BYTES)) {
      throw corruptFile(
        name,
        `a frame of ${count} blocks in ${stored} bytes`,
        `at most ${frame.frameBlocksMax} blocks, not longer than the data`,
      );
    }
    index.first[i] = first;
    index.count[i] = count;
    index.stored[i] = stored;
    index.offset[i] = offset;
    if (data) offset += stored + (frame.encrypted ? TAG_BYTES : 0);
    if (data) dataBlocks += count;
    else holeBlocks += count;
  }
  if (offset !== frame.indexOffset || dataBlocks !== frame.dataBlocks || holeBlocks !== frame.holeBlocks) {
    throw corruptFile(name, `frames up to byte ${offset} with ${dataBlocks} data and ${holeBlocks} hole blocks`, 'what the trailer says');
  }
  for (let i = 0; i < dataBlocks; i++) index.crcs[i] = reader.u32();
  return index;
}
