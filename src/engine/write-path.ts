import type { Clock } from '../base/clock.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type BlockIndex, type Bytes, type Lsn } from '../base/units.js';
import { ENTRY_BLOCKS_MAX } from '../journal/batch-format.js';
import type { Journal } from '../journal/journal.js';
import { ZERO_EXTENTS_MAX } from '../journal/ring-index.js';
import type { Done, ReadDone } from './block-volume.js';

export interface WriteCounters {
  writes: number;
  bytes: number;
  zeroes: number;
  flushes: number;
  /** Milliseconds during which some write waited for room in the ring or the slab. */
  stalled_ms: number;
}

/** Waits for all parts of one request. */
class Parts {
  #left: number;
  #error: KeelsonError | null = null;
  readonly #done: Done;

  constructor(parts: number, done: Done) {
    this.#left = parts;
    this.#done = done;
  }

  readonly finish = (error: KeelsonError | null): void => {
    this.#error ??= error;
    if (--this.#left === 0) this.#done(this.#error);
  };
}

/** A run of whole blocks that waits for room in the ring. payload null: zeroes. */
interface Append {
  block: BlockIndex;
  count: number;
  readonly payload: Uint8Array | null;
  at: Bytes;
  readonly fua: boolean;
  readonly done: Done;
  /** A merged partial block: what it was merged with must still be the newest. */
  readonly merge: Merge | null;
}

/** Part of a block to be laid over what the block holds. */
interface Merge {
  readonly block: BlockIndex;
  readonly from: Bytes;
  /** null: zeroes of `length`. */
  readonly bytes: Uint8Array | null;
  readonly length: Bytes;
  readonly fua: boolean;
  readonly done: Done;
  changed: boolean;
}

/**
 * Writes: whole blocks go into the journal's open segment as far as there is room, the rest waits in order. A part of a block is merged with the block's
 * present content, and again if some other write changed the block meanwhile.
 */
export class WritePath {
  readonly counters: WriteCounters = { writes: 0, bytes: 0, zeroes: 0, flushes: 0, stalled_ms: 0 };
  readonly #journal: Journal;
  readonly #read: (offset: Bytes, length: Bytes, done: ReadDone) => void;
  readonly #clock: Clock;
  readonly #everyWriteFua: boolean;
  readonly #queue: Append[] = [];
  readonly #merging = new Map<BlockIndex, Merge[]>();
  #stalledSince = -1;
  /** When the first request of the queue came there, or last found room for a part of it. */
  #movedAt = 0;
  #pumping = false;
  /** Set when no write may be taken any more. */
  refusal: KeelsonError | null = null;
  /** Called when a write has to wait: the movers make room. */
  onStall: () => void = () => {};

  constructor(journal: Journal, read: (offset: Bytes, length: Bytes, done: ReadDone) => void, clock: Clock, everyWriteFua: boolean) {
    this.#journal = journal;
    this.#read = read;
    this.#clock = clock;
    this.#everyWriteFua = everyWriteFua;
  }

  /** Requests that wait for room. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Since when the request that waits longest has found no room at all; null: none waits. */
  get stuckSince(): number | null {
    return this.#queue.length === 0 ? null : this.#movedAt;
  }

  write(offset: Bytes, payload: Uint8Array, fua: boolean, done: Done): void {
    this.counters.writes++;
    this.counters.bytes += payload.length;
    this.#split(offset, payload.length, payload, fua || this.#everyWriteFua, done);
  }

  zero(offset: Bytes, length: Bytes, fua: boolean, done: Done): void {
    this.counters.zeroes++;
    this.#split(offset, length, null, fua || this.#everyWriteFua, done);
  }

  /** Only whole blocks are deallocated; a trim is advice about the rest. */
  trim(offset: Bytes, length: Bytes, fua: boolean, done: Done): void {
    this.counters.zeroes++;
    const first = Math.ceil(offset / BLOCK_BYTES);
    const end = Math.floor((offset + length) / BLOCK_BYTES);
    if (end <= first) {
      fua || this.#everyWriteFua ? this.flush(done) : done(null);
      return;
    }
    this.#append(first, end - first, null, 0, fua || this.#everyWriteFua, done);
  }

  flush(done: Done): void {
    this.counters.flushes++;
    this.#journal.flush(done);
  }

  #split(offset: Bytes, length: Bytes, payload: Uint8Array | null, fua: boolean, done: Done): void {
    const end = offset + length;
    const first = Math.ceil(offset / BLOCK_BYTES);
    const last = Math.floor(end / BLOCK_BYTES);
    const head = offset % BLOCK_BYTES;
    const tail = end % BLOCK_BYTES;
    if (head === 0 && tail === 0) {
      this.#append(first, last - first, payload, 0, fua, done);
      return;
    }
    if (first > last) {
      this.#merge(last, head, payload, length, fua, done);
      return;
    }
    const parts = new Parts((head > 0 ? 1 : 0) + (tail > 0 ? 1 : 0) + (last > first ? 1 : 0), done);
    const headBytes = head > 0 ? BLOCK_BYTES - head : 0;
    if (head > 0) this.#merge(first - 1, head, payload === null ? null : payload.subarray(0, headBytes), headBytes, fua, parts.finish);
    if (last > first) this.#append(first, last - first, payload, headBytes, fua, parts.finish);
    if (tail > 0) this.#merge(last, 0, payload === null ? null : payload.subarray(length - tail), tail, fua, parts.finish);
  }

  #append(
    block: BlockIndex,
    count: number,
    payload: Uint8Array | null,
    at: Bytes,
    fua: boolean,
    done: Done,
    merge: Merge | null = null,
  ): void {
    this.#queue.push({ block, count, payload, at, fua, done, merge });
    if (this.#queue.length > 1) return;
    this.#movedAt = this.#clock.now();
    this.pump();
  }

  /** Takes what there is room for. Called with every new request and whenever room may have appeared. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#queue.length > 0 && this.#step(this.#queue[0] as Append)) this.#queue.shift();
    } finally {
      this.#pumping = false;
    }
    if (this.#queue.length > 0) {
      if (this.#stalledSince < 0) this.#stalledSince = this.#clock.now();
      // Said again whenever the room that appeared was not enough: what was lacking first may be the slab, and then the ring.
      this.onStall();
    } else if (this.#stalledSince >= 0) {
      this.counters.stalled_ms += this.#clock.now() - this.#stalledSince;
      this.#stalledSince = -1;
    }
  }

  /** True when the request left the queue. */
  #step(op: Append): boolean {
    if (op.merge?.changed) {
      this.#startMerge(op.merge);
      return true;
    }
    let lsn: Lsn = 0;
    try {
      if (this.refusal !== null) throw this.refusal;
      while (op.count > 0) {
        const room = this.#journal.writeRoom(false);
        if (room === 0) return false;
        this.#movedAt = this.#clock.now();
        if (op.payload === null) {
          if (this.#journal.index.zeroExtents >= ZERO_EXTENTS_MAX) return false;
          const n = Math.min(op.count, ENTRY_BLOCKS_MAX);
          lsn = this.#journal.appendZero(op.block, n);
          this.#changed(op.block, n, op.merge);
          op.block += n;
          op.count -= n;
        } else {
          const n = Math.min(op.count, room);
          lsn = this.#journal.appendWrite(op.block, n, op.payload, op.at);
          this.#changed(op.block, n, op.merge);
          op.block += n;
          op.count -= n;
          op.at += n * BLOCK_BYTES;
        }
      }
    } catch (error) {
      this.#forget(op.merge);
      op.done(KeelsonError.from(error));
      return true;
    }
    this.#forget(op.merge);
    if (op.fua) this.#journal.whenFlushed(lsn, op.done);
    else this.#journal.whenCommitted(lsn, op.done);
    return true;
  }

  /** Merges under way that read one of these blocks have read something old. */
  #changed(block: BlockIndex, count: number, except: Merge | null): void {
    if (this.#merging.size === 0) return;
    for (const [merging, list] of this.#merging) {
      if (merging < block || merging >= block + count) continue;
      for (const merge of list) if (merge !== except) merge.changed = true;
    }
  }

  #forget(merge: Merge | null): void {
    if (merge === null) return;
    const list = this.#merging.get(merge.block);
    if (list === undefined) return;
    const left = list.filter((other) => other !== merge);
    if (left.length === 0) this.#merging.delete(merge.block);
    else this.#merging.set(merge.block, left);
  }

  #merge(block: BlockIndex, from: Bytes, bytes: Uint8Array | null, length: Bytes, fua: boolean, done: Done): void {
    const merge: Merge = { block, from, bytes, length, fua, done, changed: false };
    const list = this.#merging.get(block);
    if (list === undefined) this.#merging.set(block, [merge]);
    else list.push(merge);
    this.#startMerge(merge);
  }

  #startMerge(merge: Merge): void {
    merge.changed = false;
    this.#read(merge.block * BLOCK_BYTES, BLOCK_BYTES, (error, content) => {
      if (error !== null || content === null) {
        this.#forget(merge);
        return merge.done(error ?? new KeelsonError('INTERNAL', 'a read gave neither bytes nor an error'));
      }
      const whole = Buffer.from(content.bytes);
      content.release();
      if (merge.bytes === null) whole.fill(0, merge.from, merge.from + merge.length);
      else whole.set(merge.bytes, merge.from);
      this.#append(merge.block, 1, whole, 0, merge.fua, merge.done, merge);
    });
  }
}
