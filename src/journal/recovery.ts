import { KeelsonError, EXIT } from '../base/errors.js';
import { BLOCK_BYTES, type Lsn, type SegmentSeq, type SlabOffset } from '../base/units.js';
import type { Member } from '../member/member-api.js';
import { readOutcome, syncOutcome } from '../device/outcome-io.js';
import type { Slab } from '../memory/slab.js';
import { loadAddon } from '../native/load.js';
import { type DecodedBatch, decodeBatch, ENTRY_WRITE, entryBlock, entryCount, entryType, payloadCrc } from './batch-format.js';
import type { Journal } from './journal.js';

export interface RecoveryStart {
  readonly tailSeq: SegmentSeq;
  readonly destagedSeq: SegmentSeq;
  readonly drainedSeq: SegmentSeq;
  /** Highest LSN known to be destaged or drained. */
  readonly knownLsn: Lsn;
  readonly arrayTag: number;
}

export interface RecoveryReport {
  readonly segments: number;
  readonly batches: number;
  readonly lastLsn: Lsn;
  /** Blocks whose payload is damaged on every copy although it was flushed: they read as an error until written again. */
  readonly lostBlocks: readonly number[];
  /** Sequence numbers of segments that not every intended copy holds whole. */
  readonly incomplete: readonly SegmentSeq[];
}

/**
 * Rebuilds the segment table and the ring index from what the journal members hold, from the checkpoint's tail on. A batch counts when at
 * least one copy of every block of it is good; the ring ends at the first batch of which that is not so, unless a later header proves that it had been
 * flushed: then it is damage, not a crash, and nothing is dropped silently.
 */
export async function recoverJournal(journal: Journal, slab: Slab, scratch: { offset: SlabOffset; bytes: number }, start: RecoveryStart): Promise<RecoveryReport> {
  const walker = new RingWalker(journal, slab, scratch, start);
  return walker.run();
}

class RingWalker {
  readonly #journal: Journal;
  readonly #slab: Slab;
  readonly #view: DataView;
  readonly #scratch: { offset: SlabOffset; bytes: number };
  readonly #start: RecoveryStart;
  readonly #segmentBytes: number;
  readonly #crc = new Uint32Array(2048);
  readonly #lost: number[] = [];
  readonly #incomplete: SegmentSeq[] = [];
  #batches = 0;
  #lastLsn: Lsn;
  #chain = -1;

  constructor(journal: Journal, slab: Slab, scratch: { offset: SlabOffset; bytes: number }, start: RecoveryStart) {
    this.#journal = journal;
    this.#slab = slab;
    this.#view = new DataView(slab.view.buffer, slab.view.byteOffset, slab.view.byteLength);
    this.#scratch = scratch;
    this.#start = start;
    this.#segmentBytes = journal.segmentBlocks * BLOCK_BYTES;
    this.#lastLsn = start.knownLsn;
  }

  async run(): Promise<RecoveryReport> {
    const journal = this.#journal;
    journal.tailSeq = this.#start.tailSeq;
    journal.destagedSeq = this.#start.destagedSeq;
    journal.drainedSeq = this.#start.drainedSeq;
    let seq = this.#start.tailSeq;
    for (; seq < this.#start.tailSeq + journal.slots; seq++) if (!(await this.#segment(seq))) break;
    if (seq < this.#start.destagedSeq || seq < this.#start.drainedSeq) {
      const needed = Math.max(this.#start.destagedSeq, this.#start.drainedSeq) - 1;
      throw damaged(`ring segment ${seq} cannot be read on any journal member`, `segments ${this.#start.tailSeq} to ${needed} of the ring`);
    }
    journal.headSeq = seq;
    journal.nextLsn = this.#lastLsn + 1;
    journal.chain = this.#chain < 0 ? 0 : this.#chain;
    // What was found may still sit in a device's cache: from here on it counts as flushed, so make it so.
    const online = journal.members.map((_, position) => position).filter((position) => journal.isOnline(position));
    const results = await Promise.all(online.map((position) => syncOutcome((journal.members[position] as Member).device)));
    if (online.length > 0 && results.every((result) => result < 0)) throw damaged('no journal member could be flushed', 'at least one journal member that takes an fdatasync');
    journal.committedLsn = this.#lastLsn;
    journal.flushedLsn = this.#lastLsn;
    return { segments: seq - this.#start.tailSeq, batches: this.#batches, lastLsn: this.#lastLsn, lostBlocks: this.#lost, incomplete: this.#incomplete };
  }

  /** Reads and applies segment seq. False when it holds no batch: the ring ends before it. */
  async #segment(seq: SegmentSeq): Promise<boolean> {
    const journal = this.#journal;
    const slot = journal.table.slotOf(seq);
    const holders = await this.#holders(seq, slot);
    if (holders.length === 0) {
      if (await this.#flushedBeyond(seq, 0, [])) throw damaged(`ring segment ${seq} is missing on every journal member`, 'its header on at least one of them');
      return false;
    }
    const copies = await this.#readCopies(slot, holders);
    let at = 0;
    let good = (1 << 30) * 2 - 1;
    while (at + 1 < journal.segmentBlocks) {
      const verdict = await this.#batch(seq, slot, at, copies);
      if (verdict === null) break;
      good &= verdict.goodCopies;
      at += 1 + verdict.header.payloadBlocks;
    }
    if (at === 0) return false;
    journal.table.seq[slot] = seq;
    journal.table.used[slot] = at;
    journal.table.lastLsn[slot] = this.#lastLsn;
    let mask = 0;
    for (let i = 0; i < copies.length; i++) if ((good & (1 << i)) !== 0) mask |= 1 << (copies[i] as Copy).position;
    journal.table.copies[slot] = mask >>> 0;
    if (bitCount(mask) < bitCount(journal.chooseCopies(seq))) this.#incomplete.push(seq);
    if (mask === 0) throw damaged(`ring segment ${seq} is whole on no single journal member`, 'one whole copy; two half copies cannot be joined by this version');
    if (seq >= this.#start.destagedSeq && journal.buffers.assign(slot, journal.tailSeq, journal.destagedSeq)) {
      const from = (copies[trailingBit(good)] as Copy).memory;
      const to = journal.table.memory[slot] as number;
      this.#slab.view.copyWithin(to, from, from + at * BLOCK_BYTES);
    }
    return true;
  }

  async #holders(seq: SegmentSeq, slot: number): Promise<number[]> {
    const journal = this.#journal;
    const found: number[] = [];
    await Promise.all(
      journal.members.map(async (member, position) => {
        if (!journal.isOnline(position)) return;
        const memory = this.#scratch.offset + position * BLOCK_BYTES;
        if ((await readOutcome(member.device, memory, journal.deviceOffset(position, slot, 0), BLOCK_BYTES)) < 0) {
          member.readErrors++;
          return;
        }
        const header = this.#decode(memory);
        if (header !== null && header.seq === seq) found.push(position);
      }),
    );
    return found.sort((a, b) => a - b);
  }

  /** Reads the slot from every holder, as many as scratch has room for (the others are copied again later). */
  async #readCopies(slot: number, holders: number[]): Promise<Copy[]> {
    const journal = this.#journal;
    const room = Math.max(1, Math.floor((this.#scratch.bytes - BLOCK_BYTES) / this.#segmentBytes));
    const copies: Copy[] = [];
    await Promise.all(
      holders.slice(0, room).map(async (position, i) => {
        const memory = this.#scratch.offset + i * this.#segmentBytes;
        const member = journal.members[position] as Member;
        if ((await readOutcome(member.device, memory, journal.deviceOffset(position, slot, 0), this.#segmentBytes)) < 0) member.readErrors++;
        else copies.push({ position, memory });
      }),
    );
    return copies.sort((a, b) => a.position - b.position);
  }

  #decode(memory: SlabOffset): DecodedBatch | null {
    return decodeBatch(this.#view, this.#slab.view, memory, this.#start.arrayTag, this.#journal.segmentBlocks);
  }

  /** Checks the batch at block `at` over all copies and applies it. null: the ring ends here. */
  async #batch(seq: SegmentSeq, slot: number, at: number, copies: Copy[]): Promise<{ header: DecodedBatch; goodCopies: number } | null> {
    let header: DecodedBatch | null = null;
    let base = 0;
    let withHeader = 0;
    for (let i = 0; i < copies.length; i++) {
      const memory = (copies[i] as Copy).memory + at * BLOCK_BYTES;
      const found = this.#decode(memory);
      if (found === null || found.seq !== seq || found.at !== at || (this.#chain >= 0 && found.chain !== this.#chain)) continue;
      if (header === null) {
        header = found;
        base = memory;
      } else if (found.crc !== header.crc) continue;
      withHeader |= 1 << i;
    }
    if (header === null) {
      if (await this.#flushedBeyond(seq, at, copies)) throw damaged(`batch at block ${at} of ring segment ${seq} is damaged on every journal member`, 'a whole header on one of them');
      return null;
    }
    const n = header.payloadBlocks;
    const blocks = this.#payloadAddresses(base, header);
    let goodCopies = 0;
    const bad = new Uint8Array(n).fill(1);
    for (let i = 0; i < copies.length; i++) {
      if ((withHeader & (1 << i)) === 0) continue;
      let whole = true;
      for (let p = 0; p < n; p++) {
        const memory = (copies[i] as Copy).memory + (at + 1 + p) * BLOCK_BYTES;
        loadAddon().crcRun(this.#slab.view, memory, blocks[p] as number, 1, this.#crc, 0);
        if (this.#crc[0] === payloadCrc(this.#view, base, header.entries, p)) bad[p] = 0;
        else whole = false;
      }
      if (whole) goodCopies |= 1 << i;
    }
    if (goodCopies === 0 && bad.includes(1)) {
      const flushed = await this.#flushedBeyond(seq, at + 1, copies);
      if (!flushed) return null;
      for (let p = 0; p < n; p++) if (bad[p] === 1) this.#lost.push(blocks[p] as number);
      goodCopies = withHeader;
    }
    this.#apply(seq, slot, at, base, header, blocks);
    return { header, goodCopies: goodCopies === 0 ? withHeader : goodCopies };
  }

  #payloadAddresses(base: SlabOffset, header: DecodedBatch): Float64Array {
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

  #apply(seq: SegmentSeq, slot: number, at: number, base: SlabOffset, header: DecodedBatch, blocks: Float64Array): void {
    const { table, index } = this.#journal;
    if (at === 0) {
      table.clear(slot);
      table.seq[slot] = seq;
      table.firstLsn[slot] = header.firstLsn;
    }
    let place = slot * table.segmentBlocks + at + 1;
    let p = 0;
    table.used[slot] = at + 1;
    for (let e = 0; e < header.entries; e++) {
      const first = entryBlock(this.#view, base, e);
      const count = entryCount(this.#view, base, e);
      if (entryType(this.#view, base, e) === ENTRY_WRITE) {
        for (let i = 0; i < count; i++, p++, place++) {
          table.crc[place] = payloadCrc(this.#view, base, header.entries, p);
          index.put(blocks[p] as number, place);
        }
        table.used[slot] = (table.used[slot] as number) + count;
      } else {
        index.zero(first, count, seq);
        table.addZero(slot, first, count);
      }
    }
    this.#chain = header.crc;
    this.#lastLsn = header.firstLsn + header.entries - 1;
    this.#batches++;
  }

  /** True when some header after this place says that what should be here had been flushed. */
  async #flushedBeyond(seq: SegmentSeq, at: number, copies: Copy[]): Promise<boolean> {
    const journal = this.#journal;
    const expected = this.#lastLsn + 1;
    for (const copy of copies) {
      for (let i = at; i < journal.segmentBlocks; i++) {
        const header = this.#decode(copy.memory + i * BLOCK_BYTES);
        if (header !== null && header.seq === seq && header.at === i && header.flushedLsn >= expected) return true;
      }
    }
    for (let later = seq + 1; later < this.#start.tailSeq + journal.slots; later++) {
      const slot = journal.table.slotOf(later);
      for (let position = 0; position < journal.members.length; position++) {
        if (!journal.isOnline(position)) continue;
        const member = journal.members[position] as Member;
        // The last block of scratch: the copies of this segment lie before it.
        const memory = this.#scratch.offset + this.#scratch.bytes - BLOCK_BYTES;
        if ((await readOutcome(member.device, memory, journal.deviceOffset(position, slot, 0), BLOCK_BYTES)) < 0) continue;
        const header = this.#decode(memory);
        if (header !== null && header.seq === later && header.flushedLsn >= expected) return true;
      }
    }
    return false;
  }
}

interface Copy {
  readonly position: number;
  readonly memory: SlabOffset;
}

function damaged(found: string, expected: string): KeelsonError {
  return new KeelsonError('JOURNAL_DAMAGED', 'the ring journal holds acknowledged writes that cannot be read', {
    found,
    expected,
    action: 'bring back a missing journal member; if there is none, restore from the backup',
    exit: EXIT.unavailable,
  });
}

function bitCount(mask: number): number {
  let n = 0;
  for (let m = mask >>> 0; m !== 0; m &= m - 1) n++;
  return n;
}

function trailingBit(mask: number): number {
  return 31 - Math.clz32(mask & -mask);
}
