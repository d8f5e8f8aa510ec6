import test from 'ava';
import { NOT_IN_RING } from '../../src/journal/ring-index.js';
import { BlockRecovery, HAD_STRIPES, type SlowReadHost } from '../../src/engine/slow-read.js';

test('P5: blocks of which one is not in the ring any more when that is asked again are looked for in the stripes in their order', async (t) => {
  const asked: number[][] = [];
  let inRing = true;
  const host = {
    state: {
      damagedInRing: new Map(),
      geometry: { stripeOf: () => 0 },
      rowTrusted: () => true,
      memberView: () => ({}),
    },
    journal: {
      destagedSeq: 1,
      drainedSeq: 1,
      index: { lookup: (block: number) => (block === 10 && inRing ? 0 : NOT_IN_RING) },
      table: { seqOfPlace: () => 1, crc: new Uint32Array(1) },
    },
    // While its copy is read the block's segment leaves the ring.
    reader: {
      read: () => {
        inRing = false;
        return Promise.resolve(false);
      },
    },
    pool: {
      recover: ({ blocks }: { blocks: Float64Array }) => {
        asked.push(Array.from(blocks));
        return Promise.resolve({ status: new Uint8Array(blocks.length), crcs: new Uint32Array(blocks.length), repaired: 0 });
      },
    },
    slab: {},
    lock: () => Promise.resolve({ stripes: 1 }),
    unlock: () => {},
    account: () => Promise.resolve(),
  } as unknown as SlowReadHost;
  const recovery = new BlockRecovery(host);
  const had = await recovery.recover(Float64Array.of(10, 11, 12), Uint32Array.of(0, 1, 2), {
    trusted: true,
    locked: false,
    repair: false,
    ringFirst: true,
  });
  t.deepEqual(asked[0], [10, 11, 12]);
  t.deepEqual(Array.from(had.from), [HAD_STRIPES, HAD_STRIPES, HAD_STRIPES]);
});
