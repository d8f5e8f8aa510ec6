import { CRC_UNKNOWN, integrityEntry, type StripeGeometry } from './geometry.js';
import type { MemberView } from './stripe-pool.js';
import { ACCESS_READ, CRC_STALE, memberAccess, SLOT_ABSENT, SLOT_READABLE, SLOT_ZERO, slotState } from './slot-state.js';
import type { Workspace } from './workspace.js';

/** What a stripe's tables say of a block, before anything is read. */
export const BLOCK_LOST = SLOT_ABSENT;
/** Unwritten, or lost for good: reads as zeroes and needs no I/O. */
export const BLOCK_ZERO = 1;
export const BLOCK_THERE = SLOT_READABLE;

/** Losses of one stripe. Planning only: a block counted as there may still turn out to be bad. */
export interface StripeLoss {
  /** n * rows words BLOCK_*, shard * rows + row. */
  readonly block: Uint8Array;
  /** Per row: data blocks lost, parity blocks lost. */
  readonly lostData: Uint8Array;
  readonly lostParity: Uint8Array;
  /**
   * Per row: how many of its lost data blocks have to come from elsewhere, so that parity gives the others: e - m of e lost shards, 0 when parity
   * covers the loss.
   */
  readonly fetch: Uint8Array;
}

export function newStripeLoss(geometry: StripeGeometry): StripeLoss {
  const { n, rows } = geometry;
  return { block: new Uint8Array(n * rows), lostData: new Uint8Array(rows), lostParity: new Uint8Array(rows), fetch: new Uint8Array(rows) };
}

/**
 * Fills `out` for one stripe; targets of a rebuild are lost by their MemberView (rebuiltStripes at or below the stripe). dataOnly: parity is not trusted, so every lost
 * data block has to come from elsewhere. Returns the number of blocks to fetch in the whole stripe.
 */
export function stripeLoss(
  geometry: StripeGeometry,
  members: MemberView,
  tables: readonly Uint32Array[],
  stripe: number,
  dataOnly: boolean,
  out: StripeLoss,
): number {
  const { k, n, rows } = geometry;
  out.lostData.fill(0);
  out.lostParity.fill(0);
  for (let shard = 0; shard < n; shard++) {
    const member = geometry.memberOf(stripe, shard);
    const access = memberAccess(members, member, stripe);
    const table = tables[member] as Uint32Array;
    const lost = shard < k ? out.lostData : out.lostParity;
    for (let row = 0; row < rows; row++) {
      const state = slotState(access, table[geometry.memberBlock(stripe, row)] as number);
      out.block[shard * rows + row] = state;
      if (state === BLOCK_LOST) (lost[row] as number)++;
    }
  }
  let total = 0;
  for (let row = 0; row < rows; row++) {
    const data = out.lostData[row] as number;
    const beyond = data + (out.lostParity[row] as number) - geometry.m;
    out.fetch[row] = dataOnly ? data : Math.max(0, beyond);
    total += out.fetch[row] as number;
  }
  return total;
}

/** Data shards and parity shards lost in one row, as stripeLoss counts them. */
export function rowLoss(
  geometry: StripeGeometry,
  members: MemberView,
  tables: readonly Uint32Array[],
  stripe: number,
  row: number,
): { data: number; parity: number } {
  let data = 0;
  let parity = 0;
  for (let shard = 0; shard < geometry.n; shard++) {
    const member = geometry.memberOf(stripe, shard);
    const entry = (tables[member] as Uint32Array)[geometry.memberBlock(stripe, row)] as number;
    if (slotState(memberAccess(members, member, stripe), entry) !== BLOCK_LOST) continue;
    if (shard < geometry.k) data += 1;
    else parity += 1;
  }
  return { data, parity };
}

/**
 * After a write: whether every data block of the rows with given[i * rows + row] > 0 can be had from the stripe alone, that is from members that are whole and
 * took all their writes. Quick when no more than m members are missing.
 */
export function rowsSurvive(ws: Workspace, i: number, given: Uint16Array): boolean {
  const { k, m, n, rows } = ws.geometry;
  let out = 0;
  for (let shard = 0; shard < n; shard++) if (!inPlace(ws, i, shard)) out += 1;
  if (out <= m) return true;
  for (let row = 0; row < rows; row++) {
    if (given[i * rows + row] === 0) continue;
    let there = 0;
    let lostData = false;
    for (let shard = 0; shard < n; shard++) {
      const zero = slotState(ws.access[i * n + shard] as number, ws.entry(i, shard, row)) === SLOT_ZERO;
      if (zero || inPlace(ws, i, shard)) there += 1;
      else if (shard < k) lostData = true;
    }
    if (lostData && there < k) return false;
  }
  return true;
}

/**
 * Before a write, with the row's slots as loadRow leaves them: true when the content given for a block that is lost, or would be in a crash, is what it or its row's
 * parity already gives. So it is when the block
 * was journaled only for a neighbour to be written: were the row written again for it, its other lost blocks would have to be journaled in turn, and again this one for
 * them, without end.
 */
export function sameAsUncertain(ws: Workspace, i: number, d: number, row: number, state: number, crc: number): boolean {
  const { k, m, n, rows } = ws.geometry;
  if (ws.certain(i, d)) return false;
  if (ws.entry(i, d, row) !== integrityEntry(crc) || integrityEntry(crc) === CRC_UNKNOWN) return false;
  if (state !== SLOT_ABSENT) return true;
  let lost = 0;
  for (let shard = 0; shard < n; shard++) {
    const stale = shard >= k && ws.entry(i, shard, row) === CRC_STALE;
    if (stale || ws.state[(i * n + shard) * rows + row] === SLOT_ABSENT) lost += 1;
  }
  return lost <= m;
}

function inPlace(ws: Workspace, i: number, shard: number): boolean {
  return ws.can(i, shard, ACCESS_READ) && ws.writeFailed[i * ws.geometry.n + shard] === 0;
}
