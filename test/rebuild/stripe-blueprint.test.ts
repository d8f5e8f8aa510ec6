import test from 'ava';
import { MIB } from '../../src/base/units.js';
import { NOT_IN_RING } from '../../src/journal/ring-index.js';
import { Slab } from '../../src/memory/slab.js';
import { slabRegion } from '../../src/memory/slab-region.js';
import type { RebuildCounters, RebuildHost } from '../../src/rebuild/rebuild-host.js';
import { blueprintBytes, StripeBlueprint } from '../../src/rebuild/stripe-blueprint.js';
import { StripeGeometry } from '../../src/stripe/geometry.js';
import { type RebuildTask, SOURCE_ZERO, STRIPE_DONE } from '../../src/stripe/stripe-pool.js';

test('P5: what leaves the ring while the backup is asked what it has is in neither: the backup is asked again', async (t) => {
  const geometry = new StripeGeometry(2, 1, 4096, 4);
  const journal = { tailSeq: 1, destagedSeq: 1, drainedSeq: 1, index: { lookup: () => NOT_IN_RING } };
  const read: number[] = [];
  const backup = {
    lookup: (_first: number, count: number, out: Uint8Array) => {
      // The answer is from before the publish, after which a segment left the ring.
      const published = journal.tailSeq > 1;
      journal.tailSeq = 2;
      out.fill(published ? 1 : 0, 0, count);
      return Promise.resolve();
    },
    read: (blocks: Float64Array) => {
      read.push(...blocks);
      return Promise.resolve(0);
    },
  };
  const tasks: RebuildTask[] = [];
  const host = {
    geometry,
    journal,
    readable: () => false,
    entry: () => -1,
    isUntrusted: () => false,
    isUntrustedRow: () => false,
    members: () => ({}),
    backup: () => backup,
    account: () => Promise.resolve(),
    pool: {
      rebuild: (task: RebuildTask) => {
        tasks.push(task);
        return Promise.resolve({ status: Uint8Array.of(STRIPE_DONE) });
      },
    },
  };
  const counters = { fromBackup: 0, backupStoredBytes: 0, lostBlocks: 0, fromParity: 0 } as RebuildCounters;
  const region = slabRegion(Slab.allocate(MIB), 0, blueprintBytes(geometry));
  const blueprint = new StripeBlueprint(host as unknown as RebuildHost, region, counters);
  t.is(await blueprint.attempt(1, [0, 1], { wide: false, giveUp: false }), STRIPE_DONE);
  t.deepEqual(read, [2, 3]);
  t.false(tasks[0]?.provided?.includes(SOURCE_ZERO));
  t.is(counters.fromBackup, 2 * 4096);
});
