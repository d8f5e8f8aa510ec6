import { assert } from '../base/assert.js';
import { BLOCK_BYTES, type SegmentSeq, type SlabOffset } from '../base/units.js';
import { loadAddon } from '../native/load.js';
import { ENTRY_WRITE, ENTRY_ZERO, putEntry, sealBatch } from './batch-format.js';
import type { Journal } from './journal.js';

/** Blocks that are written again while their segment is made again, before it is left for later. */
const TRIES = 3;

/** Where the content of a segment is when no journal copy of it is left. */
export interface SegmentSource {
  /** The stripes' content of these blocks (ascending) to slab pages; false when one of them cannot be had. Whether it is the right one is for the caller to check. */
  recover(blocks: Float64Array, pages: Uint32Array): Promise<boolean>;
}

/** A segment as it can be written to a journal member again. */
export interface RemadeSegment {
  /** Checksum of the payload at each block of the segment. */
  readonly crcs: Uint32Array;
  readonly reachSeq: SegmentSeq;
}

/** Whether the segment is one that remakeSegment is for: closed, in the stripes, in no memory and on no journal member. */
export function wantsRemake(journal: Journal, seq: SegmentSeq): boolean {
  const { table } = journal;
  const slot = table.slotOf(seq);
  return table.seq[slot] === seq && seq < journal.destagedSeq && table.copies[slot] === 0 && (table.memory[slot] as number) < 0;
}

/**
 * Composes a destaged segment of which no copy is left anew, at `memory` (one segment of slab memory): each block keeps its place, batches keep theirs. What is newest in
 * its place comes from the stripes, verified by the checksum of its write; what had been written again holds zeroes, and the last header says up to which segment a
 * drain has to go on so that nobody asks for it. Everything up to there is flushed before: no crash can make an older write the newest again. Nothing is written here; null when
 * it cannot be done now. The caller has the slot pinned. Decision 0096.
 */
export async function remakeSegment(
  journal: Journal,
  seq: SegmentSeq,
  memory: SlabOffset,
  source: SegmentSource,
): Promise<RemadeSegment | null> {
  for (let i = 0; i < TRIES; i++) {
    const reachSeq = endOfLog(journal);
    const newest = newestPlaces(journal, seq);
    if (!(await flushed(journal))) return null;
    const { blocks, pages } = inOrder(journal, seq, newest, memory);
    if (blocks.length > 0 && !(await source.recover(blocks, pages))) return null;
    if (!wantsRemake(journal, seq)) return null;
    const wrong = newest.filter((at) => !isRight(journal, seq, at, memory));
    if (wrong.length === 0) return { crcs: compose(journal, seq, newest, memory, reachSeq), reachSeq };
    const { table, index } = journal;
    const first = table.slotOf(seq) * table.segmentBlocks;
    // The stripes have something newer, then so has the ring; or they do not have what was written here.
    if (wrong.some((at) => index.lookup(index.blockAt[first + at] as number) === first + at)) return null;
  }
  return null;
}

/** The segment is on a journal member: from now on its table describes what is there. */
export function tookRemade(journal: Journal, seq: SegmentSeq, { crcs, reachSeq }: RemadeSegment): void {
  const { table } = journal;
  const slot = table.slotOf(seq);
  table.crc.set(crcs.subarray(0, table.used[slot] as number), slot * table.segmentBlocks);
  table.reachSeq[slot] = reachSeq;
}

/** The segment behind the last one that has an entry: the open one may. */
function endOfLog({ table, headSeq }: Journal): SegmentSeq {
  const slot = table.slotOf(headSeq);
  return table.seq[slot] === headSeq && (table.used[slot] as number) > 0 ? headSeq + 1 : headSeq;
}

/** Blocks of the segment, counted from its start, whose payload is the newest of all. */
function newestPlaces(journal: Journal, seq: SegmentSeq): number[] {
  const { table, index } = journal;
  const slot = table.slotOf(seq);
  const first = slot * table.segmentBlocks;
  const list: number[] = [];
  for (let at = 1; at < (table.used[slot] as number); at++) {
    const block = index.blockAt[first + at] as number;
    if (block >= 0 && index.lookup(block) === first + at) list.push(at);
  }
  return list;
}

function flushed(journal: Journal): Promise<boolean> {
  return new Promise((resolve) => journal.whenFlushed(journal.nextLsn - 1, (error) => resolve(error === null)));
}

function inOrder(
  journal: Journal,
  seq: SegmentSeq,
  places: readonly number[],
  memory: SlabOffset,
): { blocks: Float64Array; pages: Uint32Array } {
  const { table, index } = journal;
  const first = table.slotOf(seq) * table.segmentBlocks;
  const blockAt = (at: number): number => index.blockAt[first + at] as number;
  const sorted = [...places].sort((a, b) => blockAt(a) - blockAt(b));
  return {
    blocks: Float64Array.from(sorted, blockAt),
    pages: Uint32Array.from(sorted, (at) => memory / BLOCK_BYTES + at),
  };
}

function isRight(journal: Journal, seq: SegmentSeq, at: number, memory: SlabOffset): boolean {
  const { table, index } = journal;
  const place = table.slotOf(seq) * table.segmentBlocks + at;
  const crc = new Uint32Array(1);
  loadAddon().crcRun(journal.slab.view, memory + at * BLOCK_BYTES, index.blockAt[place] as number, 1, crc, 0);
  return crc[0] === table.crc[place];
}

/** Zeroes in the places of what had been written again, and a header before each run of payload, as the segment had them. Returns the checksums of its payload. */
function compose(journal: Journal, seq: SegmentSeq, newest: readonly number[], memory: SlabOffset, reachSeq: SegmentSeq): Uint32Array {
  const { table, index, slab } = journal;
  const slot = table.slotOf(seq);
  const first = slot * table.segmentBlocks;
  const used = table.used[slot] as number;
  const crcs = table.crc.slice(first, first + table.segmentBlocks);
  const kept = new Set(newest);
  const heads: number[] = [];
  for (let at = 0; at < used; at++) {
    const block = index.blockAt[first + at] as number;
    if (block < 0) heads.push(at);
    if (block < 0 || kept.has(at)) continue;
    slab.view.fill(0, memory + at * BLOCK_BYTES, memory + (at + 1) * BLOCK_BYTES);
    loadAddon().crcRun(slab.view, memory + at * BLOCK_BYTES, block, 1, crcs, at);
  }
  const before = table.slotOf(seq - 1);
  let chain = table.seq[before] === seq - 1 ? (table.chain[before] as number) : 0;
  let lsn = table.firstLsn[slot] as number;
  const lastLsn = table.lastLsn[slot] as number;
  const data = new DataView(slab.view.buffer, slab.view.byteOffset, slab.view.byteLength);
  heads.forEach((at, i) => {
    const end = heads[i + 1] ?? used;
    const isLast = i === heads.length - 1;
    const base = memory + at * BLOCK_BYTES;
    const entries = putEntries(journal, data, base, slot, at, end);
    assert(entries > 0 && lsn + entries - 1 <= lastLsn, 'joined entries are fewer than the LSNs they stand for');
    const header = {
      arrayTag: journal.arrayTag,
      epoch: table.epoch[slot] as number,
      seq,
      at,
      firstLsn: lsn,
      flushedLsn: lsn - 1,
      chain,
      entries,
      payloadBlocks: end - at - 1,
      remade: isLast ? { chainAfter: table.chain[slot] as number, lastLsn, reachSeq } : null,
    };
    chain = sealBatch(data, slab.view, base, header, crcs, at + 1);
    lsn += entries;
  });
  return crcs;
}

/** The entries of the batch whose header is at block `at`: runs of blocks, as long as they get, and the zeroes between them. Returns how many. */
function putEntries(journal: Journal, data: DataView, base: SlabOffset, slot: number, at: number, end: number): number {
  const { table, index } = journal;
  const zeroes = table.zeroes[slot];
  let z = zeroes ? zeroes.order.findIndex((order) => order > at) : -1;
  let entries = 0;
  const putZeroesAt = (next: number): void => {
    for (; zeroes && z >= 0 && z < zeroes.order.length && zeroes.order[z] === next; z++)
      putEntry(data, base, entries++, ENTRY_ZERO, 0, zeroes.first[z] as number, zeroes.count[z] as number);
  };
  const blockAt = (place: number): number => index.blockAt[slot * table.segmentBlocks + place] as number;
  putZeroesAt(at + 1);
  for (let from = at + 1; from < end; ) {
    let to = from + 1;
    while (to < end && blockAt(to) === blockAt(to - 1) + 1 && !(zeroes && zeroes.order[z] === to)) to++;
    putEntry(data, base, entries++, ENTRY_WRITE, 0, blockAt(from), to - from);
    putZeroesAt(to);
    from = to;
  }
  return entries;
}
