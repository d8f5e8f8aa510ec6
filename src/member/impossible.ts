import { BLOCK_BYTES } from '../base/units.js';
import {
  checkpointBytesNeeded,
  COUNTERS_MAX,
  EPOCHS_MAX,
  JOURNAL_POSITIONS_MAX,
  layoutProblem,
  MEMBER_BYTES_MAX,
  MEMBERS_MAX,
  STRIPES_MAX,
} from './layout.js';
import type { ArrayShape, Checkpoint, LostList, MemberRecord, MemberRole, RingEnd, Superblock } from './member-api.js';
import { stripeBitmapBytes } from './stripe-bitmap.js';

/*
 * A right checksum says that bytes are as they were written, not that they make sense. Here every number of a superblock and of a checkpoint that is used as an index, a size, an
 * offset or a count later is held against the array's geometry, so that nothing behind has to. Each function says what cannot be, or ''.
 */

/** Places of the ring in its index (journal/ring-index.ts). */
const RING_BLOCKS_MAX = 2 ** 30;

/** Members that hold the ring. */
export function journalPositions(shape: ArrayShape): number {
  return shape.journalMembers > 0 ? shape.journalMembers : shape.dataMembers;
}

export function superblockProblem({ shape, layout, index, role, epoch, generation }: Superblock): string {
  const problem = shapeProblem(shape) || layoutProblem(layout) || countersProblem(epoch, generation);
  if (problem !== '') return problem;
  if (index >= (role === 'spare' ? MEMBERS_MAX : shape.dataMembers + shape.journalMembers)) return `member index ${index}`;
  if (!fitsPlace(index, role, shape)) return `member index ${index} in the role ${role}`;
  if (layout.checkpointBytes < checkpointBytesNeeded(shape.stripes)) return 'checkpoint slots too small for the stripes';
  if (role !== 'journal' && layout.dataBytes !== shape.stripes * shape.chunkBytes) return 'a data zone that does not hold its stripes';
  if (role === 'journal' && layout.dataBytes !== 0) return 'a data zone on a journal member';
  if ((role === 'journal' || role === 'both') && layout.journalBytes !== shape.ringBytes) return 'a journal zone that is not the ring';
  return '';
}

/** The rows of data members come first, and the ring lies on them when there are no journal members. */
function fitsPlace(index: number, role: MemberRole, shape: ArrayShape): boolean {
  if (role === 'spare') return true;
  return index < shape.dataMembers ? role === (shape.journalMembers > 0 ? 'data' : 'both') : role === 'journal';
}

function shapeProblem(shape: ArrayShape): string {
  const { dataMembers, journalMembers, parity, chunkBytes, stripes, ringBytes, segmentBytes, journalCopies } = shape;
  if (dataMembers + journalMembers > MEMBERS_MAX || parity < 1 || parity >= dataMembers)
    return `${dataMembers} data members with ${parity} parity, and ${journalMembers} journal members`;
  if (chunkBytes < BLOCK_BYTES || chunkBytes % BLOCK_BYTES !== 0 || stripes < 1 || stripes >= STRIPES_MAX)
    return `${stripes} stripes of ${chunkBytes}-byte chunks`;
  if (!Number.isSafeInteger(stripes * chunkBytes * dataMembers)) return 'a volume of 2^53 bytes or more';
  if (segmentBytes < 2 * BLOCK_BYTES || segmentBytes % BLOCK_BYTES !== 0 || ringBytes < segmentBytes || ringBytes % segmentBytes !== 0)
    return `a ring of ${ringBytes} bytes in segments of ${segmentBytes}`;
  if (stripes * chunkBytes > MEMBER_BYTES_MAX) return `${stripes * chunkBytes} bytes of data on a member`;
  if (ringBytes / BLOCK_BYTES > RING_BLOCKS_MAX) return `a ring of ${ringBytes} bytes`;
  const positions = journalPositions(shape);
  if (positions > JOURNAL_POSITIONS_MAX || journalCopies < 1 || journalCopies > positions)
    return `${journalCopies} journal copies on ${positions} members`;
  return '';
}

/** The epoch rises by one before anything is written, so the last one is none that can be met. */
function countersProblem(epoch: number, generation: number): string {
  if (epoch >= EPOCHS_MAX - 1) return `epoch ${epoch}`;
  return generation >= COUNTERS_MAX ? `generation ${generation}` : '';
}

export function checkpointProblem(checkpoint: Checkpoint, shape: ArrayShape): string {
  const { epoch, generation, stripeBitmap, members, lost, ring, destagedLsn, drainedLsn, tornAsWholeBelow: torn = 0 } = checkpoint;
  const bitmapBytes = stripeBitmapBytes(shape.stripes);
  if (stripeBitmap.length !== bitmapBytes) return `a bitmap of ${stripeBitmap.length} bytes for ${shape.stripes} stripes`;
  const spare = 8 * bitmapBytes - shape.stripes;
  if (((stripeBitmap[bitmapBytes - 1] as number) & (0xff00 >> spare) & 0xff) !== 0) return 'a written stripe beyond the last';
  if (destagedLsn >= COUNTERS_MAX || drainedLsn >= COUNTERS_MAX) return `LSNs ${destagedLsn} and ${drainedLsn}`;
  if (Number.isFinite(torn) && torn > shape.stripes) return `torn rows below stripe ${torn} of ${shape.stripes}`;
  return (
    countersProblem(epoch, generation) ||
    membersProblem(members, shape) ||
    cursorsProblem(checkpoint, shape) ||
    (ring === undefined ? '' : ringProblem(ring, checkpoint, shape)) ||
    (lost === undefined ? '' : lostProblem(lost, shape))
  );
}

function membersProblem(members: readonly MemberRecord[], shape: ArrayShape): string {
  const seen = new Set<number>();
  for (const { index, role, state, rebuiltStripes } of members) {
    if (rebuiltStripes > shape.stripes) return `${rebuiltStripes} of ${shape.stripes} stripes rebuilt`;
    if (state === 'spare') continue;
    if (index >= shape.dataMembers + shape.journalMembers || !fitsPlace(index, role, shape) || seen.has(index))
      return `a row for member ${index}, or a second one`;
    seen.add(index);
  }
  return '';
}

function cursorsProblem({ tailSeq, destagedSeq, drainedSeq }: Checkpoint, shape: ArrayShape): string {
  const newest = Math.max(destagedSeq, drainedSeq);
  const slots = shape.ringBytes / shape.segmentBytes;
  if (tailSeq < 1 || tailSeq > Math.min(destagedSeq, drainedSeq) || newest - tailSeq > slots || newest >= COUNTERS_MAX)
    return `cursors ${tailSeq}, ${destagedSeq} and ${drainedSeq} in a ring of ${slots} segments`;
  return '';
}

function ringProblem(ring: RingEnd, { tailSeq, destagedSeq, drainedSeq }: Checkpoint, shape: ArrayShape): string {
  const slots = shape.ringBytes / shape.segmentBytes;
  const beyond = 2 ** journalPositions(shape);
  if (ring.headSeq < Math.max(destagedSeq, drainedSeq) || ring.headSeq - tailSeq > slots || ring.positions >= beyond)
    return `a ring from segment ${tailSeq} to ${ring.headSeq} on positions ${ring.positions.toString(2)}`;
  for (const { seq, copies } of ring.short)
    if (seq < tailSeq || seq > ring.headSeq || copies >= beyond) return `segment ${seq} with copies on ${copies.toString(2)}`;
  return '';
}

function lostProblem({ ranges }: LostList, shape: ArrayShape): string {
  const volumeBlocks = (shape.stripes * shape.chunkBytes * (shape.dataMembers - shape.parity)) / BLOCK_BYTES;
  let end = 0;
  for (const { first, count } of ranges) {
    if (first < end || count < 1 || first + count > volumeBlocks)
      return `lost blocks ${first} + ${count} of ${volumeBlocks}, after block ${end}`;
    end = first + count;
  }
  return '';
}
