import { KeelsonError } from '../../../src/base/errors.js';
import { BLOCK_BYTES } from '../../../src/base/units.js';
import { BLOCK_LOST } from '../../../src/repository/backup.js';
import { FileTarget } from '../../../src/target/file-target.js';
import { versionShown } from '../../engine/block-model.js';
import { fileRepository } from './recorded-array.js';

const RUN_BLOCKS = 64;

/** Version of each block in the image that a backup directory holds; null when nothing was published there. Throws when it cannot be read. */
export async function imageVersions(folder: string, blocks: number): Promise<Int32Array | null> {
  const memory = Buffer.alloc(RUN_BLOCKS * BLOCK_BYTES);
  const repository = fileRepository(new FileTarget(folder), memory);
  try {
    await repository.open({ arrayUuid: '', epoch: 0, volumeBytes: 0, create: false, readOnly: true });
  } catch (error) {
    if (KeelsonError.from(error).code === 'BACKUP_MISSING') return null;
    throw error;
  }
  const shown = new Int32Array(blocks);
  for (let first = 0; first < blocks; first += RUN_BLOCKS) {
    const run = Array.from({ length: Math.min(RUN_BLOCKS, blocks - first) }, (_, i) => first + i);
    const states = new Uint8Array(run.length);
    await repository.lookup(first, run.length, states);
    if (states.includes(BLOCK_LOST)) throw new Error(`of blocks ${first} to ${first + run.length - 1} some are called lost`);
    await repository.read(Float64Array.from(run), 0, new Uint32Array(run.length));
    for (const [i, block] of run.entries()) shown[block] = versionShown(memory, i * BLOCK_BYTES, block);
  }
  await repository.close();
  return shown;
}

export interface Shown {
  readonly from: number;
  readonly missing: number;
}

/**
 * P7: an image is the volume at some moment: it holds no write without all that were acknowledged before that write was asked for. P3, P9: and all that was acknowledged by
 * `floor` is in it. Gives what is wrong.
 */
export function wrongImage(image: Int32Array | null, floor: number, shownBy: (block: number, version: number) => Shown | null): string[] {
  const wrong: string[] = [];
  let [newest, oldestGone] = [0, Number.POSITIVE_INFINITY];
  if (image === null) return floor > 0 ? [`P9: there is no image, and everything by ${floor} was said to be drained`] : [];
  for (const [block, version] of image.entries()) {
    const moments = version < 0 ? null : shownBy(block, version);
    if (moments === null) {
      wrong.push(`P7: block ${block} of the image shows version ${version}, which was never written there`);
      continue;
    }
    if (moments.missing <= floor)
      wrong.push(`P3: block ${block} of the image shows version ${version}, older than what was drained by ${floor}`);
    newest = Math.max(newest, moments.from);
    oldestGone = Math.min(oldestGone, moments.missing);
  }
  if (oldestGone < newest) wrong.push(`P7: the image holds a write asked for at ${newest} without one acknowledged at ${oldestGone}`);
  return wrong;
}
