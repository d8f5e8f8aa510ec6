import { assert } from '../base/assert.js';
import { BLOCK_BYTES } from '../base/units.js';
import type { BlockingIo } from '../device/device.js';
import { type Addon, RING_READ, RING_SYNC, RING_WRITE } from '../native/addon-api.js';
import { BlockOps } from './block-ops.js';
import { CrcBatch } from './crc-batch.js';
import { CRC_UNKNOWN, integrityEntry, type StripeGeometry } from './geometry.js';
import { RowMath } from './row-math.js';
import { certainBelow, memberAccess, NO_PAGE, SLOT_BAD, SLOT_LOADED, SLOT_WANTED, slotState } from './slot-state.js';
import type { MemberView, StripeOutcome } from './stripe-pool.js';

/** The part of the addon that stripe work uses. */
export type StripeKernels = Pick<Addon, 'gfPrepare' | 'gfApply' | 'crcBlocks' | 'isZero'>;

export interface WorkspaceSetup {
  readonly geometry: StripeGeometry;
  /** The slab from its page-aligned start: page p is bytes p * 4096. */
  readonly memory: Uint8Array;
  readonly dataOffset: Float64Array;
  readonly integrity: readonly Uint32Array[];
  readonly io: BlockingIo;
  readonly kernels: StripeKernels;
}

/** Slab pages that belong to one task. */
export interface Scratch {
  readonly firstPage: number;
  readonly pages: number;
}

/** What one task counts. */
export interface Tally {
  readonly readErrors: Uint32Array;
  readonly writeErrors: Uint32Array;
  readonly writeErrno: Int32Array;
  readonly checksumErrors: Uint32Array;
  readonly repairs: Uint32Array;
  bytesRead: number;
  bytesWritten: number;
}

/**
 * The tables of a batch of stripes, and the machinery the four operations share: merged reads with every checksum verified, row math, merged
 * writes. Slot (i, shard, row) of the batch is (i * n + shard) * rows + row, place (i, shard) is i * n + shard. One per thread, reused for every task.
 */
export class Workspace {
  readonly geometry: StripeGeometry;
  readonly memory: Uint8Array;
  readonly kernels: StripeKernels;
  readonly tables: readonly Uint32Array[];
  readonly math: RowMath;

  /** Stripe numbers of the batch. */
  stripes = new Float64Array(0);
  /** Per slot: SLOT_*, page, and the checksum last computed of that page. */
  state = new Uint8Array(0);
  page = new Uint32Array(0);
  crc = new Uint32Array(0);
  /** Per place: member, ACCESS_* bits, and 1 when a write to it failed in this batch. */
  member = new Uint8Array(0);
  access = new Uint8Array(0);
  writeFailed = new Uint8Array(0);
  /** Per (i, row): 1 when a read of this batch found a bad block there. */
  rowBad = new Uint8Array(0);
  anyBad = false;
  /** Slots of the batch that were counted as errors and are not written again yet. */
  readonly #open = new Set<number>();

  view: MemberView;
  tally: Tally;

  readonly #io: BlockingIo;
  readonly #dataOffset: Float64Array;
  readonly #ops = new BlockOps();
  readonly #retry = new BlockOps();
  readonly #crcs: CrcBatch;
  #nextPage = 0;
  #endPage = 0;
  #scratch: Scratch = { firstPage: 0, pages: 0 };

  constructor(setup: WorkspaceSetup) {
    this.geometry = setup.geometry;
    this.memory = setup.memory;
    this.kernels = setup.kernels;
    this.tables = setup.integrity;
    this.#io = setup.io;
    this.#dataOffset = setup.dataOffset;
    this.#crcs = new CrcBatch(setup.memory, setup.kernels);
    this.math = new RowMath(setup.geometry.k, setup.geometry.m, setup.memory, setup.kernels);
    const n = setup.geometry.n;
    assert(setup.integrity.length >= n && setup.dataOffset.length >= n, 'an integrity table and a data offset for every data member');
    this.view = { handle: new Int32Array(n).fill(-1), rebuiltStripes: new Float64Array(n), integrityKnown: new Uint8Array(n) };
    this.tally = newTally(n);
  }

  get scratchPages(): number {
    return this.#scratch.pages;
  }

  beginTask(view: MemberView, scratch: Scratch): void {
    const { n, rows } = this.geometry;
    assert(scratch.pages >= n * rows, 'scratch of at least one stripe');
    this.view = view;
    this.#uncertain = view.handle.some((handle, i) => handle < 0 || !certainBelow(view, i, Number.MAX_SAFE_INTEGER));
    this.#scratch = scratch;
    this.tally = newTally(n);
  }

  /** Some member is away, or being rebuilt. */
  #uncertain = false;

  /** Starts a batch: stripes[first .. first + count - 1] become 0 .. count - 1. All scratch pages are free again, all slots ABSENT and without page. */
  beginBatch(stripes: Float64Array, first: number, count: number): void {
    const { n, rows } = this.geometry;
    this.#reserve(count);
    this.state.fill(0, 0, count * n * rows);
    this.page.fill(NO_PAGE, 0, count * n * rows);
    this.writeFailed.fill(0, 0, count * n);
    this.rowBad.fill(0, 0, count * rows);
    this.anyBad = false;
    this.#open.clear();
    this.#ops.clear();
    this.#crcs.clear();
    this.#nextPage = this.#scratch.firstPage;
    this.#endPage = this.#scratch.firstPage + this.#scratch.pages;
    for (let i = 0; i < count; i++) {
      const stripe = stripes[first + i] as number;
      this.stripes[i] = stripe;
      for (let shard = 0; shard < n; shard++) {
        const member = this.geometry.memberOf(stripe, shard);
        this.member[i * n + shard] = member;
        this.access[i * n + shard] = memberAccess(this.view, member, stripe);
      }
    }
  }

  /** Sets the state of all n slots of a row from the members and their integrity tables. */
  loadRow(i: number, row: number): void {
    const { n, rows } = this.geometry;
    const block = this.geometry.memberBlock(this.stripes[i] as number, row);
    let slot = i * n * rows + row;
    for (let place = i * n; place < (i + 1) * n; place++, slot += rows) {
      const entry = (this.tables[this.member[place] as number] as Uint32Array)[block] as number;
      this.state[slot] = slotState(this.access[place] as number, entry);
    }
  }

  /** Integrity entry of a slot. */
  entry(i: number, shard: number, row: number): number {
    const table = this.tables[this.member[i * this.geometry.n + shard] as number] as Uint32Array;
    return table[this.geometry.memberBlock(this.stripes[i] as number, row)] as number;
  }

  setEntry(i: number, shard: number, row: number, entry: number): void {
    const table = this.tables[this.member[i * this.geometry.n + shard] as number] as Uint32Array;
    table[this.geometry.memberBlock(this.stripes[i] as number, row)] = entry;
  }

  can(i: number, shard: number, access: number): boolean {
    return ((this.access[i * this.geometry.n + shard] as number) & access) !== 0;
  }

  /** What the member of a shard holds of this stripe is still there after a crash. */
  certain(i: number, shard: number): boolean {
    if (!this.#uncertain) return true;
    return certainBelow(this.view, this.member[i * this.geometry.n + shard] as number, this.stripes[i] as number);
  }

  /** The page of a slot, a fresh scratch page when it has none. Consecutive calls give consecutive pages. */
  ownPage(slot: number): number {
    let page = this.page[slot] as number;
    if (page === NO_PAGE) {
      assert(this.#nextPage < this.#endPage, 'scratch pages for the batch');
      page = this.#nextPage++;
      this.page[slot] = page;
    }
    return page;
  }

  zeroPage(page: number): void {
    this.memory.fill(0, page * BLOCK_BYTES, (page + 1) * BLOCK_BYTES);
  }

  pageIsZero(page: number): boolean {
    return this.kernels.isZero(this.memory, page * BLOCK_BYTES, BLOCK_BYTES);
  }

  /**
   * Reads every WANTED slot of the batch into its page (its own, or a scratch page), neighbours merged, as one batch, and verifies every block: slots become
   * LOADED or BAD; rowBad and anyBad say where bad ones were found.
   */
  readWanted(count: number): void {
    const { n, rows } = this.geometry;
    const end = count * n * rows;
    for (let slot = this.#nextWanted(0, end); slot < end; slot = this.#nextWanted(slot + 1, end)) {
      const place = Math.floor(slot / rows);
      const page = this.ownPage(slot);
      this.#ops.add(RING_READ, this.#handle(place), page, this.#deviceOffset(place, slot - place * rows), slot, place);
    }
    this.#runReads();
  }

  #nextWanted(from: number, end: number): number {
    const found = this.state.indexOf(SLOT_WANTED, from);
    return found < 0 ? end : Math.min(found, end);
  }

  #runReads(): void {
    const ops = this.#ops;
    ops.run(this.#io);
    this.#retry.clear();
    for (let o = 0; o < ops.count; o++) {
      const length = ops.length(o);
      if (ops.succeeded(o)) {
        this.tally.bytesRead += length;
        this.#verifyLater(ops, o);
      } else if (length === BLOCK_BYTES) this.#failRead(ops.slots[o] as number, ops.places[o] as number);
      else this.#splitRead(o);
    }
    if (this.#retry.count > 0) this.#rerunSplit();
    ops.clear();
    this.#verify();
  }

  /** Queues the write of a page to a slot's place. Call in slot order. */
  queueWrite(i: number, shard: number, row: number, page: number): void {
    const place = i * this.geometry.n + shard;
    this.#ops.add(RING_WRITE, this.#handle(place), page, this.#deviceOffset(place, row), place * this.geometry.rows + row, place);
  }

  /** Runs the queued writes as one batch; all of them are tried. sync: then makes them durable on the members written. */
  runWrites(sync: boolean): void {
    const ops = this.#ops;
    ops.run(this.#io);
    const written = ops.count;
    for (let o = 0; o < written; o++) {
      if (ops.succeeded(o)) this.#written(ops, o);
      else this.#failWrite(ops.places[o] as number, ops.results[o] as number);
    }
    if (sync && written > 0) this.#syncWritten(written);
    ops.clear();
  }

  /** Queues the checksum of a slot's page; runCrcs puts it in crc[slot]. */
  queueCrc(i: number, shard: number, row: number, page: number): void {
    const slot = (i * this.geometry.n + shard) * this.geometry.rows + row;
    this.#crcs.add(slot, page * BLOCK_BYTES, this.geometry.crcAddress(this.stripes[i] as number, shard, row));
  }

  runCrcs(): void {
    this.#crcs.run(this.crc);
  }

  outcome(status: Uint8Array): StripeOutcome {
    return { status, ...this.tally };
  }

  #handle(place: number): number {
    return this.view.handle[this.member[place] as number] as number;
  }

  #deviceOffset(place: number, row: number): number {
    const stripe = this.stripes[Math.floor(place / this.geometry.n)] as number;
    return (this.#dataOffset[this.member[place] as number] as number) + this.geometry.memberBlock(stripe, row) * BLOCK_BYTES;
  }

  #verifyLater(ops: BlockOps, operation: number): void {
    const { n, rows } = this.geometry;
    const place = ops.places[operation] as number;
    const i = Math.floor(place / n);
    const first = ops.slots[operation] as number;
    const memory = ops.memory(operation);
    for (let b = 0; b < ops.length(operation) / BLOCK_BYTES; b++) {
      const slot = first + b;
      this.#crcs.add(
        slot,
        memory + b * BLOCK_BYTES,
        this.geometry.crcAddress(this.stripes[i] as number, place - i * n, slot - place * rows),
      );
    }
  }

  #verify(): void {
    const { n, rows } = this.geometry;
    const count = this.#crcs.run(this.crc);
    for (let c = 0; c < count; c++) {
      const slot = this.#crcs.slots[c] as number;
      const place = Math.floor(slot / rows);
      const i = Math.floor(place / n);
      const row = slot - place * rows;
      const entry = this.entry(i, place - i * n, row);
      if (integrityEntry(this.crc[slot] as number) === entry) this.state[slot] = SLOT_LOADED;
      else {
        // A lost page of checksums was counted once: its thousand blocks are most likely as they should be.
        if (entry !== CRC_UNKNOWN) {
          (this.tally.checksumErrors[this.member[place] as number] as number)++;
          this.#open.add(slot);
        }
        this.#markBad(slot, i, row);
      }
    }
  }

  #failRead(slot: number, place: number): void {
    const { n, rows } = this.geometry;
    (this.tally.readErrors[this.member[place] as number] as number)++;
    this.#open.add(slot);
    this.#markBad(slot, Math.floor(place / n), slot - place * rows);
  }

  #markBad(slot: number, i: number, row: number): void {
    this.state[slot] = SLOT_BAD;
    this.rowBad[i * this.geometry.rows + row] = 1;
    this.anyBad = true;
  }

  /** One unreadable sector must not make erasures of its neighbours: a failed merged read is tried again block by block. */
  #splitRead(operation: number): void {
    const place = this.#ops.places[operation] as number;
    const slot = this.#ops.slots[operation] as number;
    const page = this.#ops.memory(operation) / BLOCK_BYTES;
    for (let b = 0; b < this.#ops.length(operation) / BLOCK_BYTES; b++) {
      const offset = this.#deviceOffset(place, slot + b - place * this.geometry.rows);
      this.#retry.addAlone(RING_READ, this.#handle(place), page + b, offset, slot + b, place);
    }
  }

  #rerunSplit(): void {
    const ops = this.#retry;
    ops.run(this.#io);
    for (let o = 0; o < ops.count; o++) {
      if (ops.succeeded(o)) {
        this.tally.bytesRead += ops.length(o);
        this.#verifyLater(ops, o);
      } else this.#failRead(ops.slots[o] as number, ops.places[o] as number);
    }
  }

  #written(ops: BlockOps, operation: number): void {
    const length = ops.length(operation);
    this.tally.bytesWritten += length;
    if (this.#open.size === 0) return;
    const first = ops.slots[operation] as number;
    const member = this.member[ops.places[operation] as number] as number;
    for (let slot = first; slot < first + length / BLOCK_BYTES; slot++) {
      if (this.#open.delete(slot)) (this.tally.repairs[member] as number)++;
    }
  }

  #failWrite(place: number, result: number): void {
    const member = this.member[place] as number;
    (this.tally.writeErrors[member] as number)++;
    this.tally.writeErrno[member] = Math.max(0, -result);
    this.writeFailed[place] = 1;
  }

  #syncWritten(written: number): void {
    const ops = this.#retry;
    ops.clear();
    const seen = new Set<number>();
    for (let o = 0; o < written; o++) {
      const place = this.#ops.places[o] as number;
      const member = this.member[place] as number;
      if (seen.has(member)) continue;
      seen.add(member);
      ops.addControl(RING_SYNC, this.view.handle[member] as number, place);
    }
    ops.run(this.#io);
    for (let o = 0; o < ops.count; o++) {
      const result = ops.results[o] as number;
      if (result < 0) this.#failWrite(ops.places[o] as number, result);
    }
  }

  #reserve(count: number): void {
    const { n, rows } = this.geometry;
    if (count <= this.stripes.length) return;
    this.stripes = new Float64Array(count);
    this.state = new Uint8Array(count * n * rows);
    this.page = new Uint32Array(count * n * rows);
    this.crc = new Uint32Array(count * n * rows);
    this.member = new Uint8Array(count * n);
    this.access = new Uint8Array(count * n);
    this.writeFailed = new Uint8Array(count * n);
    this.rowBad = new Uint8Array(count * rows);
  }
}

function newTally(members: number): Tally {
  return {
    readErrors: new Uint32Array(members),
    writeErrors: new Uint32Array(members),
    writeErrno: new Int32Array(members),
    checksumErrors: new Uint32Array(members),
    repairs: new Uint32Array(members),
    bytesRead: 0,
    bytesWritten: 0,
  };
}
