import type { Lsn, SegmentSeq } from '../base/units.js';
import type { SegmentBuffers } from './buffers.js';

/** Slots and buffers that only internal writes may use, so that destaging, which makes room, can itself journal (DESIGN 12, reserve what recovery needs). */
const RESERVED_SLOTS = 2;
const RESERVED_BUFFERS = 1;
/** Segments that large writes leave to small ones, in rings of so many slots beyond what degraded rows may need of two segments. */
const KEPT_FOR_SMALL = 1;
const KEEPING_SLOTS_MIN = 10;

/** Where the ring's cursors stand. */
export interface RingLevels {
  readonly slots: number;
  readonly headSeq: SegmentSeq;
  readonly tailSeq: SegmentSeq;
  readonly destagedSeq: SegmentSeq;
  readonly committedLsn: Lsn;
  readonly spilling: boolean;
  readonly hasOpenSegment: boolean;
  readonly buffers: SegmentBuffers;
}

/** How many segments writers may still open: what is kept for recovery, for degraded rows and for small writes is not theirs. */
export class WriterRoom {
  readonly #ring: RingLevels;
  readonly #parity: number;
  /** Segments that large writes leave to small ones. */
  readonly keptForSmall: number;

  /** parity: lost blocks that a touched row may need journaled. */
  constructor(ring: RingLevels, parity: number) {
    this.#ring = ring;
    this.#parity = parity;
    const keeps = ring.slots >= 2 * parity + KEEPING_SLOTS_MIN && ring.buffers.count >= RESERVED_BUFFERS + 4;
    this.keptForSmall = keeps ? KEPT_FOR_SMALL : 0;
  }

  /** Free slots; the open segment counts as one of them. */
  get freeSlots(): number {
    return this.#ring.slots - (this.#ring.headSeq - this.#ring.tailSeq);
  }

  /** At so few free slots some write may have to wait although everything is destaged. */
  get slotsLow(): number {
    return this.keptForSmall > 0 ? 2 * this.#parity + 4 : this.#parity + 3;
  }

  /** Whether writers may open so many segments more, one after the other. */
  mayOpen(segments: number): boolean {
    if (segments === 0) return true;
    const { headSeq, destagedSeq, spilling, hasOpenSegment } = this.#ring;
    const closed = segments - 1 + (hasOpenSegment ? 1 : 0);
    const free = this.freeSlots - closed;
    if (free <= RESERVED_SLOTS) return false;
    // While a member is lost, destaging a segment may journal up to m lost blocks for each of its own (DESIGN 12): that room is kept from the start.
    const undestaged = headSeq - destagedSeq + 1 + closed;
    if (!spilling && free - 1 < this.#parity * undestaged) return false;
    return this.#buffersFor(RESERVED_BUFFERS + segments, spilling);
  }

  /** The same of what destaging journals: it may always spill, since it is what makes room again. */
  mayOpenInternal(): boolean {
    return this.freeSlots > 0 && this.#buffersFor(1, true);
  }

  #buffersFor(count: number, spill: boolean): boolean {
    const { buffers, tailSeq, destagedSeq, headSeq, committedLsn } = this.#ring;
    while (buffers.available(tailSeq, destagedSeq) < count) if (!spill || !buffers.spill(destagedSeq, headSeq, committedLsn)) return false;
    return true;
  }
}
