import { errnoName, KeelsonError } from '../base/errors.js';
import type { Bytes, SlabOffset } from '../base/units.js';
import type { Device } from './device.js';

/** A failed result of an IoDone as an error: DEVICE_READ, DEVICE_WRITE or DEVICE_SYNC. */
export function ioError(device: Device, what: 'read' | 'write' | 'sync', result: number, offset?: Bytes): KeelsonError {
  const place = offset === undefined ? '' : ` at byte ${offset}`;
  return new KeelsonError(`DEVICE_${what.toUpperCase()}`, `${what} of ${device.path} failed${place}`, {
    found: errnoName(result),
    action: 'look at the device: the kernel log says more; replace the member if it persists',
  });
}

/** Device.read as a promise, for slow paths. Rejects with DEVICE_READ. */
export function readDevice(device: Device, memory: SlabOffset, offset: Bytes, length: Bytes): Promise<void> {
  return new Promise((resolve, reject) => {
    device.read(memory, offset, length, (result) => (result < 0 ? reject(ioError(device, 'read', result, offset)) : resolve()), 0);
  });
}

/** Device.write as a promise, for slow paths. Rejects with DEVICE_WRITE. */
export function writeDevice(device: Device, memory: SlabOffset, offset: Bytes, length: Bytes): Promise<void> {
  return new Promise((resolve, reject) => {
    device.write(memory, offset, length, (result) => (result < 0 ? reject(ioError(device, 'write', result, offset)) : resolve()), 0);
  });
}

/** Device.sync as a promise, for slow paths. Rejects with DEVICE_SYNC. */
export function syncDevice(device: Device): Promise<void> {
  return new Promise((resolve, reject) => {
    device.sync((result) => (result < 0 ? reject(ioError(device, 'sync', result)) : resolve()), 0);
  });
}
