import { ROLE_INPUT, ROLE_NONE, ROLE_OUTPUT, ROLE_ZERO } from './roles.js';
import { SLOT_DERIVED, SLOT_LOADED, SLOT_READABLE, SLOT_WANTED, SLOT_ZERO } from './slot-state.js';
import type { Workspace } from './workspace.js';

/**
 * Queues the reconstruction of every DERIVED slot of a row, into its page, from k of its ZERO and LOADED slots (data before parity), and the checksums of the
 * results. The caller flushes math, then runs the checksums. False, and nothing queued, when there are fewer than k.
 */
export function decodeRow(ws: Workspace, i: number, row: number): boolean {
  const { k, n, rows } = ws.geometry;
  const role = ws.math.role;
  let chosen = 0;
  let inputs = 0;
  let outputs = 0;
  for (let shard = 0; shard < n; shard++) {
    const state = ws.state[(i * n + shard) * rows + row];
    role[shard] = ROLE_NONE;
    if (state === SLOT_DERIVED) {
      role[shard] = ROLE_OUTPUT;
      outputs += 1;
    } else if (state === SLOT_ZERO && chosen < k) {
      role[shard] = ROLE_ZERO;
      chosen += 1;
    }
  }
  for (let shard = 0; shard < n && chosen < k; shard++) {
    if (ws.state[(i * n + shard) * rows + row] !== SLOT_LOADED) continue;
    role[shard] = ROLE_INPUT;
    chosen += 1;
    inputs += 1;
  }
  if (chosen < k) return false;
  if (outputs === 0) return true;
  for (let shard = 0; shard < n; shard++) {
    const slot = (i * n + shard) * rows + row;
    if (role[shard] === ROLE_OUTPUT) {
      const page = ws.ownPage(slot);
      ws.math.first[shard] = page;
      if (inputs === 0) ws.zeroPage(page);
      ws.queueCrc(i, shard, row, page);
    } else if (role[shard] === ROLE_INPUT) ws.math.first[shard] = ws.page[slot] as number;
  }
  if (inputs > 0) ws.math.queue();
  return true;
}

export const ROW_ENOUGH = 0;
export const ROW_READS_MORE = 1;
export const ROW_BEYOND = 2;

/**
 * Marks as WANTED what a row still has to read so that k of its blocks are LOADED or ZERO: data before parity. ROW_ENOUGH when they are there already,
 * ROW_BEYOND when the row cannot have them.
 */
export function wantEnough(ws: Workspace, i: number, row: number): number {
  const { k, n, rows } = ws.geometry;
  const from = i * n * rows + row;
  const end = (i + 1) * n * rows;
  let have = 0;
  let readable = 0;
  for (let slot = from; slot < end; slot += rows) {
    const state = ws.state[slot];
    if (state === SLOT_LOADED || state === SLOT_ZERO) have += 1;
    else if (state === SLOT_READABLE) readable += 1;
  }
  if (have >= k) return ROW_ENOUGH;
  if (have + readable < k) return ROW_BEYOND;
  for (let slot = from; slot < end && have < k; slot += rows) {
    if (ws.state[slot] !== SLOT_READABLE) continue;
    ws.state[slot] = SLOT_WANTED;
    have += 1;
  }
  return ROW_READS_MORE;
}
