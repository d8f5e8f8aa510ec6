import { decodeRow, ROW_BEYOND, ROW_READS_MORE, wantEnough } from './decode-row.js';
import { CRC_LOST, CRC_UNWRITTEN, fitsEntry, integrityEntry } from './geometry.js';
import {
  type RebuildTask,
  SOURCE_KEEP,
  SOURCE_LOST,
  SOURCE_ZERO,
  STRIPE_BEYOND,
  STRIPE_DONE,
  STRIPE_FAILED,
  type StripeOutcome,
} from './stripe-pool.js';
import {
  CRC_STALE,
  ACCESS_KNOWN,
  ACCESS_WRITE,
  SLOT_ABSENT,
  SLOT_BAD,
  SLOT_DERIVED,
  SLOT_LOADED,
  SLOT_READABLE,
  SLOT_WANTED,
  SLOT_ZERO,
} from './slot-state.js';
import type { Scratch, Workspace } from './workspace.js';

/** Nothing of the targets is lost in the row. */
const ROW_IDLE = 0;
/** What is lost follows from k good shards. */
const ROW_DERIVE = 1;
/** Parity is not trusted, or cannot be kept because a block is lost for good: all data are there or given, and all parity is made new. */
const ROW_DATA = 2;

/** What was taken from `provided` for a slot. */
const TAKEN_NOTHING = 0;
const TAKEN_PAGE = 1;
const TAKEN_ZERO = 2;
const TAKEN_LOST = 3;

/** Makes the target members' blocks of whole stripes from survivors and from blocks provided from elsewhere. */
export class RebuildOperation {
  readonly #ws: Workspace;
  #mode = new Uint8Array(0);
  /** Per slot: TAKEN_*. */
  #taken = new Uint8Array(0);
  /** Per data member: 1 for a target. */
  #target = new Uint8Array(0);
  #count = 0;
  #first = 0;

  constructor(workspace: Workspace) {
    this.#ws = workspace;
  }

  run(task: RebuildTask, scratch: Scratch): StripeOutcome {
    const ws = this.#ws;
    const { n, rows } = ws.geometry;
    const status = new Uint8Array(task.stripes.length);
    ws.beginTask(task.members, scratch);
    this.#target = new Uint8Array(n);
    for (const member of task.targets) this.#target[member] = 1;
    const perBatch = Math.floor(scratch.pages / (n * rows));
    if (this.#mode.length < perBatch * rows) {
      this.#mode = new Uint8Array(perBatch * rows);
      this.#taken = new Uint8Array(perBatch * n * rows);
    }
    for (let first = 0; first < task.stripes.length; first += perBatch) {
      this.#first = first;
      this.#count = Math.min(perBatch, task.stripes.length - first);
      this.#batch(task, status);
    }
    return ws.outcome(status);
  }

  #batch(task: RebuildTask, status: Uint8Array): void {
    const ws = this.#ws;
    const { n, rows } = ws.geometry;
    ws.beginBatch(task.stripes, this.#first, this.#count);
    this.#taken.fill(TAKEN_NOTHING, 0, this.#count * n * rows);
    for (let i = 0; i < this.#count; i++) this.#start(task, i);
    for (let reads = true; reads; ) {
      reads = false;
      for (let i = 0; i < this.#count; i++) {
        if (status[this.#first + i] !== STRIPE_DONE) continue;
        const need = this.#decide(task, i);
        if (need === ROW_BEYOND) status[this.#first + i] = this.#abandon(i);
        else if (need === ROW_READS_MORE) reads = true;
      }
      if (reads) ws.readWanted(this.#count);
    }
    for (let i = 0; i < this.#count; i++) if (status[this.#first + i] === STRIPE_DONE) this.#queueMath(i);
    ws.math.flush();
    ws.runCrcs();
    for (let i = 0; i < this.#count; i++) {
      if (status[this.#first + i] === STRIPE_DONE && !this.#believable(i)) status[this.#first + i] = this.#abandon(i);
      this.#dropZeroes(i);
      this.#queueWrites(i);
    }
    ws.runWrites(false);
    for (let i = 0; i < this.#count; i++) {
      if (status[this.#first + i] !== STRIPE_DONE) continue;
      this.#commit(i);
      if (this.#targetFailed(i)) status[this.#first + i] = STRIPE_FAILED;
    }
  }

  #start(task: RebuildTask, i: number): void {
    const ws = this.#ws;
    const { n, rows } = ws.geometry;
    for (let row = 0; row < rows; row++) {
      ws.loadRow(i, row);
      let lost = false;
      for (let shard = 0; shard < n; shard++) {
        const target = this.#target[ws.member[i * n + shard] as number] === 1;
        if (target && ws.state[(i * n + shard) * rows + row] === SLOT_ABSENT) lost = true;
      }
      this.#mode[i * rows + row] = task.dataOnly ? ROW_DATA : lost ? ROW_DERIVE : ROW_IDLE;
    }
  }

  /** The worst of the stripe's rows: ROW_BEYOND, ROW_READS_MORE (marked as wanted) or ROW_ENOUGH. */
  #decide(task: RebuildTask, i: number): number {
    const { rows } = this.#ws.geometry;
    let worst = 0;
    for (let row = 0; row < rows; row++) {
      const mode = this.#mode[i * rows + row];
      if (mode === ROW_IDLE) continue;
      const need = mode === ROW_DATA ? this.#wantData(task, i, row) : this.#wantDerive(task, i, row);
      if (need > worst) worst = need;
    }
    return worst;
  }

  #wantDerive(task: RebuildTask, i: number, row: number): number {
    const { k, n, rows } = this.#ws.geometry;
    let lostForGood = false;
    for (let d = 0; d < k; d++) {
      const slot = (i * n + d) * rows + row;
      const state = this.#ws.state[slot];
      if (state !== SLOT_ABSENT && state !== SLOT_BAD) continue;
      const source = this.#source(task, i, d, row);
      if (source === SOURCE_LOST) lostForGood = true;
      else this.#take(slot, source);
    }
    const need = wantEnough(this.#ws, i, row);
    if (need !== ROW_BEYOND || !lostForGood) return need;
    this.#mode[i * rows + row] = ROW_DATA;
    return this.#wantData(task, i, row);
  }

  #wantData(task: RebuildTask, i: number, row: number): number {
    const ws = this.#ws;
    const { k, n, rows } = ws.geometry;
    let need = 0;
    for (let d = 0; d < k; d++) {
      const slot = (i * n + d) * rows + row;
      // When parity is not trusted, what is provided is newer than what the member has.
      if (task.dataOnly || ws.state[slot] === SLOT_ABSENT || ws.state[slot] === SLOT_BAD) this.#take(slot, this.#source(task, i, d, row));
      const state = ws.state[slot];
      if (state === SLOT_ABSENT || state === SLOT_BAD) return ROW_BEYOND;
      if (state === SLOT_READABLE) {
        ws.state[slot] = SLOT_WANTED;
        need = ROW_READS_MORE;
      }
    }
    return need;
  }

  #source(task: RebuildTask, i: number, shard: number, row: number): number {
    if (task.provided === null) return SOURCE_KEEP;
    const { rows, stripeBlocks } = this.#ws.geometry;
    return task.provided[(this.#first + i) * stripeBlocks + shard * rows + row] as number;
  }

  #take(slot: number, source: number): void {
    if (source === SOURCE_KEEP || this.#taken[slot] !== TAKEN_NOTHING) return;
    const page = source < SOURCE_LOST;
    this.#taken[slot] = page ? TAKEN_PAGE : source === SOURCE_ZERO ? TAKEN_ZERO : TAKEN_LOST;
    this.#ws.state[slot] = page ? SLOT_LOADED : SLOT_ZERO;
    if (page) this.#ws.page[slot] = source;
  }

  #queueMath(i: number): void {
    const ws = this.#ws;
    const { k, n, rows } = ws.geometry;
    for (let shard = 0; shard < n; shard++) {
      const target = this.#target[ws.member[i * n + shard] as number] === 1;
      const writable = ws.can(i, shard, ACCESS_WRITE);
      for (let row = 0; row < rows; row++) {
        const mode = this.#mode[i * rows + row];
        const slot = (i * n + shard) * rows + row;
        const state = ws.state[slot];
        if (mode === ROW_DERIVE && writable && (state === SLOT_BAD || (target && state === SLOT_ABSENT))) this.#own(slot);
        else if (mode === ROW_DATA && shard >= k) {
          if (writable) this.#own(slot);
          else ws.state[slot] = SLOT_ABSENT;
        }
        if (this.#taken[slot] === TAKEN_PAGE) ws.queueCrc(i, shard, row, ws.page[slot] as number);
      }
    }
    for (let row = 0; row < rows; row++) if (this.#mode[i * rows + row] !== ROW_IDLE) decodeRow(ws, i, row);
  }

  /** To be derived. The page is taken now, in slot order, so that neighbours are written as one. */
  #own(slot: number): void {
    this.#ws.ownPage(slot);
    this.#ws.state[slot] = SLOT_DERIVED;
  }

  /** Reconstructed data, and data provided for a row whose parity is trusted, must fit their entries where these are known. */
  #believable(i: number): boolean {
    const ws = this.#ws;
    const { k, n, rows } = ws.geometry;
    for (let d = 0; d < k; d++) {
      if (!ws.can(i, d, ACCESS_KNOWN)) continue;
      for (let row = 0; row < rows; row++) {
        if (this.#mode[i * rows + row] !== ROW_DERIVE) continue;
        const slot = (i * n + d) * rows + row;
        if (ws.state[slot] !== SLOT_DERIVED && this.#taken[slot] !== TAKEN_PAGE) continue;
        if (!fitsEntry(ws.crc[slot] as number, ws.entry(i, d, row))) return false;
      }
    }
    return true;
  }

  #abandon(i: number): number {
    const { n, rows } = this.#ws.geometry;
    this.#mode.fill(ROW_IDLE, i * rows, (i + 1) * rows);
    this.#ws.state.fill(SLOT_ABSENT, i * n * rows, (i + 1) * n * rows);
    this.#taken.fill(TAKEN_NOTHING, i * n * rows, (i + 1) * n * rows);
    return STRIPE_BEYOND;
  }

  /** Derived zeroes are not written but become unwritten, unless a known entry already says otherwise of a data block. */
  #dropZeroes(i: number): void {
    const ws = this.#ws;
    const { k, n, rows } = ws.geometry;
    for (let shard = 0; shard < n; shard++) {
      if (shard < k && ws.can(i, shard, ACCESS_KNOWN)) continue;
      for (let row = 0; row < rows; row++) {
        const slot = (i * n + shard) * rows + row;
        if (ws.state[slot] !== SLOT_DERIVED || !ws.pageIsZero(ws.page[slot] as number)) continue;
        ws.state[slot] = SLOT_ZERO;
        this.#taken[slot] = shard < k && ws.view.zeroesDoubted === true ? TAKEN_LOST : TAKEN_ZERO;
      }
    }
  }

  #queueWrites(i: number): void {
    const ws = this.#ws;
    const { n, rows } = ws.geometry;
    for (let shard = 0; shard < n; shard++) {
      if (!ws.can(i, shard, ACCESS_WRITE)) continue;
      for (let row = 0; row < rows; row++) {
        const slot = (i * n + shard) * rows + row;
        if (ws.state[slot] === SLOT_DERIVED || this.#taken[slot] === TAKEN_PAGE) ws.queueWrite(i, shard, row, ws.page[slot] as number);
      }
    }
  }

  #commit(i: number): void {
    const ws = this.#ws;
    const { k, n, rows } = ws.geometry;
    for (let shard = 0; shard < n; shard++) {
      for (let row = 0; row < rows; row++) {
        const slot = (i * n + shard) * rows + row;
        const taken = this.#taken[slot];
        if (ws.state[slot] === SLOT_DERIVED || taken === TAKEN_PAGE) ws.setEntry(i, shard, row, integrityEntry(ws.crc[slot] as number));
        else if (taken === TAKEN_ZERO) ws.setEntry(i, shard, row, CRC_UNWRITTEN);
        else if (taken === TAKEN_LOST) ws.setEntry(i, shard, row, CRC_LOST);
        else if (shard >= k && this.#mode[i * rows + row] === ROW_DATA) ws.setEntry(i, shard, row, CRC_STALE);
      }
    }
  }

  #targetFailed(i: number): boolean {
    const ws = this.#ws;
    const { n } = ws.geometry;
    for (let place = i * n; place < (i + 1) * n; place++) {
      if (ws.writeFailed[place] === 1 && this.#target[ws.member[place] as number] === 1) return true;
    }
    return false;
  }
}
