import { BLOCK_BYTES, type Bytes } from '../base/units.js';
import type { Device } from '../device/device.js';
import { readOutcome } from '../device/outcome-io.js';
import { syncDevice, writeDevice } from '../device/promise-io.js';
import type { SlabRegion } from '../memory/slab-region.js';
import { decodeBatch } from './batch-format.js';

/** The ring on one device. */
export interface RingPlace {
  readonly journalOffset: Bytes;
  readonly slots: number;
  readonly segmentBlocks: number;
  readonly arrayTag: number;
}

/**
 * A device that is to take a journal position may have had one before: its segments may go on where those of the others end, with writes that the array has gone on without.
 * They are made unrecognisable, durably, before a table names the device. Rejects with DEVICE_WRITE or DEVICE_SYNC.
 */
export async function forgetFormerRing(device: Device, ring: RingPlace, region: SlabRegion): Promise<void> {
  const { slab } = region;
  const view = new DataView(slab.view.buffer, slab.view.byteOffset, slab.view.byteLength);
  const forget = async (slot: number, memory: number): Promise<void> => {
    const at = ring.journalOffset + slot * ring.segmentBlocks * BLOCK_BYTES;
    const read = (await readOutcome(device, memory, at, BLOCK_BYTES)) >= 0;
    // What cannot be read now may be readable one day.
    if (read && decodeBatch(view, slab.view, memory, ring.arrayTag, ring.segmentBlocks) === null) return;
    slab.view.fill(0, memory, memory + BLOCK_BYTES);
    await writeDevice(device, memory, at, BLOCK_BYTES);
  };
  const lanes = region.bytes / BLOCK_BYTES;
  for (let first = 0; first < ring.slots; first += lanes) {
    const some = Math.min(lanes, ring.slots - first);
    await Promise.all(Array.from({ length: some }, (_, i) => forget(first + i, region.offset + i * BLOCK_BYTES)));
  }
  await syncDevice(device);
}
