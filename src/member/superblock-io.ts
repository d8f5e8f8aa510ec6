import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import { type Bytes, roundDown } from '../base/units.js';
import type { Device } from '../device/device.js';
import { readDevice, syncDevice, writeDevice } from '../device/promise-io.js';
import { regionView, type SlabRegion } from '../memory/slab-region.js';
import { SUPERBLOCK_BYTES, SUPERBLOCK_SLOTS, superblockOffsets } from './layout.js';
import type { Superblock } from './member-api.js';
import { decodeSuperblock, encodeSuperblock } from './superblock.js';

const PAIR_BYTES = SUPERBLOCK_SLOTS * SUPERBLOCK_BYTES;
/** Two pairs, front and end. */
export const SUPERBLOCK_REGION_BYTES = 2 * PAIR_BYTES;
/** Places of one member that stand against another one's last: a device that was a member before, and lost one write when it became one again. */
const ALL_BUT_ONE = 2 * SUPERBLOCK_SLOTS - 1;

/** What was found in one of the four places where a superblock may be. */
export interface SuperblockCopy {
  readonly offset: Bytes;
  readonly superblock: Superblock | null;
  readonly error: KeelsonError | null;
}

/** Reads all four places; a read error fills its two places with that error. Needs SUPERBLOCK_REGION_BYTES of memory. */
export async function readSuperblockCopies(device: Device, region: SlabRegion): Promise<SuperblockCopy[]> {
  assert(region.bytes >= SUPERBLOCK_REGION_BYTES, 'memory for both superblock pairs');
  const copies: SuperblockCopy[] = [];
  if (device.sizeBytes < SUPERBLOCK_REGION_BYTES) return copies;
  const ends: readonly Bytes[] = [0, superblockOffsets(device.sizeBytes, 0)[1]];
  const failures = await Promise.all(
    ends.map((offset, end) =>
      readDevice(device, region.offset + end * PAIR_BYTES, offset, PAIR_BYTES).then(
        () => null,
        (error: unknown) => KeelsonError.from(error),
      ),
    ),
  );
  ends.forEach((start, end) => {
    for (let slot = 0; slot < SUPERBLOCK_SLOTS; slot++) {
      const offset = start + slot * SUPERBLOCK_BYTES;
      const failure = failures[end] ?? null;
      if (failure !== null) copies.push({ offset, superblock: null, error: failure });
      else copies.push({ offset, ...decodeCopy(regionView(region, end * PAIR_BYTES + slot * SUPERBLOCK_BYTES, SUPERBLOCK_BYTES)) });
    }
  });
  return copies;
}

function decodeCopy(bytes: Uint8Array): Omit<SuperblockCopy, 'offset'> {
  try {
    return { superblock: decodeSuperblock(bytes), error: null };
  } catch (error) {
    return { superblock: null, error: KeelsonError.from(error) };
  }
}

/**
 * The newest valid superblock of a device. Throws SUPERBLOCK_ABSENT (none of the four places holds one), SUPERBLOCK_CORRUPT (only damaged ones),
 * SUPERBLOCK_VERSION / SUPERBLOCK_FEATURES (any copy was written by newer software: an older copy beside it must not be used),
 * SUPERBLOCK_MIXED (copies of different members, no member in three places), or the device's read error.
 */
export async function readSuperblock(device: Device, region: SlabRegion): Promise<Superblock> {
  return newestSuperblock(device.path, await readSuperblockCopies(device, region));
}

export function newestSuperblock(path: string, copies: readonly SuperblockCopy[]): Superblock {
  const newest = new Map<string, Superblock>();
  const places = new Map<string, number>();
  let refusal: KeelsonError | null = null;
  for (const { superblock, error } of copies) {
    if (error !== null && (error.code === 'SUPERBLOCK_VERSION' || error.code === 'SUPERBLOCK_FEATURES')) throw error;
    if (error !== null && (refusal === null || refusal.code === 'SUPERBLOCK_ABSENT')) refusal = error;
    if (superblock === null) continue;
    const { memberUuid, generation } = superblock;
    places.set(memberUuid, (places.get(memberUuid) ?? 0) + 1);
    if (generation > (newest.get(memberUuid)?.generation ?? -1)) newest.set(memberUuid, superblock);
  }
  for (const [memberUuid, superblock] of newest) if (newest.size === 1 || places.get(memberUuid) === ALL_BUT_ONE) return superblock;
  if (newest.size > 1) {
    throw new KeelsonError('SUPERBLOCK_MIXED', `${path} holds superblocks of different members`, {
      found: `members ${[...newest.keys()].join(' and ')}`,
      expected: 'copies of one superblock',
      action: `keelson inspect ${path} shows them, and keelson wipe ${path} takes them off; a create that was killed is repeated with --force`,
    });
  }
  if (refusal !== null) throw refusal;
  throw new KeelsonError('SUPERBLOCK_ABSENT', `${path} is too small to hold a superblock`);
}

/** Throws MEMBER_SHRUNK when the zones do not lie on the device: nothing is read, and no memory taken, by what they say then. */
export function refuseShrunk(device: Device, { layout }: Superblock): void {
  if (layout.totalBytes <= device.sizeBytes) return;
  throw new KeelsonError('MEMBER_SHRUNK', `${device.path} is smaller than when it became a member`, {
    found: `${device.sizeBytes} bytes`,
    expected: `at least ${layout.totalBytes} bytes`,
    action: 'give the device its size back, or replace the member',
  });
}

/**
 * Writes the superblock into the slot of its generation (generation % 2) at both ends and syncs: the other slot, which holds the one before, stays whole
 * whatever happens. Resolves when it is durable; rejects with DEVICE_WRITE or DEVICE_SYNC. Needs SUPERBLOCK_BYTES of memory.
 */
export async function writeSuperblock(device: Device, superblock: Superblock, region: SlabRegion): Promise<void> {
  assert(superblock.layout.totalBytes <= roundDown(device.sizeBytes, SUPERBLOCK_BYTES), 'a superblock for a device of this size');
  regionView(region, 0, SUPERBLOCK_BYTES).set(encodeSuperblock(superblock));
  const offsets = superblockOffsets(superblock.layout.totalBytes, superblock.generation % SUPERBLOCK_SLOTS);
  // The memory is given back only when both writes are over, failed or not.
  const writes = await Promise.allSettled(offsets.map((offset) => writeDevice(device, region.offset, offset, SUPERBLOCK_BYTES)));
  for (const write of writes) if (write.status === 'rejected') throw write.reason;
  await syncDevice(device);
}
