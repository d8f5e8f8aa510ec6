import { BLOCK_BYTES, type SegmentSeq, type SlabOffset } from '../base/units.js';
import type { Member } from '../member/member-api.js';
import { readOutcome, syncOutcome, writeOutcome } from '../device/outcome-io.js';
import type { Journal } from './journal.js';
import { RingReader } from './ring-reader.js';
import type { RingTwin } from './ring-twin.js';
import { type RemadeSegment, remakeSegment, type SegmentSource, tookRemade, wantsRemake } from './segment-remake.js';

/**
 * Gives ring segments back the copies they lost: from the slab when resident, else from another copy, else made again from the stripes, to the same slot of a healthy member.
 * A slot is reserved on every journal member, so there is always room.
 */
export class Replicator {
  readonly #journal: Journal;
  readonly #reader: RingReader;
  readonly #scratch: SlabOffset;
  readonly #copies: number;
  readonly #failed: (position: number, errno: number) => Promise<void>;
  #running: Promise<void> | null = null;
  /** A copy for a twin, which uses the same memory. */
  #copying: Promise<void> | null = null;
  #again = false;
  readonly #source: SegmentSource;
  /** Segments that the stripes could not give in this run. */
  readonly #left = new Set<SegmentSeq>();

  /** scratch: slab offset of one segment's worth of memory. */
  constructor(
    journal: Journal,
    copies: number,
    scratch: SlabOffset,
    source: SegmentSource,
    failed: (position: number, errno: number) => Promise<void>,
  ) {
    this.#journal = journal;
    this.#source = source;
    this.#reader = new RingReader(journal, journal.slab);
    this.#copies = copies;
    this.#scratch = scratch;
    this.#failed = failed;
  }

  /** Segments that have fewer copies than there could be, in the order in which they get them. */
  wanting(): SegmentSeq[] {
    const journal = this.#journal;
    const list: SegmentSeq[] = [];
    let online = 0;
    for (let position = 0; position < journal.members.length; position++) if (journal.isOnline(position)) online++;
    const want = Math.min(this.#copies, online);
    for (let seq = journal.tailSeq; seq < journal.headSeq; seq++) {
      const slot = journal.table.slotOf(seq);
      if (journal.table.seq[slot] !== seq) continue;
      let have = 0;
      for (let position = 0; position < journal.members.length; position++) {
        if (((journal.table.copies[slot] as number) & (1 << position)) !== 0 && journal.isOnline(position)) have++;
      }
      if (have < want) list.push(seq);
    }
    // Those to be made again last: they wait until all that was acknowledged is on stable media, which it is not while one that is not destaged has no copy.
    return list.sort((a, b) => Number(wantsRemake(journal, a)) - Number(wantsRemake(journal, b)));
  }

  /** Runs until no segment wants a copy; a call while it runs makes it look again. */
  run(): Promise<void> {
    this.#again = true;
    this.#left.clear();
    this.#running ??= this.#loop().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #loop(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      if (this.#copying !== null) await this.#copying;
      for (const seq of this.wanting()) if (!(await this.#replicate(seq))) break;
    }
  }

  /**
   * Gives the twin a closed segment that its position holds, durably. When it is good on no copy as a
   * whole the twin gets what the member has of it. Failures are noted in the twin.
   */
  async copyTo(twin: RingTwin, seq: SegmentSeq): Promise<void> {
    while (this.#running !== null || this.#copying !== null) await (this.#running ?? this.#copying);
    const copy = this.#copyTo(twin, seq);
    this.#copying = copy
      .catch(() => undefined)
      .finally(() => {
        this.#copying = null;
      });
    return copy;
  }

  async #copyTo(twin: RingTwin, seq: SegmentSeq): Promise<void> {
    const journal = this.#journal;
    const { table } = journal;
    const slot = table.slotOf(seq);
    await journal.hooks.fence?.();
    if (table.seq[slot] !== seq || journal.tailSeq > seq) return;
    journal.pin(slot);
    try {
      const used = table.used[slot] as number;
      const bytes = Math.min(used + 1, journal.segmentBlocks) * BLOCK_BYTES;
      const resident = table.memory[slot] as number;
      const memory = resident < 0 ? this.#scratch : resident;
      if (resident < 0 && !(await this.#reader.readSegment(seq, memory))) await this.#readAsItIs(twin, seq, memory);
      journal.slab.view.fill(0, memory + used * BLOCK_BYTES, memory + bytes);
      const { device } = twin.member;
      let result = await writeOutcome(device, memory, journal.slotOffset(twin.member, slot, 0), bytes);
      if (result >= 0) result = await syncOutcome(device);
      if (result < 0) await twin.failed(-result, 'journal copy');
      else twin.held.add(seq);
    } finally {
      journal.unpin(slot);
    }
  }

  /** What the member has of a segment that is damaged on every copy: its successor is to have no less. */
  async #readAsItIs({ position, member: successor }: RingTwin, seq: SegmentSeq, memory: SlabOffset): Promise<void> {
    const journal = this.#journal;
    const slot = journal.table.slotOf(seq);
    successor.ringDamageSeq = Math.max(successor.ringDamageSeq, seq);
    for (let at = 0; at < (journal.table.used[slot] as number); at++) {
      const block = memory + at * BLOCK_BYTES;
      const { device } = journal.members[position] as Member;
      const result = await readOutcome(device, block, journal.deviceOffset(position, slot, at), BLOCK_BYTES);
      if (result < 0) journal.slab.view.fill(0, block, block + BLOCK_BYTES);
    }
  }

  /** False when something failed and the list has to be made again. */
  async #replicate(seq: SegmentSeq): Promise<boolean> {
    const journal = this.#journal;
    const { table } = journal;
    const slot = table.slotOf(seq);
    if (table.seq[slot] !== seq || journal.tailSeq > seq) return true;
    const used = table.used[slot] as number;
    const target = this.#target(slot, seq);
    if (target < 0 || used === 0) return true;
    // With a block of zeroes behind it, where an older life of the member may have a batch that went on.
    const bytes = Math.min(used + 1, journal.segmentBlocks) * BLOCK_BYTES;
    await journal.hooks.fence?.();
    if (table.seq[slot] !== seq || journal.tailSeq > seq) return true;
    journal.pin(slot);
    try {
      let memory = table.memory[slot] as number;
      let remade: RemadeSegment | null = null;
      if (memory < 0) {
        memory = this.#scratch;
        if (wantsRemake(journal, seq)) {
          if (this.#left.has(seq)) return true;
          remade = await remakeSegment(journal, seq, memory, this.#source);
          if (remade === null) {
            this.#left.add(seq);
            return true;
          }
          await journal.hooks.fence?.();
        }
        // Verified block by block: a copy of damage would pass for a whole one.
        else if (!(await this.#reader.readSegment(seq, memory))) return true;
      }
      journal.slab.view.fill(0, memory + used * BLOCK_BYTES, memory + bytes);
      const member = journal.members[target] as Member;
      let result = await writeOutcome(member.device, memory, journal.deviceOffset(target, slot, 0), bytes);
      // Another device may have taken the position meanwhile, and this one be closed.
      if (journal.members[target] !== member) return true;
      if (result >= 0) result = await syncOutcome(member.device);
      if (result < 0) {
        await this.#failed(target, -result);
        this.#again = true;
        return false;
      }
      // Another device may have taken the position meanwhile.
      if (table.seq[slot] === seq && journal.members[target] === member && journal.isOnline(target)) {
        if (remade !== null) tookRemade(journal, seq, remade);
        table.copies[slot] = ((table.copies[slot] as number) | (1 << target)) >>> 0;
        // It may want more than this one: with three copies, a segment that one member alone has wants two.
        this.#again = true;
      }
      return true;
    } finally {
      journal.unpin(slot);
    }
  }

  #target(slot: number, seq: SegmentSeq): number {
    const journal = this.#journal;
    for (let i = 0; i < journal.members.length; i++) {
      const position = (seq + i) % journal.members.length;
      if (journal.isOnline(position) && ((journal.table.copies[slot] as number) & (1 << position)) === 0) return position;
    }
    return -1;
  }
}
