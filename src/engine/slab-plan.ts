import { availableParallelism } from 'node:os';
import { EXIT, KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes, MIB, roundDown, roundUp, type SlabOffset } from '../base/units.js';
import { type SlabRegion, slabRegion } from '../memory/slab-region.js';
import type { Slab } from '../memory/slab.js';
import { FENCE_REGION_BYTES } from './fence.js';

/** Superblocks, checkpoints, integrity pages. */
const META_BYTES = 4 * MIB;
/** Blocks fetched from the backup for reads, on their way to the reader's pages: a memory of its own, or readers holding all pages would wait for each other. */
const FETCH_BYTES = 8 * MIB;
/** A device that becomes a member while the array runs: its signatures, its first superblock and checkpoint. A small part of it is for looks at superblocks. */
const ADMISSION_BYTES = MIB;
/** Recovered blocks of degraded rows, on their way to the journal. */
const LOST_BYTES = MIB;
/** Work memory of one stripe thread: enough for batches whose I/O is long compared with the 100 microseconds that a task costs. */
const STRIPE_SCRATCH_BYTES = 16 * MIB;
/** One request of the largest size that a client may send must fit twice, or reads could wait for each other. */
const READ_AREA_MIN_BYTES = 64 * MIB;
const SEGMENT_BUFFERS_MIN = 4;

/** How the slab is divided. Everything that holds payload has its place and its bound here. */
export interface SlabPlan {
  readonly meta: SlabRegion;
  readonly admission: SlabRegion;
  /** Superblocks that are looked at while everything else goes on. */
  readonly fence: SlabRegion;
  readonly fetch: SlabRegion;
  readonly lost: SlabRegion;
  readonly stripeScratch: readonly { readonly offset: SlabOffset; readonly bytes: Bytes }[];
  /** One ring segment: replication and recovery of segments that are not resident. */
  readonly replication: SlabRegion;
  /** Two ring segments: drained pieces of segments that are not resident. */
  readonly drain: SlabRegion;
  /** Blocks fetched for stripes beyond parity. */
  readonly rebuild: SlabRegion;
  readonly segmentBuffersAt: SlabOffset;
  readonly segmentBuffers: number;
  readonly reads: SlabRegion;
}

/** Slab bytes that planSlab needs at least. */
export function slabBytesMin(segmentBytes: Bytes, stripeBytes: Bytes, threads: number): Bytes {
  const scratch = stripeScratchBytes(stripeBytes, 0);
  return (
    META_BYTES +
    ADMISSION_BYTES +
    FETCH_BYTES +
    LOST_BYTES +
    threads * scratch +
    3 * segmentBytes +
    rebuildBytes(stripeBytes) +
    SEGMENT_BUFFERS_MIN * segmentBytes +
    READ_AREA_MIN_BYTES
  );
}

/** A task reads and writes whole stripes at worst, old and new side by side. */
function stripeScratchBytes(stripeBytes: Bytes, wanted: Bytes): Bytes {
  return roundUp(Math.max(4 * stripeBytes, wanted), MIB);
}

function rebuildBytes(stripeBytes: Bytes): Bytes {
  return roundUp(Math.max(8 * MIB, 4 * stripeBytes), MIB);
}

/** More threads than this only wait for the devices. */
const STRIPE_THREADS_MAX = 4;

/** Threads for stripe work on this machine. */
export function stripeThreads(): number {
  return Math.max(1, Math.min(STRIPE_THREADS_MAX, availableParallelism()));
}

/** Throws SLAB_TOO_SMALL. */
export function requireSlab(slabBytes: Bytes, segmentBytes: Bytes, stripeBytes: Bytes, threads: number): void {
  const minimum = slabBytesMin(segmentBytes, stripeBytes, threads);
  if (slabBytes >= minimum) return;
  throw new KeelsonError('SLAB_TOO_SMALL', 'the slab is too small for this array', {
    found: `memory.slab of ${slabBytes} bytes`,
    expected: `at least ${minimum} bytes for segments of ${segmentBytes} bytes and stripes of ${stripeBytes} bytes`,
    action: 'raise memory.slab or lower journal.segment',
    exit: EXIT.usage,
  });
}

/** Divides the slab. stripeBytes: all chunks of a stripe, data and parity. Throws SLAB_TOO_SMALL. */
export function planSlab(slab: Slab, segmentBytes: Bytes, stripeBytes: Bytes, threads: number): SlabPlan {
  requireSlab(slab.bytes, segmentBytes, stripeBytes, threads);
  let at = 0;
  const take = (bytes: Bytes): SlabRegion => {
    const region = slabRegion(slab, at, roundUp(bytes, BLOCK_BYTES));
    at += region.bytes;
    return region;
  };
  const meta = take(META_BYTES);
  const admission = take(ADMISSION_BYTES - FENCE_REGION_BYTES);
  const fence = take(FENCE_REGION_BYTES);
  const fetch = take(FETCH_BYTES);
  const lost = take(LOST_BYTES);
  const scratchBytes = stripeScratchBytes(stripeBytes, Math.min(STRIPE_SCRATCH_BYTES, roundDown(slab.bytes / 16, MIB)));
  const stripeScratch = Array.from({ length: threads }, () => take(scratchBytes));
  const replication = take(segmentBytes);
  const drain = take(2 * segmentBytes);
  const rebuild = take(rebuildBytes(stripeBytes));
  const left = slab.bytes - at;
  const segmentBuffers = Math.max(SEGMENT_BUFFERS_MIN, Math.floor(Math.min(left * 0.6, left - READ_AREA_MIN_BYTES) / segmentBytes));
  const buffers = take(segmentBuffers * segmentBytes);
  const reads = take(slab.bytes - at);
  return {
    meta,
    admission,
    fence,
    fetch,
    lost,
    stripeScratch,
    replication,
    drain,
    rebuild,
    segmentBuffersAt: buffers.offset,
    segmentBuffers,
    reads,
  };
}
