import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { Slab } from '../../src/memory/slab.js';
import { loadAddon } from '../../src/native/load.js';
import { StripeGeometry } from '../../src/stripe/geometry.js';
import { createStripePool } from '../../src/stripe/pool.js';
import { type MemberView, SOURCE_KEEP, STRIPE_DONE, type StripePool } from '../../src/stripe/stripe-pool.js';

const BLOCK = 4096;
const STRIPES = 24;
const DATA_OFFSET = 1024 * 1024;
const THREADS = 2;

interface Bench {
  readonly geometry: StripeGeometry;
  readonly slab: Slab;
  readonly view: MemberView;
  readonly pool: StripePool;
  readonly firstPage: number;
}

/** O_DIRECT where the file system has it. */
function open(path: string): number {
  try {
    return loadAddon().openDevice(path, true, true, false);
  } catch {
    return loadAddon().openDevice(path, false, true, false);
  }
}

async function start(t: ExecutionContext, io: 'ring' | 'fs'): Promise<Bench> {
  const geometry = new StripeGeometry(4, 2, 16 * BLOCK, STRIPES);
  const folder = mkdtempSync(join(tmpdir(), 'keelson-stripe-'));
  const handles = Array.from({ length: geometry.n }, (_, i) => {
    const path = join(folder, `member-${i}`);
    writeFileSync(path, '');
    truncateSync(path, DATA_OFFSET + STRIPES * geometry.chunkBytes);
    return open(path);
  });
  const scratchBytes = 2 * geometry.n * geometry.chunkBytes;
  const slab = Slab.allocate(THREADS * scratchBytes + geometry.volumeBlocks * BLOCK);
  const pool = await createStripePool({
    context: {
      geometry,
      slab: slab.shared,
      dataOffset: new Float64Array(geometry.n).fill(DATA_OFFSET),
      integrity: handles.map(() => new SharedArrayBuffer(STRIPES * geometry.rows * 4)),
      io,
    },
    scratch: Array.from({ length: THREADS }, (_, i) => ({ offset: i * scratchBytes, bytes: scratchBytes })),
  });
  t.teardown(async () => {
    await pool.close();
    for (const handle of handles) loadAddon().closeDevice(handle);
    rmSync(folder, { recursive: true });
  });
  const view = {
    handle: Int32Array.from(handles),
    rebuiltStripes: new Float64Array(geometry.n).fill(Number.POSITIVE_INFINITY),
    integrityKnown: new Uint8Array(geometry.n).fill(1),
  };
  return { geometry, slab, view, pool, firstPage: (THREADS * scratchBytes) / BLOCK };
}

const kinds = loadAddon().ringAvailable() === '' ? (['ring', 'fs'] as const) : (['fs'] as const);

for (const io of kinds) {
  test(`${io}: threads write stripes of real files side by side, and read them back whole, degraded and rebuilt`, async (t) => {
    const { geometry, slab, view, pool, firstPage } = await start(t, io);
    t.is(pool.threads, THREADS);
    t.is(pool.stripesPerTask, 2);
    const { stripeBlocks, volumeBlocks } = geometry;
    const payload = slab.view.subarray(firstPage * BLOCK, (firstPage + volumeBlocks) * BLOCK);
    seededRandom(5).fill(payload);
    const expected = Uint8Array.from(payload);
    const crcs = new Uint32Array(volumeBlocks);
    loadAddon().crcRun(slab.view, firstPage * BLOCK, 0, volumeBlocks, crcs, 0);

    // Whole stripes, then some blocks of each again (the same content, so every path has to leave it as it is): many tasks at the same time.
    for (const full of [true, false]) {
      const tasks = Array.from({ length: STRIPES / 4 }, (_, part) => {
        const stripes = Float64Array.from({ length: 4 }, (_, i) => part * 4 + i);
        const sources = new Uint32Array(4 * stripeBlocks).fill(SOURCE_KEEP);
        const given = new Uint32Array(4 * stripeBlocks);
        for (let b = 0; b < sources.length; b++) {
          const block = part * 4 * stripeBlocks + b;
          if (!full && block % 7 > 1) continue;
          sources[b] = firstPage + block;
          given[b] = crcs[block] as number;
        }
        return pool.apply({ members: view, stripes, sources, crcs: given, rewrite: false });
      });
      for (const outcome of await Promise.all(tasks)) t.true(outcome.status.every((status) => status === STRIPE_DONE));
    }

    const read = async (members: MemberView): Promise<boolean> => {
      payload.fill(0);
      const blocks = Float64Array.from({ length: volumeBlocks }, (_, block) => block);
      const outcome = await pool.recover({ members, blocks, pages: Uint32Array.from(blocks, (block) => firstPage + block), repair: false });
      return outcome.status.every((status) => status === 0) && Buffer.compare(payload, expected) === 0;
    };
    t.true(await read(view));
    const degraded = { ...view, handle: view.handle.slice() };
    degraded.handle[1] = -1;
    degraded.handle[4] = -1;
    t.true(await read(degraded));

    const all = Float64Array.from({ length: STRIPES }, (_, i) => i);
    const rebuilding = { ...view, rebuiltStripes: view.rebuiltStripes.slice(), integrityKnown: view.integrityKnown.slice() };
    for (const member of [0, 3]) {
      rebuilding.rebuiltStripes[member] = 0;
      rebuilding.integrityKnown[member] = 0;
    }
    const outcome = await pool.rebuild({ members: rebuilding, stripes: all, targets: [0, 3], provided: null, dataOnly: false });
    t.true(outcome.status.every((status) => status === STRIPE_DONE));
    t.is(outcome.bytesWritten, 2 * STRIPES * geometry.chunkBytes);
    const scrub = await pool.scrub(view, all, true);
    t.is(scrub.parityErrors + scrub.repaired, 0);
    t.is(scrub.bytesRead, STRIPES * geometry.n * geometry.chunkBytes);
    t.true(await read(view));
  });
}

test('an error in a thread arrives with its code, and the thread works on', async (t) => {
  const { view, pool, firstPage } = await start(t, 'fs');
  const wrong = {
    members: view,
    blocks: new Float64Array([9, 1, 70]),
    pages: new Uint32Array([firstPage, firstPage + 1, firstPage + 2]),
    repair: false,
  };
  wrong.blocks.set([999, 0, 0]);
  await t.throwsAsync(pool.recover(wrong), { code: 'ASSERTION' });
  const outcome = await pool.recover({ ...wrong, blocks: new Float64Array([1, 9, 70]) });
  t.deepEqual([...outcome.status], [0, 0, 0]);
});
