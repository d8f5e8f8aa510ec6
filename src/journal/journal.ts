import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type BlockIndex, type Bytes, type Lsn, type SegmentSeq, type SlabOffset } from '../base/units.js';
import { JOURNAL_POSITIONS_MAX } from '../member/layout.js';
import type { Member } from '../member/member-api.js';
import type { Slab } from '../memory/slab.js';
import { loadAddon } from '../native/load.js';
import { batchHasRoom, batchPayloadRoom, ENTRY_BLOCKS_MAX, ENTRY_WRITE, ENTRY_ZERO, putEntry, sealBatch } from './batch-format.js';
import { SegmentBuffers } from './buffers.js';
import { GroupCommit, type JournalHooks } from './group-commit.js';
import { copiesFor } from './ring-end.js';
import { RingIndex } from './ring-index.js';
import type { RingTwin } from './ring-twin.js';
import { SegmentTable } from './segment-table.js';
import { WriterRoom } from './writer-room.js';

export type { JournalHooks } from './group-commit.js';

export interface JournalOptions {
  readonly slab: Slab;
  readonly buffersAt: SlabOffset;
  readonly buffers: number;
  readonly slots: number;
  readonly segmentBytes: Bytes;
  readonly copies: number;
  /** Parity shards of a stripe: lost blocks that a touched row may need journaled. */
  readonly parity: number;
  readonly arrayTag: number;
  readonly epoch: number;
  readonly members: Member[];
  readonly clock: Clock;
  readonly hooks: JournalHooks;
}

/**
 * The second redundancy scheme: a ring of segments, each on `copies` journal members. Writes are appended to the open segment's slab buffer, in batches
 * that group-commit.ts writes; here is where they are placed, and how the ring's cursors move.
 */
export class Journal {
  readonly table: SegmentTable;
  readonly index: RingIndex;
  readonly buffers: SegmentBuffers;
  readonly members: Member[];
  /** Second devices that get what the member at their position gets. */
  readonly twins = new Map<number, RingTwin>();
  readonly segmentBlocks: number;
  epoch: number;
  /** The open segment, or the next to be opened. */
  headSeq: SegmentSeq = 1;
  tailSeq: SegmentSeq = 1;
  destagedSeq: SegmentSeq = 1;
  drainedSeq: SegmentSeq = 1;
  nextLsn: Lsn = 1;
  chain = 0;
  /** Destaging is blocked: undestaged segments may leave the slab, as long as a journal member holds them. */
  spilling = false;

  readonly slab: Slab;
  readonly #data: DataView;
  readonly #options: JournalOptions;
  #openSlot = -1;
  #gatherAt = -1;
  #gatherEntries = 0;
  #gatherPayload = 0;
  #gatherFirstLsn = 0;
  readonly #commit: GroupCommit;
  readonly room: WriterRoom;
  /** Where the tail goes once nobody holds on to the segments before it. */
  #removeTo: SegmentSeq = 1;
  #dead: KeelsonError | null = null;

  constructor(options: JournalOptions) {
    this.#options = options;
    this.slab = options.slab;
    this.#data = new DataView(options.slab.view.buffer, options.slab.view.byteOffset, options.slab.view.byteLength);
    this.segmentBlocks = options.segmentBytes / BLOCK_BYTES;
    this.table = new SegmentTable(options.slots, this.segmentBlocks);
    this.index = new RingIndex(options.slots * this.segmentBlocks);
    this.buffers = new SegmentBuffers(this.table, options.buffersAt, options.buffers);
    this.members = options.members;
    this.epoch = options.epoch;
    this.room = new WriterRoom(this, options.parity);
    assert(options.members.length <= JOURNAL_POSITIONS_MAX, 'at most 32 journal positions');
    this.#commit = new GroupCommit({
      table: this.table,
      members: this.members,
      twins: this.twins,
      hooks: options.hooks,
      isOnline: (position) => this.isOnline(position),
      slotOffset: (member, slot, at) => this.slotOffset(member, slot, at),
      pin: (slot) => this.pin(slot),
      unpin: (slot) => this.unpin(slot),
      seal: () => this.#sealGather(),
      nextLsn: () => this.nextLsn,
      segmentsWithoutCopy: () => this.segmentsWithoutCopy(),
    });
  }

  get arrayTag(): number {
    return this.#options.arrayTag;
  }

  get hooks(): JournalHooks {
    return this.#options.hooks;
  }

  /** Every write up to here is on every healthy journal copy, or was answered with an error. */
  get committedLsn(): Lsn {
    return this.#commit.committedLsn;
  }

  /** Every write up to here is on stable media. */
  get flushedLsn(): Lsn {
    return this.#commit.flushedLsn;
  }

  /** Recovery has found, and flushed, everything up to lsn. */
  recovered(lsn: Lsn): void {
    this.nextLsn = lsn + 1;
    this.#commit.committedLsn = lsn;
    this.#commit.flushedLsn = lsn;
  }

  get slots(): number {
    return this.table.slots;
  }

  get hasOpenSegment(): boolean {
    return this.#openSlot >= 0;
  }

  /** Blocks of the ring in use, headers and the rest of closed segments included. */
  get usedBlocks(): number {
    const whole = Math.max(0, this.headSeq - this.tailSeq) * this.segmentBlocks;
    return this.#openSlot < 0 ? whole : whole + (this.table.used[this.#openSlot] as number);
  }

  get fillRatio(): number {
    return this.usedBlocks / (this.slots * this.segmentBlocks);
  }

  /** Null while writes can be journaled. */
  get deadReason(): KeelsonError | null {
    return this.#dead ?? (this.onlineMask() === 0 ? journalGone() : null);
  }

  isOnline(position: number): boolean {
    const state = this.members[position]?.state;
    return state === 'online' || state === 'rebuilding';
  }

  /** Byte offset on a journal member of block `at` of a slot. */
  deviceOffset(position: number, slot: number, at: number): Bytes {
    return this.slotOffset(this.members[position] as Member, slot, at);
  }

  slotOffset(member: Member, slot: number, at: number): Bytes {
    return member.superblock.layout.journalOffset + (slot * this.segmentBlocks + at) * BLOCK_BYTES;
  }

  /** keptToo: out of what is kept for small writes too. Payload blocks that the next entry can carry right now; 0 when the caller has to wait for hooks.space(). Throws when no journal member is left. */
  writeRoom(internal: boolean, keptToo = true): number {
    if (!keptToo && !this.room.mayOpen(this.room.keptForSmall + (this.#openSlot < 0 ? 1 : 0))) return 0;
    if (!this.#ensureOpen(internal)) return 0;
    // The segment that was open may have been full, and this one the last.
    if (!keptToo && !this.room.mayOpen(this.room.keptForSmall)) return 0;
    const slot = this.#openSlot;
    const left = this.segmentBlocks - (this.table.used[slot] as number);
    if (this.#gatherAt < 0) return Math.min(left - 1, batchPayloadRoom(0, 0));
    return Math.min(left, batchPayloadRoom(this.#gatherEntries, this.#gatherPayload));
  }

  /** Makes sure an open segment has room for a header and a payload block. */
  #ensureOpen(internal: boolean): boolean {
    if (this.#dead !== null) throw this.#dead;
    if (this.#openSlot >= 0) {
      const used = this.table.used[this.#openSlot] as number;
      if (this.#gatherAt >= 0) {
        if (used < this.segmentBlocks && batchHasRoom(this.#gatherEntries + 1, this.#gatherPayload + 1)) return true;
        this.#sealGather();
      }
      if (used + 2 <= this.segmentBlocks) return true;
      this.close();
    }
    return this.#open(internal);
  }

  #open(internal: boolean): boolean {
    if (!(internal ? this.room.mayOpenInternal() : this.room.mayOpen(1))) return false;
    const copies = this.chooseCopies(this.headSeq);
    if (copies === 0) {
      this.#dead = journalGone();
      throw this.#dead;
    }
    const slot = this.table.slotOf(this.headSeq);
    assert(this.table.seq[slot] === 0, 'the next slot of the ring is free');
    if (!this.buffers.assign(slot, this.tailSeq, this.destagedSeq)) return false;
    this.table.clear(slot);
    this.table.seq[slot] = this.headSeq;
    this.table.firstLsn[slot] = this.nextLsn;
    this.table.copies[slot] = copies;
    this.table.openedAt[slot] = this.#options.clock.now();
    this.#openSlot = slot;
    this.#tellTwins();
    return true;
  }

  /** The journal positions that hold segment seq: `copies` healthy ones, rotating. 0 when none is healthy. */
  chooseCopies(seq: SegmentSeq): number {
    return copiesFor(seq, this.members.length, this.onlineMask(), this.#options.copies);
  }

  /** Positions that take writes, a bit each. */
  onlineMask(): number {
    let mask = 0;
    for (let position = 0; position < this.members.length; position++) if (this.isOnline(position)) mask |= 1 << position;
    return mask >>> 0;
  }

  #begin(): void {
    if (this.#gatherAt >= 0) return;
    const slot = this.#openSlot;
    this.#gatherAt = this.table.used[slot] as number;
    this.table.used[slot] = this.#gatherAt + 1;
    this.#gatherEntries = 0;
    this.#gatherPayload = 0;
    this.#gatherFirstLsn = this.nextLsn;
  }

  /**
   * Appends `count` blocks (at most writeRoom()) from source[sourceOffset ..]: copies them to their place, checksums them and makes them the newest. Returns the LSN.
   */
  appendWrite(block: BlockIndex, count: number, source: Uint8Array, sourceOffset: Bytes): Lsn {
    assert(count >= 1 && count <= this.writeRoom(true), 'an entry fits the room asked for');
    this.#begin();
    const slot = this.#openSlot;
    const at = this.table.used[slot] as number;
    const place = slot * this.segmentBlocks + at;
    const memory = (this.table.memory[slot] as number) + at * BLOCK_BYTES;
    // Two passes: one (copyCrcRun) is faster by itself, and the volume slower (docs/decisions/0082).
    this.slab.view.set(source.subarray(sourceOffset, sourceOffset + count * BLOCK_BYTES), memory);
    loadAddon().crcRun(this.slab.view, memory, block, count, this.table.crc, place);
    putEntry(this.#data, this.#headerAt(), this.#gatherEntries, ENTRY_WRITE, 0, block, count);
    for (let i = 0; i < count; i++) this.index.put(block + i, place + i);
    this.table.used[slot] = at + count;
    this.#gatherPayload += count;
    return this.#appended();
  }

  /** Appends "these blocks read as zeroes". count up to ENTRY_BLOCKS_MAX. Needs writeRoom() > 0. */
  appendZero(block: BlockIndex, count: number): Lsn {
    assert(count >= 1 && count <= ENTRY_BLOCKS_MAX && this.writeRoom(true) > 0, 'a zero entry fits');
    this.#begin();
    const slot = this.#openSlot;
    putEntry(this.#data, this.#headerAt(), this.#gatherEntries, ENTRY_ZERO, 0, block, count);
    this.index.zero(block, count, this.headSeq);
    this.table.addZero(slot, block, count);
    return this.#appended();
  }

  #headerAt(): SlabOffset {
    return (this.table.memory[this.#openSlot] as number) + this.#gatherAt * BLOCK_BYTES;
  }

  #appended(): Lsn {
    this.#gatherEntries++;
    const lsn = this.nextLsn++;
    this.table.lastLsn[this.#openSlot] = lsn;
    this.#commit.kick();
    return lsn;
  }

  /** Ends the gathering batch: its header is written in the slab and it waits for its write. */
  #sealGather(): void {
    if (this.#gatherAt < 0) return;
    const slot = this.#openSlot;
    const header = {
      arrayTag: this.#options.arrayTag,
      epoch: this.epoch,
      seq: this.headSeq,
      at: this.#gatherAt,
      firstLsn: this.#gatherFirstLsn,
      flushedLsn: this.flushedLsn,
      chain: this.chain,
      entries: this.#gatherEntries,
      payloadBlocks: this.#gatherPayload,
      remade: null,
    };
    const crcFirst = slot * this.segmentBlocks + this.#gatherAt + 1;
    this.chain = sealBatch(this.#data, this.slab.view, this.#headerAt(), header, this.table.crc, crcFirst);
    this.table.chain[slot] = this.chain;
    this.table.epoch[slot] = this.epoch;
    this.#commit.enqueue(slot, this.#gatherAt, this.#gatherAt + 1 + this.#gatherPayload, this.#gatherFirstLsn + this.#gatherEntries - 1);
    this.#gatherAt = -1;
  }

  /** Closes the open segment, if it holds anything, so that the movers can take it. */
  close(): void {
    if (this.#openSlot < 0) return;
    this.#sealGather();
    if (this.table.used[this.#openSlot] === 0) return;
    this.#openSlot = -1;
    this.headSeq++;
    this.#commit.kick();
    this.#options.hooks.closed();
  }

  /** Calls back when every write up to lsn is on every healthy journal copy (P1). */
  whenCommitted(lsn: Lsn, done: (error: KeelsonError | null) => void): void {
    this.#commit.whenCommitted(lsn, done);
  }

  /** Calls back when every write up to lsn is on stable media (P2). */
  whenFlushed(lsn: Lsn, done: (error: KeelsonError | null) => void): void {
    this.#commit.whenFlushed(lsn, done);
  }

  /** Everything acknowledged so far becomes durable. */
  flush(done: (error: KeelsonError | null) => void): void {
    this.#commit.flush(done);
  }

  /** Segments, undestaged ones or those from another one on, that no healthy journal member holds any more. */
  segmentsWithoutCopy(from: SegmentSeq = this.destagedSeq): number {
    let n = 0;
    for (let seq = from; seq <= this.headSeq; seq++) {
      const slot = this.table.slotOf(seq);
      if (this.table.seq[slot] === seq && this.table.copies[slot] === 0) n++;
    }
    return n;
  }

  /** Takes a failed or removed member out of every copy set; the open segment is closed so that the next one gets a full set. */
  excludeMember(position: number): void {
    for (let slot = 0; slot < this.slots; slot++) this.table.copies[slot] = ((this.table.copies[slot] as number) & ~(1 << position)) >>> 0;
    this.close();
    this.#placeEmptySegment();
    if (this.chooseCopies(this.headSeq) === 0) {
      this.#dead ??= journalGone();
      this.#options.hooks.space();
    }
  }

  /** An open segment without a batch cannot be closed: it is given the members of this moment instead. */
  #placeEmptySegment(): void {
    if (this.#openSlot < 0 || this.table.used[this.#openSlot] !== 0) return;
    this.table.copies[this.#openSlot] = this.chooseCopies(this.headSeq);
    this.#tellTwins();
  }

  /** From the next segment on the twin gets all that its position gets. */
  attachTwin(twin: RingTwin): void {
    this.twins.set(twin.position, twin);
    this.close();
    this.#tellTwins();
  }

  #tellTwins(): void {
    if (this.twins.size === 0 || this.#openSlot < 0 || this.table.used[this.#openSlot] !== 0) return;
    for (const twin of this.twins.values()) twin.opened(this.headSeq, this.table.copies[this.#openSlot] as number);
  }

  /** The successor takes the position; the old member gets what it gets until the twin is taken away. */
  exchangeTwin(twin: RingTwin): void {
    this.members[twin.position] = twin.exchange(this.members[twin.position] as Member);
  }

  /** The array is another process's: nothing more is written to the ring or acknowledged. */
  refuse(error: KeelsonError): void {
    this.#dead = error;
    this.#commit.refuse(error);
    this.#options.hooks.space();
  }

  /** A journal member is there again (replaced): writes may go on. */
  revive(): void {
    if (this.#dead?.code === 'JOURNAL_GONE' && this.chooseCopies(this.headSeq) !== 0) this.#dead = null;
    this.#placeEmptySegment();
    this.#options.hooks.space();
  }

  /** Segments before seq are in the stripes and flushed: their buffers may be taken. */
  setDestaged(seq: SegmentSeq): void {
    assert(seq >= this.destagedSeq && seq <= this.headSeq, 'the destaged cursor moves forward, inside the ring');
    this.destagedSeq = seq;
    this.#options.hooks.space();
  }

  setDrained(seq: SegmentSeq): void {
    assert(seq >= this.drainedSeq && seq <= this.headSeq, 'the drained cursor moves forward, inside the ring');
    this.drainedSeq = seq;
  }

  /** The slot's memory and place in the ring stay while someone reads or writes them. */
  pin(slot: number): void {
    this.table.pins[slot] = (this.table.pins[slot] as number) + 1;
  }

  unpin(slot: number): void {
    const left = (this.table.pins[slot] as number) - 1;
    assert(left >= 0, 'a slot is unpinned as often as it was pinned');
    this.table.pins[slot] = left;
    // Removal that stopped at this slot goes on, or nobody would ever come back for it. And its buffer may be what writers wait for.
    if (left === 0 && this.#removeTo > this.tailSeq) queueMicrotask(() => this.removeBefore(this.#removeTo));
    else if (left === 0 && (this.table.seq[slot] as number) < this.destagedSeq) queueMicrotask(() => this.#options.hooks.space());
  }

  /** Frees the slots of segments before seq (P3: the checkpoint that says so is durable); pinned ones follow when they are unpinned. */
  removeBefore(seq: SegmentSeq): void {
    assert(seq <= this.destagedSeq && seq <= this.drainedSeq, 'the tail is the smaller of the two cursors');
    this.#removeTo = Math.max(this.#removeTo, seq);
    for (; this.tailSeq < this.#removeTo; this.tailSeq++) {
      const slot = this.table.slotOf(this.tailSeq);
      if (this.table.seq[slot] !== this.tailSeq) continue;
      if ((this.table.pins[slot] as number) > 0) break;
      const first = slot * this.segmentBlocks;
      for (let place = first; place < first + (this.table.used[slot] as number); place++) {
        const block = this.index.blockAt[place] as number;
        if (block < 0) continue;
        this.index.removeIf(block, place);
        this.index.blockAt[place] = -1;
      }
      this.buffers.release(slot);
      this.table.clear(slot);
    }
    this.index.dropZeroesBefore(this.tailSeq);
    this.#options.hooks.space();
  }

  /** Nothing gathers, waits or is being written. */
  get idle(): boolean {
    return this.#gatherAt < 0 && this.#commit.idle;
  }
}

function journalGone(): KeelsonError {
  return new KeelsonError('JOURNAL_GONE', 'no journal member is left to take writes', {
    action: 'keelson status says which member to replace; do not stop the server before',
  });
}
