import type { BlockIndex, StripeIndex } from '../base/units.js';
import type { Journal } from '../journal/journal.js';
import { ZEROED } from '../journal/ring-index.js';
import { BLOCK_LOST } from '../repository/backup.js';
import { CRC_LOST, CRC_UNWRITTEN, type StripeGeometry } from '../stripe/geometry.js';

/** Where one block of a stripe that lost more than its parity covers comes from. */
export const FROM_NOTHING = 0;
/** Not needed: it survives, or parity gives it once the others are there. */
export const FROM_PARITY = 1;
export const FROM_RING = 2;
export const FROM_BACKUP = 3;
export const FROM_ZERO = 4;
/** Its newest version can be had from nowhere. */
export const FROM_LOST = 5;

/** What the planner asks of the array. */
export interface SourceHost {
  readonly geometry: StripeGeometry;
  readonly journal: Journal;
  readable(member: number, stripe: StripeIndex): boolean;
  /** Integrity entry of a member's block, or -1 when nothing is known of it. */
  entry(member: number, memberBlock: number): number;
  isUntrusted(stripe: StripeIndex): boolean;
  /** True for a block of a row that a crash may have torn. */
  isUntrustedRow(block: BlockIndex): boolean;
  /** True when the ring place can still be read: resident, or on a healthy journal member. */
  placeReadable(place: number): boolean;
}

/** The plan of one stripe, in slot order (data shard * rows + row). */
export interface StripeSources {
  readonly from: Uint8Array;
  /** Ring place of FROM_RING blocks. */
  readonly place: Float64Array;
  /** Rows that have to be written again from data alone, with every parity: their parity does not fit the data given. */
  readonly rewrite: Uint8Array;
}

export function newStripeSources(geometry: StripeGeometry): StripeSources {
  return {
    from: new Uint8Array(geometry.stripeBlocks),
    place: new Float64Array(geometry.stripeBlocks),
    rewrite: new Uint8Array(geometry.rows),
  };
}

/** How much of a stripe is planned. */
export interface PlanScope {
  /** Survivors' blocks are bad too, nobody knows which: every data block is planned from outside the stripes, for those that turn out so. */
  readonly wide: boolean;
  /** With wide: a block that is to be had from nowhere is lost for good when parity cannot give it either. */
  readonly giveUp: boolean;
}

/**
 * The blueprint of one stripe (DESIGN 7). With e lost shards only e - m blocks of a row have to be fetched, the journal's first, since parity gives the others. In a row
 * whose parity is not to be trusted, or with a newer version of a lost block still undestaged, every lost data block is taken from outside and the row written
 * again. backupHas[slot]: what Backup.lookup says of the block; null without a backup.
 */
export function planStripe(
  host: SourceHost,
  stripe: StripeIndex,
  backupHas: Uint8Array | null,
  out: StripeSources,
  scope: PlanScope = { wide: false, giveUp: false },
): void {
  const { geometry } = host;
  out.from.fill(FROM_NOTHING);
  out.rewrite.fill(0);
  const lost: number[] = [];
  let lostShards = 0;
  for (let shard = 0; shard < geometry.n; shard++) {
    if (host.readable(geometry.memberOf(stripe, shard), stripe)) continue;
    lostShards++;
    if (shard < geometry.k) lost.push(shard);
  }
  const need = lostShards - geometry.m;
  const untrusted = host.isUntrusted(stripe);
  if (lostShards === 0 && !untrusted) return;
  const from = scope.wide ? Array.from({ length: geometry.k }, (_, shard) => shard) : lost;
  for (let row = 0; row < geometry.rows; row++) {
    const torn = untrusted && host.isUntrustedRow(stripe * geometry.stripeBlocks + row);
    if (torn || ((need > 0 || scope.wide) && from.some((shard) => undestaged(host, stripe, shard, row)))) {
      out.rewrite[row] = 1;
      for (let shard = 0; shard < geometry.k; shard++) {
        const isLost = lost.includes(shard);
        if (!isLost && !scope.wide && !undestaged(host, stripe, shard, row)) continue;
        choose(host, stripe, shard, row, backupHas, out);
        // What is on a survivor may be good.
        const slot = shard * geometry.rows + row;
        if (!isLost && out.from[slot] === FROM_LOST && !undestaged(host, stripe, shard, row)) out.from[slot] = FROM_NOTHING;
      }
    } else if (scope.wide) {
      for (let shard = 0; shard < geometry.k; shard++) choose(host, stripe, shard, row, backupHas, out);
      if (!scope.giveUp) leaveToParity(geometry, row, out);
    } else planRow(host, stripe, lost, need, row, backupHas, out);
  }
}

/** The blocks of a row that can be had from nowhere. */
function leaveToParity(geometry: StripeGeometry, row: number, out: StripeSources): void {
  for (let slot = row; slot < out.from.length; slot += geometry.rows) if (out.from[slot] === FROM_LOST) out.from[slot] = FROM_PARITY;
}

function planRow(
  host: SourceHost,
  stripe: StripeIndex,
  lost: number[],
  need: number,
  row: number,
  backupHas: Uint8Array | null,
  out: StripeSources,
): void {
  const { geometry } = host;
  const { rows } = geometry;
  if (need <= 0) {
    for (const shard of lost) out.from[shard * rows + row] = FROM_PARITY;
    return;
  }
  for (const shard of lost) choose(host, stripe, shard, row, backupHas, out);
  let had = 0;
  for (const shard of lost) if (out.from[shard * rows + row] !== FROM_LOST) had++;
  if (had < need) return;
  // Enough can be had: keep the cheapest `need` of them, and leave the rest, the unavailable ones among them, to parity.
  let left = need;
  for (const wanted of [FROM_ZERO, FROM_RING, FROM_BACKUP]) {
    for (const shard of lost) {
      const slot = shard * rows + row;
      if (out.from[slot] !== wanted) continue;
      if (left > 0) left--;
      else out.from[slot] = FROM_PARITY;
    }
  }
  leaveToParity(geometry, row, out);
}

function undestaged(host: SourceHost, stripe: StripeIndex, shard: number, row: number): boolean {
  const { geometry, journal } = host;
  const block = stripe * geometry.stripeBlocks + shard * geometry.rows + row;
  const place = journal.index.lookup(block);
  if (place >= 0) return journal.table.seqOfPlace(place) >= journal.destagedSeq;
  return place === ZEROED && journal.index.zeroSeq(block) >= journal.destagedSeq;
}

/** The newest version of one block, from outside the stripes. */
function choose(host: SourceHost, stripe: StripeIndex, shard: number, row: number, backupHas: Uint8Array | null, out: StripeSources): void {
  const { geometry, journal } = host;
  const slot = shard * geometry.rows + row;
  const block = stripe * geometry.stripeBlocks + slot;
  const place = journal.index.lookup(block);
  if (place === ZEROED) {
    out.from[slot] = FROM_ZERO;
    return;
  }
  const drained = place < 0 || journal.table.seqOfPlace(place) < journal.drainedSeq;
  if (place >= 0 && host.placeReadable(place)) {
    out.from[slot] = FROM_RING;
    out.place[slot] = place;
    return;
  }
  const entry = place < 0 ? host.entry(geometry.memberOf(stripe, shard), geometry.memberBlock(stripe, row)) : -1;
  if (entry === CRC_UNWRITTEN) out.from[slot] = FROM_ZERO;
  else if (!drained || entry === CRC_LOST || backupHas === null) out.from[slot] = FROM_LOST;
  else out.from[slot] = backupHas[slot] === 1 ? FROM_BACKUP : backupHas[slot] === BLOCK_LOST ? FROM_LOST : FROM_ZERO;
}
