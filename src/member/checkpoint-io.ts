import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, roundDown } from '../base/units.js';
import type { Device } from '../device/device.js';
import { readDevice, syncDevice, writeDevice } from '../device/promise-io.js';
import { regionView, type SlabRegion } from '../memory/slab-region.js';
import { type CheckpointHeader, decodeCheckpoint, decodeCheckpointHeader, encodeCheckpoint, invalid } from './checkpoint.js';
import { stripeBitmapBytes } from './stripe-bitmap.js';
import { checkpointProblem } from './impossible.js';
import { CHECKPOINT_HEADER_BYTES } from './layout.js';
import type { ArrayShape, Checkpoint, MemberLayout } from './member-api.js';

export const CHECKPOINT_SLOTS = 2;
/** Errors of one slot that make the other one unusable as well. */
const FINAL = new Set(['CHECKPOINT_VERSION', 'CHECKPOINT_FEATURES', 'CHECKPOINT_INVALID']);
/** Smallest memory the functions here work with; more makes fewer and larger transfers. */
export const CHECKPOINT_REGION_BYTES = CHECKPOINT_HEADER_BYTES;

/** A member as far as a checkpoint's place on it goes. */
export interface CheckpointTarget {
  readonly device: Device;
  readonly layout: MemberLayout;
}

/**
 * Writes the checkpoint to every target, each into slot generation % 2, and syncs them. The caller has flushed what it rests on, and writes one checkpoint
 * at a time, generations rising by one. results[i] is null when target i has it on stable media, else what failed there (the member is to be failed):
 * nothing is thrown for a device. The bytes lie in memory once, for all targets.
 */
export async function writeCheckpoint(
  targets: readonly CheckpointTarget[],
  checkpoint: Checkpoint,
  arrayUuid: string,
  region: SlabRegion,
): Promise<(KeelsonError | null)[]> {
  const encoded = encodeCheckpoint(checkpoint, arrayUuid);
  const slot = checkpoint.generation % CHECKPOINT_SLOTS;
  for (const { layout } of targets) assert(encoded.length <= layout.checkpointBytes, 'a checkpoint that fits its slot');
  const results: (KeelsonError | null)[] = targets.map(() => null);
  const onEach = async (work: (target: CheckpointTarget) => Promise<void>): Promise<void> => {
    await Promise.all(
      targets.map(async (target, i) => {
        if (results[i] !== null) return;
        try {
          await work(target);
        } catch (error) {
          results[i] = KeelsonError.from(error);
        }
      }),
    );
  };
  const pieceBytes = roundDown(region.bytes, BLOCK_BYTES);
  for (let at = 0; at < encoded.length; at += pieceBytes) {
    const length = Math.min(pieceBytes, encoded.length - at);
    regionView(region, 0, length).set(encoded.subarray(at, at + length));
    await onEach(({ device, layout }) => writeDevice(device, region.offset, slotOffset(layout, slot) + at, length));
  }
  await onEach(({ device }) => syncDevice(device));
  return results;
}

/** What one checkpoint slot holds. */
export interface CheckpointCopy {
  readonly slot: number;
  readonly header: CheckpointHeader | null;
  readonly error: KeelsonError | null;
}

/** The headers of both slots. */
export async function readCheckpointHeaders(target: CheckpointTarget, region: SlabRegion): Promise<CheckpointCopy[]> {
  const copies: CheckpointCopy[] = [];
  for (let slot = 0; slot < CHECKPOINT_SLOTS; slot++) {
    try {
      await readDevice(target.device, region.offset, slotOffset(target.layout, slot), CHECKPOINT_HEADER_BYTES);
      const header = decodeCheckpointHeader(regionView(region, 0, CHECKPOINT_HEADER_BYTES), target.layout.checkpointBytes);
      copies.push({ slot, header, error: null });
    } catch (error) {
      copies.push({ slot, header: null, error: KeelsonError.from(error) });
    }
  }
  return copies;
}

/** Reads and checks one slot; throws as decodeCheckpoint (CHECKPOINT_INVALID also for what cannot be in this array), or DEVICE_READ. */
export async function readCheckpointSlot(
  target: CheckpointTarget,
  slot: number,
  shape: ArrayShape,
  region: SlabRegion,
): Promise<Checkpoint> {
  const offset = slotOffset(target.layout, slot);
  await readDevice(target.device, region.offset, offset, CHECKPOINT_HEADER_BYTES);
  const first = regionView(region, 0, CHECKPOINT_HEADER_BYTES);
  const { totalBytes, bitmapBytes } = decodeCheckpointHeader(first, target.layout.checkpointBytes);
  // Before memory is taken for what it says.
  if (bitmapBytes !== stripeBitmapBytes(shape.stripes)) throw invalid(`a bitmap of ${bitmapBytes} bytes for ${shape.stripes} stripes`);
  const bytes = new Uint8Array(totalBytes);
  bytes.set(first);
  const pieceBytes = roundDown(region.bytes, BLOCK_BYTES);
  for (let at = CHECKPOINT_HEADER_BYTES; at < totalBytes; at += pieceBytes) {
    const length = Math.min(pieceBytes, totalBytes - at);
    await readDevice(target.device, region.offset, offset + at, length);
    bytes.set(regionView(region, 0, length), at);
  }
  const checkpoint = decodeCheckpoint(bytes, shape.arrayUuid);
  const problem = checkpointProblem(checkpoint, shape);
  if (problem !== '') throw invalid(problem);
  return checkpoint;
}

/**
 * The newest whole checkpoint of a member: the slot with the higher generation, or the other one when that one is torn or damaged.
 * Throws the newest slot's error when neither is whole; CHECKPOINT_VERSION / CHECKPOINT_FEATURES when either was written by newer software,
 * CHECKPOINT_INVALID when the newest has right checksums over what cannot be: it was written so, and what it made possible may have happened since.
 */
export async function readNewestCheckpoint(target: CheckpointTarget, shape: ArrayShape, region: SlabRegion): Promise<Checkpoint> {
  const copies = await readCheckpointHeaders(target, region);
  for (const { error } of copies) {
    if (error !== null && FINAL.has(error.code)) throw error;
  }
  let refusal: KeelsonError | null = null;
  const generation = (copy: CheckpointCopy): number => copy.header?.generation ?? -1;
  for (const { slot, error } of copies.sort((a, b) => generation(b) - generation(a))) {
    if (error !== null) {
      refusal ??= error;
      continue;
    }
    try {
      return await readCheckpointSlot(target, slot, shape, region);
    } catch (failure) {
      refusal ??= KeelsonError.from(failure);
      if (refusal.code === 'CHECKPOINT_INVALID') throw refusal;
    }
  }
  throw refusal ?? new KeelsonError('CHECKPOINT_ABSENT', 'no checkpoint here');
}

/** Makes both slots unreadable, so that nothing an earlier array left there is found. Not synced. */
export async function eraseCheckpoints(target: CheckpointTarget, region: SlabRegion): Promise<void> {
  regionView(region, 0, CHECKPOINT_HEADER_BYTES).fill(0);
  for (let slot = 0; slot < CHECKPOINT_SLOTS; slot++) {
    await writeDevice(target.device, region.offset, slotOffset(target.layout, slot), CHECKPOINT_HEADER_BYTES);
  }
}

function slotOffset(layout: MemberLayout, slot: number): number {
  return layout.checkpointOffset[slot === 0 ? 0 : 1];
}
