import type { Random } from '../../src/base/random.js';
import type { ArrayEngine } from '../../src/engine/array-engine.js';
import { replaceMember } from '../../src/engine/membership-change.js';
import { ZEROED } from '../../src/journal/ring-index.js';
import { CRC_UNWRITTEN } from '../../src/stripe/geometry.js';
import type { ArrayFixture } from './array-fixture.js';
import type { BlockModel } from './block-model.js';

/** Writers at a time. */
export const LANES = 6;
/** Acknowledged requests of each part of the story, of 1 to 8 blocks each. */
const WRITES = 60;
/** More than the slab keeps of destaged segments, so that some of the undrained data are on journal members alone. */
const UNDRAINED_WRITES = 110;

/** Every set of `size` of the numbers below `of`. */
export function combinations(of: number, size: number): number[][] {
  if (size === 0) return [[]];
  const sets: number[][] = [];
  for (let last = size - 1; last < of; last++) for (const rest of combinations(last, size - 1)) sets.push([...rest, last]);
  return sets;
}

/** A part of the data is drained, a part destaged but not drained, a part in the journal alone; then the members die, all at once, while writes go on. */
export async function writeAndLose(fixture: ArrayFixture, model: BlockModel, random: Random, lost: readonly number[]): Promise<void> {
  const { engine } = fixture;
  await model.fill();
  await model.flush();
  await engine.destageLoop.drainAll();
  await fixture.drain();
  let target = model.acknowledgements + UNDRAINED_WRITES;
  await model.load(random, LANES, () => model.acknowledgements >= target);
  await engine.destageLoop.drainAll();
  target = model.acknowledgements + WRITES;
  let killed = false;
  let ended = false;
  // Once over, over for good: writers that waited for room do not start again.
  const over = (): boolean => {
    ended ||= killed && (model.acknowledgements >= target + WRITES / 2 || engine.writes.waiting > 0);
    return ended;
  };
  const loading = model.load(random, LANES, over);
  const when = target - random.below(WRITES);
  while (model.acknowledgements < when) await new Promise<void>((turn) => setImmediate(turn));
  fixture.kill(lost);
  killed = true;
  // Those that still wait for room are let go of: what they write may be there or not.
  let going = true;
  void loading.finally(() => {
    going = false;
  });
  while (going && !(ended && engine.writes.waiting === model.open)) await new Promise<void>((turn) => setImmediate(turn));
}

/** Resolves when the engine knows which members are dead and nothing moves by itself any more. */
export async function settleAfterLoss(fixture: ArrayFixture): Promise<void> {
  const { engine } = fixture;
  // Every member that is still called online is written to: the dead ones are found out.
  await engine.checkpointer.settle().catch(() => undefined);
  await engine.checkpointer.fence().catch(() => undefined);
  await engine.destageLoop.drainAll().catch(() => false);
}

/** Replaces all lost members and rebuilds them together. */
export async function replaceAll(fixture: ArrayFixture, lost: readonly number[]): Promise<void> {
  for (const index of lost) await replaceMember(fixture.engine, String(index), fixture.newPath());
  await fixture.engine.rebuild.wait();
}

/** The ring's copy of a place can be had: in the slab, or on a journal member that lives. */
function ringAlive(engine: ArrayEngine, place: number): boolean {
  const { journal } = engine;
  if (journal.table.memoryOf(place) >= 0) return true;
  const copies = journal.table.copies[journal.table.slotOfPlace(place)] as number;
  return journal.members.some((member, position) => (copies & (1 << position)) !== 0 && member.state === 'online');
}

/** Shards of a block's row that are gone; a block known to be unwritten is never gone. */
function lostShards(engine: ArrayEngine, stripe: number, row: number): number[] {
  const { state } = engine;
  const { geometry } = state;
  const gone: number[] = [];
  for (let shard = 0; shard < geometry.n; shard++) {
    const member = geometry.memberOf(stripe, shard);
    if (state.members[member]?.state === 'online') continue;
    const known = state.integrityKnown[member] === 1;
    if (known && state.integrity[member]?.entries[geometry.memberBlock(stripe, row)] === CRC_UNWRITTEN) continue;
    gone.push(shard);
  }
  return gone;
}

function isUndestaged(engine: ArrayEngine, block: number): boolean {
  const { index, table, destagedSeq } = engine.journal;
  const place = index.lookup(block);
  return place >= 0 ? table.seqOfPlace(place) >= destagedSeq : place === ZEROED && index.zeroSeq(block) >= destagedSeq;
}

/**
 * P9, from the placement alone: a block is lost when its newest version is not drained, no copy of its segment is left in the ring, and its row has lost more than
 * parity covers. (What the journal alone has and no copy of is lost in any case.)
 */
export function isLost(engine: ArrayEngine, block: number): boolean {
  const { state, journal } = engine;
  const { geometry } = state;
  const place = journal.index.lookup(block);
  if (place < 0 || ringAlive(engine, place)) return false;
  if (isUndestaged(engine, block)) return true;
  if (journal.table.seqOfPlace(place) < journal.drainedSeq) return false;
  const stripe = geometry.stripeOf(block);
  const slot = geometry.slotOf(block);
  const gone = lostShards(engine, stripe, slot % geometry.rows);
  return gone.length > geometry.m && gone.includes(Math.floor(slot / geometry.rows));
}

/**
 * DESIGN 7: blocks that have to come from the backup at least. In a clean row with e lost shards e - m of them, less those that the journal has or that are zero; in a
 * row with lost blocks whose newest version is not in the stripes every lost data block that the journal does not have.
 */
export function fetchBound(engine: ArrayEngine): number {
  const { state, journal } = engine;
  const { geometry } = state;
  let bound = 0;
  for (let stripe = 0; stripe < geometry.stripes; stripe++) {
    if (!state.isWritten(stripe)) continue;
    for (let row = 0; row < geometry.rows; row++) {
      let shards = 0;
      let free = 0;
      let data = 0;
      let dirty = state.isUntrusted(stripe);
      for (let shard = 0; shard < geometry.n; shard++) {
        const member = geometry.memberOf(stripe, shard);
        if (state.members[member]?.state === 'online') continue;
        shards++;
        if (shard >= geometry.k) continue;
        data++;
        const block = stripe * geometry.stripeBlocks + shard * geometry.rows + row;
        const place = journal.index.lookup(block);
        const zero =
          place === ZEROED ||
          (place < 0 &&
            state.integrityKnown[member] === 1 &&
            state.integrity[member]?.entries[geometry.memberBlock(stripe, row)] === CRC_UNWRITTEN);
        if (zero || (place >= 0 && ringAlive(engine, place))) free++;
        if (isUndestaged(engine, block)) dirty = true;
      }
      if (shards > geometry.m) bound += Math.max(0, (dirty ? data : shards - geometry.m) - free);
    }
  }
  return bound;
}
