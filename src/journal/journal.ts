import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type BlockIndex, type Bytes, type Lsn, type SegmentSeq, type SlabOffset } from '../base/units.js';
import type { Member } from '../member/member-api.js';
import type { Slab } from '../memory/slab.js';
import { loadAddon } from '../native/load.js';
import { batchHasRoom, batchPayloadRoom, ENTRY_BLOCKS_MAX, ENTRY_WRITE, ENTRY_ZERO, putEntry, sealBatch } from './batch-format.js';
import { SegmentBuffers } from './buffers.js';
import { LsnWaiters } from './lsn-waiters.js';
import { RingIndex } from './ring-index.js';
import { SegmentTable } from './segment-table.js';

/** Slots and buffers that only internal writes may use, so that destaging, which makes room, can itself journal (DESIGN 12, reserve what recovery needs). */
const RESERVED_SLOTS = 2;
const RESERVED_BUFFERS = 1;

export interface JournalHooks {
  /** A journal copy failed. Resolves when its failure is recorded on the other members, after which writes may be acknowledged without it. */
  memberFailed(position: number, errno: number, doing: string): Promise<void>;
  /** Room may have appeared for writers that were refused. */
  space(): void;
  /** A segment was closed: the movers may take it. */
  closed(): void;
}

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

/** A range of sealed batches that waits for its write: contiguous blocks of one segment. */
interface Pending {
  slot: number;
  from: number;
  to: number;
  lastLsn: Lsn;
}

/**
 * The second redundancy scheme: a ring of segments, each on `copies` journal members. Writes are appended to the open segment's slab buffer; while
 * one batch is being written the next one gathers (group commit without timers).
 */
export class Journal {
  readonly table: SegmentTable;
  readonly index: RingIndex;
  readonly buffers: SegmentBuffers;
  readonly members: Member[];
  readonly segmentBlocks: number;
  epoch: number;
  /** The open segment, or the next to be opened. */
  headSeq: SegmentSeq = 1;
  tailSeq: SegmentSeq = 1;
  destagedSeq: SegmentSeq = 1;
  drainedSeq: SegmentSeq = 1;
  nextLsn: Lsn = 1;
  committedLsn: Lsn = 0;
  flushedLsn: Lsn = 0;
  chain = 0;
  /** Destaging is blocked: undestaged segments may leave the slab, as long as a journal member holds them. */
  spilling = false;

  readonly #slab: Slab;
  readonly #data: DataView;
  readonly #options: JournalOptions;
  #openSlot = -1;
  #gatherAt = -1;
  #gatherEntries = 0;
  #gatherPayload = 0;
  #gatherFirstLsn = 0;
  readonly #pending: Pending[] = [];
  #writing: Pending | null = null;
  #writesLeft = 0;
  #writeFailures: Promise<void>[] = [];
  #kicked = false;
  readonly #committed = new LsnWaiters();
  readonly #flushed = new LsnWaiters();
  #syncing = false;
  readonly #unsynced: Uint8Array;
  #dead: KeelsonError | null = null;

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#slab = options.slab;
    this.#data = new DataView(options.slab.view.buffer, options.slab.view.byteOffset, options.slab.view.byteLength);
    this.segmentBlocks = options.segmentBytes / BLOCK_BYTES;
    this.table = new SegmentTable(options.slots, this.segmentBlocks);
    this.index = new RingIndex(options.slots * this.segmentBlocks);
    this.buffers = new SegmentBuffers(this.table, options.buffersAt, options.buffers);
    this.members = options.members;
    this.epoch = options.epoch;
    this.#unsynced = new Uint8Array(options.members.length);
  }

  get slots(): number {
    return this.table.slots;
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
    return this.#dead;
  }

  isOnline(position: number): boolean {
    const state = this.members[position]?.state;
    return state === 'online' || state === 'rebuilding';
  }

  /** Byte offset on a journal member of block `at` of a slot. */
  deviceOffset(position: number, slot: number, at: number): Bytes {
    const member = this.members[position] as Member;
    return member.superblock.layout.journalOffset + (slot * this.segmentBlocks + at) * BLOCK_BYTES;
  }

  /** Payload blocks that the next entry can carry right now; 0 when the caller has to wait for hooks.space(). Throws when no journal member is left. */
  writeRoom(internal: boolean): number {
    if (!this.#ensureOpen(internal)) return 0;
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
    const reservedSlots = internal ? 0 : RESERVED_SLOTS;
    const free = this.slots - (this.headSeq - this.tailSeq);
    if (free <= reservedSlots) return false;
    // While a member is lost, destaging a segment may journal up to m lost blocks for each of its own (DESIGN 12): that room is kept from the start.
    const undestaged = this.headSeq - this.destagedSeq + 1;
    if (!internal && !this.spilling && free - 1 < this.#options.parity * undestaged) return false;
    const reservedBuffers = internal ? 0 : RESERVED_BUFFERS;
    while (this.buffers.available(this.tailSeq, this.destagedSeq) <= reservedBuffers) {
      if (!this.spilling || !this.buffers.spill(this.destagedSeq, this.headSeq, this.committedLsn)) return false;
    }
    const copies = this.chooseCopies(this.headSeq);
    if (copies === 0) {
      this.#dead = new KeelsonError('JOURNAL_GONE', 'no journal member is left to take writes', { action: 'replace a journal member' });
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
    return true;
  }

  /** The journal positions that hold segment seq: `copies` healthy ones, rotating. 0 when none is healthy. */
  chooseCopies(seq: SegmentSeq): number {
    let mask = 0;
    let chosen = 0;
    for (let i = 0; i < this.members.length && chosen < this.#options.copies; i++) {
      const position = (seq + i) % this.members.length;
      if (!this.isOnline(position)) continue;
      mask |= 1 << position;
      chosen++;
    }
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
    this.#slab.view.set(source.subarray(sourceOffset, sourceOffset + count * BLOCK_BYTES), memory);
    loadAddon().crcRun(this.#slab.view, memory, block, count, this.table.crc, place);
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
    this.#kick();
    return lsn;
  }

  #kick(): void {
    if (this.#kicked || this.#writing !== null) return;
    this.#kicked = true;
    queueMicrotask(() => {
      this.#kicked = false;
      this.#writeNext();
    });
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
    };
    const crcFirst = slot * this.segmentBlocks + this.#gatherAt + 1;
    this.chain = sealBatch(this.#data, this.#slab.view, this.#headerAt(), header, this.table.crc, crcFirst);
    const to = this.#gatherAt + 1 + this.#gatherPayload;
    const lastLsn = this.#gatherFirstLsn + this.#gatherEntries - 1;
    const last = this.#pending[this.#pending.length - 1];
    if (last !== undefined && last.slot === slot && last.to === this.#gatherAt) {
      last.to = to;
      last.lastLsn = lastLsn;
    } else this.#pending.push({ slot, from: this.#gatherAt, to, lastLsn });
    this.#gatherAt = -1;
  }

  /** Closes the open segment, if it holds anything, so that the movers can take it. */
  close(): void {
    if (this.#openSlot < 0) return;
    this.#sealGather();
    if (this.table.used[this.#openSlot] === 0) return;
    this.#openSlot = -1;
    this.headSeq++;
    this.#kick();
    this.#options.hooks.closed();
  }

  #writeNext(): void {
    if (this.#writing !== null) return;
    if (this.#pending.length === 0) this.#sealGather();
    const range = this.#pending.shift();
    if (range === undefined) return;
    this.#writing = range;
    const memory = (this.table.memory[range.slot] as number) + range.from * BLOCK_BYTES;
    const length = (range.to - range.from) * BLOCK_BYTES;
    this.#writesLeft = 1;
    this.table.pins[range.slot] = (this.table.pins[range.slot] as number) + 1;
    for (let position = 0; position < this.members.length; position++) {
      if (((this.table.copies[range.slot] as number) & (1 << position)) === 0 || !this.isOnline(position)) continue;
      this.#writesLeft++;
      this.#unsynced[position] = 1;
      (this.members[position] as Member).device.write(memory, this.deviceOffset(position, range.slot, range.from), length, this.#onWritten, position);
    }
    this.#onWritten(length, -1);
  }

  readonly #onWritten = (result: number, position: number): void => {
    if (result < 0) this.#writeFailures.push(this.#options.hooks.memberFailed(position, -result, 'journal write'));
    if (--this.#writesLeft > 0) return;
    if (this.#writeFailures.length === 0) return this.#commit();
    const failures = this.#writeFailures;
    this.#writeFailures = [];
    Promise.all(failures).then(
      () => this.#commit(),
      () => this.#commit(),
    );
  };

  #commit(): void {
    const range = this.#writing as Pending;
    this.#writing = null;
    this.table.pins[range.slot] = (this.table.pins[range.slot] as number) - 1;
    assert(range.lastLsn > this.committedLsn, 'batches commit in LSN order');
    const error =
      (this.table.copies[range.slot] as number) === 0
        ? new KeelsonError('JOURNAL_GONE', 'the write reached no journal member', { action: 'replace a journal member' })
        : null;
    this.committedLsn = range.lastLsn;
    this.#committed.settle(range.lastLsn, error);
    if (error !== null) this.#flushed.settle(range.lastLsn, error);
    if (this.#flushed.length > 0) this.#startSync();
    if (this.#pending.length > 0 || this.#gatherAt >= 0) this.#writeNext();
  }

  /** Calls back when every write up to lsn is on every healthy journal copy (P1). */
  whenCommitted(lsn: Lsn, done: (error: KeelsonError | null) => void): void {
    if (lsn <= this.committedLsn) done(null);
    else this.#committed.push(lsn, done);
  }

  /** Calls back when every write up to lsn is on stable media (P2). */
  whenFlushed(lsn: Lsn, done: (error: KeelsonError | null) => void): void {
    if (lsn <= this.flushedLsn) return done(null);
    this.#flushed.push(lsn, done);
    if (lsn <= this.committedLsn) this.#startSync();
  }

  /** Everything acknowledged so far becomes durable. */
  flush(done: (error: KeelsonError | null) => void): void {
    // Waiters are kept in LSN order, so a flush of less than what a FUA write waits for joins that write.
    this.whenFlushed(this.#flushed.length > 0 ? this.nextLsn - 1 : this.committedLsn, done);
  }

  #startSync(): void {
    if (this.#syncing) return;
    this.#syncing = true;
    const cover = this.committedLsn;
    let left = 1;
    const failures: Promise<void>[] = [];
    const finish = (result: number, position: number): void => {
      if (result < 0) failures.push(this.#options.hooks.memberFailed(position, -result, 'journal fdatasync'));
      if (--left > 0) return;
      Promise.all(failures).then(
        () => this.#synced(cover),
        () => this.#synced(cover),
      );
    };
    for (let position = 0; position < this.members.length; position++) {
      if (this.#unsynced[position] === 0 || !this.isOnline(position)) continue;
      this.#unsynced[position] = 0;
      left++;
      (this.members[position] as Member).device.sync(finish, position);
    }
    finish(0, -1);
  }

  #synced(cover: Lsn): void {
    this.#syncing = false;
    this.flushedLsn = Math.max(this.flushedLsn, cover);
    // A sync that leaves some segment without any copy made nothing durable of it.
    const lost = this.segmentsWithoutCopy() > 0;
    const error = lost ? new KeelsonError('JOURNAL_GONE', 'journal copies failed before the flush was done', { action: 'replace a journal member' }) : null;
    this.#flushed.settle(cover, error);
    if (this.#flushed.length > 0 && this.committedLsn > this.flushedLsn) this.#startSync();
  }

  /** Undestaged segments that no healthy journal member holds any more. */
  segmentsWithoutCopy(): number {
    let n = 0;
    for (let seq = this.destagedSeq; seq <= this.headSeq; seq++) {
      const slot = this.table.slotOf(seq);
      if (this.table.seq[slot] === seq && this.table.copies[slot] === 0) n++;
    }
    return n;
  }

  /** Takes a failed or removed member out of every copy set; the open segment is closed so that the next one gets a full set. */
  excludeMember(position: number): void {
    for (let slot = 0; slot < this.slots; slot++) this.table.copies[slot] = ((this.table.copies[slot] as number) & ~(1 << position)) >>> 0;
    this.close();
    if (this.chooseCopies(this.headSeq) === 0) {
      this.#dead = new KeelsonError('JOURNAL_GONE', 'no journal member is left to take writes', { action: 'replace a journal member' });
      this.#options.hooks.space();
    }
  }

  /** A journal member is there again (replaced): writes may go on. */
  revive(): void {
    if (this.#dead !== null && this.chooseCopies(this.headSeq) !== 0) this.#dead = null;
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

  /** Frees the slots of segments before seq (P3: the checkpoint that says so is durable). */
  removeBefore(seq: SegmentSeq): void {
    assert(seq <= this.destagedSeq && seq <= this.drainedSeq, 'the tail is the smaller of the two cursors');
    for (; this.tailSeq < seq; this.tailSeq++) {
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
    return this.#gatherAt < 0 && this.#pending.length === 0 && this.#writing === null && !this.#syncing;
  }
}
