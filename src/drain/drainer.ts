import type { Clock } from '../base/clock.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type BlockIndex, type Bytes, type SegmentSeq } from '../base/units.js';
import type { Journal } from '../journal/journal.js';
import type { RingReader } from '../journal/ring-reader.js';
import type { SlabRegion } from '../memory/slab-region.js';
import { loadAddon } from '../native/load.js';
import { type Backup, EXTENT_LOST, type SegmentPiece } from '../repository/backup.js';
import { RangePlan } from './range-plan.js';

/** Attempts, each over the whole rest of the ring, in which some block is in nobody's hands before such blocks are given up: an error that passes must not cost data. */
const GIVE_UP_AFTER = 3;

/** Segments of one publish: bounds the repository segment and the time until the cursor moves. */
const SEGMENTS_PER_PUBLISH = 32;

export interface DrainHost {
  /** Makes durable that segments of the repository may be this array's from now on, before the first one is published. */
  publishes(): Promise<void>;
  /** Makes the drained cursor durable, then moves the tail. */
  advance(drainedSeq: SegmentSeq): Promise<void>;
  /** The stripes' content of blocks whose journal copies are gone: to slab pages, verified; false when one cannot be had. */
  recover(blocks: Float64Array, pages: Uint32Array): Promise<boolean>;
  /** False while a rebuild may still bring the block: it is in stripes of which too much is lost at the moment. */
  isGone(block: BlockIndex): boolean;
  /** These were in nobody's hands, and are so in the backup from now on. */
  lost(blocks: readonly number[]): void;
}

/**
 * Copies closed segments of the ring to the backup: one publish for a range, with what was superseded inside the range left out. Nothing moves unless
 * the publish is durable and HEAD names it.
 */
export class Drainer {
  readonly #journal: Journal;
  readonly #reader: RingReader;
  readonly #backup: Backup;
  readonly #host: DrainHost;
  readonly #clock: Clock;
  readonly #region: SlabRegion;
  /** Bytes of volume data published since assembly, and stored bytes they took. */
  publishedBytes: Bytes = 0;
  storedBytes: Bytes = 0;
  publishes = 0;
  /** The last range met a block that can be had from nowhere: the next one reaches to the end of the ring. */
  #toTheEnd = false;
  /** Attempts to the end of the ring that met such a block, one after the other. */
  #failures = 0;
  /** Blocks published as lost since assembly. */
  lostBlocks = 0;

  /** region: two ring segments of slab memory. */
  constructor(journal: Journal, reader: RingReader, backup: Backup, host: DrainHost, clock: Clock, region: SlabRegion) {
    this.#journal = journal;
    this.#reader = reader;
    this.#backup = backup;
    this.#host = host;
    this.#clock = clock;
    this.#region = region;
  }

  /**
   * Publishes closed segments from the drained cursor on, up to toSeq (not included), and advances the cursor. Resolves to the number of segments drained.
   * Throws what Backup.publish throws, DRAIN_SOURCE_LOST when data of the range can be had from nowhere, or JOURNAL_GONE.
   */
  async drain(toSeq: SegmentSeq): Promise<number> {
    const journal = this.#journal;
    await this.#host.publishes();
    const from = journal.drainedSeq;
    const limit = Math.min(toSeq, journal.headSeq);
    if (from >= limit) return 0;
    await journal.hooks.fence?.();
    // What the backup has must never be more than what the members would have after a power failure.
    await this.#durable();
    let to = Math.min(limit, from + SEGMENTS_PER_PUBLISH);
    // Without a journal copy only the newest content is left, in the stripes: the range then has to reach to the end of the ring.
    if (this.#toTheEnd || this.#withoutCopy(from, journal.headSeq)) {
      to = journal.headSeq;
      await this.#durable();
    }
    to = reachOf(journal, from, to);
    if (to > journal.headSeq) {
      // What was written again lies in the open segment.
      journal.close();
      await this.#durable();
    }
    try {
      const drained = await this.#publish(from, to);
      this.#toTheEnd = false;
      this.#failures = 0;
      return drained;
    } catch (error) {
      // A block that no copy holds whole may have been written again later: a range that reaches that far does not need it.
      const lost = error instanceof KeelsonError && error.code === 'DRAIN_SOURCE_LOST';
      if (lost && to === journal.headSeq) this.#failures++;
      this.#toTheEnd = lost;
      throw error;
    }
  }

  async #publish(from: SegmentSeq, to: SegmentSeq): Promise<number> {
    const journal = this.#journal;
    const plan = new RangePlan(journal, from, to);
    const header = {
      firstLsn: this.#firstLsn(from),
      lastLsn: journal.table.lastLsn[journal.table.slotOf(to - 1)] as number,
      time: this.#clock.wall(),
      seed: false,
    };
    const givesUp = to === journal.headSeq && this.#failures + 1 >= GIVE_UP_AFTER;
    const pieces = new Pieces(journal, this.#reader, this.#host, plan, this.#region, givesUp);
    try {
      const published = await this.#backup.publish(header, () => pieces.next());
      this.publishedBytes += plan.blocks * BLOCK_BYTES;
      this.storedBytes += published.storedBytes;
      this.publishes++;
      this.lostBlocks += pieces.lost.length;
      if (pieces.lost.length > 0) this.#host.lost(pieces.lost);
    } finally {
      pieces.release();
    }
    await this.#host.advance(to);
    return to - from;
  }

  #firstLsn(seq: SegmentSeq): number {
    return this.#journal.table.firstLsn[this.#journal.table.slotOf(seq)] as number;
  }

  #withoutCopy(from: SegmentSeq, to: SegmentSeq): boolean {
    const { table } = this.#journal;
    for (let seq = from; seq < to; seq++) {
      const slot = table.slotOf(seq);
      if (table.copies[slot] === 0 && (table.memory[slot] as number) < 0) return true;
    }
    return false;
  }

  #durable(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#journal.deadReason?.code === 'JOURNAL_GONE') return resolve();
      this.#journal.whenFlushed(this.#journal.nextLsn - 1, (error) =>
        error === null || error.code === 'JOURNAL_GONE' ? resolve() : reject(error),
      );
    });
  }
}

/** The pieces of one publish. A piece's memory stays as it is until the pull after the next one. */
class Pieces {
  readonly #journal: Journal;
  readonly #reader: RingReader;
  readonly #host: DrainHost;
  readonly #plan: RangePlan;
  readonly #region: SlabRegion;
  #seq: SegmentSeq;
  #turn = 0;
  #holesOut = false;
  #lostOut = false;
  readonly #givesUp: boolean;
  /** Blocks that are published as lost. */
  readonly lost: number[] = [];
  /** Slots pinned for the last two pieces; -1 = none. */
  readonly #pinned = [-1, -1];

  constructor(journal: Journal, reader: RingReader, host: DrainHost, plan: RangePlan, region: SlabRegion, givesUp: boolean) {
    this.#givesUp = givesUp;
    this.#journal = journal;
    this.#reader = reader;
    this.#host = host;
    this.#plan = plan;
    this.#region = region;
    this.#seq = plan.fromSeq;
  }

  async next(): Promise<SegmentPiece | null> {
    const turn = this.#turn++ % 2;
    this.#unpin(turn);
    while (this.#seq < this.#plan.toSeq) {
      const slot = this.#journal.table.slotOf(this.#seq);
      const piece = await this.#segment(this.#seq++, turn);
      this.#checkReach(slot);
      if (piece.extents > 0) return piece;
      this.#unpin(turn);
    }
    if (!this.#holesOut) {
      this.#holesOut = true;
      const holes = this.#plan.holes();
      if (holes.extents > 0) return holes;
    }
    if (this.#lostOut || this.lost.length === 0) return null;
    this.#lostOut = true;
    return lostPiece(this.lost);
  }

  async #segment(seq: SegmentSeq, turn: number): Promise<SegmentPiece> {
    const { table } = this.#journal;
    const slot = table.slotOf(seq);
    const resident = table.memory[slot] as number;
    if (resident >= 0) {
      this.#journal.pin(slot);
      this.#pinned[turn] = slot;
      return this.#plan.piece(seq, resident);
    }
    const memory = this.#region.offset + turn * table.segmentBlocks * BLOCK_BYTES;
    if (await this.#reader.readSegment(seq, memory)) return this.#plan.piece(seq, memory);
    return this.#fromStripes(seq, memory);
  }

  /** A segment that was made again since the range was planned leaves out what was written again behind the range. */
  #checkReach(slot: number): void {
    const reachSeq = this.#journal.table.reachSeq[slot] as number;
    if (reachSeq <= this.#plan.toSeq) return;
    throw new KeelsonError('DRAIN_SOURCE_LOST', 'a segment of the range was made again from the stripes meanwhile', {
      found: `a range up to ring segment ${this.#plan.toSeq}, and a segment that goes on to ${reachSeq}`,
      action: 'the drain begins again, with a range that reaches there',
    });
  }

  /** No whole journal copy: each block from whichever copy has it, else the stripes, where it is the newest of all. */
  async #fromStripes(seq: SegmentSeq, memory: number): Promise<SegmentPiece> {
    const { table, index } = this.#journal;
    const slot = table.slotOf(seq);
    const blocks: number[] = [];
    const pages: number[] = [];
    const places: number[] = [];
    const whole = this.#plan.piece(seq, memory, (block, at) => {
      blocks.push(block);
      pages.push(memory / BLOCK_BYTES + at);
      places.push(slot * table.segmentBlocks + at);
      return memory + at * BLOCK_BYTES;
    });
    const gone = new Set<number>();
    for (let i = 0; i < blocks.length; i++) {
      const block = blocks[i] as number;
      const place = places[i] as number;
      if (await this.#bring(block, place, pages[i] as number)) continue;
      if (
        !this.#givesUp ||
        index.lookup(block) !== place ||
        !this.#host.isGone(block) ||
        (await this.#bring(block, place, pages[i] as number))
      ) {
        throw new KeelsonError('DRAIN_SOURCE_LOST', 'a journaled block can be read neither from the journal nor from the stripes', {
          found: `block ${block} of ring segment ${seq}`,
          action: 'it is tried again, then the backup calls it lost; new writes to the block replace it',
        });
      }
      gone.add(block);
      this.lost.push(block);
    }
    if (gone.size === 0) return whole;
    return this.#plan.piece(seq, memory, (block, at) => (gone.has(block) ? -1 : memory + at * BLOCK_BYTES));
  }

  /** The block as it was journaled, to the page: from a journal copy, or from the stripes where these have it and it is the newest. */
  async #bring(block: number, place: number, page: number): Promise<boolean> {
    const { table, index } = this.#journal;
    if (await this.#reader.read(place, 1, page * BLOCK_BYTES)) return true;
    if (index.lookup(block) !== place) return false;
    if (!(await this.#host.recover(Float64Array.of(block), Uint32Array.of(page)))) return false;
    if (index.lookup(block) !== place) return false;
    // What was never destaged is older in the stripes.
    const crc = new Uint32Array(1);
    loadAddon().crcRun(this.#region.slab.view, page * BLOCK_BYTES, block, 1, crc, 0);
    return crc[0] === table.crc[place];
  }

  #unpin(turn: number): void {
    const slot = this.#pinned[turn] as number;
    if (slot < 0) return;
    this.#pinned[turn] = -1;
    this.#journal.unpin(slot);
  }

  release(): void {
    this.#unpin(0);
    this.#unpin(1);
  }
}

/** The end of a range from `from` to at least `to` that needs nothing of what segments made again from the stripes leave out. */
function reachOf({ table }: Journal, from: SegmentSeq, to: SegmentSeq): SegmentSeq {
  let end = to;
  for (let seq = from; seq < end; seq++) end = Math.max(end, table.reachSeq[table.slotOf(seq)] as number);
  return end;
}

/** Blocks in any order, as runs. */
function lostPiece(blocks: readonly number[]): SegmentPiece {
  const first: number[] = [];
  const count: number[] = [];
  for (const block of [...blocks].sort((a, b) => a - b)) {
    const last = first.length - 1;
    if (last >= 0 && (first[last] as number) + (count[last] as number) === block) count[last] = (count[last] as number) + 1;
    else {
      first.push(block);
      count.push(1);
    }
  }
  const memory = new Float64Array(first.length).fill(EXTENT_LOST);
  return { extents: first.length, first: Float64Array.from(first), count: Float64Array.from(count), memory, crcs: new Uint32Array(0) };
}
