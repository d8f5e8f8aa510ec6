import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { assert } from '../../../src/base/assert.js';
import type { Random } from '../../../src/base/random.js';
import type { PathLog, RecordedWrite } from './write-recorder.js';
import { NEVER } from './write-recorder.js';

const SECTOR_BYTES = 512;
const EXTENT_BYTES = 64 * 1024;
const ZEROES = Buffer.alloc(EXTENT_BYTES);

/** What is left, of everything that no sync covered, on one member. */
export type Kept =
  /** Nothing; what a cache that loses all loses. */
  | 'durable'
  /** Everything that was complete, and of what was on its way any set of sectors: what kill -9 leaves. */
  | 'complete'
  /** The first n, in the order in which they were submitted. */
  | 'prefix'
  /** Any set of writes, whole. */
  | 'writes'
  /** Any set of sectors. */
  | 'sectors'
  /** All but one. */
  | 'all-but-one'
  /** One alone. */
  | 'one-alone';

export const KEPT: readonly Kept[] = ['durable', 'complete', 'prefix', 'writes', 'sectors', 'all-but-one', 'one-alone'];

/**
 * The medium of one member as time goes by, from its log. A write is durable when a sync that was submitted after its completion is complete. What is not durable may be there or
 * not, each sector for itself: so every order in which a cache could have written is among the sets. Moments may only rise.
 */
export class Medium {
  readonly image: Buffer;
  readonly #log: PathLog;
  /** Submitted and not durable, in order of submission. */
  #volatile: RecordedWrite[] = [];
  #nextWrite = 0;
  #nextSync = 0;
  readonly #syncs: readonly { submitted: number; completed: number }[];
  #moment = 0;

  constructor(image: Buffer, log: PathLog) {
    this.image = image;
    this.#log = log;
    this.#syncs = log.syncs.filter(({ completed }) => completed !== NEVER).sort((a, b) => a.completed - b.completed);
  }

  get volatileWrites(): number {
    return this.#volatile.length;
  }

  advance(moment: number): void {
    assert(moment >= this.#moment, 'time does not go back');
    this.#moment = moment;
    for (;;) {
      const sync = this.#syncs[this.#nextSync];
      const until = sync === undefined || sync.completed > moment ? moment : sync.completed;
      for (let write = this.#log.writes[this.#nextWrite]; write !== undefined && write.submitted <= until; ) {
        this.#volatile.push(write);
        write = this.#log.writes[++this.#nextWrite];
      }
      if (sync === undefined || sync.completed > moment) return;
      this.#nextSync++;
      this.#volatile = this.#volatile.filter((write) => {
        if (write.completed > sync.submitted) return true;
        this.image.set(write.bytes, write.offset);
        return false;
      });
    }
  }

  /** One of the images that a power failure at the present moment may leave. */
  left(kept: Kept, random: Random): Buffer {
    const image = Buffer.from(this.image);
    const writes = this.#volatile;
    const chosen = random.below(Math.max(1, writes.length));
    const share = 1 + random.below(3);
    for (const [i, write] of writes.entries()) {
      const complete = write.completed <= this.#moment;
      if (kept === 'durable') continue;
      if (kept === 'prefix' && i > chosen) break;
      if (kept === 'one-alone' && i !== chosen) continue;
      if (kept === 'all-but-one' && i === chosen) continue;
      if (kept === 'writes' && random.below(4) >= share) continue;
      if (kept === 'sectors' || (kept === 'complete' && !complete)) someSectors(image, write, random, share);
      else image.set(write.bytes, write.offset);
    }
    return image;
  }
}

function someSectors(image: Buffer, write: RecordedWrite, random: Random, share: number): void {
  for (let at = 0; at < write.bytes.length; at += SECTOR_BYTES) {
    if (random.below(4) < share) image.set(write.bytes.subarray(at, at + SECTOR_BYTES), write.offset + at);
  }
}

/** Writes an image to a fresh file; zeroes stay holes. */
export function layDown(path: string, image: Buffer): void {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, image.length);
  for (let at = 0; at < image.length; at += EXTENT_BYTES) {
    const end = Math.min(at + EXTENT_BYTES, image.length);
    if (image.compare(ZEROES, 0, end - at, at, end) !== 0) writeSync(fd, image, at, end - at, at);
  }
  closeSync(fd);
}
