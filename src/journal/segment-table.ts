import { BLOCK_BYTES, type Bytes, type SegmentSeq, type SlabOffset } from '../base/units.js';

/** Zeroed ranges of one segment, in order of their LSN: needed to drain holes. */
export interface SegmentZeroes {
  readonly first: number[];
  readonly count: number[];
  /** Blocks of the segment that were used when the entry was appended: it is newer than payload below, older than payload from here on. */
  readonly order: number[];
}

/** Memory of the table of a ring: what it knows of a slot, and a checksum for each place. */
export function segmentTableBytes(slots: number, segmentBlocks: number): Bytes {
  return slots * (SLOT_BYTES + segmentBlocks * 4);
}

/** Seven numbers of 8 bytes, three of 4, one of 2, and the reference to its zeroes. */
const SLOT_BYTES = 7 * 8 + 3 * 4 + 2 + 8;

/**
 * What is known of every slot of the ring: the compact metadata of the second copy. 4 bytes of checksum for each place here and 8 bytes of address in
 * the ring index, nothing else a block.
 */
export class SegmentTable {
  readonly slots: number;
  readonly segmentBlocks: number;
  /** Sequence number of the segment in each slot; 0 = free. */
  readonly seq: Float64Array;
  /** Blocks used, headers included. */
  readonly used: Uint32Array;
  readonly firstLsn: Float64Array;
  readonly lastLsn: Float64Array;
  /** Header checksum of the segment's last batch, which the next segment continues, and the epoch that it was written under. */
  readonly chain: Uint32Array;
  readonly epoch: Float64Array;
  /** A drain that takes this segment has to go on up to this one (not included); 0: it may end here. Only of one that was made again from the stripes. */
  readonly reachSeq: Float64Array;
  /** Bit i: journal position i holds a whole copy. */
  readonly copies: Uint32Array;
  /** Slab offset of the segment's buffer, -1 when not resident. */
  readonly memory: Float64Array;
  /** Users of the buffer that need it to stay (replication, draining). */
  readonly pins: Uint16Array;
  /** Clock reading when the segment got its first entry. */
  readonly openedAt: Float64Array;
  /** Address-seeded CRC32C of the payload at each place. */
  readonly crc: Uint32Array;
  readonly zeroes: (SegmentZeroes | null)[];

  constructor(slots: number, segmentBlocks: number) {
    this.slots = slots;
    this.segmentBlocks = segmentBlocks;
    this.seq = new Float64Array(slots);
    this.used = new Uint32Array(slots);
    this.firstLsn = new Float64Array(slots);
    this.lastLsn = new Float64Array(slots);
    this.chain = new Uint32Array(slots);
    this.epoch = new Float64Array(slots);
    this.reachSeq = new Float64Array(slots);
    this.copies = new Uint32Array(slots);
    this.memory = new Float64Array(slots).fill(-1);
    this.pins = new Uint16Array(slots);
    this.openedAt = new Float64Array(slots);
    this.crc = new Uint32Array(slots * segmentBlocks);
    this.zeroes = new Array<SegmentZeroes | null>(slots).fill(null);
  }

  slotOf(seq: SegmentSeq): number {
    return seq % this.slots;
  }

  slotOfPlace(place: number): number {
    return Math.floor(place / this.segmentBlocks);
  }

  seqOfPlace(place: number): SegmentSeq {
    return this.seq[this.slotOfPlace(place)] as number;
  }

  /** Slab offset of the payload at a place, -1 when its segment is not resident. */
  memoryOf(place: number): SlabOffset {
    const slot = this.slotOfPlace(place);
    const base = this.memory[slot] as number;
    return base < 0 ? -1 : base + (place - slot * this.segmentBlocks) * BLOCK_BYTES;
  }

  addZero(slot: number, first: number, count: number): void {
    let list = this.zeroes[slot];
    if (list === null || list === undefined) {
      list = { first: [], count: [], order: [] };
      this.zeroes[slot] = list;
    }
    list.first.push(first);
    list.count.push(count);
    list.order.push(this.used[slot] as number);
  }

  clear(slot: number): void {
    this.seq[slot] = 0;
    this.used[slot] = 0;
    this.firstLsn[slot] = 0;
    this.lastLsn[slot] = 0;
    this.chain[slot] = 0;
    this.epoch[slot] = 0;
    this.reachSeq[slot] = 0;
    this.copies[slot] = 0;
    this.zeroes[slot] = null;
  }
}
