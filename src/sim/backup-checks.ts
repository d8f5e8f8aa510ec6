import { KeelsonError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { BLOCK_BYTES } from '../base/units.js';
import { loadAddon } from '../native/load.js';
import { Repository } from '../repository/repository.js';
import { CELLS_A_BLOCK, type CellGrid } from './cell-content.js';
import type { ImageHistory } from './image-history.js';
import { type SimulatedHost, SimulatedTarget } from './simulated-target.js';
import type { SimulatedProcess } from './simulated-process.js';
import type { Finding, VolumeHistory } from './volume-history.js';

const RUN_BLOCKS = 64;

/** A repository of a simulated process on a host. */
export function simulatedRepository(host: SimulatedHost, process: SimulatedProcess, memory: Uint8Array): Repository {
  return new Repository({
    target: new SimulatedTarget(host, process),
    memory,
    checksums: loadAddon(),
    compression: 'none',
    passphrase: '',
    ambient: {
      unique: () => `${hex(process.random.u32())}-${hex(process.random.u32())}`,
      wall: () => process.scheduler.wallOffset_ms,
    },
  });
}

/**
 * All members are gone, and the host has just lost its power: the image that is left is the volume at some moment (P7), not before `floor`, up to which everything was said
 * to be drained (P3, P9). reader: a process of its own. exact: the moment is now.
 */
export async function checkImage(
  host: SimulatedHost,
  reader: SimulatedProcess,
  history: VolumeHistory,
  floor: number,
  exact: boolean,
  random: Random,
  count: (promise: string, times?: number) => void,
): Promise<Finding | null> {
  const memory = new Uint8Array(RUN_BLOCKS * BLOCK_BYTES);
  const order = new ImageOrder(history, floor);
  const repository = simulatedRepository(host.copyAfterPowerFailure(random), reader, memory);
  let published = true;
  try {
    await repository.open({ arrayUuid: '', epoch: 0, volumeBytes: 0, create: false, readOnly: true });
  } catch (error) {
    // Nothing was ever published: as good as a volume of zeroes.
    if (KeelsonError.from(error).code !== 'BACKUP_MISSING')
      return { promise: 'P9', message: `the backup cannot be opened: ${String(error)}` };
    published = false;
  }
  for (let first = 0; first < history.blocks; first += RUN_BLOCKS) {
    const blocks = Math.min(RUN_BLOCKS, history.blocks - first);
    const crcs = new Uint32Array(blocks);
    if (published)
      await repository.read(
        Float64Array.from({ length: blocks }, (_, i) => first + i),
        0,
        crcs,
      );
    const bytes = memory.subarray(0, blocks * BLOCK_BYTES);
    if (exact) {
      const wrong = history.check(bytes, first * CELLS_A_BLOCK, history.moment());
      if (wrong !== null) return { promise: 'P7', message: `the drained image: ${wrong.message}` };
    }
    const found = order.take(bytes, first);
    if (found !== null) return found;
    count('P7', blocks);
  }
  await repository.close();
  return order.end();
}

/** Holds an image that is taken now, block after block, against what may be left: the volume of some moment, with everything that was acknowledged before `floor`. */
export class ImageOrder {
  readonly #grid: CellGrid;
  readonly #images: ImageHistory;
  readonly #floor: number;
  #newestSeen = 0;
  #oldestGone = Number.POSITIVE_INFINITY;

  constructor(history: VolumeHistory, floor: number) {
    this.#grid = history.grid;
    this.#images = history.images;
    this.#floor = floor;
  }

  /** first: the first block of bytes. */
  take(bytes: Uint8Array, first: number): Finding | null {
    for (const [i, shown] of this.#grid.shown(bytes, first * CELLS_A_BLOCK).entries()) {
      const block = first + Math.floor(i / CELLS_A_BLOCK);
      const image = this.#images.imageOf(first * CELLS_A_BLOCK + i, shown);
      if (image === null) return { promise: 'P7', message: `block ${block} of the image shows what was never written there` };
      this.#newestSeen = Math.max(this.#newestSeen, image.from);
      this.#oldestGone = Math.min(this.#oldestGone, image.missing);
      if (image.missing <= this.#floor) return { promise: 'P3', message: `block ${block} of the image is older than what was drained` };
    }
    return null;
  }

  end(): Finding | null {
    if (this.#oldestGone >= this.#newestSeen) return null;
    return { promise: 'P7', message: 'the image holds a write without one that was acknowledged before it was asked for' };
  }
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}
