import { assert } from '../base/assert.js';
import { EXIT, KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Lsn, type SegmentSeq, type SlabOffset } from '../base/units.js';
import { readOutcome, syncOutcome, writeOutcome } from '../device/outcome-io.js';
import type { Member } from '../member/member-api.js';
import type { Slab } from '../memory/slab.js';
import { type DecodedBatch, decodeBatch, ENTRY_WRITE, entryBlock, entryCount, entryType, payloadCrc } from './batch-format.js';
import type { Journal } from './journal.js';
import { continues, type FoundBatch, SlotCopies } from './slot-copies.js';

export interface RecoveryStart {
  readonly tailSeq: SegmentSeq;
  readonly destagedSeq: SegmentSeq;
  readonly drainedSeq: SegmentSeq;
  /** Highest LSN known to be destaged or drained: the ring must reach it. */
  readonly knownLsn: Lsn;
  /** Highest LSN before the tail: the smaller of the destaged and the drained one. Left out: the first batch found is believed. */
  readonly tailLsn?: Lsn;
  readonly arrayTag: number;
  /** What batches may be about. */
  readonly volumeBlocks: number;
}

export interface RecoveryReport {
  readonly segments: number;
  readonly batches: number;
  readonly lastLsn: Lsn;
  /** Blocks whose newest payload is damaged on every copy although it was flushed: they read as an error until written again. */
  readonly lostBlocks: readonly number[];
  /** Sequence numbers of segments that not every intended copy holds whole. */
  readonly incomplete: readonly SegmentSeq[];
}

/**
 * Rebuilds the segment table and the ring index from what the journal members hold, from the checkpoint's tail on. A batch counts when every block of it is good
 * on at least one copy; the ring ends at the first batch of which that is not so, unless a later header proves that it had been flushed: then it is damage, not a crash,
 * and nothing is dropped silently. What lies beyond the end is made unrecognisable, so that no later recovery takes it for its own.
 * endIsKnown: false when segment seq, had it been written, would be on members alone that are not here, so that a ring that seems to end before it may not end there.
 */
export async function recoverJournal(
  journal: Journal,
  slab: Slab,
  scratch: { offset: SlabOffset; bytes: number },
  start: RecoveryStart,
  endIsKnown: (seq: SegmentSeq) => boolean = () => true,
): Promise<RecoveryReport> {
  return new RingWalker(journal, slab, scratch, start, endIsKnown).run();
}

class RingWalker {
  readonly #journal: Journal;
  readonly #slab: Slab;
  readonly #view: DataView;
  readonly #start: RecoveryStart;
  readonly #endIsKnown: (seq: SegmentSeq) => boolean;
  /** One block for each position, for the first blocks of a slot. */
  readonly #headsAt: SlabOffset;
  /** Copies of the slot being read, and room for one more slot of one member. */
  readonly #copiesAt: SlabOffset;
  readonly #room: number;
  /** First headers of the segments after the one being read, by position. */
  readonly #heads = new Map<SegmentSeq, (DecodedBatch | null)[]>();
  readonly #lostPlaces: number[] = [];
  readonly #incomplete: SegmentSeq[] = [];
  readonly #failed = new Map<number, number>();
  #batches = 0;
  #lastLsn: Lsn;
  #chain = -1;
  #epoch = 0;
  /** What a segment that was made again leaves out was flushed before this one. */
  #reachSeq = 0;
  /** The LSN before the tail is not known, so the first batch's is believed. */
  #anyLsn: boolean;

  constructor(
    journal: Journal,
    slab: Slab,
    scratch: { offset: SlabOffset; bytes: number },
    start: RecoveryStart,
    endIsKnown: (seq: SegmentSeq) => boolean,
  ) {
    this.#endIsKnown = endIsKnown;
    this.#journal = journal;
    this.#slab = slab;
    this.#view = new DataView(slab.view.buffer, slab.view.byteOffset, slab.view.byteLength);
    this.#start = start;
    this.#headsAt = scratch.offset;
    this.#copiesAt = scratch.offset + journal.members.length * BLOCK_BYTES;
    this.#room = Math.floor((scratch.bytes - journal.members.length * BLOCK_BYTES) / this.#segmentBytes);
    assert(this.#room >= 1, 'recovery has memory for one copy of a segment');
    this.#lastLsn = start.tailLsn ?? start.knownLsn;
    this.#anyLsn = start.tailLsn === undefined;
  }

  get #segmentBytes(): number {
    return this.#journal.segmentBlocks * BLOCK_BYTES;
  }

  async run(): Promise<RecoveryReport> {
    const journal = this.#journal;
    const { tailSeq, destagedSeq, drainedSeq, knownLsn } = this.#start;
    journal.tailSeq = tailSeq;
    journal.destagedSeq = destagedSeq;
    journal.drainedSeq = drainedSeq;
    let seq = tailSeq;
    for (; seq < tailSeq + journal.slots; seq++) {
      if (!(await this.#segment(seq))) break;
      this.#heads.delete(seq);
    }
    if (seq < destagedSeq || seq < drainedSeq || seq < this.#reachSeq || this.#lastLsn < knownLsn) {
      const needed = Math.max(destagedSeq, drainedSeq, this.#reachSeq) - 1;
      throw damaged(
        this.#journal,
        `ring segment ${seq} cannot be read on any journal member`,
        `segments ${tailSeq} to ${needed} of the ring, up to LSN ${knownLsn}`,
      );
    }
    if (!this.#endIsKnown(seq)) {
      throw new KeelsonError('JOURNAL_LOST', 'the ring journal may hold acknowledged writes on members that are not here', {
        found: `no member that ring segment ${seq} would be on`,
        expected: 'at least one of them: without it what the stripes and the backup hold may be older than what was acknowledged',
        action: bringBack(journal),
        exit: EXIT.unavailable,
      });
    }
    journal.headSeq = seq;
    journal.chain = this.#chain < 0 ? 0 : this.#chain;
    await this.#forgetBeyond(seq);
    await this.#sync();
    journal.recovered(this.#lastLsn);
    await Promise.all([...this.#failed].map(([position, errno]) => journal.hooks.memberFailed(position, errno, 'journal recovery')));
    const lost = this.#lostPlaces.filter((place) => journal.index.lookup(journal.index.blockAt[place] as number) === place);
    return {
      segments: seq - tailSeq,
      batches: this.#batches,
      lastLsn: this.#lastLsn,
      lostBlocks: lost.map((place) => journal.index.blockAt[place] as number),
      incomplete: this.#incomplete,
    };
  }

  #online(): number[] {
    return this.#journal.members.map((_, position) => position).filter((position) => this.#journal.isOnline(position));
  }

  /** What was found may still sit in a device's cache: from here on it counts as flushed, so make it so. */
  async #sync(): Promise<void> {
    const online = this.#online();
    const results = await Promise.all(online.map((position) => syncOutcome((this.#journal.members[position] as Member).device)));
    online.forEach((position, i) => {
      if ((results[i] as number) < 0) this.#failed.set(position, -(results[i] as number));
    });
    if (online.length > 0 && online.every((position) => this.#failed.has(position))) {
      throw damaged(this.#journal, 'no journal member could be flushed', 'at least one journal member that takes an fdatasync');
    }
  }

  /** Reads and applies segment seq. False when it holds no batch: the ring ends before it. */
  async #segment(seq: SegmentSeq): Promise<boolean> {
    const journal = this.#journal;
    const heads = await this.#headsOf(seq);
    const copies = new SlotCopies(journal, this.#slab, seq, { offset: this.#copiesAt, room: this.#copyRoom() });
    await copies.load(this.#online().filter((position) => heads[position] !== null));
    let at = 0;
    while (at + 1 < journal.segmentBlocks) {
      const found = await this.#batch(seq, at, copies);
      if (found === null) break;
      this.#apply(seq, found);
      copies.take(found);
      at += 1 + found.header.payloadBlocks;
    }
    if (at === 0) return false;
    await this.#settle(seq, at, copies);
    return true;
  }

  /** One room is kept for looking at later segments, when there is more than one. */
  #copyRoom(): number {
    return this.#room > 1 ? this.#room - 1 : 1;
  }

  /** The next batch at block `at`, or null: the segment ends here. Throws when that cannot be, because what is missing had been flushed. */
  async #batch(seq: SegmentSeq, at: number, copies: SlotCopies): Promise<FoundBatch | null> {
    const end = { chain: this.#chain, nextLsn: this.#anyLsn ? -1 : this.#lastLsn + 1, epoch: this.#epoch };
    const { volumeBlocks } = this.#start;
    let found = copies.find(at, end, volumeBlocks);
    const successor = at > 0 ? await this.#successor(seq + 1) : null;
    if (found !== null && found.missing.length === 0) {
      // A segment that was closed here, by a later run that did not have this batch.
      return successor !== null && successor.epoch > found.header.epoch ? null : found;
    }
    if (successor !== null) return null;
    if (await copies.widen()) found = copies.find(at, end, volumeBlocks);
    if (found !== null && found.missing.length === 0) return found;
    // It has a right checksum and its place in the log: ending the log before it would drop what was acknowledged.
    if (found === null && copies.impossible !== '')
      throw damaged(
        this.#journal,
        `the batch at block ${at} of ring segment ${seq} has a right checksum over ${copies.impossible}`,
        'numbers that can be',
      );
    const flushed = copies.saysFlushed(found === null ? at : at + 1, this.#lastLsn + 1) || (await this.#laterSaysFlushed(seq + 1));
    if (!flushed) return null;
    if (found === null)
      throw damaged(
        this.#journal,
        `the batch at block ${at} of ring segment ${seq} is damaged on every journal member`,
        'a whole header on one of them',
      );
    const first = copies.slot * this.#journal.segmentBlocks + at + 1;
    for (const p of found.missing) this.#lostPlaces.push(first + p);
    return found;
  }

  /** First headers of a slot by position, null where there is none of this segment. */
  async #headsOf(seq: SegmentSeq): Promise<(DecodedBatch | null)[]> {
    const known = this.#heads.get(seq);
    if (known !== undefined) return known;
    const journal = this.#journal;
    const slot = journal.table.slotOf(seq);
    const heads = await Promise.all(
      journal.members.map(async (member, position) => {
        if (!journal.isOnline(position)) return null;
        const memory = this.#headsAt + position * BLOCK_BYTES;
        if ((await readOutcome(member.device, memory, journal.deviceOffset(position, slot, 0), BLOCK_BYTES)) < 0) {
          member.readErrors++;
          return null;
        }
        const header = decodeBatch(this.#view, this.#slab.view, memory, journal.arrayTag, journal.segmentBlocks);
        return header !== null && header.seq === seq && header.at === 0 ? header : null;
      }),
    );
    this.#heads.set(seq, heads);
    return heads;
  }

  /** The batch that continues the chain at the start of the next segment: then the present one was closed here. */
  async #successor(seq: SegmentSeq): Promise<DecodedBatch | null> {
    if (seq >= this.#start.tailSeq + this.#journal.slots) return null;
    const end = { chain: this.#chain, nextLsn: this.#lastLsn + 1, epoch: this.#epoch };
    return (await this.#headsOf(seq)).find((header) => header !== null && continues(header, end)) ?? null;
  }

  /** True when some later segment says that the next LSN had been on stable media. */
  async #laterSaysFlushed(from: SegmentSeq): Promise<boolean> {
    const journal = this.#journal;
    const lsn = this.#lastLsn + 1;
    for (let seq = from; seq < this.#start.tailSeq + journal.slots; seq++) {
      const heads = await this.#headsOf(seq);
      if (heads.some((header) => header !== null && header.flushedLsn >= lsn)) return true;
      if (this.#room < 2) continue;
      for (let position = 0; position < heads.length; position++) {
        if (heads[position] === null) continue;
        const later = new SlotCopies(journal, this.#slab, seq, { offset: this.#copiesAt + (this.#room - 1) * this.#segmentBytes, room: 1 });
        await later.load([position]);
        if (later.saysFlushed(1, lsn)) return true;
      }
    }
    return false;
  }

  #apply(seq: SegmentSeq, found: FoundBatch): void {
    const { table, index } = this.#journal;
    const { header, base, blocks } = found;
    const slot = table.slotOf(seq);
    if (header.at === 0) {
      table.clear(slot);
      table.seq[slot] = seq;
      table.firstLsn[slot] = header.firstLsn;
    }
    let place = slot * table.segmentBlocks + header.at + 1;
    let p = 0;
    table.used[slot] = header.at + 1;
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
    this.#chain = header.chainAfter;
    this.#epoch = header.epoch;
    this.#lastLsn = header.lastLsn;
    this.#anyLsn = false;
    table.lastLsn[slot] = this.#lastLsn;
    table.chain[slot] = this.#chain;
    table.epoch[slot] = this.#epoch;
    table.reachSeq[slot] = header.remade?.reachSeq ?? 0;
    this.#reachSeq = Math.max(this.#reachSeq, table.reachSeq[slot] as number);
    this.#batches++;
  }

  /** All batches of the segment are applied: notes who has it, pieces it together when nobody has it whole, and keeps it in memory while it is not destaged. */
  async #settle(seq: SegmentSeq, used: number, copies: SlotCopies): Promise<void> {
    const journal = this.#journal;
    const { slot } = copies;
    const memory = copies.assemble(used);
    const whole = copies.wholeMask();
    if (bitCount(whole) < bitCount(journal.chooseCopies(seq))) this.#incomplete.push(seq);
    // A batch that was not taken is the end of the chain now; found whole one day, it must not continue it.
    const beyond = used < journal.segmentBlocks ? copies.headersAt(used) : [];
    const mask = await this.#complete(seq, used, memory, whole);
    if (mask === 0)
      throw damaged(
        this.#journal,
        `ring segment ${seq} is whole on no single journal member, and none takes it`,
        'one journal member that can be written',
      );
    journal.table.copies[slot] = mask;
    for (const position of beyond) await this.#erase(position, slot, used);
    if (seq >= this.#start.destagedSeq && journal.buffers.assign(slot, journal.tailSeq, journal.destagedSeq)) {
      const to = journal.table.memory[slot] as number;
      this.#slab.view.copyWithin(to, memory, memory + used * BLOCK_BYTES);
    }
  }

  /**
   * Gives the segment the copies that it lacks, before anybody is told of anything: a crash may have left its last batches on one member alone, and once a checkpoint calls
   * that member failed, nobody could tell such a segment from one whose acknowledged writes are gone with it (decision 0091). Returns the positions that have it.
   */
  async #complete(seq: SegmentSeq, used: number, memory: SlabOffset, whole: number): Promise<number> {
    const journal = this.#journal;
    const slot = journal.table.slotOf(seq);
    const wanted = bitCount(journal.chooseCopies(seq));
    // With a block of zeroes behind it, where an older life of the member may have a batch that went on.
    const blocks = Math.min(used + 1, journal.segmentBlocks);
    this.#slab.view.fill(0, memory + used * BLOCK_BYTES, memory + blocks * BLOCK_BYTES);
    let mask = whole;
    for (let i = 0; i < journal.members.length && bitCount(mask) < wanted; i++) {
      const position = (seq + i) % journal.members.length;
      if (!journal.isOnline(position) || this.#failed.has(position) || (mask & (1 << position)) !== 0) continue;
      const { device } = journal.members[position] as Member;
      const result = await writeOutcome(device, memory, journal.deviceOffset(position, slot, 0), blocks * BLOCK_BYTES);
      if (result < 0) this.#failed.set(position, -result);
      else mask = (mask | (1 << position)) >>> 0;
    }
    return mask;
  }

  /** Batches after a gap belong to writes that were lost: a later chain of the same sequence numbers must not meet them. */
  async #forgetBeyond(headSeq: SegmentSeq): Promise<void> {
    for (let seq = headSeq; seq < this.#start.tailSeq + this.#journal.slots; seq++) {
      const heads = await this.#headsOf(seq);
      for (let position = 0; position < heads.length; position++)
        if (heads[position] !== null) await this.#erase(position, this.#journal.table.slotOf(seq), 0);
    }
  }

  async #erase(position: number, slot: number, at: number): Promise<void> {
    const memory = this.#headsAt + position * BLOCK_BYTES;
    this.#slab.view.fill(0, memory, memory + BLOCK_BYTES);
    const result = await writeOutcome(
      (this.#journal.members[position] as Member).device,
      memory,
      this.#journal.deviceOffset(position, slot, at),
      BLOCK_BYTES,
    );
    if (result < 0) this.#failed.set(position, -result);
  }
}

function damaged(journal: Journal, found: string, expected: string): KeelsonError {
  return new KeelsonError('JOURNAL_DAMAGED', 'the ring journal holds acknowledged writes that cannot be read', {
    found,
    expected,
    action: bringBack(journal),
    exit: EXIT.unavailable,
  });
}

function bringBack(journal: Journal): string {
  const absent = journal.members.flatMap(({ index }, position) => (journal.isOnline(position) ? [] : [index]));
  if (absent.length === 0) return 'no journal member is missing: what it lacks is nowhere on the members';
  return `bring back ${absent.length === 1 ? '' : 'one of '}member ${absent.join(', ')}, by its cable or its path in the configuration, and start again: nothing was changed`;
}

function bitCount(mask: number): number {
  let n = 0;
  for (let m = mask >>> 0; m !== 0; m &= m - 1) n++;
  return n;
}
