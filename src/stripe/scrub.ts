import { decodeRow } from './decode-row.js';
import { fitsEntry, integrityEntry } from './geometry.js';
import { ROLE_NONE, ROLE_OLD, ROLE_UPDATE } from './roles.js';
import { type MemberView, type ScrubOutcome, STRIPE_BEYOND } from './stripe-pool.js';
import { ACCESS_READ, SLOT_ABSENT, SLOT_BAD, SLOT_DERIVED, SLOT_LOADED, SLOT_READABLE, SLOT_WANTED, SLOT_ZERO } from './slot-state.js';
import type { Scratch, Workspace } from './workspace.js';

/**
 * Reads whole stripes and verifies every checksum, then the parity of every row whose data are all there. repair: bad blocks are reconstructed
 * and wrong parity is made new. A stripe with a row beyond repair is STRIPE_BEYOND; its other rows are still repaired.
 */
export class ScrubOperation {
  readonly #ws: Workspace;
  /** Per slot: 1 when it is to be written. */
  #repair = new Uint8Array(0);
  #count = 0;
  #parityErrors = 0;

  constructor(workspace: Workspace) {
    this.#ws = workspace;
  }

  run(members: MemberView, stripes: Float64Array, repair: boolean, scratch: Scratch): ScrubOutcome {
    const ws = this.#ws;
    const { n, rows } = ws.geometry;
    const status = new Uint8Array(stripes.length);
    const perBatch = Math.floor(scratch.pages / (n * rows));
    if (this.#repair.length < perBatch * n * rows) this.#repair = new Uint8Array(perBatch * n * rows);
    ws.beginTask(members, scratch);
    this.#parityErrors = 0;
    let repaired = 0;
    for (let first = 0; first < stripes.length; first += perBatch) {
      this.#count = Math.min(perBatch, stripes.length - first);
      this.#check(stripes, first, status);
      if (repair) repaired += this.#write();
    }
    return { ...ws.outcome(status), parityErrors: this.#parityErrors, repaired };
  }

  #check(stripes: Float64Array, first: number, status: Uint8Array): void {
    const ws = this.#ws;
    const { n, rows } = ws.geometry;
    ws.beginBatch(stripes, first, this.#count);
    this.#repair.fill(0, 0, this.#count * n * rows);
    for (let i = 0; i < this.#count; i++) {
      for (let row = 0; row < rows; row++) ws.loadRow(i, row);
    }
    for (let slot = 0; slot < this.#count * n * rows; slot++) if (ws.state[slot] === SLOT_READABLE) ws.state[slot] = SLOT_WANTED;
    ws.readWanted(this.#count);
    if (ws.anyBad) this.#mend(first, status);
    this.#checkParity();
  }

  #mend(first: number, status: Uint8Array): void {
    const ws = this.#ws;
    const { n, rows } = ws.geometry;
    const slots = this.#count * n * rows;
    for (let slot = 0; slot < slots; slot++) if (ws.state[slot] === SLOT_BAD) ws.state[slot] = SLOT_DERIVED;
    for (let r = 0; r < this.#count * rows; r++) {
      if (ws.rowBad[r] === 0) continue;
      const i = Math.floor(r / rows);
      if (decodeRow(ws, i, r % rows)) continue;
      status[first + i] = STRIPE_BEYOND;
      this.#giveUp(i, r % rows);
    }
    ws.math.flush();
    ws.runCrcs();
    for (let slot = 0; slot < slots; slot++) {
      if (ws.state[slot] !== SLOT_DERIVED) continue;
      const place = Math.floor(slot / rows);
      const i = Math.floor(place / n);
      const shard = place - i * n;
      const row = slot - place * rows;
      if (shard < ws.geometry.k && !fitsEntry(ws.crc[slot] as number, ws.entry(i, shard, row))) {
        status[first + i] = STRIPE_BEYOND;
        this.#giveUp(i, row);
      } else {
        this.#repair[slot] = 1;
        ws.state[slot] = SLOT_LOADED;
      }
    }
  }

  /** Nothing of this row is checked further or written. */
  #giveUp(i: number, row: number): void {
    const { n, rows } = this.#ws.geometry;
    for (let slot = i * n * rows + row; slot < (i + 1) * n * rows; slot += rows) {
      this.#ws.state[slot] = SLOT_ABSENT;
      this.#repair[slot] = 0;
    }
  }

  /** What the data say of the parity is added to the parity read: all zeroes when it is right. */
  #checkParity(): void {
    const ws = this.#ws;
    const { k, n, rows } = ws.geometry;
    for (let i = 0; i < this.#count; i++) {
      for (let row = 0; row < rows; row++) {
        if (!this.#dataThere(i, row)) continue;
        let inputs = 0;
        for (let d = 0; d < k; d++) {
          const slot = (i * n + d) * rows + row;
          const loaded = ws.state[slot] === SLOT_LOADED;
          ws.math.role[d] = loaded ? ROLE_OLD : ROLE_NONE;
          ws.math.first[d] = ws.page[slot] as number;
          if (loaded) inputs += 1;
        }
        const outputs = this.#parityRoles(i, row, inputs > 0);
        if (inputs > 0 && outputs > 0) ws.math.queue();
      }
    }
    ws.math.flush();
    for (let i = 0; i < this.#count; i++) {
      for (let row = 0; row < rows; row++) if (this.#dataThere(i, row)) this.#judgeParity(i, row);
    }
    ws.math.flush();
    ws.runCrcs();
  }

  #parityRoles(i: number, row: number, dataWritten: boolean): number {
    const ws = this.#ws;
    const { k, n, rows } = ws.geometry;
    let outputs = 0;
    for (let p = k; p < n; p++) {
      const slot = (i * n + p) * rows + row;
      ws.math.role[p] = ROLE_NONE;
      const unwritten = ws.state[slot] === SLOT_ZERO && ws.can(i, p, ACCESS_READ) && dataWritten;
      if (ws.state[slot] !== SLOT_LOADED && !unwritten) continue;
      const page = ws.ownPage(slot);
      if (unwritten) {
        ws.zeroPage(page);
        ws.state[slot] = SLOT_LOADED;
      }
      ws.math.role[p] = ROLE_UPDATE;
      ws.math.first[p] = page;
      outputs += 1;
    }
    return outputs;
  }

  #judgeParity(i: number, row: number): void {
    const ws = this.#ws;
    const { k, n, rows } = ws.geometry;
    let wrong = false;
    for (let p = k; p < n; p++) {
      const slot = (i * n + p) * rows + row;
      if (ws.state[slot] !== SLOT_LOADED) continue;
      // A parity block just reconstructed has been used up by the check; it is made again for its repair.
      const right = ws.pageIsZero(ws.page[slot] as number);
      if (!right) this.#parityErrors += 1;
      if (!right || this.#repair[slot] === 1) {
        ws.state[slot] = SLOT_DERIVED;
        this.#repair[slot] = 1;
        wrong = true;
      } else ws.state[slot] = SLOT_ABSENT;
    }
    if (wrong) decodeRow(ws, i, row);
  }

  #dataThere(i: number, row: number): boolean {
    const { k, n, rows } = this.#ws.geometry;
    for (let d = 0; d < k; d++) {
      const state = this.#ws.state[(i * n + d) * rows + row];
      if (state !== SLOT_LOADED && state !== SLOT_ZERO) return false;
    }
    return true;
  }

  #write(): number {
    const ws = this.#ws;
    const { n, rows } = ws.geometry;
    const slots = this.#count * n * rows;
    for (let slot = 0; slot < slots; slot++) {
      if (this.#repair[slot] === 0) continue;
      const place = Math.floor(slot / rows);
      const i = Math.floor(place / n);
      ws.queueWrite(i, place - i * n, slot - place * rows, ws.page[slot] as number);
    }
    ws.runWrites(false);
    let repaired = 0;
    for (let slot = 0; slot < slots; slot++) {
      if (this.#repair[slot] === 0) continue;
      const place = Math.floor(slot / rows);
      const i = Math.floor(place / n);
      ws.setEntry(i, place - i * n, slot - place * rows, integrityEntry(ws.crc[slot] as number));
      if (ws.writeFailed[place] === 0) repaired += 1;
    }
    return repaired;
  }
}
