import { decodeRow } from './decode-row.js';
import { CRC_LOST, CRC_UNWRITTEN, fitsEntry, integrityEntry } from './geometry.js';
import { ROLE_INPUT, ROLE_NEW, ROLE_NONE, ROLE_OLD, ROLE_OLD_AND_NEW, ROLE_OUTPUT, ROLE_UPDATE, ROLE_ZERO } from './roles.js';
import { rowsSurvive, sameAsUncertain } from './row-loss.js';
import {
  type ApplyTask,
  SOURCE_KEEP,
  SOURCE_LOST,
  SOURCE_ZERO,
  STRIPE_BEYOND,
  STRIPE_DONE,
  STRIPE_FAILED,
  STRIPE_NEEDS_LOST,
  type StripeOutcome,
} from './stripe-pool.js';
import {
  CRC_STALE,
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

/** Bounds the tables of a batch when few rows of many stripes are touched. */
const BATCH_STRIPES_MAX = 512;
/** Rows computed before their parity is checksummed: their parity stays in the second-level cache. */
const ROWS_PER_FLUSH = 32;
/** What happens to a row. */
const ROW_UNTOUCHED = 0;
/** What is given is there already: only entries change, parity stays. */
const ROW_SAME = 1;
/** All data read as zeroes afterwards: entries only. */
const ROW_ZERO = 2;
/** No parity can be kept current: the given blocks are written and nothing else. */
const ROW_DIRECT = 3;
/** Parity from all data of the row: no reads when all are given, else reconstruct-write. */
const ROW_ENCODE = 4;
/** Read-modify-write. */
const ROW_DELTA = 5;

/**
 * Destage: puts the given blocks into their stripes and makes parity and integrity entries follow. All reads of a batch are done and verified before anything is
 * written; a stripe that cannot be written consistently is left untouched and its status says why.
 */
export class ApplyOperation {
  readonly #ws: Workspace;
  /** Per (i, row): ROW_*, and the number of data blocks given. */
  #mode = new Uint8Array(0);
  #given = new Uint16Array(0);

  constructor(workspace: Workspace) {
    this.#ws = workspace;
  }

  run(task: ApplyTask, scratch: Scratch): StripeOutcome {
    const status = new Uint8Array(task.stripes.length);
    this.#ws.beginTask(task.members, scratch);
    let first = 0;
    while (first < task.stripes.length) {
      const count = this.#fit(task, first);
      this.#batch(task, first, count, status);
      first += count;
    }
    return this.#ws.outcome(status);
  }

  /** Counts the given blocks of each row, and returns how many stripes from `first` the scratch pages hold at worst. */
  #fit(task: ApplyTask, first: number): number {
    const { k, m, n, rows, stripeBlocks } = this.#ws.geometry;
    const limit = Math.min(task.stripes.length - first, BATCH_STRIPES_MAX);
    if (this.#given.length < limit * rows) {
      this.#given = new Uint16Array(limit * rows);
      this.#mode = new Uint8Array(limit * rows);
    }
    this.#given.fill(0, 0, limit * rows);
    this.#mode.fill(ROW_UNTOUCHED, 0, limit * rows);
    let pages = 0;
    for (let i = 0; i < limit; i++) {
      let source = (first + i) * stripeBlocks;
      for (let d = 0; d < k; d++) {
        for (let row = 0; row < rows; row++) if (task.sources[source++] !== SOURCE_KEEP) (this.#given[i * rows + row] as number)++;
      }
      for (let row = 0; row < rows; row++) {
        const given = this.#given[i * rows + row];
        if (given !== 0) pages += given === k ? m : n;
      }
      if (pages > this.#ws.scratchPages && i > 0) return i;
    }
    return limit;
  }

  #batch(task: ApplyTask, first: number, count: number, status: Uint8Array): void {
    const ws = this.#ws;
    ws.beginBatch(task.stripes, first, count);
    for (let i = 0; i < count; i++) status[first + i] = this.#plan(task, first, i);
    ws.readWanted(count);
    let repairs = false;
    if (ws.anyBad) {
      for (let i = 0; i < count; i++) this.#wantRest(i);
      ws.readWanted(count);
      for (let i = 0; i < count; i++) {
        if (status[first + i] === STRIPE_DONE) status[first + i] = this.#mend(task, first, i);
      }
      ws.math.flush();
      ws.runCrcs();
      for (let i = 0; i < count; i++) {
        if (status[first + i] === STRIPE_DONE && this.#mendedWrongly(i)) status[first + i] = this.#abandon(i, STRIPE_BEYOND);
        repairs = this.#queueRepairs(i) || repairs;
      }
      // A block mended only in memory would be lost with the row's old parity in a crash half-way through the row.
      if (repairs) ws.runWrites(true);
    }
    this.#compute(task, first, count);
    for (let i = 0; i < count; i++) this.#queueWrites(task, first, i);
    ws.runWrites(false);
    for (let i = 0; i < count; i++) {
      if (status[first + i] !== STRIPE_DONE) continue;
      this.#commit(task, first, i);
      if (!rowsSurvive(ws, i, this.#given)) status[first + i] = STRIPE_FAILED;
    }
  }

  #plan(task: ApplyTask, first: number, i: number): number {
    const { rows } = this.#ws.geometry;
    for (let row = 0; row < rows; row++) {
      if (this.#given[i * rows + row] === 0) continue;
      const mode = this.#planRow(task, first, i, row);
      if (mode < 0) return this.#abandon(i, STRIPE_NEEDS_LOST);
      this.#mode[i * rows + row] = mode;
    }
    return STRIPE_DONE;
  }

  /** ROW_*, or -1 when a data block that is not given is lost. */
  #planRow(task: ApplyTask, first: number, i: number, row: number): number {
    const ws = this.#ws;
    const { k, n, rows, stripeBlocks } = ws.geometry;
    ws.loadRow(i, row);
    let keptReads = 0;
    let oldReads = 0;
    let keptLost = false;
    let oldLost = false;
    let changes = false;
    let nonZero = false;
    for (let d = 0; d < k; d++) {
      const source = task.sources[(first + i) * stripeBlocks + d * rows + row] as number;
      const state = ws.state[(i * n + d) * rows + row] as number;
      if (source === SOURCE_KEEP) {
        // Unwritten is something that is known only while we run, when the member is away: a crash would forget it.
        if (state === SLOT_ABSENT || (!ws.certain(i, d) && ws.entry(i, d, row) !== CRC_LOST)) keptLost = true;
        else if (state === SLOT_READABLE) {
          keptReads += 1;
          nonZero = true;
        }
        continue;
      }
      if (source < SOURCE_LOST) {
        nonZero = true;
        if (!sameAsUncertain(ws, i, d, row, state, task.crcs[(first + i) * stripeBlocks + d * rows + row] as number)) changes = true;
      } else if (state !== SLOT_ZERO) changes = true;
      if (state === SLOT_READABLE) oldReads += 1;
      else if (state === SLOT_ABSENT) oldLost = true;
    }
    if (!changes && !task.rewrite) return ROW_SAME;
    if (keptLost) return -1;
    if (!nonZero) return ROW_ZERO;
    let parityReads = 0;
    let parities = 0;
    let deltaFits = !oldLost && !task.rewrite;
    for (let p = k; p < n; p++) {
      if (!ws.can(i, p, ACCESS_WRITE)) continue;
      const state = ws.state[(i * n + p) * rows + row];
      parities += 1;
      if (state === SLOT_READABLE) parityReads += 1;
      else if (state === SLOT_ABSENT) deltaFits = false;
    }
    if (parities === 0) return ROW_DIRECT;
    const delta = deltaFits && oldReads + parityReads < keptReads;
    this.#wantRow(task, first, i, row, delta);
    return delta ? ROW_DELTA : ROW_ENCODE;
  }

  /** Delta: the old content of given blocks, and the parity. Otherwise: the data blocks that are not given. */
  #wantRow(task: ApplyTask, first: number, i: number, row: number, delta: boolean): void {
    const ws = this.#ws;
    const { k, n, rows, stripeBlocks } = ws.geometry;
    for (let shard = 0; shard < (delta ? n : k); shard++) {
      const slot = (i * n + shard) * rows + row;
      const kept = shard < k && task.sources[(first + i) * stripeBlocks + shard * rows + row] === SOURCE_KEEP;
      if (kept !== delta && ws.state[slot] === SLOT_READABLE) ws.state[slot] = SLOT_WANTED;
    }
  }

  /** Rows with a bad block: everything else that is readable is wanted now. */
  #wantRest(i: number): void {
    const ws = this.#ws;
    const { n, rows } = ws.geometry;
    for (let row = 0; row < rows; row++) {
      if (ws.rowBad[i * rows + row] === 0) continue;
      for (let slot = i * n * rows + row; slot < (i + 1) * n * rows; slot += rows) {
        if (ws.state[slot] === SLOT_READABLE) ws.state[slot] = SLOT_WANTED;
      }
    }
  }

  /** Makes every row with a bad block a row to encode, and queues the reconstruction of bad blocks that stay. */
  #mend(task: ApplyTask, first: number, i: number): number {
    const ws = this.#ws;
    const { k, n, rows, stripeBlocks } = ws.geometry;
    for (let row = 0; row < rows; row++) {
      if (ws.rowBad[i * rows + row] === 0) continue;
      this.#mode[i * rows + row] = ROW_ENCODE;
      let wanted = 0;
      for (let d = 0; d < k; d++) {
        const kept = task.sources[(first + i) * stripeBlocks + d * rows + row] === SOURCE_KEEP;
        if (kept && ws.state[(i * n + d) * rows + row] === SLOT_BAD) {
          wanted += 1;
          ws.state[(i * n + d) * rows + row] = SLOT_DERIVED;
        }
      }
      if (wanted === 0) continue;
      if (task.rewrite) return this.#abandon(i, STRIPE_NEEDS_LOST);
      if (!decodeRow(ws, i, row)) return this.#abandon(i, STRIPE_BEYOND);
    }
    return STRIPE_DONE;
  }

  #mendedWrongly(i: number): boolean {
    const ws = this.#ws;
    const { k, n, rows } = ws.geometry;
    for (let d = 0; d < k; d++) {
      for (let row = 0; row < rows; row++) {
        const slot = (i * n + d) * rows + row;
        if (ws.state[slot] === SLOT_DERIVED && !fitsEntry(ws.crc[slot] as number, ws.entry(i, d, row))) return true;
      }
    }
    return false;
  }

  #queueRepairs(i: number): boolean {
    const ws = this.#ws;
    const { k, n, rows } = ws.geometry;
    let any = false;
    for (let d = 0; d < k; d++) {
      for (let row = 0; row < rows; row++) {
        const slot = (i * n + d) * rows + row;
        if (ws.state[slot] !== SLOT_DERIVED) continue;
        ws.queueWrite(i, d, row, ws.page[slot] as number);
        // Says what it said before, but for one that was lost with its page.
        ws.setEntry(i, d, row, integrityEntry(ws.crc[slot] as number));
        any = true;
      }
    }
    return any;
  }

  /** Nothing of the stripe will be written. */
  #abandon(i: number, status: number): number {
    const { n, rows } = this.#ws.geometry;
    this.#mode.fill(ROW_UNTOUCHED, i * rows, (i + 1) * rows);
    this.#ws.state.fill(SLOT_ABSENT, i * n * rows, (i + 1) * n * rows);
    return status;
  }

  #compute(task: ApplyTask, first: number, count: number): void {
    const ws = this.#ws;
    const { k, n, rows } = ws.geometry;
    let crcsFrom = 0;
    for (let i = 0; i < count; i++) {
      for (let p = k; p < n; p++) {
        if (!ws.can(i, p, ACCESS_WRITE)) continue;
        for (let row = 0; row < rows; row++) if ((this.#mode[i * rows + row] as number) >= ROW_ENCODE) this.#parityPage(i, p, row);
      }
      for (let row = 0; row < rows; row++) {
        const mode = this.#mode[i * rows + row];
        if (mode === ROW_ENCODE) this.#queueEncode(task, first, i, row);
        else if (mode === ROW_DELTA) this.#queueDelta(task, first, i, row);
      }
      if (ws.math.queued < ROWS_PER_FLUSH && i < count - 1) continue;
      ws.math.flush();
      for (; crcsFrom <= i; crcsFrom++) this.#queueParityCrcs(crcsFrom);
      ws.runCrcs();
    }
  }

  #parityPage(i: number, p: number, row: number): void {
    const ws = this.#ws;
    const slot = (i * ws.geometry.n + p) * ws.geometry.rows + row;
    const page = ws.ownPage(slot);
    if (this.#mode[i * ws.geometry.rows + row] === ROW_DELTA && ws.state[slot] === SLOT_ZERO) ws.zeroPage(page);
  }

  #queueEncode(task: ApplyTask, first: number, i: number, row: number): void {
    const ws = this.#ws;
    const { k, n, rows, stripeBlocks } = ws.geometry;
    for (let d = 0; d < k; d++) {
      const source = task.sources[(first + i) * stripeBlocks + d * rows + row] as number;
      const slot = (i * n + d) * rows + row;
      const zero = source === SOURCE_ZERO || source === SOURCE_LOST || (source === SOURCE_KEEP && ws.state[slot] === SLOT_ZERO);
      ws.math.role[d] = zero ? ROLE_ZERO : ROLE_INPUT;
      ws.math.first[d] = source < SOURCE_LOST ? source : (ws.page[slot] as number);
    }
    for (let p = k; p < n; p++) {
      const writes = ws.can(i, p, ACCESS_WRITE);
      ws.math.role[p] = writes ? ROLE_OUTPUT : ROLE_NONE;
      ws.math.first[p] = ws.page[(i * n + p) * rows + row] as number;
    }
    if (ws.math.role.includes(ROLE_OUTPUT)) ws.math.queue();
  }

  #queueDelta(task: ApplyTask, first: number, i: number, row: number): void {
    const ws = this.#ws;
    const { k, n, rows, stripeBlocks } = ws.geometry;
    for (let d = 0; d < k; d++) {
      const source = task.sources[(first + i) * stripeBlocks + d * rows + row] as number;
      const slot = (i * n + d) * rows + row;
      const old = source !== SOURCE_KEEP && ws.state[slot] === SLOT_LOADED;
      const fresh = source < SOURCE_LOST;
      ws.math.role[d] = old ? (fresh ? ROLE_OLD_AND_NEW : ROLE_OLD) : fresh ? ROLE_NEW : ROLE_NONE;
      ws.math.first[d] = ws.page[slot] as number;
      ws.math.second[d] = source;
    }
    for (let p = k; p < n; p++) {
      ws.math.role[p] = ws.can(i, p, ACCESS_WRITE) ? ROLE_UPDATE : ROLE_NONE;
      ws.math.first[p] = ws.page[(i * n + p) * rows + row] as number;
    }
    ws.math.queue();
  }

  #queueParityCrcs(i: number): void {
    const ws = this.#ws;
    const { k, n, rows } = ws.geometry;
    for (let p = k; p < n; p++) {
      if (!ws.can(i, p, ACCESS_WRITE)) continue;
      for (let row = 0; row < rows; row++) {
        if ((this.#mode[i * rows + row] as number) >= ROW_ENCODE) ws.queueCrc(i, p, row, ws.page[(i * n + p) * rows + row] as number);
      }
    }
  }

  #queueWrites(task: ApplyTask, first: number, i: number): void {
    const ws = this.#ws;
    const { k, n, rows, stripeBlocks } = ws.geometry;
    for (let shard = 0; shard < n; shard++) {
      if (!ws.can(i, shard, ACCESS_WRITE)) continue;
      for (let row = 0; row < rows; row++) {
        const mode = this.#mode[i * rows + row] as number;
        if (mode === ROW_UNTOUCHED) continue;
        if (shard < k) {
          const source = task.sources[(first + i) * stripeBlocks + shard * rows + row] as number;
          if (source < SOURCE_LOST) ws.queueWrite(i, shard, row, source);
        } else if (mode >= ROW_ENCODE) ws.queueWrite(i, shard, row, ws.page[(i * n + shard) * rows + row] as number);
      }
    }
  }

  /**
   * The entries say what the blocks have to be, also for members that are away or failed in this write: a block that did not arrive is then an
   * erasure by its checksum, and what is reconstructed in its place is checked against the same entry.
   */
  #commit(task: ApplyTask, first: number, i: number): void {
    const ws = this.#ws;
    const { k, n, rows, stripeBlocks } = ws.geometry;
    for (let row = 0; row < rows; row++) {
      const mode = this.#mode[i * rows + row] as number;
      if (mode === ROW_UNTOUCHED) continue;
      for (let d = 0; d < k; d++) {
        const at = (first + i) * stripeBlocks + d * rows + row;
        const source = task.sources[at] as number;
        if (source === SOURCE_KEEP) continue;
        ws.setEntry(
          i,
          d,
          row,
          source === SOURCE_ZERO ? CRC_UNWRITTEN : source === SOURCE_LOST ? CRC_LOST : integrityEntry(task.crcs[at] as number),
        );
      }
      if (mode === ROW_SAME) continue;
      for (let p = k; p < n; p++) {
        const slot = (i * n + p) * rows + row;
        const computed = mode >= ROW_ENCODE && ws.can(i, p, ACCESS_WRITE);
        ws.setEntry(i, p, row, mode === ROW_ZERO ? CRC_UNWRITTEN : computed ? integrityEntry(ws.crc[slot] as number) : CRC_STALE);
      }
    }
  }
}
