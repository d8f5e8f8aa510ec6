import { closeSync, existsSync, ftruncateSync, openSync, statSync } from 'node:fs';
import { EXIT, KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes, roundDown } from '../base/units.js';
import type { Settings } from '../config/settings.js';
import type { Device, DeviceProvider } from '../device/device.js';
import { readSuperblock } from '../member/superblock-io.js';
import { recognise } from '../member/signatures.js';
import type { SlabRegion } from '../memory/slab-region.js';

/** Makes a file member of the given size where there is nothing yet; a device or an existing file is left as it is, and simulated members have no files. */
export function makeFile(settings: Settings, provider: DeviceProvider, path: string, bytes: Bytes | null): void {
  if (provider.kind === 'simulated') return;
  if (existsSync(path)) {
    // An empty file is one that somebody made for us: it gets its size.
    if (!statSync(path).isFile() || statSync(path).size > 0 || bytes === null) return;
  } else if (bytes === null) {
    throw new KeelsonError('DEVICE_MISSING', `${path} does not exist`, {
      expected: 'a block device or file, or stripe.memberSize so that a file can be made',
      action: `correct the path or set stripe.memberSize in ${settings.file}`,
      exit: EXIT.usage,
    });
  }
  const fd = openSync(path, 'a', 0o600);
  try {
    ftruncateSync(fd, roundDown(bytes as number, BLOCK_BYTES));
  } finally {
    closeSync(fd);
  }
}

/**
 * Refuses a device that is too small for a member, or that holds something recognisable other than a former member of the array.
 * Throws MEMBER_SIZE, MEMBER_HOLDS_DATA (exit 3).
 */
export async function checkNewDevice(device: Device, needed: Bytes, arrayUuid: string, region: SlabRegion): Promise<void> {
  if (device.sizeBytes < needed) {
    throw new KeelsonError('MEMBER_SIZE', `${device.path} is too small`, {
      found: `${device.sizeBytes} bytes`,
      expected: `at least ${needed} bytes`,
      action: 'use a larger device',
      exit: EXIT.usage,
    });
  }
  const held = await recognise(device, region);
  if (held === null || (await isFormerMember(device, arrayUuid, region))) return;
  throw new KeelsonError('MEMBER_HOLDS_DATA', `${device.path} holds something already`, {
    found: held,
    expected: 'an empty device',
    action: 'wipe it first (wipefs -a) if what it holds is not needed',
    exit: EXIT.refused,
  });
}

/** A device of this array that was taken out: what it holds is ours to overwrite. */
async function isFormerMember(device: Device, arrayUuid: string, region: SlabRegion): Promise<boolean> {
  try {
    return (await readSuperblock(device, region)).shape.arrayUuid === arrayUuid;
  } catch {
    return false;
  }
}
