import { EXIT, KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes, GIB, MIB, roundDown } from '../base/units.js';
import { formatSize } from '../config/quantities.js';
import { ringIndexBytes } from '../journal/ring-index.js';
import { segmentTableBytes } from '../journal/segment-table.js';
import { integrityTableBytes } from '../member/integrity.js';
import type { HostMemory } from '../memory/host-memory.js';
import type { EngineLog } from './log.js';

/**
 * The process beside the array's own tables: Node, the addon and the threads (85 MiB measured), the backup thread, and what all clients together can make the NBD front end
 * hold (nbd/limits.ts: payloads on their way in, and idle buffers for the next ones; 96 MiB).
 */
const PROCESS_BYTES = 224 * MIB;
/** A bit a stripe each: the bitmap, the one that is durable, the next one, and that of a checkpoint as it is written; torn stripes; stripes with lost blocks. */
const STRIPE_BITMAPS = 6;

/** What sizes the tables of an array. */
export interface MemoryShape {
  readonly dataMembers: number;
  readonly chunkBytes: Bytes;
  readonly stripes: number;
  readonly ringBytes: Bytes;
  readonly segmentBytes: Bytes;
}

/** Memory of a server, by what it is for. */
export interface MemoryNeed {
  readonly slabBytes: Bytes;
  /** Checksums of every block of every stripe member. */
  readonly integrityBytes: Bytes;
  readonly ringIndexBytes: Bytes;
  readonly bitmapBytes: Bytes;
  readonly processBytes: Bytes;
  readonly totalBytes: Bytes;
}

/**
 * The formula: slab + 4 bytes a block of each stripe member + 20 to 28 bytes a block of the ring + 6 bits a stripe + the process. Tables take memory where something was written:
 * writtenStripes sizes them for a part of the stripes. The backup's map (docs/operations.md) comes on top: it grows with the extents that were written, not with the array.
 */
export function memoryNeed(shape: MemoryShape, slabBytes: Bytes, writtenStripes = shape.stripes): MemoryNeed {
  const segments = shape.ringBytes / shape.segmentBytes;
  const segmentBlocks = shape.segmentBytes / BLOCK_BYTES;
  const integrityBytes = shape.dataMembers * integrityTableBytes(writtenStripes * shape.chunkBytes);
  const ring = ringIndexBytes(segments * segmentBlocks) + segmentTableBytes(segments, segmentBlocks);
  const bitmapBytes = Math.ceil((STRIPE_BITMAPS * shape.stripes) / 8);
  return {
    slabBytes,
    integrityBytes,
    ringIndexBytes: ring,
    bitmapBytes,
    processBytes: PROCESS_BYTES,
    totalBytes: slabBytes + integrityBytes + ring + bitmapBytes + PROCESS_BYTES,
  };
}

/** "6.4GiB = slab 256MiB + checksums 6GiB + ...". */
export function describeNeed(need: MemoryNeed, dataMembers: number): string {
  const parts = [
    `slab ${sizeText(need.slabBytes)}`,
    `checksums of ${dataMembers} stripe members ${sizeText(need.integrityBytes)} (1GiB for each TiB of each)`,
    `ring index ${sizeText(need.ringIndexBytes)}`,
    `bitmaps ${sizeText(need.bitmapBytes)}`,
    `process ${sizeText(need.processBytes)}`,
  ];
  return `${sizeText(need.totalBytes)} = ${parts.join(' + ')}`;
}

/** Rounded up: whole MiB, from a GiB on tenths of a GiB. */
export function sizeText(bytes: Bytes): string {
  return bytes < GIB ? `${Math.ceil(bytes / MIB)}MiB` : `${(Math.ceil((bytes / GIB) * 10) / 10).toFixed(1)}GiB`;
}

/** Throws MEMORY_TOO_SMALL (exit 2) when an array that is to be made could not be served on this host once its volume is full. */
export function requireMemory(need: MemoryNeed, dataMembers: number, host: HostMemory): void {
  if (need.totalBytes <= host.limitBytes) return;
  throw tooSmall('this host has less memory than serving the array takes', need, dataMembers, host, fittingAdvice(need, dataMembers, host));
}

/** The same for an array that exists: throws when not even what is written on it can be served. */
export function requireMemoryNow(need: MemoryNeed, dataMembers: number, host: HostMemory): void {
  if (need.totalBytes <= host.limitBytes) return;
  const lower = roundDown(need.slabBytes - (need.totalBytes - host.limitBytes), MIB);
  const advice =
    lower > 0
      ? `give this host more memory, or lower memory.slab to ${formatSize(lower)}`
      : `give this host (or the control group of keelson) at least ${sizeText(need.totalBytes)}`;
  throw tooSmall('this host has less memory than serving the array takes as it is', need, dataMembers, host, advice);
}

/** Before any device is looked at: the slab and the process by themselves. */
export function requireSlabMemory(slabBytes: Bytes, host: HostMemory): void {
  const nothing = { dataMembers: 0, chunkBytes: BLOCK_BYTES, stripes: 0, ringBytes: 0, segmentBytes: BLOCK_BYTES };
  requireMemoryNow(memoryNeed(nothing, slabBytes), 0, host);
}

/**
 * Says what serving this array takes, before anything is written. Throws MEMORY_TOO_SMALL. short: what to say when the array will not fit
 * any more once all of its volume is written; null when it will.
 */
export function requireServingMemory(
  shape: MemoryShape,
  slabBytes: Bytes,
  writtenStripes: number,
  host: HostMemory | undefined,
  log: EngineLog,
): { readonly full: MemoryNeed; readonly short: string | null } {
  const full = memoryNeed(shape, slabBytes);
  const now = memoryNeed(shape, slabBytes, writtenStripes);
  if (host === undefined) return { full, short: null };
  requireMemoryNow(now, shape.dataMembers, host);
  const figures = { needBytes: now.totalBytes, needFullBytes: full.totalBytes, availableBytes: host.availableBytes };
  const tight = now.totalBytes > host.availableBytes;
  if (tight) log.warn(figures, 'less memory is free on this host than serving the array takes');
  else log.info(figures, 'memory that serving the array takes');
  if (full.totalBytes <= host.limitBytes) return { full, short: null };
  const text = `when all of the volume is written the server will take ${describeNeed(full, shape.dataMembers)}; this host has`;
  return { full, short: `${text} ${sizeText(host.limitBytes)}, ${host.limitedBy}` };
}

function tooSmall(message: string, need: MemoryNeed, dataMembers: number, host: HostMemory, action: string): KeelsonError {
  return new KeelsonError('MEMORY_TOO_SMALL', message, {
    found: `${sizeText(host.limitBytes)}, ${host.limitedBy}`,
    expected: `at least ${describeNeed(need, dataMembers)}`,
    action,
    exit: EXIT.usage,
  });
}

/** Members that would fit beside the rest; else the rest is too much by itself. */
function fittingAdvice(need: MemoryNeed, dataMembers: number, host: HostMemory): string {
  const left = host.limitBytes - (need.totalBytes - need.integrityBytes);
  const memberBytes = roundDown((left / dataMembers) * (BLOCK_BYTES / 4) * 0.98, GIB);
  if (memberBytes >= GIB) return `use members of at most ${formatSize(memberBytes)}, or give this host more memory`;
  return `give this host (or the control group of keelson) more memory, or lower memory.slab and journal.size`;
}
