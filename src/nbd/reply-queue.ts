import type { Socket } from 'node:net';
import { assert } from '../base/assert.js';
import { KIB } from '../base/units.js';
import type { ReadPayload } from '../engine/block-volume.js';
import { dataView } from './protocol.js';

/** Room for the replies of some turns: 1,024 reads of 4 KiB fill sixteen of them, 16,384 acknowledged writes one. */
const BATCH_BYTES = 256 * KIB;

/** A stretch of memory for reply headers and small payloads, written front to back and used again once the socket took all of it. */
class ReplyBatch {
  readonly bytes = Buffer.allocUnsafeSlow(BATCH_BYTES);
  readonly view = dataView(this.bytes);
  used = 0;
  /** Up to here it has been handed to a group. */
  grouped = 0;
  /** Groups not yet taken by the socket that reference it. */
  references = 0;
  retired = false;
}

/** Batches of connections that ended or ran ahead, kept for the next: a server-wide bound instead of one per connection. */
export class ReplyBatchPool {
  readonly #idle: ReplyBatch[] = [];

  constructor(readonly idleMax: number) {}

  take(): ReplyBatch {
    return this.#idle.pop() ?? new ReplyBatch();
  }

  give(batch: ReplyBatch): void {
    batch.used = 0;
    batch.grouped = 0;
    batch.retired = false;
    if (this.#idle.length < this.idleMax) this.#idle.push(batch);
  }
}

/** What one turn gives to the socket in one write, and what to let go when the socket has taken it. */
class ReplyGroup {
  readonly parts: Buffer[] = [];
  readonly batches: ReplyBatch[] = [];
  readonly payloads: ReadPayload[] = [];
  bytes = 0;
  /** Of these, bytes of reads; and the memory that stands for them in the budget. */
  readBytes = 0;
  heldBytes = 0;
  readonly onWritten: () => void;

  constructor(owner: ReplyQueue) {
    this.onWritten = () => owner.written(this);
  }
}

/** Groups kept for reuse; more are in use only when the socket lags. */
const IDLE_GROUPS_MAX = 16;

/**
 * Replies of one connection, gathered over a turn and written at once. Headers and small payloads are copied side by side into a batch
 * buffer; large payloads go out as views of the slab and are released when the socket has taken them, or has died.
 */
export class ReplyQueue {
  readonly #socket: Socket;
  readonly #pool: ReplyBatchPool;
  readonly #copyBytesMax: number;
  readonly #onProgress: (heldBytes: number) => void;
  readonly #pending = new Set<ReplyGroup>();
  readonly #idleGroups: ReplyGroup[] = [];
  #batch: ReplyBatch;
  #group: ReplyGroup;
  #queuedBytes = 0;
  #readBytesQueued = 0;
  #settledBytes = 0;
  #closed = false;

  /** onProgress(heldBytes): the socket took (or lost) replies; so much memory of reads goes with them. */
  constructor(socket: Socket, pool: ReplyBatchPool, copyBytesMax: number, onProgress: (heldBytes: number) => void) {
    this.#socket = socket;
    this.#pool = pool;
    this.#copyBytesMax = Math.min(copyBytesMax, BATCH_BYTES >> 2);
    this.#onProgress = onProgress;
    this.#batch = pool.take();
    this.#group = new ReplyGroup(this);
  }

  /** Bytes handed over or gathered that the socket has not taken. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Of these, bytes that reads brought. */
  get readBytesQueued(): number {
    return this.#readBytesQueued;
  }

  /** Bytes that the socket has taken since it was opened, a write that is under way included where its handle tells. */
  get takenBytes(): number {
    const handle = (this.#socket as { readonly _handle?: { readonly bytesWritten?: unknown; readonly writeQueueSize?: unknown } | null })
      ._handle;
    const written = handle?.bytesWritten;
    const queued = handle?.writeQueueSize;
    return typeof written === 'number' && typeof queued === 'number' ? written - queued : this.#settledBytes;
  }

  get empty(): boolean {
    return this.#queuedBytes === 0;
  }

  /** The buffer of the last reserve(). */
  get bytes(): Buffer {
    return this.#batch.bytes;
  }

  get view(): DataView {
    return this.#batch.view;
  }

  /** Room for `length` bytes at the returned position of `bytes` and `view`, to be filled before the next call. */
  reserve(length: number): number {
    assert(length <= BATCH_BYTES, 'a reply header fits a batch');
    let batch = this.#batch;
    if (batch.used + length > BATCH_BYTES) {
      this.#groupBatch();
      batch.retired = true;
      if (batch.references === 0) this.#pool.give(batch);
      batch = this.#pool.take();
      this.#batch = batch;
    }
    const at = batch.used;
    batch.used += length;
    this.#queuedBytes += length;
    return at;
  }

  /** A read's bytes, after their header. Takes over the release of the payloads, and what they hold of the budget. */
  read(payloads: readonly ReadPayload[], heldBytes: number): void {
    if (this.#closed) {
      for (const payload of payloads) payload.release();
      this.#onProgress(heldBytes);
      return;
    }
    for (const payload of payloads) this.#payload(payload);
    this.#group.heldBytes += heldBytes;
  }

  #payload(payload: ReadPayload): void {
    const bytes = payload.bytes;
    this.#readBytesQueued += bytes.length;
    this.#group.readBytes += bytes.length;
    if (bytes.length <= this.#copyBytesMax) {
      const at = this.reserve(bytes.length);
      this.#batch.bytes.set(bytes, at);
      payload.release();
    } else {
      this.#groupBatch();
      this.#group.parts.push(bytes);
      this.#group.payloads.push(payload);
      this.#group.bytes += bytes.length;
      this.#queuedBytes += bytes.length;
    }
  }

  #groupBatch(): void {
    const batch = this.#batch;
    if (batch.used === batch.grouped) return;
    const group = this.#group;
    group.parts.push(batch.bytes.subarray(batch.grouped, batch.used));
    group.bytes += batch.used - batch.grouped;
    batch.grouped = batch.used;
    if (group.batches.at(-1) === batch) return;
    group.batches.push(batch);
    batch.references++;
  }

  /** Writes what has gathered, as one write. */
  flush(): void {
    this.#groupBatch();
    const group = this.#group;
    if (group.parts.length === 0) return;
    this.#group = this.#idleGroups.pop() ?? new ReplyGroup(this);
    this.#pending.add(group);
    if (this.#closed) {
      this.written(group);
      return;
    }
    const last = group.parts.length - 1;
    if (last === 0) {
      this.#socket.write(group.parts[0] as Buffer, group.onWritten);
      return;
    }
    this.#socket.cork();
    for (let i = 0; i < last; i++) this.#socket.write(group.parts[i] as Buffer);
    this.#socket.write(group.parts[last] as Buffer, group.onWritten);
    this.#socket.uncork();
  }

  /** The socket has taken the group, or failed to. Called again for a group already settled, it does nothing. */
  written(group: ReplyGroup): void {
    if (!this.#pending.delete(group)) return;
    const bytes = group.bytes;
    const { heldBytes } = group;
    this.#queuedBytes -= bytes;
    this.#readBytesQueued -= group.readBytes;
    this.#settledBytes += bytes;
    for (const payload of group.payloads) payload.release();
    for (const batch of group.batches) this.#unreference(batch);
    group.parts.length = 0;
    group.payloads.length = 0;
    group.batches.length = 0;
    group.bytes = 0;
    group.readBytes = 0;
    group.heldBytes = 0;
    // A group the dead socket may still call back for must not be used for another turn.
    if (!this.#closed && this.#idleGroups.length < IDLE_GROUPS_MAX) this.#idleGroups.push(group);
    this.#onProgress(heldBytes);
  }

  #unreference(batch: ReplyBatch): void {
    batch.references--;
    if (batch.references > 0) return;
    if (batch.retired) {
      this.#pool.give(batch);
    } else if (batch.used === batch.grouped) {
      batch.used = 0;
      batch.grouped = 0;
    }
  }

  /** The socket is closed for good (its handle too): nothing references the memory any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.flush();
    for (const group of [...this.#pending]) this.written(group);
    this.#batch.retired = true;
    if (this.#batch.references === 0) this.#pool.give(this.#batch);
  }
}
