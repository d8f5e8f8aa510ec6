import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes, type SlabOffset } from '../base/units.js';
import type { SlabRegion } from '../memory/slab-region.js';
import { type Backup, BLOCK_LOST } from '../repository/backup.js';
import type { StripeGeometry } from '../stripe/geometry.js';
import { type MemberView, SOURCE_KEEP, STRIPE_DONE, type StripeOutcome, type StripePool } from '../stripe/stripe-pool.js';

/** Extents asked of the backup's map at once. */
const EXTENTS_PER_CALL = 4096;

export interface RestoreHost {
  readonly geometry: StripeGeometry;
  readonly pool: StripePool;
  members(): MemberView;
  changed(stripe: number): void;
  account(outcome: StripeOutcome): Promise<void>;
}

/** Batches under way: while some are fetched others are written. */
const LANES_MAX = 4;
/** Blocks that the backup's map is asked about at once: 256 MiB of the volume. */
const LOOKUP_BLOCKS = 65_536;

/**
 * Everything from the backup alone: writes the newest image of `backup` into the stripes of a new, empty array, each block verified by the checksum that its
 * write got. Returns the bytes restored; totalBytes is what the image has, not what the volume could hold. A failure ends the lanes after the batch that each has under way.
 */
export async function restoreImage(
  host: RestoreHost,
  backup: Backup,
  region: SlabRegion,
  onProgress: (doneBytes: Bytes, totalBytes: Bytes) => void,
): Promise<Bytes> {
  const { geometry, pool } = host;
  const stripeBytes = geometry.stripeBlocks * BLOCK_BYTES;
  const lanes = Math.min(LANES_MAX, Math.floor(region.bytes / stripeBytes));
  assert(lanes >= 1, 'restore memory holds the data of a stripe');
  const laneStripes = Math.min(pool.stripesPerTask, Math.floor(region.bytes / lanes / stripeBytes));
  const total = await imageBytes(backup);
  onProgress(0, total);
  const batches = imageBatches(host, backup, laneStripes);
  let restored = 0;
  let failed = false;
  const lane = async (memory: SlabOffset): Promise<void> => {
    try {
      // Several wait for the generator at once: it answers in the order they came.
      for (let next = await batches.next(); next.done !== true && !failed; next = await batches.next()) {
        await restoreBatch(host, backup, memory, next.value);
        restored += next.value.length * BLOCK_BYTES;
        onProgress(restored, total);
      }
    } catch (error) {
      failed = true;
      throw error;
    }
  };
  const results = await Promise.allSettled(Array.from({ length: lanes }, (_, i) => lane(region.offset + i * laneStripes * stripeBytes)));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  return restored;
}

/** The blocks that the newest image calls lost, ascending. */
export async function eachLostBlock(backup: Backup, volumeBlocks: number, lost: (block: number) => void): Promise<void> {
  const has = new Uint8Array(LOOKUP_BLOCKS);
  for (let first = 0; first < volumeBlocks; first += LOOKUP_BLOCKS) {
    const count = Math.min(LOOKUP_BLOCKS, volumeBlocks - first);
    await backup.lookup(first, count, has);
    for (let i = has.indexOf(BLOCK_LOST); i >= 0 && i < count; i = has.indexOf(BLOCK_LOST, i + 1)) lost(first + i);
  }
}

async function imageBytes(backup: Backup): Promise<Bytes> {
  let blocks = 0;
  for (let from = 0; ; ) {
    const pairs = await backup.allocated(from, EXTENTS_PER_CALL);
    if (pairs.length === 0) return blocks * BLOCK_BYTES;
    for (let i = 1; i < pairs.length; i += 2) blocks += pairs[i] as number;
    from = (pairs.at(-2) as number) + (pairs.at(-1) as number);
  }
}

/** The image's blocks, ascending, whole stripes of them at a time. */
async function* imageBatches({ geometry }: RestoreHost, backup: Backup, stripesMax: number): AsyncGenerator<Float64Array, void> {
  let pending: number[] = [];
  let stripes = 0;
  let lastStripe = -1;
  for (let from = 0; ; ) {
    const pairs = await backup.allocated(from, EXTENTS_PER_CALL);
    if (pairs.length === 0) break;
    for (let i = 0; i < pairs.length; i += 2) {
      const end = (pairs[i] as number) + (pairs[i + 1] as number);
      for (let block = pairs[i] as number; block < end; block++) {
        const stripe = geometry.stripeOf(block);
        if (stripe !== lastStripe) {
          if (stripes === stripesMax) {
            yield Float64Array.from(pending);
            pending = [];
            stripes = 0;
          }
          stripes++;
          lastStripe = stripe;
        }
        pending.push(block);
      }
      from = end;
    }
  }
  if (pending.length > 0) yield Float64Array.from(pending);
}

async function restoreBatch(host: RestoreHost, backup: Backup, memory: SlabOffset, blocks: Float64Array): Promise<void> {
  const { geometry } = host;
  const crcs = new Uint32Array(blocks.length);
  await backup.read(blocks, memory, crcs);
  const stripes = Float64Array.from(new Set(Array.from(blocks, (block) => geometry.stripeOf(block))));
  const sources = new Uint32Array(stripes.length * geometry.stripeBlocks).fill(SOURCE_KEEP);
  const sourceCrcs = new Uint32Array(sources.length);
  let at = 0;
  for (let i = 0; i < blocks.length; i++) {
    const block = blocks[i] as number;
    while (stripes[at] !== geometry.stripeOf(block)) at++;
    const word = at * geometry.stripeBlocks + geometry.slotOf(block);
    sources[word] = memory / BLOCK_BYTES + i;
    sourceCrcs[word] = crcs[i] as number;
  }
  const outcome = await host.pool.apply({ members: host.members(), stripes, sources, crcs: sourceCrcs, rewrite: false });
  for (const stripe of stripes) host.changed(stripe);
  await host.account(outcome);
  const failed = outcome.status.findIndex((status) => status !== STRIPE_DONE);
  if (failed >= 0) {
    throw new KeelsonError('RESTORE_STRIPE', `stripe ${stripes[failed]} could not be written`, {
      action: 'check the new members and start the restore again',
    });
  }
}
