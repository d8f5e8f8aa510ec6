import type { ExecutionContext } from 'ava';
import { seededRandom, type Random } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { loadAddon } from '../../src/native/load.js';
import { type Backup, BLOCK_LOST, type BackupOpen, EXTENT_HOLE, EXTENT_LOST, type SegmentPiece } from '../../src/repository/backup.js';
import type { Compression } from '../../src/repository/format/frame-codec.js';
import { Repository } from '../../src/repository/repository.js';
import type { Target } from '../../src/target/target.js';
import { rejection } from '../target/target-conformance.js';

export const VOLUME_BLOCKS = 2500;
export const ARRAY = '6f6f2b0a-63a5-4f0c-a3a7-2d9f6f0b1c11';
/** Memory of the rig, in blocks: the lower half for pieces, the upper for reads. */
const MEMORY_BLOCKS = 2048;
const PIECE_BLOCKS = 256;
const READ_AT = 1024;
/** Shared by the tests of a file, which therefore run one after the other. */
export const memory = Buffer.alloc(MEMORY_BLOCKS * BLOCK_BYTES);

export interface Variant {
  readonly compression: Compression;
  readonly passphrase: string;
}
export const VARIANTS: readonly Variant[] = [
  { compression: 'none', passphrase: '' },
  { compression: 'zstd', passphrase: '' },
  { compression: 'none', passphrase: 'secret' },
  { compression: 'zstd', passphrase: 'secret' },
];

export function variantName({ compression, passphrase }: Variant): string {
  return `${compression}${passphrase === '' ? '' : ', encrypted'}`;
}

export function repositoryOn(
  target: Target,
  variant: Variant = { compression: 'zstd', passphrase: '' },
  over: Uint8Array = memory,
): Repository {
  return new Repository({ target, memory: over, checksums: loadAddon(), scrypt: { logN: 10, r: 1, p: 1 }, ...variant });
}

export function writer(epoch: number, create = true): BackupOpen {
  return { arrayUuid: ARRAY, epoch, volumeBytes: VOLUME_BLOCKS * BLOCK_BYTES, create };
}

export const READER: BackupOpen = { arrayUuid: '', epoch: 0, volumeBytes: 0, create: false, readOnly: true };

export function seeded(t: ExecutionContext): Random {
  const seed = Number(process.env.KEELSON_SEED ?? Date.now()) >>> 0;
  t.log(`seed ${seed}`);
  return seededRandom(seed);
}

/** The volume as it should be. */
export class ModelImage {
  readonly data = Buffer.alloc(VOLUME_BLOCKS * BLOCK_BYTES);
  readonly present = new Uint8Array(VOLUME_BLOCKS);
  lsn = 0;

  copy(): ModelImage {
    const other = new ModelImage();
    this.data.copy(other.data);
    other.present.set(this.present);
    other.lsn = this.lsn;
    return other;
  }

  clear(): void {
    this.data.fill(0);
    this.present.fill(0);
  }
}

interface Change {
  readonly first: number;
  readonly count: number;
  /** null: zeroes, or lost. */
  readonly bytes: Buffer | null;
  readonly lost?: boolean;
}

/** Random disjoint extents, in random order, of what the volume becomes: data (random, or dull and so compressible), holes, and what is lost. */
export function randomChanges(random: Random, most = 12): Change[] {
  const taken = new Uint8Array(VOLUME_BLOCKS);
  const changes: Change[] = [];
  for (let i = random.below(most + 1); i > 0; i--) {
    const first = random.below(VOLUME_BLOCKS);
    let count = 0;
    for (const most = random.below(3) === 0 ? 1 + random.below(120) : 1 + random.below(4); count < most; count++) {
      if (first + count >= VOLUME_BLOCKS || taken[first + count] === 1) break;
      taken[first + count] = 1;
    }
    if (count === 0) continue;
    let bytes: Buffer | null = null;
    if (random.below(4) !== 0) {
      bytes = Buffer.alloc(count * BLOCK_BYTES);
      if (random.below(2) === 0) random.fill(bytes);
      else bytes.fill(`block ${random.u32()} `);
    }
    changes.push({ first, count, bytes, lost: bytes === null && random.below(3) === 0 });
  }
  return changes;
}

export function applyChanges(model: ModelImage, changes: readonly Change[], lastLsn: number, seed: boolean): void {
  if (seed) model.clear();
  model.lsn = lastLsn;
  for (const { first, count, bytes, lost } of changes) {
    const at = first * BLOCK_BYTES;
    if (bytes === null) model.data.fill(0, at, at + count * BLOCK_BYTES);
    else model.data.set(bytes, at);
    model.present.fill(lost ? BLOCK_LOST : bytes === null ? 0 : 1, first, first + count);
  }
}

/**
 * Hands changes to publish in pieces of a few extents, through two alternating ranges of memory: piece i's memory is scribbled over
 * when piece i + 2 is asked for, as the contract permits.
 */
export function pieces(changes: readonly Change[], over: Buffer = memory): () => Promise<SegmentPiece | null> {
  const addon = loadAddon();
  let next = 0;
  let half = 0;
  return async () => {
    if (next >= changes.length) return null;
    const start = half * PIECE_BLOCKS;
    half = 1 - half;
    over.fill(0xaa, start * BLOCK_BYTES, (start + PIECE_BLOCKS) * BLOCK_BYTES);
    const taken: Change[] = [];
    let blocks = 0;
    for (let change = changes[next]; change !== undefined && taken.length < 3; change = changes[next]) {
      const size = change.bytes === null ? 0 : change.count;
      if (blocks + size > PIECE_BLOCKS) break;
      blocks += size;
      taken.push(change);
      next++;
    }
    const crcs = new Uint32Array(blocks);
    const memoryOffsets: number[] = [];
    let used = 0;
    for (const { first, count, bytes, lost } of taken) {
      if (bytes === null) {
        memoryOffsets.push(lost ? EXTENT_LOST : EXTENT_HOLE);
        continue;
      }
      const at = (start + used) * BLOCK_BYTES;
      over.set(bytes, at);
      addon.crcRun(over, at, first, count, crcs, used);
      memoryOffsets.push(at);
      used += count;
    }
    return {
      extents: taken.length,
      first: Float64Array.from(taken, (change) => change.first),
      count: Float64Array.from(taken, (change) => change.count),
      memory: Float64Array.from(memoryOffsets),
      crcs,
    };
  };
}

/** lookup, allocated and read all say exactly what the model says. */
export async function assertImage(
  t: ExecutionContext,
  backup: Backup,
  model: ModelImage,
  random: Random,
  over: Buffer = memory,
): Promise<void> {
  const found = new Uint8Array(VOLUME_BLOCKS);
  await backup.lookup(0, VOLUME_BLOCKS, found);
  t.true(Buffer.from(found).equals(model.present), 'lookup says what the model says');
  const pairs = await backup.allocated(0, VOLUME_BLOCKS);
  const covered = new Uint8Array(VOLUME_BLOCKS);
  for (let i = 0; i < pairs.length; i += 2) covered.fill(1, pairs[i], (pairs[i] as number) + (pairs[i + 1] as number));
  t.true(Buffer.from(covered).equals(model.present.map((what) => (what === 1 ? 1 : 0))), 'allocated says what the model says');
  const gone = model.present.indexOf(BLOCK_LOST);
  if (gone >= 0)
    t.is((await rejection(t, backup.read(Float64Array.of(gone), READ_AT * BLOCK_BYTES, new Uint32Array(1)))).code, 'BACKUP_LOST');
  for (let from = 0; from < VOLUME_BLOCKS; from += MEMORY_BLOCKS - READ_AT) {
    const all = Array.from({ length: Math.min(MEMORY_BLOCKS - READ_AT, VOLUME_BLOCKS - from) }, (_, i) => from + i).filter(
      (block) => model.present[block] !== BLOCK_LOST,
    );
    await assertBlocks(t, backup, model, all, over);
    await assertBlocks(
      t,
      backup,
      model,
      all.filter(() => random.below(3) === 0),
      over,
    );
  }
}

async function assertBlocks(
  t: ExecutionContext,
  backup: Backup,
  model: ModelImage,
  wanted: readonly number[],
  over: Buffer,
): Promise<void> {
  const blocks = Float64Array.from(wanted);
  const crcs = new Uint32Array(blocks.length);
  over.fill(0x55, READ_AT * BLOCK_BYTES);
  await backup.read(blocks, READ_AT * BLOCK_BYTES, crcs);
  const expected = new Uint32Array(1);
  for (let i = 0; i < wanted.length; i++) {
    const block = wanted[i] as number;
    const at = (READ_AT + i) * BLOCK_BYTES;
    const same = over.subarray(at, at + BLOCK_BYTES).equals(model.data.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES));
    if (!same) t.fail(`block ${block} is not what was published`);
    if (model.present[block] === 1) loadAddon().crcRun(over, at, block, 1, expected, 0);
    else expected[0] = 0;
    if (crcs[i] !== expected[0]) t.fail(`checksum of block ${block}`);
  }
  t.pass();
}
