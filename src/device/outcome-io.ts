import type { Bytes, SlabOffset } from '../base/units.js';
import type { Device } from './device.js';

/** Promise forms of Device calls for slow paths (recovery, replication, checkpoints). Resolve to the length or -errno; they never reject. */
export function readOutcome(device: Device, memory: SlabOffset, offset: Bytes, length: Bytes): Promise<number> {
  return new Promise((resolve) => device.read(memory, offset, length, resolve, 0));
}

export function writeOutcome(device: Device, memory: SlabOffset, offset: Bytes, length: Bytes): Promise<number> {
  return new Promise((resolve) => device.write(memory, offset, length, resolve, 0));
}

export function syncOutcome(device: Device): Promise<number> {
  return new Promise((resolve) => device.sync(resolve, 0));
}
