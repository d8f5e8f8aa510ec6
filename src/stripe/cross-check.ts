import { assert } from '../base/assert.js';
import { decodeRow } from './decode-row.js';
import { SLOT_ABSENT, SLOT_DERIVED, SLOT_LOADED, SLOT_ZERO } from './slot-state.js';
import type { Workspace } from './workspace.js';

/**
 * Whether the blocks that are there of a row a crash may have torn are of one and the same state of the row. Each block more than k is one parity check: what is derived with
 * it in place of another block has to come out the same.
 */
export class CrossCheck {
  readonly #ws: Workspace;

  constructor(workspace: Workspace) {
    this.#ws = workspace;
  }

  /** Before decoding, with all that is there LOADED or ZERO: false when nothing could show the row torn although it may be. */
  possible(i: number, row: number, spare: boolean): boolean {
    const { k } = this.#ws.geometry;
    const zeroes = this.#slots(i, row, SLOT_ZERO).length;
    const loaded = this.#slots(i, row, SLOT_LOADED).length;
    return zeroes + loaded > k || (!spare && (zeroes === 0 || loaded === 0));
  }

  /** After decodeRow and its checksums. */
  agrees(i: number, row: number): boolean {
    const ws = this.#ws;
    const { k } = ws.geometry;
    const derived = this.#slots(i, row, SLOT_DERIVED);
    if (derived.length === 0) return true;
    // In the order in which decodeRow takes them.
    const there = [...this.#slots(i, row, SLOT_ZERO), ...this.#slots(i, row, SLOT_LOADED)];
    const states = there.map((slot) => ws.state[slot] as number);
    const before = derived.map((slot) => ws.crc[slot]);
    let agrees = true;
    for (let extra = k; extra < there.length && agrees; extra++) {
      there.forEach((slot, at) => {
        ws.state[slot] = (at > 0 && at < k) || at === extra ? (states[at] as number) : SLOT_ABSENT;
      });
      assert(decodeRow(ws, i, row), 'k blocks of the row');
      ws.math.flush();
      ws.runCrcs();
      agrees = derived.every((slot, at) => ws.crc[slot] === before[at]);
    }
    there.forEach((slot, at) => {
      ws.state[slot] = states[at] as number;
    });
    return agrees;
  }

  #slots(i: number, row: number, state: number): number[] {
    const { n, rows } = this.#ws.geometry;
    const slots: number[] = [];
    for (let slot = i * n * rows + row; slot < (i + 1) * n * rows; slot += rows) if (this.#ws.state[slot] === state) slots.push(slot);
    return slots;
  }
}
