import { BLOCK_BYTES } from '../base/units.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import type { BlockVolume } from '../engine/block-volume.js';
import { STRIPE_BEYOND, STRIPE_DONE } from '../stripe/stripe-pool.js';
import { scrubAll } from './administrator.js';
import { ImageOrder } from './backup-checks.js';
import { CELLS_A_BLOCK } from './cell-content.js';
import type { Finding, VolumeHistory } from './volume-history.js';

const RUN_BLOCKS = 16;
type Count = (promise: string, times?: number) => void;

/** Reads the volume in runs, with nothing else going on; each run is handed over before the next one is asked for. again: whether one that failed is to be read again. */
async function readAll(
  volume: BlockVolume,
  blocks: number,
  take: (bytes: Uint8Array, first: number) => Finding | null,
  again: () => Promise<boolean> = () => Promise.resolve(false),
): Promise<Finding | null> {
  for (let first = 0; first < blocks; first += RUN_BLOCKS) {
    const count = Math.min(RUN_BLOCKS, blocks - first);
    const one = (): Promise<Finding | null> =>
      new Promise((resolve) => {
        volume.read(first * BLOCK_BYTES, count * BLOCK_BYTES, (error, payload) => {
          if (error !== null || payload === null) {
            resolve({
              promise: 'P8',
              message: `blocks ${first} to ${first + count - 1} cannot be read: ${error?.describe() ?? 'nothing'}`,
            });
            return;
          }
          const found = take(payload.bytes, first);
          payload.release();
          resolve(found);
        });
      });
    let finding = await one();
    while (finding?.promise === 'P8' && (await again())) finding = await one();
    if (finding !== null) return finding;
  }
  return null;
}

/**
 * What a crash left: everything that the promise covers is there (P1: what was acknowledged; P2: what was flushed), and nothing that was asked for
 * after the acknowledgement of something that is gone.
 */
export async function checkAfterCrash(
  volume: BlockVolume,
  history: VolumeHistory,
  promise: 'P1' | 'P2',
  count: Count,
  again: () => Promise<boolean>,
): Promise<Finding | null> {
  let newestSeen = 0;
  let oldestGone = Number.POSITIVE_INFINITY;
  const finding = await readAll(
    volume,
    history.blocks,
    (bytes, first) => {
      const wrong = history.check(bytes, first * CELLS_A_BLOCK, Number.POSITIVE_INFINITY);
      if (wrong !== null) return { promise, message: `after the crash ${wrong.message}` };
      for (const [i, version] of history.grid.shown(bytes, first * CELLS_A_BLOCK).entries()) {
        const cell = first * CELLS_A_BLOCK + i;
        oldestGone = Math.min(oldestGone, history.firstMissing(cell, version));
        newestSeen = Math.max(newestSeen, history.settle(cell, version));
      }
      count(promise, bytes.length / BLOCK_BYTES);
      return null;
    },
    again,
  );
  if (finding !== null) return finding;
  if (oldestGone < newestSeen) {
    return {
      promise,
      message: `after the crash a write is there that was asked for (${newestSeen}) after another, which is gone, was acknowledged (${oldestGone})`,
    };
  }
  return null;
}

/** What a restore gave: the volume of some moment with everything that was said to be drained (P7, P9), and from now on that is the volume. */
export async function checkRestored(
  volume: BlockVolume,
  history: VolumeHistory,
  floor: number,
  count: Count,
  again: () => Promise<boolean>,
): Promise<Finding | null> {
  const order = new ImageOrder(history, floor);
  const shown: number[] = [];
  const take = (bytes: Uint8Array, first: number): Finding | null => {
    shown.push(...history.grid.shown(bytes, first * CELLS_A_BLOCK));
    count('P9', bytes.length / BLOCK_BYTES);
    return order.take(bytes, first);
  };
  const finding = await readAll(volume, history.blocks, take, again);
  if (finding !== null) return finding;
  history.restored(shown);
  return order.end();
}

/** Every block shows what it has to. */
export function checkVolume(volume: BlockVolume, history: VolumeHistory, count: Count): Promise<Finding | null> {
  return readAll(volume, history.blocks, (bytes, first) => {
    count('P5', bytes.length / BLOCK_BYTES);
    return history.check(bytes, first * CELLS_A_BLOCK, history.moment());
  });
}

/** Nothing is asked of the array any more: it destages all there is, and is the volume then, with its parity. damaged: members that there is damage on. */
export async function checkAtRest(engine: ArrayEngine, history: VolumeHistory, damaged: number, count: Count): Promise<Finding | null> {
  if (!(await engine.destageLoop.drainAll()))
    return { promise: 'liveness', message: `destaging does not end: ${engine.destageLoop.blocked?.describe() ?? 'blocked'}` };
  if (damaged > 0) await scrubAll(engine);
  const spared = engine.link !== null && damaged > engine.state.shape.parity;
  return (await checkVolume(engine.volume, history, count)) ?? (await checkParity(engine, count, spared));
}

/**
 * Every block of every written stripe has its checksum, and every row the parity of its data (P6). spared: not so of stripes with more damage in a row than parity mends, whose
 * blocks are read from the backup until they are written again.
 */
export async function checkParity(engine: ArrayEngine, count: Count, spared = false): Promise<Finding | null> {
  const { state, parts } = engine;
  const stripes: number[] = [];
  for (let stripe = 0; stripe < state.geometry.stripes; stripe++) if (state.isWritten(stripe)) stripes.push(stripe);
  const most = spared ? 1 : parts.pool.stripesPerTask;
  for (let first = 0; first < stripes.length; first += most) {
    const some = Float64Array.from(stripes.slice(first, first + most));
    const hold = await engine.lock(some);
    const outcome = await parts.pool.scrub(state.memberView(), some, false);
    engine.locks.release(hold);
    const bad = outcome.status.findIndex((status) => status !== STRIPE_DONE);
    const checksums = outcome.checksumErrors.reduce((sum, n) => sum + n, 0);
    if (spared && outcome.status[0] === STRIPE_BEYOND) {
      count('beyond-scrub');
      continue;
    }
    count('P6', some.length);
    if (outcome.parityErrors > 0 || bad >= 0 || checksums > 0)
      return {
        promise: 'P6',
        message: `at rest: ${outcome.parityErrors} rows with wrong parity, ${checksums} wrong checksums, stripe status ${bad}`,
      };
  }
  return null;
}
