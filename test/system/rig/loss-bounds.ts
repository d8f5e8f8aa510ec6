import type { ArrayEngine } from '../../../src/engine/array-engine.js';
import { ZEROED } from '../../../src/journal/ring-index.js';

/**
 * What DESIGN 7 says must be fetched from the backup at least, in blocks: in a row with e lost shards e - m of its blocks, of which the journal gives what it still has. A row
 * with a write that is not destaged yet does not trust its parity: there every lost block that the journal does not have is fetched.
 */
export function backupLowerBound(engine: ArrayEngine, blocks: number): number {
  const { state, journal } = engine;
  const { geometry } = state;
  const online = (member: number): boolean => state.members[member]?.state === 'online';
  let bound = 0;
  for (let stripe = 0; stripe <= geometry.stripeOf(blocks - 1); stripe++) {
    if (!state.isWritten(stripe)) continue;
    const lost: number[] = [];
    let lostShards = 0;
    for (let shard = 0; shard < geometry.n; shard++) {
      if (online(geometry.memberOf(stripe, shard))) continue;
      lostShards++;
      if (shard < geometry.k) lost.push(shard);
    }
    const need = lostShards - geometry.m;
    if (need <= 0) continue;
    for (let row = 0; row < geometry.rows; row++) {
      let elsewhere = 0;
      let undestaged = false;
      for (const shard of lost) {
        const block = stripe * geometry.stripeBlocks + shard * geometry.rows + row;
        const place = journal.index.lookup(block);
        if (place === ZEROED || block >= blocks || (place >= 0 && placeAlive(engine, place))) elsewhere++;
        if (place >= 0 && journal.table.seqOfPlace(place) >= journal.destagedSeq) undestaged = true;
      }
      bound += Math.max(0, (undestaged ? lost.length : need) - elsewhere);
    }
  }
  return bound;
}

/** P9: a block may be lost only when its newest version is not drained, no journal copy of it is left, and more than parity covers is lost of its stripe. */
export function mayBeLost(engine: ArrayEngine, lost: readonly number[], block: number): boolean {
  const { state, journal } = engine;
  const lostData = lost.filter((index) => index < state.shape.dataMembers).length;
  if (lostData <= state.geometry.m) return false;
  const place = journal.index.lookup(block);
  return place >= 0 && journal.table.seqOfPlace(place) >= journal.drainedSeq && !placeAlive(engine, place);
}

function placeAlive(engine: ArrayEngine, place: number): boolean {
  const { table } = engine.journal;
  return table.memoryOf(place) >= 0 || (table.copies[table.slotOfPlace(place)] ?? 0) !== 0;
}
