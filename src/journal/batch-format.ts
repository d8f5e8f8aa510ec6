import { BLOCK_BYTES, type BlockIndex, type Lsn, type SegmentSeq } from '../base/units.js';
import { loadAddon } from '../native/load.js';

/**
 * A batch on a journal member: one header block, then its payload blocks, contiguous inside one ring segment.
 * docs/on-disk-format.md describes every byte. The header is written in place in the slab's segment buffer.
 */
export const BATCH_MAGIC = 0x31424a4b; // "KJB1"
export const BATCH_VERSION = 1;
/** Fixed part of the header; entries follow, then one u32 CRC32C a payload block. */
export const BATCH_HEADER_FIXED_BYTES = 72;
export const ENTRY_BYTES = 16;
export const CRC_BYTES = 4;
const ROOM_BYTES = BLOCK_BYTES - BATCH_HEADER_FIXED_BYTES;

/** Flag: the last batch of a segment that was made again from the stripes (segment-remake.ts). */
export const FLAG_REMADE = 1;

export const ENTRY_WRITE = 1;
/** The range reads as zeroes from here on; it has no payload. */
export const ENTRY_ZERO = 2;
/** Largest count of one entry: it is a u32 field. */
export const ENTRY_BLOCKS_MAX = 0xffff_ffff;

/** True when a header holds this many entries and payload blocks. */
export function batchHasRoom(entries: number, payloadBlocks: number): boolean {
  return entries * ENTRY_BYTES + payloadBlocks * CRC_BYTES <= ROOM_BYTES;
}

/** Payload blocks that one more entry can carry in a batch that already has `entries` and `payloadBlocks`. 0 when not even one. */
export function batchPayloadRoom(entries: number, payloadBlocks: number): number {
  return Math.max(0, Math.floor((ROOM_BYTES - (entries + 1) * ENTRY_BYTES - payloadBlocks * CRC_BYTES) / CRC_BYTES));
}

export interface BatchHeader {
  readonly arrayTag: number;
  readonly epoch: number;
  readonly seq: SegmentSeq;
  /** Block offset of this header inside its segment. */
  readonly at: number;
  readonly firstLsn: Lsn;
  /** Every write up to here was on stable media when this batch was written. */
  readonly flushedLsn: Lsn;
  /** Header checksum of the batch before this one, 0 for the first of an array. */
  readonly chain: number;
  readonly entries: number;
  readonly payloadBlocks: number;
  /** Of the last batch of a segment that was made again; null of every other. */
  readonly remade: RemadeEnd | null;
}

/** What the last batch of a segment that was made again from the stripes stands for. */
export interface RemadeEnd {
  /** Header checksum of the batch that was last in the segment at first: the next segment continues that. */
  readonly chainAfter: number;
  /** Last LSN of the segment: entries may have been joined. */
  readonly lastLsn: Lsn;
  /** Blocks that had been written again before this segment (not included) hold zeroes here: a drain that takes this one has to go on up to there. */
  readonly reachSeq: SegmentSeq;
}

/** Byte offsets of the header's fields. */
const F = {
  magic: 0,
  version: 4,
  flags: 6,
  crc: 8,
  tag: 12,
  epoch: 16,
  seq: 24,
  at: 32,
  payload: 36,
  firstLsn: 40,
  flushedLsn: 48,
  entries: 56,
  chain: 60,
  chainAfter: 64,
  lsns: 68,
} as const;

function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}

function getU64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

/** Writes one entry of a batch under construction. base is the header's byte offset in the view. */
export function putEntry(
  view: DataView,
  base: number,
  index: number,
  type: number,
  stream: number,
  block: BlockIndex,
  count: number,
): void {
  const at = base + BATCH_HEADER_FIXED_BYTES + index * ENTRY_BYTES;
  view.setUint32(at, block >>> 0, true);
  view.setUint16(at + 4, Math.floor(block / 0x1_0000_0000), true);
  view.setUint8(at + 6, type);
  view.setUint8(at + 7, 0);
  view.setUint32(at + 8, count, true);
  view.setUint32(at + 12, stream, true);
}

/** Writes fixed part and checksums, zeroes the rest, and returns the header checksum (the next batch's chain). crcs[crcFirst ..] are the payload's. */
export function sealBatch(
  view: DataView,
  memory: Uint8Array,
  base: number,
  header: BatchHeader,
  crcs: Uint32Array,
  crcFirst: number,
): number {
  view.setUint32(base + F.magic, BATCH_MAGIC, true);
  view.setUint16(base + F.version, BATCH_VERSION, true);
  const { remade } = header;
  view.setUint16(base + F.flags, remade === null ? 0 : FLAG_REMADE, true);
  view.setUint32(base + F.crc, 0, true);
  view.setUint32(base + F.tag, header.arrayTag, true);
  putU64(view, base + F.epoch, header.epoch);
  putU64(view, base + F.seq, header.seq);
  view.setUint32(base + F.at, header.at, true);
  view.setUint32(base + F.payload, header.payloadBlocks, true);
  putU64(view, base + F.firstLsn, header.firstLsn);
  putU64(view, base + F.flushedLsn, remade === null ? header.flushedLsn : remade.reachSeq);
  view.setUint32(base + F.entries, header.entries, true);
  view.setUint32(base + F.chain, header.chain, true);
  view.setUint32(base + F.chainAfter, remade === null ? 0 : remade.chainAfter, true);
  view.setUint32(base + F.lsns, remade === null ? 0 : remade.lastLsn - header.firstLsn + 1, true);
  let at = base + BATCH_HEADER_FIXED_BYTES + header.entries * ENTRY_BYTES;
  for (let i = 0; i < header.payloadBlocks; i++, at += CRC_BYTES) view.setUint32(at, crcs[crcFirst + i] as number, true);
  memory.fill(0, at, base + BLOCK_BYTES);
  const crc = loadAddon().crc32c(memory, base, BLOCK_BYTES, 0);
  view.setUint32(base + F.crc, crc, true);
  return crc;
}

export interface DecodedBatch extends BatchHeader {
  /** The header's own checksum. */
  readonly crc: number;
  readonly lastLsn: Lsn;
  /** What the next batch's chain has to be. */
  readonly chainAfter: number;
}

/**
 * Checks and decodes the header at `base`; null when it is not a whole, well-formed batch header of this array. It never reads outside its block.
 */
export function decodeBatch(
  view: DataView,
  memory: Uint8Array,
  base: number,
  arrayTag: number,
  segmentBlocks: number,
): DecodedBatch | null {
  if (view.getUint32(base + F.magic, true) !== BATCH_MAGIC) return null;
  const flags = view.getUint16(base + F.flags, true);
  if (view.getUint16(base + F.version, true) !== BATCH_VERSION || (flags & ~FLAG_REMADE) !== 0) return null;
  if (view.getUint32(base + F.tag, true) !== arrayTag) return null;
  const entries = view.getUint32(base + F.entries, true);
  const payloadBlocks = view.getUint32(base + F.payload, true);
  const at = view.getUint32(base + F.at, true);
  if (entries === 0 || !batchHasRoom(entries, payloadBlocks) || at + 1 + payloadBlocks > segmentBlocks) return null;
  const stored = view.getUint32(base + F.crc, true);
  // Checked on a copy: the block may be the only good copy of the header, and a reader does not write to what it reads.
  const copy = Buffer.from(memory.subarray(base, base + BLOCK_BYTES));
  copy.writeUInt32LE(0, F.crc);
  if (loadAddon().crc32c(copy, 0, BLOCK_BYTES, 0) !== stored) return null;
  const firstLsn = getU64(view, base + F.firstLsn);
  const seq = getU64(view, base + F.seq);
  const word = getU64(view, base + F.flushedLsn);
  const remade =
    flags === 0
      ? null
      : {
          chainAfter: view.getUint32(base + F.chainAfter, true),
          lastLsn: firstLsn + view.getUint32(base + F.lsns, true) - 1,
          reachSeq: word,
        };
  const header: DecodedBatch = {
    arrayTag,
    epoch: getU64(view, base + F.epoch),
    seq,
    at,
    firstLsn,
    flushedLsn: remade === null ? word : firstLsn - 1,
    chain: view.getUint32(base + F.chain, true),
    entries,
    payloadBlocks,
    remade,
    crc: stored,
    lastLsn: remade === null ? firstLsn + entries - 1 : remade.lastLsn,
    chainAfter: remade === null ? stored : remade.chainAfter,
  };
  const { epoch, flushedLsn, lastLsn } = header;
  if (![epoch, seq, firstLsn + entries, lastLsn, word].every(Number.isSafeInteger)) return null;
  // What is flushed when a header is made was written before it.
  if (seq === 0 || flushedLsn >= firstLsn) return null;
  if (remade !== null && (lastLsn < firstLsn + entries - 1 || remade.reachSeq <= seq)) return null;
  let covered = 0;
  for (let i = 0; i < entries; i++) {
    const type = entryType(view, base, i);
    if (type === ENTRY_WRITE) covered += entryCount(view, base, i);
    else if (type !== ENTRY_ZERO) return null;
    if (entryCount(view, base, i) === 0) return null;
  }
  return covered === payloadBlocks ? header : null;
}

/**
 * What is wrong with the entries of a decoded batch for a volume of this size, '' when nothing is. Not part of decodeBatch: such a header is one of ours all the same, and recovery
 * must neither apply it nor pass over it as if the log ended there.
 */
export function batchProblem(view: DataView, base: number, entries: number, volumeBlocks: number): string {
  for (let i = 0; i < entries; i++) {
    const first = entryBlock(view, base, i);
    const count = entryCount(view, base, i);
    if (first + count > volumeBlocks) return `an entry over blocks ${first} to ${first + count - 1} of a volume of ${volumeBlocks}`;
    const stream = view.getUint32(base + BATCH_HEADER_FIXED_BYTES + i * ENTRY_BYTES + 12, true);
    if (stream !== 0) return `an entry of stream ${stream}, where there is only stream 0`;
  }
  return '';
}

export function entryType(view: DataView, base: number, index: number): number {
  return view.getUint8(base + BATCH_HEADER_FIXED_BYTES + index * ENTRY_BYTES + 6);
}

export function entryBlock(view: DataView, base: number, index: number): BlockIndex {
  const at = base + BATCH_HEADER_FIXED_BYTES + index * ENTRY_BYTES;
  return view.getUint16(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

export function entryCount(view: DataView, base: number, index: number): number {
  return view.getUint32(base + BATCH_HEADER_FIXED_BYTES + index * ENTRY_BYTES + 8, true);
}

/** CRC32C of payload block `index` of the batch at `base`, as the header gives it. */
export function payloadCrc(view: DataView, base: number, entries: number, index: number): number {
  return view.getUint32(base + BATCH_HEADER_FIXED_BYTES + entries * ENTRY_BYTES + index * CRC_BYTES, true);
}
