import { BLOCK_BYTES, type SegmentSeq, type SlabOffset } from '../base/units.js';
import type { Member } from '../member/member-api.js';
import { readOutcome } from '../device/outcome-io.js';
import type { Slab } from '../memory/slab.js';
import type { Journal } from './journal.js';
import { SegmentCheck } from './segment-check.js';

/** Reads of the second copy from the journal members, each block verified against the checksum that its write got. */
export class RingReader {
  readonly #journal: Journal;
  readonly #slab: Slab;
  readonly #check: SegmentCheck;

  constructor(journal: Journal, slab: Slab) {
    this.#journal = journal;
    this.#slab = slab;
    this.#check = new SegmentCheck(journal, slab);
  }

  /**
   * Brings `count` blocks from `place` on (all payload of one segment) to slab offset `into`, from the slab or from any copy.
   * False when some block is good on no copy, or the segment has gone meanwhile.
   */
  async read(place: number, count: number, into: SlabOffset): Promise<boolean> {
    const { table } = this.#journal;
    const slot = table.slotOfPlace(place);
    const seq = table.seq[slot] as number;
    const resident = table.memoryOf(place);
    if (resident >= 0) {
      this.#slab.view.copyWithin(into, resident, resident + count * BLOCK_BYTES);
      return true;
    }
    const wanted = table.crc.slice(place, place + count);
    const blocks = this.#journal.index.blockAt.slice(place, place + count);
    let done = 0;
    const at = place - slot * table.segmentBlocks;
    for (let position = 0; position < this.#journal.members.length && done < count; position++) {
      if (((table.copies[slot] as number) & (1 << position)) === 0 || !this.#journal.isOnline(position)) continue;
      const member = this.#journal.members[position] as Member;
      const offset = this.#journal.deviceOffset(position, slot, at + done);
      const result = await readOutcome(member.device, into + done * BLOCK_BYTES, offset, (count - done) * BLOCK_BYTES);
      if (table.seq[slot] !== seq) return false;
      if (result < 0) {
        member.readErrors++;
        damaged(member, seq);
        continue;
      }
      const before = done;
      while (done < count && this.#check.payload(blocks[done] as number, wanted[done] as number, into + done * BLOCK_BYTES)) done++;
      if (done < count) {
        member.checksumErrors++;
        damaged(member, seq);
      }
      // A block that is bad here may be good on the next copy, and the rest good here: go on from the first bad one.
      if (done === before) continue;
    }
    if (done === count) return true;
    return this.#blockwise(slot, at, done, count, into, blocks, wanted, seq);
  }

  async #blockwise(
    slot: number,
    at: number,
    from: number,
    count: number,
    into: SlabOffset,
    blocks: Float64Array,
    wanted: Uint32Array,
    seq: SegmentSeq,
  ): Promise<boolean> {
    const { table } = this.#journal;
    for (let i = from; i < count; i++) {
      let good = false;
      for (let position = 0; position < this.#journal.members.length && !good; position++) {
        if (((table.copies[slot] as number) & (1 << position)) === 0 || !this.#journal.isOnline(position)) continue;
        const member = this.#journal.members[position] as Member;
        const memory = into + i * BLOCK_BYTES;
        if ((await readOutcome(member.device, memory, this.#journal.deviceOffset(position, slot, at + i), BLOCK_BYTES)) < 0) continue;
        good = table.seq[slot] === seq && this.#check.payload(blocks[i] as number, wanted[i] as number, memory);
      }
      if (!good) return false;
    }
    return true;
  }

  /** Makes a closed segment resident. False when there is no free buffer or no copy. */
  async load(seq: SegmentSeq): Promise<boolean> {
    const journal = this.#journal;
    const { table } = journal;
    const slot = table.slotOf(seq);
    if ((table.memory[slot] as number) >= 0) return true;
    if (!journal.buffers.assign(slot, journal.tailSeq, Math.min(journal.destagedSeq, seq))) return false;
    const memory = table.memory[slot] as number;
    // While it loads it must not be taken for resident by readers.
    table.memory[slot] = -1;
    const loaded = await this.readSegment(seq, memory);
    table.memory[slot] = memory;
    if (!loaded) journal.buffers.release(slot);
    return loaded;
  }

  /**
   * Brings the whole used part of a closed segment to `into`, every block verified: from the first copy that can be read, and what is bad there from the
   * others. False when some block is good on none of them.
   */
  async readSegment(seq: SegmentSeq, into: SlabOffset): Promise<boolean> {
    const journal = this.#journal;
    const { table } = journal;
    const slot = table.slotOf(seq);
    const bytes = (table.used[slot] as number) * BLOCK_BYTES;
    for (const position of this.#holders(slot)) {
      const member = journal.members[position] as Member;
      if ((await readOutcome(member.device, into, journal.deviceOffset(position, slot, 0), bytes)) < 0) {
        member.readErrors++;
        damaged(member, seq);
        continue;
      }
      if (table.seq[slot] !== seq) return false;
      const bad = this.#check.bad(slot, into);
      if (bad.length > 0) {
        member.checksumErrors++;
        damaged(member, seq);
      }
      for (const at of bad) if (!(await this.#mend(slot, at, into + at * BLOCK_BYTES))) return false;
      return table.seq[slot] === seq;
    }
    return false;
  }

  #holders(slot: number): number[] {
    const { table, members } = this.#journal;
    return members
      .map((_, position) => position)
      .filter((position) => ((table.copies[slot] as number) & (1 << position)) !== 0 && this.#journal.isOnline(position));
  }

  async #mend(slot: number, at: number, memory: SlabOffset): Promise<boolean> {
    for (const position of this.#holders(slot)) {
      const member = this.#journal.members[position] as Member;
      if ((await readOutcome(member.device, memory, this.#journal.deviceOffset(position, slot, at), BLOCK_BYTES)) < 0) continue;
      if (this.#check.good(slot, at, memory)) return true;
    }
    return false;
  }
}

/** Its copy of this segment does not count until the segment has left the ring: nothing writes it again before. */
function damaged(member: Member, seq: SegmentSeq): void {
  member.ringDamageSeq = Math.max(member.ringDamageSeq, seq);
}
