import type { Random } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { Destager } from '../../src/destage/destager.js';
import type { BlockingIo } from '../../src/device/device.js';
import { slabRegion } from '../../src/memory/slab-region.js';
import { RING_OP_WORDS, RING_WRITE } from '../../src/native/addon-api.js';
import { StripeGeometry } from '../../src/stripe/geometry.js';
import { inlineStripePool } from '../../src/stripe/inline-pool.js';
import type { MemberView, StripePool } from '../../src/stripe/stripe-pool.js';
import { Ring, type RingShape } from '../journal/ring-fixture.js';
import { MemoryIo } from '../stripe/memory-io.js';

export const GEOMETRY = new StripeGeometry(3, 2, 2 * BLOCK_BYTES, 8);
const SCRATCH_BYTES = 4 * GEOMETRY.n * GEOMETRY.chunkBytes;
const LOST_BYTES = 16 * BLOCK_BYTES;
const SHAPE: RingShape = { members: 2, copies: 2, slots: 16, segmentBlocks: 16, buffers: 16, extraBytes: SCRATCH_BYTES + LOST_BYTES };

/** Blocking I/O that ends in the middle of the write that the test names: the first half of it has landed. */
class CrashingIo implements BlockingIo {
  readonly #inner: MemoryIo;
  /** Writes until the crash; Infinity = none. */
  left = Number.POSITIVE_INFINITY;

  constructor(inner: MemoryIo) {
    this.#inner = inner;
  }

  run(ops: Float64Array, count: number, results: Int32Array): void {
    for (let i = 0; i < count; i++) {
      const op = ops.slice(i * RING_OP_WORDS, (i + 1) * RING_OP_WORDS);
      const crash = op[0] === RING_WRITE && this.left-- === 0;
      const fails = this.#inner.failWrites;
      if (crash) fails.add(op[1] as number);
      const one = new Int32Array(1);
      this.#inner.run(op, 1, one);
      results[i] = one[0] as number;
      if (!crash) continue;
      fails.delete(op[1] as number);
      throw new Error('crash');
    }
  }

  close(): void {
    // Nothing is held.
  }
}

/** What the members durably hold besides the ring: chunks, and the checksums and the bitmap of the last checkpoint. */
export interface Durable {
  readonly devices: Uint8Array[];
  tables: Uint32Array[];
  written: Set<number>;
  destagedSeq: number;
  tailSeq: number;
  lsn: number;
}

export function blank(): Durable {
  const bytes = GEOMETRY.stripes * GEOMETRY.chunkBytes;
  return {
    devices: Array.from({ length: GEOMETRY.n }, () => new Uint8Array(bytes)),
    tables: Array.from({ length: GEOMETRY.n }, () => new Uint32Array(GEOMETRY.stripes * GEOMETRY.rows)),
    written: new Set(),
    destagedSeq: 1,
    tailSeq: 1,
    lsn: 0,
  };
}

/** A ring, stripes in memory and the destager between them, with an array around it that does what the engine does. */
export class DestageBench {
  readonly ring: Ring;
  readonly io: CrashingIo;
  readonly pool: StripePool;
  readonly destager: Destager;
  readonly tables: Uint32Array[];
  readonly written: Set<number>;
  readonly untrusted = new Set<number>();
  readonly durable: Durable;
  readonly view: MemberView;
  checkpoints = 0;
  /** Called before each checkpoint. */
  onCheckpoint: () => void = () => {};

  constructor(random: Random, durable: Durable, lost: readonly number[], images: Uint8Array[] = [], epoch = 1) {
    this.durable = durable;
    this.ring = new Ring(SHAPE, random, images, epoch);
    const { slab, journal, reader } = this.ring;
    const memory = new MemoryIo(slab.view, 0, 0);
    memory.devices.push(...durable.devices);
    this.io = new CrashingIo(memory);
    const shared = durable.tables.map((table) => {
      const buffer = new SharedArrayBuffer(table.byteLength);
      new Uint32Array(buffer).set(table);
      return buffer;
    });
    this.tables = shared.map((buffer) => new Uint32Array(buffer));
    this.written = new Set(durable.written);
    const context = {
      geometry: GEOMETRY,
      slab: slab.shared,
      dataOffset: new Float64Array(GEOMETRY.n),
      integrity: shared,
      io: 'fs' as const,
    };
    this.pool = inlineStripePool(context, this.io, { offset: this.ring.extraAt, bytes: SCRATCH_BYTES });
    this.view = {
      handle: Int32Array.from({ length: GEOMETRY.n }, (_, i) => (lost.includes(i) ? -1 : i)),
      rebuiltStripes: new Float64Array(GEOMETRY.n).fill(Number.POSITIVE_INFINITY),
      integrityKnown: new Uint8Array(GEOMETRY.n).fill(1),
    };
    this.destager = new Destager(
      journal,
      reader,
      {
        geometry: GEOMETRY,
        pool: this.pool,
        members: () => this.view,
        lock: async (stripes) => ({ stripes, release: () => {} }) as never,
        unlock: () => {},
        account: async () => {},
        isWritten: (stripe) => this.written.has(stripe),
        changed: (stripe) => this.written.add(stripe),
        isUntrusted: (stripe) => this.untrusted.has(stripe),
        askedEverybody: () => false,
        gaveUp: () => {},
        lostForGood: () => {},
        recoverLost: (blocks, pages, crcs, trusted) => this.#recoverLost(blocks, pages, crcs, trusted),
        checkpoint: async (seq) => this.#checkpoint(seq),
      },
      slabRegion(slab, this.ring.extraAt + SCRATCH_BYTES, LOST_BYTES),
    );
  }

  /** As the engine's: the stripes while they are trusted, else the ring. */
  async #recoverLost(blocks: Float64Array, pages: Uint32Array, crcs: Uint32Array, trusted: boolean): Promise<boolean[]> {
    if (trusted) {
      const outcome = await this.pool.recover({ members: this.view, blocks, pages, repair: false });
      crcs.set(outcome.crcs);
      return Array.from(outcome.status, (status) => status === 0);
    }
    const had: boolean[] = [];
    for (let i = 0; i < blocks.length; i++) {
      const place = this.ring.journal.index.lookup(blocks[i] as number);
      had.push(place >= 0 && (await this.ring.reader.read(place, 1, (pages[i] as number) * BLOCK_BYTES)));
      if (place >= 0) crcs[i] = this.ring.journal.table.crc[place] as number;
    }
    return had;
  }

  #checkpoint(seq: number): void {
    this.onCheckpoint();
    const { journal } = this.ring;
    this.checkpoints++;
    this.durable.tables = this.tables.map((table) => Uint32Array.from(table));
    this.durable.written = new Set(this.written);
    this.durable.destagedSeq = seq;
    this.durable.tailSeq = seq;
    this.durable.lsn = journal.table.lastLsn[journal.table.slotOf(seq - 1)] as number;
    journal.setDestaged(seq);
    journal.setDrained(seq);
    journal.removeBefore(seq);
  }

  /** After a recovery: rows that undestaged entries touch may be torn. */
  distrust(): void {
    const { table, index, destagedSeq, headSeq } = this.ring.journal;
    for (let seq = destagedSeq; seq < headSeq; seq++) {
      const slot = table.slotOf(seq);
      for (let at = 0; at < (table.used[slot] as number); at++) {
        const block = index.blockAt[slot * table.segmentBlocks + at] as number;
        if (block >= 0) this.untrusted.add(GEOMETRY.stripeOf(block));
      }
      const zeroes = table.zeroes[slot];
      for (let i = 0; zeroes && i < zeroes.first.length; i++) {
        const first = zeroes.first[i] as number;
        for (let block = first; block < first + (zeroes.count[i] as number); block++) this.untrusted.add(GEOMETRY.stripeOf(block));
      }
    }
  }

  /** Destages all that is closed. False when it is blocked. */
  async destageAll(): Promise<boolean> {
    const { journal } = this.ring;
    journal.close();
    while (this.destager.appliedSeq < journal.headSeq) {
      const done = await this.ring.during(this.destager.pass(journal.headSeq, 4));
      if (done === 0) return false;
    }
    await this.ring.during(this.destager.settled());
    return true;
  }

  /** Block as the stripes give it, lost members reconstructed; null when they cannot. */
  async stored(block: number): Promise<Uint8Array | null> {
    const page = this.ring.extraAt / BLOCK_BYTES + SCRATCH_BYTES / BLOCK_BYTES;
    const outcome = await this.pool.recover({
      members: this.view,
      blocks: Float64Array.of(block),
      pages: Uint32Array.of(page),
      repair: false,
    });
    return outcome.status[0] === 0 ? Uint8Array.from(this.ring.slab.view.subarray(page * BLOCK_BYTES, (page + 1) * BLOCK_BYTES)) : null;
  }
}
