import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes } from '../base/units.js';
import { loadAddon } from '../native/load.js';
import type { OpenOptions } from './device.js';

/** A descriptor and what its device is. */
export interface OpenedDevice {
  readonly path: string;
  readonly handle: number;
  readonly sizeBytes: Bytes;
  readonly alignBytes: Bytes;
  readonly isBlockDevice: boolean;
  readonly direct: boolean;
}

/**
 * Opens a device or file through the addon, with O_DIRECT where the file system takes it.
 * Throws KeelsonError DEVICE_MISSING, DEVICE_BUSY, DEVICE_DENIED, DEVICE_NO_DIRECT (sectors larger than a block) or DEVICE_OPEN.
 */
export function openDevice(path: string, options: OpenOptions = {}): OpenedDevice {
  const addon = loadAddon();
  const exclusive = options.exclusive ?? true;
  const readOnly = options.readOnly ?? false;
  let direct = true;
  let handle: number;
  try {
    try {
      handle = addon.openDevice(path, true, exclusive, readOnly);
    } catch (error) {
      if (codeOf(error) !== 'EINVAL') throw error;
      direct = false;
      handle = addon.openDevice(path, false, exclusive, readOnly);
    }
  } catch (error) {
    throw openError(path, error);
  }
  try {
    const geometry = addon.geometry(handle);
    if (geometry.logicalBlockBytes > BLOCK_BYTES) {
      throw new KeelsonError('DEVICE_NO_DIRECT', `${path} cannot be written in blocks of ${BLOCK_BYTES} bytes`, {
        found: `sectors of ${geometry.logicalBlockBytes} bytes`,
        expected: `sectors of at most ${BLOCK_BYTES} bytes`,
        action: 'format the device with smaller sectors or choose another one',
      });
    }
    return { path, handle, sizeBytes: geometry.sizeBytes, alignBytes: BLOCK_BYTES, isBlockDevice: geometry.isBlockDevice, direct };
  } catch (error) {
    addon.closeDevice(handle);
    throw error instanceof KeelsonError ? error : openError(path, error);
  }
}

/** What to do about an errno that has no code of its own. */
const OPEN_ADVICE: Readonly<Record<string, string>> = {
  ENOTBLK: 'correct the path: a character device, a FIFO or a socket is no member',
  EISDIR: 'correct the path: it is a directory',
  ENAMETOOLONG: 'use a shorter path',
  ELOOP: 'correct the symbolic links of the path, which lead in a circle',
  EMFILE: 'raise the limit of open files of this process (ulimit -n, LimitNOFILE=)',
  ENFILE: 'raise the limit of open files of this host (fs.file-max)',
  ENOMEM: 'end other programs, or give this host more memory',
};

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

function openError(path: string, error: unknown): KeelsonError {
  const code = codeOf(error);
  const found = error instanceof Error ? error.message : String(error);
  switch (code) {
    case 'ENOENT':
    case 'ENXIO':
    case 'ENODEV':
    case 'ENOTDIR':
    case 'ENOMEDIUM':
      return new KeelsonError('DEVICE_MISSING', `${path} is not there`, { found, action: 'check the path and the cabling', cause: error });
    case 'EBUSY':
    case 'EWOULDBLOCK':
    case 'EAGAIN':
      return new KeelsonError('DEVICE_BUSY', `${path} is in use`, {
        found,
        expected: 'a device that nobody else holds',
        action: 'stop the other holder (keelson, a mounted file system, md, LVM)',
        cause: error,
      });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new KeelsonError('DEVICE_DENIED', `${path} may not be opened`, {
        found,
        action: 'run as a user who may read and write it',
        cause: error,
      });
    default:
      return new KeelsonError('DEVICE_OPEN', `${path} cannot be opened`, {
        found,
        expected: 'a block device or a regular file',
        action: OPEN_ADVICE[code] ?? 'look at the kernel log (dmesg), and at the device in another way',
        cause: error,
      });
  }
}
