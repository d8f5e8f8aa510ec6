import type { ExecutionContext } from 'ava';
import { systemClock } from '../../src/base/clock.js';
import type { KeelsonError } from '../../src/base/errors.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, type Lsn } from '../../src/base/units.js';
import { Journal } from '../../src/journal/journal.js';
import { type RecoveryReport, type RecoveryStart, recoverJournal } from '../../src/journal/recovery.js';
import { Replicator } from '../../src/journal/replicator.js';
import { RingReader } from '../../src/journal/ring-reader.js';
import type { Member } from '../../src/member/member-api.js';
import { Slab } from '../../src/memory/slab.js';
import { VolatileDevice } from './volatile-device.js';

export const ARRAY_TAG = 0x1234_5678;
export const VOLUME_BLOCKS = 2 ** 40;

export interface RingShape {
  readonly members: number;
  readonly copies: number;
  readonly slots: number;
  readonly segmentBlocks: number;
  readonly buffers: number;
  /** Slab memory behind the ring's own, for the test. */
  readonly extraBytes?: number;
}

export const SMALL: RingShape = { members: 2, copies: 2, slots: 8, segmentBlocks: 16, buffers: 8 };

/** A seed for this run, said when the test fails. KEELSON_SEED replays. */
export function seedOf(t: ExecutionContext): number {
  const seed = Number(process.env.KEELSON_SEED ?? Date.now() % 0x1_0000_0000);
  t.log(`seed ${seed}`);
  return seed;
}

/** The same few are compared again and again. */
const contents = new Map<number, Uint8Array>();
const CONTENTS_MAX = 4096;

/** Bytes of block `block` as version `version` of it: not to be changed. */
export function contentOf(block: number, version: number): Uint8Array {
  const seed = block * 7919 + version;
  const known = contents.get(seed);
  if (known !== undefined) return known;
  const bytes = new Uint8Array(BLOCK_BYTES);
  seededRandom(seed).fill(bytes);
  if (contents.size === CONTENTS_MAX) contents.clear();
  contents.set(seed, bytes);
  return bytes;
}

/** A journal over devices that complete when they are told to. Slab: segment buffers, recovery's memory, one segment for replication, one page. */
export class Ring {
  readonly slab: Slab;
  readonly shape: RingShape;
  readonly devices: VolatileDevice[];
  readonly members: Member[];
  readonly journal: Journal;
  readonly reader: RingReader;
  readonly replicator: Replicator;
  readonly random: Random;
  readonly failed: { position: number; doing: string }[] = [];
  spaces = 0;
  closedSegments = 0;
  /** Set: failures are recorded when it resolves. */
  recording: Promise<void> = Promise.resolve();
  fencing: Promise<void> | null = null;

  constructor(shape: RingShape, random: Random, images: (Uint8Array | null)[] = [], epoch = 1) {
    const segmentBytes = shape.segmentBlocks * BLOCK_BYTES;
    const scratch = 8 * segmentBytes;
    this.shape = shape;
    this.random = random;
    this.slab = Slab.allocate(shape.buffers * segmentBytes + scratch + 2 * segmentBytes + (shape.extraBytes ?? 0));
    this.devices = Array.from(
      { length: shape.members },
      (_, i) => new VolatileDevice(`m${i}`, this.slab, images[i] ?? new Uint8Array(shape.slots * segmentBytes + BLOCK_BYTES)),
    );
    this.members = this.devices.map(
      (device, index) =>
        ({
          index,
          role: 'journal',
          device,
          superblock: { layout: { journalOffset: BLOCK_BYTES } },
          state: images[index] === null ? 'missing' : 'online',
          rebuiltStripes: 0,
          readErrors: 0,
          writeErrors: 0,
          checksumErrors: 0,
          openErrors: 0,
          ringDamageSeq: 0,
        }) as unknown as Member,
    );
    this.journal = new Journal({
      slab: this.slab,
      buffersAt: 0,
      buffers: shape.buffers,
      slots: shape.slots,
      segmentBytes,
      copies: shape.copies,
      parity: 0,
      arrayTag: ARRAY_TAG,
      epoch,
      members: this.members,
      clock: systemClock,
      hooks: {
        memberFailed: async (position, _errno, doing) => {
          this.fail(position, doing);
          await this.recording;
        },
        fencing: () => this.fencing,
        space: () => {
          this.spaces++;
        },
        closed: () => {
          this.closedSegments++;
        },
      },
    });
    this.reader = new RingReader(this.journal, this.slab);
    const source = { recover: (blocks: Float64Array, pages: Uint32Array) => this.inStripes(blocks, pages) };
    this.replicator = new Replicator(this.journal, shape.copies, shape.buffers * segmentBytes + scratch, source, async (position) =>
      this.fail(position, 'copy'),
    );
  }

  /** What the stripes would have of blocks whose copies are gone: nothing, unless a test says otherwise. */
  inStripes: (blocks: Float64Array, pages: Uint32Array) => Promise<boolean> = async () => false;

  /** Slab offset of the extra memory. */
  get extraAt(): number {
    return (this.shape.buffers + 10) * this.shape.segmentBlocks * BLOCK_BYTES;
  }

  get pageAt(): number {
    return (this.shape.buffers + 9) * this.shape.segmentBlocks * BLOCK_BYTES;
  }

  fail(position: number, doing: string): void {
    const member = this.members[position] as Member;
    if (member.state === 'failed') return;
    this.failed.push({ position, doing });
    member.state = 'failed';
    this.journal.excludeMember(position);
  }

  /** Completes what is waiting, in random order, until nothing is. */
  async settle(): Promise<void> {
    for (let idle = 0; idle < 3; ) {
      if (this.step()) idle = 0;
      else idle++;
      await turn();
    }
  }

  /** Completes one waiting request of any device. False when there is none. */
  step(): boolean {
    const busy = this.devices.filter(({ waiting }) => waiting.length > 0);
    const device = busy[this.random.below(Math.max(1, busy.length))];
    if (device === undefined) return false;
    device.complete(this.random.below(device.waiting.length));
    return true;
  }

  async during<T>(work: Promise<T>): Promise<T> {
    let over = false;
    const end = work.finally(() => {
      over = true;
    });
    end.catch(() => {});
    while (!over) {
      this.step();
      await turn();
    }
    return end;
  }

  recover(start: Partial<RecoveryStart> = {}): Promise<RecoveryReport> {
    const segmentBytes = this.shape.segmentBlocks * BLOCK_BYTES;
    return this.during(
      recoverJournal(
        this.journal,
        this.slab,
        { offset: this.shape.buffers * segmentBytes, bytes: 8 * segmentBytes },
        { tailSeq: 1, destagedSeq: 1, drainedSeq: 1, knownLsn: 0, tailLsn: 0, arrayTag: ARRAY_TAG, volumeBlocks: VOLUME_BLOCKS, ...start },
      ),
    );
  }

  /** Appends blocks of this version, as one entry. -1: no room. */
  write(block: number, count: number, version: number, internal = false): Lsn {
    if (this.journal.writeRoom(internal) < count) return -1;
    const bytes = Buffer.concat(Array.from({ length: count }, (_, i) => contentOf(block + i, version)));
    return this.journal.appendWrite(block, count, bytes, 0);
  }

  committed(lsn: Lsn): Promise<KeelsonError | null> {
    return new Promise((resolve) => this.journal.whenCommitted(lsn, resolve));
  }

  flushed(lsn: Lsn): Promise<KeelsonError | null> {
    return new Promise((resolve) => this.journal.whenFlushed(lsn, resolve));
  }

  flush(): Promise<KeelsonError | null> {
    return new Promise((resolve) => this.journal.flush(resolve));
  }

  /** The block at a place of the ring, or null when it cannot be read. */
  async read(place: number): Promise<Uint8Array | null> {
    const had = await this.during(this.reader.read(place, 1, this.pageAt));
    return had ? Uint8Array.from(this.slab.view.subarray(this.pageAt, this.pageAt + BLOCK_BYTES)) : null;
  }

  /** Everything before the open segment is destaged, drained and removed. */
  removeClosed(): void {
    this.journal.setDestaged(this.journal.headSeq);
    this.journal.setDrained(this.journal.headSeq);
    this.journal.removeBefore(this.journal.headSeq);
  }

  /** Byte offset on every device of a block of a segment. */
  offsetOf(seq: number, at: number): number {
    return this.journal.deviceOffset(0, this.journal.table.slotOf(seq), at);
  }

  images(): Uint8Array[] {
    return this.devices.map(({ cache }) => Uint8Array.from(cache));
  }
}

export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
