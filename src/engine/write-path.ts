import type { Clock } from '../base/clock.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type BlockIndex, type Bytes, type Lsn } from '../base/units.js';
import { ENTRY_BLOCKS_MAX } from '../journal/batch-format.js';
import type { Journal } from '../journal/journal.js';
import { ZERO_EXTENTS_MAX } from '../journal/ring-index.js';
import type { Done, ReadDone } from './block-volume.js';
import { FairQueue } from './fair-queue.js';

export interface WriteCounters {
  writes: number;
  bytes: number;
  zeroes: number;
  flushes: number;
  /** Milliseconds during which some write waited for room in the ring or the slab. */
  stalled_ms: number;
}

/** Writes up to 64 KiB are small: a segment of the ring is kept for them, and they do not queue behind large ones. */
const SMALL_BLOCKS = 16;
/** Large writes that are in the journal and not committed, 4 MiB: two batches of the devices' time. What comes on top waits here, where small ones pass it. */
const LARGE_AHEAD_BLOCKS = 1024;
/** So many blocks of small writes may pass a large one that waits, 8 MiB; then it is served out of what is kept for them. */
const SMALL_PASSING_BLOCKS = 2048;

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
  readonly client: number;
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
  readonly client: number;
  readonly fua: boolean;
  readonly done: Done;
  changed: boolean;
}

/**
 * Writes: whole blocks go into the journal's open segment as far as there is room, the rest waits: small writes, zeroes and large writes apart, and in each the clients
 * take turns. Writes in flight at the same time have no order, so they may pass each other; one that was acknowledged is in the journal before the next is asked for.
 * A part of a block is merged with the block's present content, and again if some other write changed the block meanwhile.
 */
export class WritePath {
  readonly counters: WriteCounters = { writes: 0, bytes: 0, zeroes: 0, flushes: 0, stalled_ms: 0 };
  readonly #journal: Journal;
  readonly #read: (offset: Bytes, length: Bytes, done: ReadDone) => void;
  readonly #clock: Clock;
  readonly #everyWriteFua: boolean;
  readonly #small = new FairQueue<Append>();
  readonly #zeroes = new FairQueue<Append>();
  readonly #large = new FairQueue<Append>();
  #largeAhead = 0;
  #smallPassing = 0;
  /** The last pump left something because there was no room. */
  #noRoom = false;
  readonly #merging = new Map<BlockIndex, Merge[]>();
  #stalledSince = -1;
  /** When room was last found for a request, or a part of one. */
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
    return this.#small.length + this.#zeroes.length + this.#large.length;
  }

  /** Since when the requests that wait have found no room at all; null: none waits for room. */
  get stuckSince(): number | null {
    return this.#noRoom ? Math.max(this.#stalledSince, this.#movedAt) : null;
  }

  write(offset: Bytes, payload: Uint8Array, fua: boolean, done: Done, client = 0): void {
    this.counters.writes++;
    this.counters.bytes += payload.length;
    this.#split(client, offset, payload.length, payload, fua || this.#everyWriteFua, done);
  }

  zero(offset: Bytes, length: Bytes, fua: boolean, done: Done, client = 0): void {
    this.counters.zeroes++;
    this.#split(client, offset, length, null, fua || this.#everyWriteFua, done);
  }

  /** Only whole blocks are deallocated; a trim is advice about the rest. */
  trim(offset: Bytes, length: Bytes, fua: boolean, done: Done, client = 0): void {
    this.counters.zeroes++;
    const first = Math.ceil(offset / BLOCK_BYTES);
    const end = Math.floor((offset + length) / BLOCK_BYTES);
    if (end <= first) {
      fua || this.#everyWriteFua ? this.flush(done) : done(null);
      return;
    }
    this.#append({ client, block: first, count: end - first, payload: null, at: 0, fua: fua || this.#everyWriteFua, done, merge: null });
  }

  flush(done: Done): void {
    this.counters.flushes++;
    this.#journal.flush(done);
  }

  #split(client: number, offset: Bytes, length: Bytes, payload: Uint8Array | null, fua: boolean, done: Done): void {
    const end = offset + length;
    const first = Math.ceil(offset / BLOCK_BYTES);
    const last = Math.floor(end / BLOCK_BYTES);
    const head = offset % BLOCK_BYTES;
    const tail = end % BLOCK_BYTES;
    if (head === 0 && tail === 0) {
      this.#append({ client, block: first, count: last - first, payload, at: 0, fua, done, merge: null });
      return;
    }
    if (first > last) {
      this.#merge({ client, block: last, from: head, bytes: payload, length, fua, done, changed: false });
      return;
    }
    const parts = new Parts((head > 0 ? 1 : 0) + (tail > 0 ? 1 : 0) + (last > first ? 1 : 0), done);
    const headBytes = head > 0 ? BLOCK_BYTES - head : 0;
    const part = { client, fua, done: parts.finish };
    const bytesOf = (from: Bytes, to: Bytes): Uint8Array | null => (payload === null ? null : payload.subarray(from, to));
    if (head > 0) this.#merge({ ...part, block: first - 1, from: head, bytes: bytesOf(0, headBytes), length: headBytes, changed: false });
    if (last > first) this.#append({ ...part, block: first, count: last - first, payload, at: headBytes, merge: null });
    if (tail > 0) this.#merge({ ...part, block: last, from: 0, bytes: bytesOf(length - tail, length), length: tail, changed: false });
  }

  #append(op: Append): void {
    const queue = this.#queueOf(op);
    queue.push(op.client, op);
    if (queue.length === 1) this.pump();
  }

  #queueOf(op: Append): FairQueue<Append> {
    if (op.payload === null) return this.#zeroes;
    return op.count <= SMALL_BLOCKS ? this.#small : this.#large;
  }

  /** Takes what there is room for. Called with every new request and whenever room may have appeared. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      do this.#noRoom = false;
      while (this.#serveNext());
    } finally {
      this.#pumping = false;
    }
    if (this.#noRoom) {
      if (this.#stalledSince < 0) this.#stalledSince = this.#clock.now();
      // Said again whenever the room that appeared was not enough: what was lacking first may be the slab, and then the ring.
      this.onStall();
    } else if (this.#stalledSince >= 0) {
      this.counters.stalled_ms += this.#clock.now() - this.#stalledSince;
      this.#stalledSince = -1;
    }
  }

  /** Serves one of each kind; a large one before the small ones when too many have passed it. False when nothing could be served. */
  #serveNext(): boolean {
    if (this.#smallPassing >= SMALL_PASSING_BLOCKS && this.#serve(this.#large, true)) return true;
    const small = this.#serve(this.#small, true);
    const zeroes = this.#serve(this.#zeroes, true);
    const large = this.#serve(this.#large, false);
    return small || zeroes || large;
  }

  #serve(queue: FairQueue<Append>, keptToo: boolean): boolean {
    const op = queue.first;
    if (op === undefined) return false;
    if (queue === this.#small && this.#large.length > 0) this.#smallPassing += op.count;
    if (!this.#step(op, queue === this.#large, keptToo)) return false;
    queue.shift();
    if (queue === this.#large) this.#smallPassing = 0;
    return true;
  }

  /** True when the request leaves its queue. keptToo: it may have the room that is kept for small ones. */
  #step(op: Append, large: boolean, keptToo: boolean): boolean {
    if (op.merge?.changed) {
      this.#startMerge(op.merge);
      return true;
    }
    let lsn: Lsn = 0;
    try {
      if (this.refusal !== null) throw this.refusal;
      while (op.count > 0) {
        if (large && this.#largeAhead >= LARGE_AHEAD_BLOCKS) return false;
        const room = this.#journal.writeRoom(false, keptToo);
        if (room === 0 || (op.payload === null && this.#journal.index.zeroExtents >= ZERO_EXTENTS_MAX)) {
          this.#noRoom = true;
          return false;
        }
        this.#movedAt = this.#clock.now();
        const n = Math.min(op.count, op.payload === null ? ENTRY_BLOCKS_MAX : room);
        if (op.payload === null) lsn = this.#journal.appendZero(op.block, n);
        else lsn = this.#journal.appendWrite(op.block, n, op.payload, op.at);
        if (large) this.#goesAhead(lsn, n);
        this.#changed(op.block, n, op.merge);
        op.block += n;
        op.count -= n;
        op.at += n * BLOCK_BYTES;
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

  /** Blocks of a large write are on their way to the devices; when they are there others may follow. */
  #goesAhead(lsn: Lsn, blocks: number): void {
    this.#largeAhead += blocks;
    this.#journal.whenCommitted(lsn, () => {
      this.#largeAhead -= blocks;
      if (this.#large.length > 0) this.pump();
    });
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

  #merge(merge: Merge): void {
    const list = this.#merging.get(merge.block);
    if (list === undefined) this.#merging.set(merge.block, [merge]);
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
      const { client, block, fua, done } = merge;
      this.#append({ client, block, count: 1, payload: whole, at: 0, fua, done, merge });
    });
  }
}
