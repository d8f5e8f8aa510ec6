import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { run, runQuietly } from './command.js';
import type { Scratch } from './scratch.js';

/** A loop device over a sparse file on tmpfs. */
export interface LoopDevice {
  readonly device: string;
  readonly file: string;
  readonly sizeBytes: number;
  /** Detaches the device; the file stays. */
  detach(): void;
}

/** Makes a file of sizeBytes zeroes (sparse) and attaches it with O_DIRECT underneath. Detached when the scratch closes. */
export async function loopDevice(
  scratch: Scratch,
  sizeBytes: number,
  name = `disk-${randomBytes(4).toString('hex')}`,
): Promise<LoopDevice> {
  const file = join(scratch.memory, name);
  const fd = openSync(file, 'w');
  ftruncateSync(fd, sizeBytes);
  closeSync(fd);
  return { ...(await attachLoop(scratch, file)), sizeBytes };
}

export async function loopDevices(scratch: Scratch, count: number, sizeBytes: number): Promise<LoopDevice[]> {
  const devices: LoopDevice[] = [];
  for (let i = 0; i < count; i++) devices.push(await loopDevice(scratch, sizeBytes));
  return devices;
}

/** Attaches an existing file (or the file of an NBD export) as a block device. */
export async function attachLoop(scratch: Scratch, file: string): Promise<LoopDevice> {
  const device = (await run('losetup', ['--direct-io=on', '--show', '-f', file])).trim();
  let attached = true;
  const detach = (): void => {
    if (!attached) return;
    attached = false;
    runQuietly('losetup', ['-d', device]);
  };
  scratch.onClose(detach);
  return { device, file, sizeBytes: 0, detach };
}
