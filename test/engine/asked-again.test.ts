import test from 'ava';
import { BlockRecovery, HAD_RING, HAD_STRIPES, type SlowReadHost } from '../../src/engine/slow-read.js';
import { NOT_IN_RING } from '../../src/journal/ring-index.js';
import type { Backup } from '../../src/repository/backup.js';

const READ = { trusted: true, locked: false, repair: false, ringFirst: true };

/** A ring in which block 10 is, or not, from one moment to the next; a copy that can be read, or not. */
function readsOf(
  ring: { has: boolean; readable: boolean; read(): void },
  stripes: { status: number; asked: number[][] },
  backup: () => Backup | null,
) {
  const host = {
    state: {
      damagedInRing: new Map(),
      geometry: { stripeOf: () => 0 },
      rowTrusted: () => true,
      isUntrustedRow: () => false,
      memberView: () => ({}),
    },
    journal: {
      destagedSeq: 1,
      drainedSeq: 1,
      index: { lookup: (block: number) => (block === 10 && ring.has ? 0 : NOT_IN_RING) },
      table: { seqOfPlace: () => 1, crc: new Uint32Array(1) },
    },
    reader: {
      read: () => {
        ring.read();
        return Promise.resolve(ring.readable);
      },
    },
    pool: {
      recover: ({ blocks }: { blocks: Float64Array }) => {
        stripes.asked.push(Array.from(blocks));
        const status = new Uint8Array(blocks.length).fill(stripes.status);
        return Promise.resolve({ status, crcs: new Uint32Array(blocks.length), repaired: 0 });
      },
    },
    slab: {},
    backup: () => Promise.resolve(backup()),
    lock: () => Promise.resolve({ stripes: 1 }),
    unlock: () => {},
    account: () => Promise.resolve(),
  };
  return new BlockRecovery(host as unknown as SlowReadHost);
}

test('P5: blocks of which one is not in the ring any more when that is asked again are looked for in the stripes in their order', async (t) => {
  // While its copy is read the segment leaves the ring.
  const ring = { has: true, readable: false, read: () => void Object.assign(ring, { has: false }) };
  const stripes = { status: 0, asked: [] as number[][] };
  const had = await readsOf(ring, stripes, () => null).recover(Float64Array.of(10, 11, 12), Uint32Array.of(0, 1, 2), READ);
  t.deepEqual(stripes.asked[0], [10, 11, 12]);
  t.deepEqual(Array.from(had.from), [HAD_STRIPES, HAD_STRIPES, HAD_STRIPES]);
});

test('P5: a block that comes into the ring while the backup is asked is not looked for there, but in the ring once more', async (t) => {
  const ring = { has: false, readable: true, read: () => undefined };
  // Beyond what the parity gives.
  const stripes = { status: 1, asked: [] as number[][] };
  const backup = (): Backup => {
    ring.has = true;
    return {} as Backup;
  };
  const had = await readsOf(ring, stripes, backup).recover(Float64Array.of(10), Uint32Array.of(0), READ);
  t.deepEqual(Array.from(had.from), [HAD_RING]);
  t.deepEqual(had.errors, [null]);
});
