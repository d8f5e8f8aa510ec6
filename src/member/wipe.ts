import { BLOCK_BYTES, type Bytes, roundDown } from '../base/units.js';
import type { Device } from '../device/device.js';
import { syncDevice, writeDevice } from '../device/promise-io.js';
import { regionView, type SlabRegion } from '../memory/slab-region.js';
import { lookedAt, type Place } from './blank.js';
import { SIGNATURE_HEAD_BYTES, SIGNATURE_TAIL_BYTES } from './signatures.js';
import { SUPERBLOCK_BYTES, SUPERBLOCK_SLOTS, superblockOffsets } from './layout.js';
import type { MemberLayout } from './member-api.js';

/**
 * Takes off a device what makes it a member, and makes it pass for blank: both ends' superblocks, the checkpoints of the layouts
 * given, the places in also, and every place that blank.ts looks at become zeroes, durably. The rest of the data stays where it is. The superblocks of
 * one end go last, so that a wipe that is cut short can be begun again. Rejects with DEVICE_WRITE or DEVICE_SYNC.
 */
export async function wipeMember(
  device: Device,
  layouts: readonly MemberLayout[],
  region: SlabRegion,
  also: readonly Place[] = [],
): Promise<void> {
  const readable = roundDown(device.sizeBytes, BLOCK_BYTES);
  regionView(region, 0, region.bytes).fill(0);
  const checkpoints = layouts.flatMap(({ checkpointOffset, checkpointBytes }) =>
    checkpointOffset.map((offset) => ({ offset, length: checkpointBytes })),
  );
  const superblocks = [readable, ...layouts.map(({ totalBytes }) => totalBytes)].flatMap((totalBytes) =>
    superblockOffsets(totalBytes, 0).map((offset) => ({ offset, length: SUPERBLOCK_SLOTS * SUPERBLOCK_BYTES })),
  );
  for (const place of [...also, ...checkpoints, ...lookedAt(readable).toReversed()]) await zero(device, place, readable, region);
  await syncDevice(device);
  for (const place of superblocks) await zero(device, place, readable, region);
  await syncDevice(device);
}

/**
 * Zeroes where signatures are looked for, at both ends, before a device that held something else becomes a member: what a file system,
 * a partition table or a RAID left there would be found beside ours by whoever looks. Not synced.
 */
export async function clearSignatures(device: Device, region: SlabRegion): Promise<void> {
  const readable = roundDown(device.sizeBytes, BLOCK_BYTES);
  regionView(region, 0, region.bytes).fill(0);
  await zero(device, { offset: 0, length: SIGNATURE_HEAD_BYTES }, readable, region);
  await zero(device, { offset: readable - SIGNATURE_TAIL_BYTES, length: SIGNATURE_TAIL_BYTES }, readable, region);
}

/** The region is zeroes; what of the place does not lie on the device is left out. */
async function zero(device: Device, { offset, length }: Place, readable: Bytes, region: SlabRegion): Promise<void> {
  const from = Math.max(0, offset);
  const to = Math.min(offset + length, readable);
  for (let at = from; at < to; at += region.bytes) {
    await writeDevice(device, region.offset, at, Math.min(region.bytes, to - at));
  }
}
