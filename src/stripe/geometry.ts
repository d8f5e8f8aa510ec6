import { assert } from '../base/assert.js';
import { BLOCK_BYTES, type BlockIndex, type Bytes, type StripeIndex } from '../base/units.js';

/**
 * Where a volume block lives in the stripes. A stripe has k data shards and m parity shards, one chunk each, on n = k + m data members.
 * Shard i (data 0..k-1, then parity k..n-1) of stripe s is on data member (i + s) % n, at byte dataOffset + s * chunkBytes of that member,
 * so the parity rotates. A row is the set of blocks at the same position of all n chunks: the unit of parity.
 */
export class StripeGeometry {
  readonly k: number;
  readonly m: number;
  readonly n: number;
  readonly chunkBytes: Bytes;
  /** Rows of a stripe = blocks of a chunk. */
  readonly rows: number;
  readonly stripes: number;
  /** Volume blocks of a stripe: k * rows. Data shard d holds blocks d * rows .. d * rows + rows - 1 of them. */
  readonly stripeBlocks: number;
  readonly volumeBlocks: number;

  constructor(k: number, m: number, chunkBytes: Bytes, stripes: number) {
    assert(k >= 1 && m >= 1 && k + m <= 255, 'k + m from 2 to 255');
    assert(chunkBytes >= BLOCK_BYTES && chunkBytes % BLOCK_BYTES === 0, 'chunk of whole blocks');
    assert(Number.isSafeInteger(stripes) && stripes >= 1, 'at least one stripe');
    this.k = k;
    this.m = m;
    this.n = k + m;
    this.chunkBytes = chunkBytes;
    this.rows = chunkBytes / BLOCK_BYTES;
    this.stripes = stripes;
    this.stripeBlocks = k * this.rows;
    this.volumeBlocks = stripes * this.stripeBlocks;
  }

  /** Data member (0..n-1) that holds shard `shard` of stripe `stripe`. */
  memberOf(stripe: StripeIndex, shard: number): number {
    return (shard + stripe) % this.n;
  }

  /** Shard (0..n-1) of stripe `stripe` that data member `member` holds. */
  shardOf(stripe: StripeIndex, member: number): number {
    return (((member - stripe) % this.n) + this.n) % this.n;
  }

  stripeOf(block: BlockIndex): StripeIndex {
    return Math.floor(block / this.stripeBlocks);
  }

  /** Position inside the stripe: data shard * rows + row. */
  slotOf(block: BlockIndex): number {
    return block % this.stripeBlocks;
  }

  /** Index of the block of (stripe, row) in a member's data zone and in its integrity table. */
  memberBlock(stripe: StripeIndex, row: number): number {
    return stripe * this.rows + row;
  }

  /**
   * Address that seeds the CRC32C of shard `shard` at (stripe, row): the volume block for a data shard (so the journal, the stripes and
   * the backup store one and the same checksum), and 2^52 + (stripe * rows + row) * 256 + shard for a parity shard.
   */
  crcAddress(stripe: StripeIndex, shard: number, row: number): number {
    if (shard < this.k) return stripe * this.stripeBlocks + shard * this.rows + row;
    return 0x10_0000_0000_0000 + (stripe * this.rows + row) * 256 + shard;
  }
}

/**
 * Integrity entries. A member's table has one u32 for each block of its data zone. A checksum of 0 or 1 is stored as itself + 2.
 * UNWRITTEN: reads as zeroes, needs no I/O, counts as zeroes for parity. LOST: was lost for good; reading it is an I/O error until it is written again.
 */
export const CRC_UNWRITTEN = 0;
export const CRC_LOST = 1;
/**
 * What the integrity table puts for the blocks of a page that is lost (ENTRY_OF_LOST_PAGE): nothing vouches for the block, so what is stored there is an erasure, and what
 * is reconstructed in its place has nothing to be compared with. (A block whose checksum is this by chance is compared with nothing either.)
 */
export const CRC_UNKNOWN = 0xffff_ffff;

export function integrityEntry(crc: number): number {
  return crc < 2 ? crc + 2 : crc;
}

/** Whether content with this checksum may be the block that the entry speaks of. */
export function fitsEntry(crc: number, entry: number): boolean {
  return entry === CRC_UNKNOWN || integrityEntry(crc) === entry;
}
