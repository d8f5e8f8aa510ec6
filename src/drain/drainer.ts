import type { Clock } from '../base/clock.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes, type SegmentSeq } from '../base/units.js';
import type { Journal } from '../journal/journal.js';
import type { RingReader } from '../journal/ring-reader.js';
import type { SlabRegion } from '../memory/slab-region.js';
import type { Backup, SegmentPiece } from '../repository/backup.js';
import { RangePlan } from './range-plan.js';

/** Segments of one publish: bounds the repository segment and the time until the cursor moves. */
const SEGMENTS_PER_PUBLISH = 32;

export interface DrainHost {
  /** Makes the drained cursor durable, then moves the tail. */
  advance(drainedSeq: SegmentSeq): Promise<void>;
  /** The stripes' content of blocks whose journal copies are gone: to slab pages, verified; false when one cannot be had. */
  recover(blocks: Float64Array, pages: Uint32Array): Promise<boolean>;
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
    const from = journal.drainedSeq;
    const limit = Math.min(toSeq, journal.headSeq);
    if (from >= limit) return 0;
    // What the backup has must never be more than what the members would have after a power failure.
    await this.#durable();
    let to = Math.min(limit, from + SEGMENTS_PER_PUBLISH);
    // Without a journal copy only the newest content is left, in the stripes: the range then has to reach to the end of the ring.
    if (this.#toTheEnd || this.#withoutCopy(from, journal.headSeq)) {
      to = journal.headSeq;
      await this.#durable();
    }
    try {
      const drained = await this.#publish(from, to);
      this.#toTheEnd = false;
      return drained;
    } catch (error) {
      // A block that no copy holds whole may have been written again later: a range that reaches that far does not need it.
      this.#toTheEnd = error instanceof KeelsonError && error.code === 'DRAIN_SOURCE_LOST';
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
    const pieces = new Pieces(journal, this.#reader, this.#host, plan, this.#region);
    try {
      const published = await this.#backup.publish(header, () => pieces.next());
      this.publishedBytes += plan.blocks * BLOCK_BYTES;
      this.storedBytes += published.storedBytes;
      this.publishes++;
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
      if (this.#journal.deadReason !== null) return resolve();
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
  /** Slots pinned for the last two pieces; -1 = none. */
  readonly #pinned = [-1, -1];

  constructor(journal: Journal, reader: RingReader, host: DrainHost, plan: RangePlan, region: SlabRegion) {
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
      const piece = await this.#segment(this.#seq++, turn);
      if (piece.extents > 0) return piece;
      this.#unpin(turn);
    }
    if (this.#holesOut) return null;
    this.#holesOut = true;
    const holes = this.#plan.holes();
    return holes.extents > 0 ? holes : null;
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

  /** No whole journal copy: each block from whichever copy has it, else the stripes, where it is the newest of all. */
  async #fromStripes(seq: SegmentSeq, memory: number): Promise<SegmentPiece> {
    const { table, index } = this.#journal;
    const slot = table.slotOf(seq);
    const blocks: number[] = [];
    const pages: number[] = [];
    const places: number[] = [];
    const piece = this.#plan.piece(seq, memory, (block, at) => {
      blocks.push(block);
      pages.push(memory / BLOCK_BYTES + at);
      places.push(slot * table.segmentBlocks + at);
      return memory + at * BLOCK_BYTES;
    });
    for (let i = 0; i < blocks.length; i++) {
      const place = places[i] as number;
      if (await this.#reader.read(place, 1, (pages[i] as number) * BLOCK_BYTES)) continue;
      const newest = index.lookup(blocks[i] as number) === place;
      const had = newest && (await this.#host.recover(Float64Array.of(blocks[i] as number), Uint32Array.of(pages[i] as number)));
      if (!had || index.lookup(blocks[i] as number) !== place) {
        throw new KeelsonError('DRAIN_SOURCE_LOST', 'a journaled block can be read neither from the journal nor from the stripes', {
          found: `block ${blocks[i]} of ring segment ${seq}`,
          action: 'keelson status lists what is lost; new writes to the block replace it',
        });
      }
    }
    return piece;
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
