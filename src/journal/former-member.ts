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
 * A device that is to take a journal position may have had one before, also in a life of the array that a restore ended, whose segments have the same numbers: they may go on where
 * those of the others end, with writes that the array has gone on without, or say of writes to come that they were flushed. Every batch is made unrecognisable, durably, before a
 * table names the device: not the first of each segment alone, since recovery looks behind one that is damaged. Rejects with DEVICE_WRITE or DEVICE_SYNC.
 */
export async function forgetFormerRing(device: Device, ring: RingPlace, region: SlabRegion): Promise<void> {
  const { slab, offset } = region;
  const view = new DataView(slab.view.buffer, slab.view.byteOffset, slab.view.byteLength);
  const most = Math.floor(region.bytes / BLOCK_BYTES);
  const blocks = ring.slots * ring.segmentBlocks;
  for (let first = 0; first < blocks; first += most) {
    const count = Math.min(most, blocks - first);
    const at = ring.journalOffset + first * BLOCK_BYTES;
    const read = (await readOutcome(device, offset, at, count * BLOCK_BYTES)) >= 0;
    if (!read) {
      // What cannot be read now may be readable one day.
      slab.view.fill(0, offset, offset + count * BLOCK_BYTES);
      await writeDevice(device, offset, at, count * BLOCK_BYTES);
      continue;
    }
    const forgotten: Promise<void>[] = [];
    for (let i = 0; i < count; i++) {
      const memory = offset + i * BLOCK_BYTES;
      if (decodeBatch(view, slab.view, memory, ring.arrayTag, ring.segmentBlocks) === null) continue;
      slab.view.fill(0, memory, memory + BLOCK_BYTES);
      forgotten.push(writeDevice(device, memory, at + i * BLOCK_BYTES, BLOCK_BYTES));
    }
    await Promise.all(forgotten);
  }
  await syncDevice(device);
}
