import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type SegmentSeq } from '../base/units.js';
import type { Journal } from '../journal/journal.js';
import { ZEROED } from '../journal/ring-index.js';
import type { RingReader } from '../journal/ring-reader.js';
import type { SlabRegion } from '../memory/slab-region.js';
import type { StripeGeometry } from '../stripe/geometry.js';
import type { StripeHold } from '../stripe/stripe-lock.js';
import {
  type MemberView,
  SOURCE_KEEP,
  SOURCE_ZERO,
  SOURCE_LOST,
  STRIPE_BEYOND,
  STRIPE_DONE,
  STRIPE_NEEDS_LOST,
  type StripeOutcome,
  type StripePool,
} from '../stripe/stripe-pool.js';
import { certainBelow } from '../stripe/slot-state.js';
import { GroupPlan, type StripeBatch, ZeroPlan } from './task-plan.js';

/** What the destager asks of the array around it. */
export interface DestageHost {
  readonly geometry: StripeGeometry;
  readonly pool: StripePool;
  members(): MemberView;
  /** Exclusive hold of stripes against rebuild, scrub and repairing reads. */
  lock(stripes: Float64Array): Promise<StripeHold>;
  unlock(hold: StripeHold): void;
  /** Counts the errors of an outcome and fails members whose writes failed. Resolves when such failures are recorded. */
  /** torn: a crash may have torn rows of the task. */
  account(outcome: StripeOutcome, torn: boolean): Promise<void>;
  isWritten(stripe: number): boolean;
  /** Stripe was changed: its bit is set and its integrity pages are dirty. */
  changed(stripe: number): void;
  /** The stripe may have been torn by a crash: its parity is not trusted until written again. */
  isUntrusted(stripe: number): boolean;
  /**
   * Recovers volume blocks (ascending) to slab pages; crc 0 = reads as zeroes. Result per block: true when had. From the stripes when asked to, as far as the row of each
   * block is to be trusted, else from ring and backup.
   */
  recoverLost(blocks: Float64Array, pages: Uint32Array, crcs: Uint32Array, stripes: boolean): Promise<boolean[]>;
  /** False while a backup that may have a block is out of reach: what was not had now may be had later. */
  askedEverybody(): boolean;
  /** Blocks of these stripes may have been given up. */
  gaveUp(stripes: Float64Array): void;
  /** These blocks were in nobody's hands: they are errors from now on, until they are written again. */
  lostForGood(blocks: readonly number[]): void;
  /** Makes stripes, integrity pages and cursors durable, in that order, with destagedSeq advanced to seq. */
  checkpoint(destagedSeq: SegmentSeq): Promise<void>;
}

const BUFFERS_LEFT_TO_JOURNAL = 2;
/** Tries to bring what a stripe lacks: its lost blocks, then those that turned out bad as well, then what is left. */
const ROUNDS_MAX = 3;
/** Passes that a block has to be in nobody's hands before it is given up: an error that passes must not cost data. */
const GIVE_UP_AFTER = 3;

export interface DestageStats {
  passes: number;
  blocks: number;
  stripes: number;
  bytesRead: number;
  bytesWritten: number;
  lostJournaled: number;
}

/**
 * Applies journaled writes to the stripes, oldest segments first, sorted by stripe. One pass takes a group of closed segments,
 * applies it with as many tasks as the pool has threads, and ends with one checkpoint.
 */
export class Destager {
  readonly stats: DestageStats = { passes: 0, blocks: 0, stripes: 0, bytesRead: 0, bytesWritten: 0, lostJournaled: 0 };
  readonly #journal: Journal;
  readonly #reader: RingReader;
  readonly #host: DestageHost;
  readonly #scratch: SlabRegion;
  #applied: SegmentSeq = 0;
  #reach: SegmentSeq = 0;
  #settling: Promise<void> = Promise.resolve();
  #failure: KeelsonError | null = null;
  /** The scratch pages serve one batch at a time. */
  #lostTurn: Promise<unknown> = Promise.resolve();
  /** Blocks that were in nobody's hands, and in how many passes. */
  readonly #nowhere = new Map<number, number>();
  /** Places of refilled segments whose block nobody had, with the segment. */
  readonly #lostPlaces = new Map<number, SegmentSeq>();

  /** scratch: pages for recovered blocks of degraded rows. */
  constructor(journal: Journal, reader: RingReader, host: DestageHost, scratch: SlabRegion) {
    this.#journal = journal;
    this.#reader = reader;
    this.#host = host;
    this.#scratch = scratch;
  }

  /**
   * Applies closed segments up to (not including) toSeq, at most maxSegments of them, and starts the checkpoint that moves the cursor past them: settled() waits for it.
   * Resolves to the number of segments applied; 0 when it cannot go on now (a stripe is beyond parity, or no buffer is free). Throws JOURNAL_GONE when the group cannot be made durable first.
   */
  async pass(toSeq: SegmentSeq, maxSegments: number): Promise<number> {
    const journal = this.#journal;
    const from = this.appliedSeq;
    const limit = Math.min(toSeq, journal.headSeq, from + maxSegments);
    if (from >= limit) return 0;
    await this.#durable();
    let to = await this.#bringUpTo(from, limit);
    if (to === from) {
      // Applied segments keep their buffers until the checkpoint that is being written says so.
      await this.settled();
      to = await this.#bringUpTo(from, limit);
    }
    if (to === from) return 0;
    this.#reach = Math.max(this.#reach, to);
    for (let seq = from; seq < to; seq++) journal.pin(journal.table.slotOf(seq));
    let whole = true;
    try {
      const writes = new GroupPlan(journal, this.#host.geometry, from, to, this.#lostPlaces);
      this.stats.blocks += writes.blocks;
      if (!(await this.#runAll((limit_) => writes.next(limit_)))) whole = false;
      const zeroes = new ZeroPlan(journal, this.#host.geometry, from, to, (stripe) => this.#host.isWritten(stripe));
      if (!(await this.#runAll((limit_) => zeroes.next(limit_)))) whole = false;
    } finally {
      for (let seq = from; seq < to; seq++) journal.unpin(journal.table.slotOf(seq));
    }
    if (!whole) return 0;
    // What superseded blocks of the group meanwhile was left to a later pass: it must not be lost in a power failure once the group is gone from the ring.
    await this.#durable();
    await this.settled();
    this.#applied = to;
    this.#checkpoint(to);
    this.stats.passes++;
    return to - from;
  }

  /** Makes segments from `from` on resident, one after the other, and returns the first that is not. */
  async #bringUpTo(from: SegmentSeq, limit: SegmentSeq): Promise<SegmentSeq> {
    let to = from;
    // The last free buffers are for the journal: blocks of degraded rows go through it before their rows are written.
    while (to < limit && (this.#isResident(to) || (await this.#bring(to, to === from)))) to++;
    return to;
  }

  /** Makes a segment resident, or finds that there is nothing left of it. first: nothing goes on without it, so segments after it give up their buffers. */
  async #bring(seq: SegmentSeq, first: boolean): Promise<boolean> {
    const { buffers, tailSeq, destagedSeq, headSeq, committedLsn, drainedSeq } = this.#journal;
    const gone = this.#isGone(seq);
    if (gone && seq >= drainedSeq) return true;
    while (buffers.available(tailSeq, destagedSeq) <= BUFFERS_LEFT_TO_JOURNAL)
      if (!first || !buffers.spill(seq + 1, headSeq, committedLsn)) return false;
    return gone ? this.#refill(seq) : this.#reader.load(seq);
  }

  /** No copy of the segment is left anywhere: its live blocks are lost, which their stripes then say, and the segments after it go on. */
  #isGone(seq: SegmentSeq): boolean {
    const { table, members } = this.#journal;
    const copies = table.copies[table.slotOf(seq)] as number;
    return !this.#isResident(seq) && !members.some((_, position) => (copies & (1 << position)) !== 0 && this.#journal.isOnline(position));
  }

  /** Makes a drained segment without journal copies resident from the backup. */
  async #refill(seq: SegmentSeq): Promise<boolean> {
    const { table, index, buffers, tailSeq, destagedSeq } = this.#journal;
    const slot = table.slotOf(seq);
    const first = slot * table.segmentBlocks;
    const live: number[] = [];
    for (let place = first; place < first + (table.used[slot] as number); place++) {
      const block = index.blockAt[place] as number;
      if (block >= 0 && index.lookup(block) === place) live.push(place);
    }
    live.sort((a, b) => (index.blockAt[a] as number) - (index.blockAt[b] as number));
    if (!buffers.assign(slot, tailSeq, Math.min(destagedSeq, seq))) return false;
    const memory = table.memory[slot] as number;
    // While it is filled it must not be taken for resident by readers.
    table.memory[slot] = -1;
    const crcs = new Uint32Array(live.length);
    const had = await this.#host.recoverLost(
      Float64Array.from(live, (place) => index.blockAt[place] as number),
      Uint32Array.from(live, (place) => memory / BLOCK_BYTES + place - first),
      crcs,
      false,
    );
    let whole = true;
    live.forEach((place, i) => {
      if (index.lookup(index.blockAt[place] as number) !== place || (had[i] === true && crcs[i] === table.crc[place])) return;
      if (had[i] === true || !this.#isLost(place, seq)) whole = false;
    });
    table.memory[slot] = memory;
    if (!whole) buffers.release(slot);
    return whole;
  }

  /** What the backup itself calls lost is so after a few passes. */
  #isLost(place: number, seq: SegmentSeq): boolean {
    const block = this.#journal.index.blockAt[place] as number;
    if (!this.#givesUp(block)) return false;
    this.#lostPlaces.set(place, seq);
    return true;
  }

  /** Segments before this may have blocks in the stripes, wholly or in part. */
  get reachSeq(): SegmentSeq {
    return Math.max(this.#reach, this.#journal.destagedSeq);
  }

  /** After a crash: what the run before it had destaged before this, wholly or in part, is not known. */
  resume(headSeq: SegmentSeq): void {
    this.#reach = headSeq;
  }

  /** Segments before this are applied; those from journal.destagedSeq on still wait for the checkpoint that says so. */
  get appliedSeq(): SegmentSeq {
    return Math.max(this.#applied, this.#journal.destagedSeq);
  }

  /** The checkpoint of one group is written while the next group is applied. */
  #checkpoint(to: SegmentSeq): void {
    this.#settling = this.#host.checkpoint(to).catch((error: unknown) => {
      this.#applied = 0;
      this.#failure = KeelsonError.from(error);
    });
  }

  /** Resolves when everything applied is in a checkpoint; throws what kept it from being so. */
  async settled(): Promise<void> {
    await this.#settling;
    const failure = this.#failure;
    this.#failure = null;
    if (failure !== null) throw failure;
  }

  /** A torn stripe is mended from the journal: so what is about to be written must be on stable media there first. */
  #durable(): Promise<void> {
    if (this.#journal.deadReason?.code === 'JOURNAL_GONE') return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#journal.whenFlushed(this.#journal.nextLsn - 1, (error) => {
        // With every journal copy gone the stripes are the only place left: go on without.
        if (error === null || error.code === 'JOURNAL_GONE') resolve();
        else reject(error);
      });
    });
  }

  #isResident(seq: SegmentSeq): boolean {
    const { table } = this.#journal;
    return (table.memory[table.slotOf(seq)] as number) >= 0;
  }

  async #runAll(next: (limit: number) => StripeBatch | null): Promise<boolean> {
    let whole = true;
    const lanes: Promise<void>[] = [];
    const lane = async (): Promise<void> => {
      for (let batch = next(this.#host.pool.stripesPerTask); batch !== null; batch = next(this.#host.pool.stripesPerTask)) {
        if (!(await this.#apply(batch))) whole = false;
        if (!whole) return;
      }
    };
    // One more lane than threads keeps a task ready while another's result is taken in.
    for (let i = 0; i <= this.#host.pool.threads; i++) lanes.push(lane());
    await Promise.all(lanes);
    return whole;
  }

  async #apply(batch: StripeBatch): Promise<boolean> {
    const hold = await this.#host.lock(batch.stripes);
    const held: number[] = [];
    try {
      const rewrite = batch.stripes.some((stripe) => this.#host.isUntrusted(stripe));
      let outcome = await this.#run(batch, rewrite);
      for (
        let round = 0;
        round < ROUNDS_MAX && outcome.status.some((status) => status === STRIPE_NEEDS_LOST || status === STRIPE_BEYOND);
        round++
      ) {
        const { status } = outcome;
        // Survivors' blocks are bad too: all data of the touched rows are brought, and the rows written again from them.
        const all = status.map((word) => (word === STRIPE_BEYOND || (word === STRIPE_NEEDS_LOST && round > 0) ? 1 : 0));
        const turn = this.#lostTurn.then(() => this.#journalLost(batch, status, all, held));
        this.#lostTurn = turn.catch(() => false);
        if (!(await turn)) return false;
        outcome = await this.#run(batch, rewrite || all.includes(1));
      }
      return outcome.status.every((status) => status === STRIPE_DONE);
    } finally {
      for (const slot of held) this.#journal.unpin(slot);
      this.#host.unlock(hold);
    }
  }

  async #run(batch: StripeBatch, rewrite: boolean): Promise<StripeOutcome> {
    const torn = batch.stripes.some((stripe) => this.#host.isUntrusted(stripe));
    const outcome = await this.#host.pool.apply({
      members: this.#host.members(),
      stripes: batch.stripes,
      sources: batch.sources,
      crcs: batch.crcs,
      rewrite,
    });
    for (let i = 0; i < batch.stripes.length; i++) this.#host.changed(batch.stripes[i] as number);
    if (batch.sources.includes(SOURCE_LOST)) this.#host.gaveUp(batch.stripes);
    this.stats.stripes += batch.stripes.length;
    this.stats.bytesRead += outcome.bytesRead;
    this.stats.bytesWritten += outcome.bytesWritten;
    await this.#host.account(outcome, torn);
    return outcome;
  }

  /**
   * The write hole when degraded (DESIGN 12): before a row with a lost, untouched data block is changed, that block is recovered and journaled like any
   * other write; then the row may be torn. all: 1 for a stripe of which every untouched data block is brought. held: takes the slots whose memory the batch then uses,
   * pinned.
   */
  async #journalLost(batch: StripeBatch, status: Uint8Array, all: Uint8Array, held: number[]): Promise<boolean> {
    const { geometry } = this.#host;
    const view = this.#host.members();
    let whole = true;
    for (let i = 0; i < batch.stripes.length; i++) {
      if (status[i] !== STRIPE_NEEDS_LOST && status[i] !== STRIPE_BEYOND) continue;
      const stripe = batch.stripes[i] as number;
      const base = i * geometry.stripeBlocks;
      const wanted: number[] = [];
      for (let row = 0; row < geometry.rows; row++) {
        let touched = false;
        for (let d = 0; d < geometry.k; d++) if (batch.sources[base + d * geometry.rows + row] !== SOURCE_KEEP) touched = true;
        if (!touched) continue;
        for (let d = 0; d < geometry.k; d++) {
          const word = d * geometry.rows + row;
          const member = geometry.memberOf(stripe, d);
          if (batch.sources[base + word] !== SOURCE_KEEP || (certainBelow(view, member, stripe) && all[i] === 0)) continue;
          // What is journaled and not destaged is the newest, and after a crash the only content to be trusted.
          const block = stripe * geometry.stripeBlocks + word;
          if (!this.#isUndestaged(block)) wanted.push(word);
          else if (await this.#inMemory(block)) this.#takeFromRing(batch, base + word, block, held);
          else return false;
        }
      }
      wanted.sort((a, b) => a - b);
      if (!(await this.#journalBlocks(batch, base, stripe, wanted, held))) whole = false;
    }
    await this.#durable();
    return whole;
  }

  async #journalBlocks(batch: StripeBatch, base: number, stripe: number, words: number[], held: number[]): Promise<boolean> {
    const { geometry } = this.#host;
    const room = Math.floor(this.#scratch.bytes / BLOCK_BYTES);
    let whole = true;
    for (let first = 0; first < words.length; first += room) {
      const part = words.slice(first, first + room);
      const blocks = Float64Array.from(part, (word) => stripe * geometry.stripeBlocks + word);
      const pages = Uint32Array.from(part, (_, i) => this.#scratch.offset / BLOCK_BYTES + i);
      const crcs = new Uint32Array(part.length);
      const had = await this.#host.recoverLost(blocks, pages, crcs, true);
      const gone: number[] = [];
      for (let i = 0; i < part.length; i++) {
        const word = base + (part[i] as number);
        const block = blocks[i] as number;
        if (had[i] === true) {
          this.#nowhere.delete(block);
          this.#journalOne(block, pages[i] as number, crcs[i] as number);
          this.#takeFromRing(batch, word, block, held);
        } else if (this.#givesUp(block)) {
          batch.sources[word] = SOURCE_LOST;
          gone.push(block);
        } else whole = false;
      }
      if (gone.length > 0) this.#host.lostForGood(gone);
    }
    return whole;
  }

  #givesUp(block: number): boolean {
    if (!this.#host.askedEverybody()) return false;
    const passes = (this.#nowhere.get(block) ?? 0) + 1;
    this.#nowhere.set(block, passes);
    return passes >= GIVE_UP_AFTER;
  }

  #isUndestaged(block: number): boolean {
    // Counted from this pass's own group: an applied segment may leave the ring with the checkpoint under way, while the row is being written.
    const { index, table } = this.#journal;
    const newest = index.lookup(block);
    return newest >= 0 ? table.seqOfPlace(newest) >= this.appliedSeq : newest === ZEROED && index.zeroSeq(block) >= this.appliedSeq;
  }

  /** Brings the newest entry of a block, whose segment gave its memory away, to memory again: as an entry of its own. False when no copy has it. */
  async #inMemory(block: number): Promise<boolean> {
    const { index, table } = this.#journal;
    const place = index.lookup(block);
    if (place < 0 || table.memoryOf(place) >= 0) return true;
    const page = this.#scratch.offset / BLOCK_BYTES;
    if (!(await this.#reader.read(place, 1, page * BLOCK_BYTES))) return false;
    if (index.lookup(block) === place) this.#append(block, page, table.crc[place] as number);
    return true;
  }

  #journalOne(block: number, page: number, crc: number): void {
    // A writer may have been faster.
    if (!this.#isUndestaged(block)) this.#append(block, page, crc);
  }

  #append(block: number, page: number, crc: number): void {
    const journal = this.#journal;
    if (journal.writeRoom(true) < 1) {
      throw new KeelsonError('RING_FULL', 'the ring has no room for the blocks of a degraded row', {
        action: 'wait for draining, or replace the failed member',
      });
    }
    if (crc === 0) journal.appendZero(block, 1);
    else journal.appendWrite(block, 1, this.#scratch.slab.view, page * BLOCK_BYTES);
    this.stats.lostJournaled++;
  }

  #takeFromRing(batch: StripeBatch, word: number, block: number, held: number[]): void {
    const { index, table } = this.#journal;
    const place = index.lookup(block);
    if (place < 0) {
      batch.sources[word] = SOURCE_ZERO;
      return;
    }
    const memory = table.memoryOf(place);
    if (memory < 0)
      throw new KeelsonError('RING_FULL', 'a block of a degraded row is not resident', { action: 'give the slab more memory' });
    const slot = table.slotOfPlace(place);
    this.#journal.pin(slot);
    held.push(slot);
    batch.sources[word] = memory / BLOCK_BYTES;
    batch.crcs[word] = table.crc[place] as number;
  }
}
