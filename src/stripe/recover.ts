import { assert } from '../base/assert.js';
import { CrossCheck } from './cross-check.js';
import { decodeRow, ROW_BEYOND, ROW_READS_MORE, wantEnough } from './decode-row.js';
import { CRC_LOST, fitsEntry, integrityEntry } from './geometry.js';
import type { RecoverOutcome, RecoverTask } from './stripe-pool.js';
import {
  ACCESS_KNOWN,
  ACCESS_READ,
  NO_PAGE,
  SLOT_ABSENT,
  SLOT_BAD,
  SLOT_DERIVED,
  SLOT_LOADED,
  SLOT_READABLE,
  SLOT_WANTED,
  SLOT_ZERO,
} from './slot-state.js';
import type { Scratch, Workspace } from './workspace.js';

export const RECOVER_DONE = 0;
export const RECOVER_BEYOND = 1;
export const RECOVER_LOST = 2;

const ROW_IDLE = 0;
/** Has wanted blocks. */
const ROW_ASKED = 1;
/** Has a wanted block that must be reconstructed. */
const ROW_DECODE = 2;

/** Bounds the tables of a batch when few blocks of many stripes are wanted. */
const BATCH_STRIPES_MAX = 512;

/** Puts wanted volume blocks at their pages: read where they are good, reconstructed where they are not. */
export class RecoverOperation {
  readonly #ws: Workspace;
  readonly #cross: CrossCheck;
  /** Distinct stripes of the batch, and per wanted block of the batch its slot. */
  #stripes = new Float64Array(0);
  #slots = new Int32Array(0);
  #count = 0;
  /** Per (i, row): ROW_*. */
  #row = new Uint8Array(0);

  constructor(workspace: Workspace) {
    this.#ws = workspace;
    this.#cross = new CrossCheck(workspace);
  }

  run(task: RecoverTask, scratch: Scratch): RecoverOutcome {
    const ws = this.#ws;
    const blocks = task.blocks.length;
    const status = new Uint8Array(blocks);
    const crcs = new Uint32Array(blocks);
    ws.beginTask(task.members, scratch);
    this.#reserve(Math.min(blocks, BATCH_STRIPES_MAX), blocks);
    let repaired = 0;
    let first = 0;
    while (first < blocks) {
      const end = this.#fit(task, first);
      repaired += this.#batch(task, first, end, status, crcs);
      first = end;
    }
    const { readErrors, writeErrors, writeErrno, checksumErrors, repairs, bytesRead, bytesWritten } = ws.tally;
    return { status, crcs, repaired, readErrors, writeErrors, writeErrno, checksumErrors, repairs, bytesRead, bytesWritten };
  }

  /** Places wanted blocks from `first` in the batch's stripes until the worst case fills the scratch; returns the end. */
  #fit(task: RecoverTask, first: number): number {
    const { geometry, scratchPages } = this.#ws;
    const { n, rows } = geometry;
    let count = 0;
    let rowsAsked = 0;
    let last = -1;
    for (let b = first; b < task.blocks.length; b++) {
      const block = task.blocks[b] as number;
      const stripe = geometry.stripeOf(block);
      assert(stripe >= last, 'wanted blocks ascend');
      if (stripe !== last) {
        if (count === BATCH_STRIPES_MAX || (count > 0 && (rowsAsked + rows) * n > scratchPages)) return this.#begin(count, b);
        last = stripe;
        this.#row.fill(ROW_IDLE, count * rows, (count + 1) * rows);
        this.#stripes[count++] = stripe;
      }
      const at = geometry.slotOf(block);
      const shard = Math.floor(at / rows);
      const row = at - shard * rows;
      if (this.#row[(count - 1) * rows + row] === ROW_IDLE) {
        this.#row[(count - 1) * rows + row] = ROW_ASKED;
        rowsAsked += 1;
      }
      this.#slots[b - first] = ((count - 1) * n + shard) * rows + row;
    }
    return this.#begin(count, task.blocks.length);
  }

  #begin(count: number, end: number): number {
    this.#ws.beginBatch(this.#stripes, 0, count);
    this.#count = count;
    return end;
  }

  #batch(task: RecoverTask, first: number, end: number, status: Uint8Array, crcs: Uint32Array): number {
    const ws = this.#ws;
    const { n, rows } = ws.geometry;
    for (let i = 0; i < this.#count; i++) {
      for (let row = 0; row < rows; row++) if (this.#row[i * rows + row] === ROW_ASKED) ws.loadRow(i, row);
    }
    for (let b = first; b < end; b++) {
      const slot = this.#slots[b - first] as number;
      assert(ws.page[slot] === NO_PAGE, 'each block wanted once');
      ws.page[slot] = task.pages[b] as number;
      if (ws.state[slot] === SLOT_READABLE) ws.state[slot] = SLOT_WANTED;
    }
    ws.readWanted(this.#count);
    this.#reconstruct(task, first, end);
    for (let b = first; b < end; b++) status[b] = this.#conclude(this.#slots[b - first] as number, task.pages[b] as number, crcs, b);
    if (!task.repair || !ws.anyBad) return 0;
    const slots = this.#count * n * rows;
    for (let slot = 0; slot < slots; slot++) if (this.#repairs(slot)) this.#queueRepair(slot);
    ws.runWrites(false);
    let repaired = 0;
    for (let slot = 0; slot < slots; slot++) {
      if (!this.#repairs(slot)) continue;
      const place = Math.floor(slot / rows);
      if (ws.writeFailed[place] === 0) repaired += 1;
      // Says what it said before, but for one that was lost with its page.
      const i = Math.floor(place / n);
      ws.setEntry(i, place - i * n, slot - place * rows, integrityEntry(ws.crc[slot] as number));
    }
    return repaired;
  }

  #reconstruct(task: RecoverTask, first: number, end: number): void {
    const ws = this.#ws;
    const { rows } = ws.geometry;
    let any = false;
    for (let b = first; b < end; b++) {
      const slot = this.#slots[b - first] as number;
      if (ws.state[slot] !== SLOT_ABSENT && ws.state[slot] !== SLOT_BAD) continue;
      this.#row[this.#rowOf(slot)] = ROW_DECODE;
      any = true;
    }
    if (!any) return;
    if (task.strict !== undefined) this.#refuseTorn(task.strict === 'spare');
    for (let reads = true; reads; ) {
      reads = false;
      for (let r = 0; r < this.#count * rows; r++) {
        if (this.#row[r] !== ROW_DECODE) continue;
        const need = wantEnough(ws, Math.floor(r / rows), r % rows);
        if (need === ROW_READS_MORE) reads = true;
        else if (need === ROW_BEYOND) this.#row[r] = ROW_ASKED;
      }
      if (reads) ws.readWanted(this.#count);
    }
    for (let b = first; b < end; b++) {
      const slot = this.#slots[b - first] as number;
      const lost = ws.state[slot] === SLOT_ABSENT || ws.state[slot] === SLOT_BAD;
      if (lost && this.#row[this.#rowOf(slot)] === ROW_DECODE) ws.state[slot] = SLOT_DERIVED;
    }
    if (task.repair && ws.anyBad) this.#deriveBad();
    for (let r = 0; r < this.#count * rows; r++) {
      if (this.#row[r] === ROW_DECODE) assert(decodeRow(ws, Math.floor(r / rows), r % rows), 'a row with enough blocks decodes');
    }
    ws.math.flush();
    ws.runCrcs();
    if (task.strict === undefined) return;
    for (let r = 0; r < this.#count * rows; r++) {
      if (this.#row[r] === ROW_DECODE && !this.#cross.agrees(Math.floor(r / rows), r % rows)) this.#refuse(r);
    }
  }

  /** Rows of which some block does not fit its entry are not reconstructed. */
  #refuseTorn(spare: boolean): void {
    const ws = this.#ws;
    const { n, rows } = ws.geometry;
    for (let slot = 0; slot < this.#count * n * rows; slot++) {
      if (ws.state[slot] === SLOT_READABLE && this.#row[this.#rowOf(slot)] === ROW_DECODE) ws.state[slot] = SLOT_WANTED;
    }
    ws.readWanted(this.#count);
    for (let r = 0; r < this.#count * rows; r++) {
      if (this.#row[r] === ROW_DECODE && (ws.rowBad[r] === 1 || !this.#cross.possible(Math.floor(r / rows), r % rows, spare)))
        this.#row[r] = ROW_ASKED;
    }
  }

  /** Nothing that was reconstructed of the row is believed. */
  #refuse(r: number): void {
    const ws = this.#ws;
    const { n, rows } = ws.geometry;
    const i = Math.floor(r / rows);
    for (let slot = i * n * rows + (r % rows); slot < (i + 1) * n * rows; slot += rows)
      if (ws.state[slot] === SLOT_DERIVED) ws.state[slot] = SLOT_ABSENT;
  }

  /** Bad blocks met on the way, though not asked for, are repaired too. */
  #deriveBad(): void {
    const ws = this.#ws;
    const { n, rows } = ws.geometry;
    for (let slot = 0; slot < this.#count * n * rows; slot++) {
      if (ws.state[slot] === SLOT_BAD && this.#row[this.#rowOf(slot)] === ROW_DECODE) ws.state[slot] = SLOT_DERIVED;
    }
  }

  /** Status of one wanted block; sets its checksum. A reconstruction is believed only when it fits the entry, where that is known. */
  #conclude(slot: number, page: number, crcs: Uint32Array, b: number): number {
    const ws = this.#ws;
    const { n, rows } = ws.geometry;
    const place = Math.floor(slot / rows);
    const i = Math.floor(place / n);
    const shard = place - i * n;
    const row = slot - place * rows;
    const entry = ws.entry(i, shard, row);
    const state = ws.state[slot];
    if (state === SLOT_ZERO) {
      if (entry === CRC_LOST) return RECOVER_LOST;
      ws.zeroPage(page);
      return RECOVER_DONE;
    }
    if (state === SLOT_DERIVED && ws.can(i, shard, ACCESS_KNOWN) && !fitsEntry(ws.crc[slot] as number, entry)) return RECOVER_BEYOND;
    if (state !== SLOT_LOADED && state !== SLOT_DERIVED) return RECOVER_BEYOND;
    if (state === SLOT_DERIVED && ws.view.zeroesDoubted === true && !ws.can(i, shard, ACCESS_KNOWN) && ws.pageIsZero(page))
      return RECOVER_LOST;
    crcs[b] = ws.crc[slot] as number;
    return RECOVER_DONE;
  }

  /** A bad block that was reconstructed and fits its entry is written back. (One reconstructed on a member not yet rebuilt is not: that is the rebuild's.) */
  #repairs(slot: number): boolean {
    const ws = this.#ws;
    const { n, rows } = ws.geometry;
    if (ws.state[slot] !== SLOT_DERIVED) return false;
    const place = Math.floor(slot / rows);
    const i = Math.floor(place / n);
    const shard = place - i * n;
    return ws.can(i, shard, ACCESS_READ) && fitsEntry(ws.crc[slot] as number, ws.entry(i, shard, slot - place * rows));
  }

  #queueRepair(slot: number): void {
    const { n, rows } = this.#ws.geometry;
    const place = Math.floor(slot / rows);
    const i = Math.floor(place / n);
    this.#ws.queueWrite(i, place - i * n, slot - place * rows, this.#ws.page[slot] as number);
  }

  /** Index of a slot's row in #row. */
  #rowOf(slot: number): number {
    const { n, rows } = this.#ws.geometry;
    return Math.floor(slot / (n * rows)) * rows + (slot % rows);
  }

  #reserve(stripes: number, blocks: number): void {
    if (this.#stripes.length < stripes) {
      this.#stripes = new Float64Array(stripes);
      this.#row = new Uint8Array(stripes * this.#ws.geometry.rows);
    }
    if (this.#slots.length < blocks) this.#slots = new Int32Array(blocks);
  }
}
