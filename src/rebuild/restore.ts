import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes } from '../base/units.js';
import type { SlabRegion } from '../memory/slab-region.js';
import type { Backup } from '../repository/backup.js';
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

/**
 * Everything from the backup alone: writes the newest image of `backup` into the stripes of a new, empty array, stripe by stripe, each block verified by the
 * checksum that its write got. Returns the bytes restored.
 */
export async function restoreImage(
  host: RestoreHost,
  backup: Backup,
  region: SlabRegion,
  onProgress: (doneBytes: Bytes) => void,
): Promise<Bytes> {
  const { geometry } = host;
  const room = Math.floor(region.bytes / BLOCK_BYTES);
  assert(room >= geometry.stripeBlocks, 'restore memory holds the data of a stripe');
  const perBatch = Math.max(1, Math.min(host.pool.stripesPerTask, Math.floor(room / geometry.stripeBlocks)));
  let restored = 0;
  let pending: number[] = [];
  let pendingStripes = 0;
  let lastStripe = -1;
  const flush = async (): Promise<void> => {
    if (pending.length === 0) return;
    await restoreBatch(host, backup, region, Float64Array.from(pending));
    restored += pending.length * BLOCK_BYTES;
    onProgress(restored);
    pending = [];
    pendingStripes = 0;
    lastStripe = -1;
  };
  for (let from = 0; ; ) {
    const pairs = await backup.allocated(from, EXTENTS_PER_CALL);
    if (pairs.length === 0) break;
    for (let i = 0; i < pairs.length; i += 2) {
      const end = (pairs[i] as number) + (pairs[i + 1] as number);
      for (let block = pairs[i] as number; block < end; block++) {
        const stripe = geometry.stripeOf(block);
        if (stripe !== lastStripe) {
          if (pendingStripes === perBatch) await flush();
          pendingStripes++;
          lastStripe = stripe;
        }
        pending.push(block);
      }
      from = end;
    }
  }
  await flush();
  return restored;
}

async function restoreBatch(host: RestoreHost, backup: Backup, region: SlabRegion, blocks: Float64Array): Promise<void> {
  const { geometry } = host;
  const crcs = new Uint32Array(blocks.length);
  await backup.read(blocks, region.offset, crcs);
  const stripes = Float64Array.from(new Set(Array.from(blocks, (block) => geometry.stripeOf(block))));
  const sources = new Uint32Array(stripes.length * geometry.stripeBlocks).fill(SOURCE_KEEP);
  const sourceCrcs = new Uint32Array(sources.length);
  let at = 0;
  for (let i = 0; i < blocks.length; i++) {
    const block = blocks[i] as number;
    while (stripes[at] !== geometry.stripeOf(block)) at++;
    const word = at * geometry.stripeBlocks + geometry.slotOf(block);
    sources[word] = region.offset / BLOCK_BYTES + i;
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
