import { BLOCK_BYTES, type Lsn, type SegmentSeq, type SlabOffset } from '../base/units.js';
import { readOutcome } from '../device/outcome-io.js';
import type { Member } from '../member/member-api.js';
import type { Slab } from '../memory/slab.js';
import { loadAddon } from '../native/load.js';
import {
  batchProblem,
  type DecodedBatch,
  decodeBatch,
  ENTRY_WRITE,
  entryBlock,
  entryCount,
  entryType,
  payloadCrc,
} from './batch-format.js';
import type { Journal } from './journal.js';

/** Where the chain of batches stands: what the next batch must say. */
export interface ChainEnd {
  /** Header checksum of the last batch; -1 = not known (the tail of the ring). */
  readonly chain: number;
  /** -1 = not known. */
  readonly nextLsn: Lsn;
  readonly epoch: number;
}

export interface FoundBatch {
  readonly header: DecodedBatch;
  /** Slab offset of a whole header. */
  readonly base: SlabOffset;
  /** Volume block of each payload block. */
  readonly blocks: Float64Array;
  /** Payload blocks that are good on no copy. */
  readonly missing: number[];
}

interface Copy {
  readonly position: number;
  readonly memory: SlabOffset;
  /** No batch so far had a bad block here. */
  whole: boolean;
  /** The batch that was last looked for: blocks of it that are good here, its header among them. */
  good: number;
}

/** True when the header continues the chain. */
export function continues(header: DecodedBatch, end: ChainEnd): boolean {
  if (end.chain >= 0 && header.chain !== end.chain) return false;
  if (end.nextLsn >= 0 && header.firstLsn !== end.nextLsn) return false;
  return header.epoch >= end.epoch;
}

/** The copies of one ring slot side by side in memory, read as one: a block is had when any copy has it. */
export class SlotCopies {
  readonly seq: SegmentSeq;
  readonly slot: number;
  readonly #journal: Journal;
  readonly #slab: Slab;
  readonly #view: DataView;
  readonly #at: SlabOffset;
  /** Copies that fit the memory. */
  readonly #room: number;
  readonly #copies: Copy[] = [];
  readonly #tried = new Set<number>();
  /** Which copy to take each block from. */
  readonly #source: Uint8Array;
  readonly #crc = new Uint32Array(1024);
  /** What is wrong with a batch that the last find() would have taken, had its numbers been possible; ''. */
  impossible = '';

  constructor(journal: Journal, slab: Slab, seq: SegmentSeq, memory: { offset: SlabOffset; room: number }) {
    this.#journal = journal;
    this.#slab = slab;
    this.#view = new DataView(slab.view.buffer, slab.view.byteOffset, slab.view.byteLength);
    this.seq = seq;
    this.slot = journal.table.slotOf(seq);
    this.#at = memory.offset;
    this.#room = memory.room;
    this.#source = new Uint8Array(journal.segmentBlocks);
  }

  /** Reads the slot from these members, as far as there is room. */
  async load(positions: readonly number[]): Promise<void> {
    const journal = this.#journal;
    const bytes = journal.segmentBlocks * BLOCK_BYTES;
    const wanted = positions.filter((position) => !this.#tried.has(position)).slice(0, this.#room - this.#copies.length);
    const first = this.#copies.length;
    const results = await Promise.all(
      wanted.map((position, i) => {
        this.#tried.add(position);
        const member = journal.members[position] as Member;
        return readOutcome(member.device, this.#at + (first + i) * bytes, journal.deviceOffset(position, this.slot, 0), bytes);
      }),
    );
    results.forEach((result, i) => {
      const position = wanted[i] as number;
      const memory = this.#at + (first + i) * bytes;
      if (result < 0) {
        // It stays in the list with nothing good on it, and may be written again.
        (journal.members[position] as Member).readErrors++;
        this.#slab.view.fill(0, memory, memory + bytes);
      }
      this.#copies.push({ position, memory, whole: true, good: 0 });
    });
  }

  /** Brings the slot from the online members that were left out. False when there are none. */
  async widen(): Promise<boolean> {
    const others = this.#journal.members
      .map((_, position) => position)
      .filter((position) => this.#journal.isOnline(position) && !this.#tried.has(position));
    if (others.length === 0 || this.#copies.length >= this.#room) return false;
    const before = this.#copies.length;
    await this.load(others);
    // They were not there for the batches before.
    for (const copy of this.#copies.slice(before)) copy.whole = false;
    return true;
  }

  #decode(memory: SlabOffset): DecodedBatch | null {
    return decodeBatch(this.#view, this.#slab.view, memory, this.#journal.arrayTag, this.#journal.segmentBlocks);
  }

  /**
   * The batch at block `at` that continues the chain, pieced together from all copies; null when no copy has its header, or `impossible` says why it cannot be taken. Of two, the later
   * epoch's.
   */
  find(at: number, end: ChainEnd, volumeBlocks: number): FoundBatch | null {
    let header: DecodedBatch | null = null;
    let base = 0;
    this.impossible = '';
    for (const copy of this.#copies) {
      const memory = copy.memory + at * BLOCK_BYTES;
      const found = this.#decode(memory);
      if (found === null || found.seq !== this.seq || found.at !== at || !continues(found, end)) continue;
      if (header !== null && found.epoch <= header.epoch) continue;
      const problem = this.#problem(memory, found, volumeBlocks);
      if (problem !== '') {
        this.impossible = problem;
        continue;
      }
      header = found;
      base = memory;
    }
    if (header === null) return null;
    const blocks = this.#addresses(base, header);
    return { header, base, blocks, missing: this.#locate(at, base, header, blocks) };
  }

  #problem(memory: SlabOffset, header: DecodedBatch, volumeBlocks: number): string {
    const { epoch } = this.#journal;
    // Of a later epoch than any member knows: what this run goes on with would never be found behind it.
    if (header.epoch > epoch) return `epoch ${header.epoch}, while the newest of the members is ${epoch}`;
    return batchProblem(this.#view, memory, header.entries, volumeBlocks);
  }

  /** Notes where each block of the batch is good; returns the payload blocks that are good nowhere. */
  #locate(at: number, base: SlabOffset, header: DecodedBatch, blocks: Float64Array): number[] {
    const n = header.payloadBlocks;
    const have = new Uint8Array(n);
    this.#source.fill(255, at, at + 1 + n);
    for (let i = 0; i < this.#copies.length; i++) {
      const copy = this.#copies[i] as Copy;
      const memory = copy.memory + at * BLOCK_BYTES;
      copy.good = 0;
      // Whole headers are told by their bytes: they hold no field that differs between copies.
      if (this.#slab.view.compare(this.#slab.view, base, base + BLOCK_BYTES, memory, memory + BLOCK_BYTES) === 0) {
        copy.good = 1;
        if (this.#source[at] === 255) this.#source[at] = i;
      }
      this.#checksums(memory + BLOCK_BYTES, blocks);
      for (let p = 0; p < n; p++) {
        if (this.#crc[p] !== payloadCrc(this.#view, base, header.entries, p)) continue;
        copy.good++;
        if (have[p] === 1) continue;
        have[p] = 1;
        this.#source[at + 1 + p] = i;
      }
    }
    const missing: number[] = [];
    for (let p = 0; p < n; p++) if (have[p] === 0) missing.push(p);
    return missing;
  }

  /** CRC32C of consecutive payload blocks into #crc, one call for each run of addresses. */
  #checksums(memory: SlabOffset, blocks: Float64Array): void {
    for (let p = 0; p < blocks.length; ) {
      let count = 1;
      while (p + count < blocks.length && blocks[p + count] === (blocks[p] as number) + count) count++;
      loadAddon().crcRun(this.#slab.view, memory + p * BLOCK_BYTES, blocks[p] as number, count, this.#crc, p);
      p += count;
    }
  }

  #addresses(base: SlabOffset, header: DecodedBatch): Float64Array {
    const blocks = new Float64Array(header.payloadBlocks);
    let p = 0;
    for (let e = 0; e < header.entries; e++) {
      if (entryType(this.#view, base, e) !== ENTRY_WRITE) continue;
      const first = entryBlock(this.#view, base, e);
      const count = entryCount(this.#view, base, e);
      for (let i = 0; i < count; i++) blocks[p++] = first + i;
    }
    return blocks;
  }

  /** The batch just found is taken: copies that lack a block of it that others have are not whole. */
  take(found: FoundBatch): void {
    const all = 1 + found.blocks.length - found.missing.length;
    for (const copy of this.#copies) if (copy.good < all) copy.whole = false;
  }

  /** Positions that hold the taken batches whole, as a mask. */
  wholeMask(): number {
    let mask = 0;
    for (const copy of this.#copies) if (copy.whole) mask |= 1 << copy.position;
    return mask >>> 0;
  }

  /** Slab offset of a copy that has every block that any copy has: one of the whole ones, or pieced together from all. */
  assemble(used: number): SlabOffset {
    const whole = this.#copies.find((copy) => copy.whole);
    if (whole !== undefined) return whole.memory;
    const into = (this.#copies[0] as Copy).memory;
    for (let at = 0; at < used; at++) {
      const from = this.#copies[this.#source[at] as number];
      if (from !== undefined && from.memory !== into)
        this.#slab.view.copyWithin(into + at * BLOCK_BYTES, from.memory + at * BLOCK_BYTES, from.memory + (at + 1) * BLOCK_BYTES);
    }
    return into;
  }

  /** Positions whose block `at` is a header of this very place, whatever chain it belongs to. */
  headersAt(at: number): number[] {
    return this.#copies
      .filter((copy) => {
        const header = this.#decode(copy.memory + at * BLOCK_BYTES);
        return header !== null && header.seq === this.seq && header.at === at;
      })
      .map((copy) => copy.position);
  }

  /** Some header in this slot, from block `from` on, says that everything up to lsn was on stable media. */
  saysFlushed(from: number, lsn: Lsn): boolean {
    for (const copy of this.#copies) {
      for (let at = from; at < this.#journal.segmentBlocks; at++) {
        const header = this.#decode(copy.memory + at * BLOCK_BYTES);
        if (header !== null && header.seq === this.seq && header.at === at && header.flushedLsn >= lsn) return true;
      }
    }
    return false;
  }
}
