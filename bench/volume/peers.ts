import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, writeSync } from 'node:fs';
import { MIB } from '../../src/base/units.js';
import { run, runQuietly } from '../../test/system/rig/command.js';
import type { LoopDevice } from '../../test/system/rig/loop-device.js';
import { mount } from '../../test/system/rig/nbd-disk.js';
import type { Scratch } from '../../test/system/rig/scratch.js';
import { busyCpuSeconds } from './machine.js';
import type { VolumeResult } from './result.js';
import { type Plan, runWorkloads } from './workloads.js';

/**
 * Zeroes all over the device. Written, not cut out: what it costs tmpfs, and a hypervisor that gives memory only when it is touched, to find a page for each first write is
 * several times what is measured here, for everybody, and nothing that a device does.
 */
export function blank(disk: LoopDevice): void {
  const zeroes = Buffer.alloc(4 * MIB);
  const fd = openSync(disk.file, 'r+');
  try {
    for (let at = 0; at < disk.sizeBytes; at += zeroes.length) writeSync(fd, zeroes, 0, Math.min(zeroes.length, disk.sizeBytes - at), at);
  } finally {
    closeSync(fd);
  }
}

async function version(program: string): Promise<string> {
  return /(\d+\.\d+(\.\d+)?)/.exec(await run(program, ['--version']))?.[1] ?? '';
}

/** Software RAID of the kernel on the same devices: btrfs raid6 without copy on write, which is as near to plain parity RAID as this kernel has. */
export async function benchBtrfs(scratch: Scratch, disks: readonly LoopDevice[], spare: LoopDevice, plan: Plan): Promise<VolumeResult[]> {
  for (const disk of disks) blank(disk);
  blank(spare);
  const devices = disks.map((disk) => disk.device);
  const [first = ''] = devices;
  const peer = `btrfs raid6 ${await version('btrfs')}`;
  await run('mkfs.btrfs', ['-q', '-f', '-d', 'raid6', '-m', 'raid1c3', ...devices]);
  await run('btrfs', ['device', 'scan', ...devices]);
  const mounted = await mount(scratch, first, 'btrfs', 'nodatacow,nodatasum');
  try {
    const results = await runWorkloads({ file: `${mounted.folder}/data` }, peer, plan);
    const cpu = busyCpuSeconds();
    const start = performance.now();
    await run('btrfs', ['replace', 'start', '-B', '-f', devices[2] ?? '', spare.device, mounted.folder]);
    const seconds = (performance.now() - start) / 1000;
    // Six devices, four of them data: each holds a quarter of what was written.
    const bytes = plan.bytes / (disks.length - 2);
    results.push({
      workload: 'rebuild-member',
      iops: 0,
      gbPerSecond: bytes / seconds / 1e9,
      p50Us: 0,
      p99Us: 0,
      cpuSeconds: busyCpuSeconds() - cpu,
      peer,
      seconds,
      bytes,
    });
    return results;
  } finally {
    await mounted.umount();
    await run('btrfs', ['device', 'scan', '--forget']);
  }
}

/** A plain NBD server without any redundancy on one device, O_DIRECT. */
export async function benchQemuNbd(scratch: Scratch, disk: LoopDevice, plan: Plan): Promise<VolumeResult[]> {
  blank(disk);
  const socket = scratch.path('qemu-nbd.sock');
  const server = spawn(
    'qemu-nbd',
    ['--persistent', '--format=raw', '--cache=none', '--aio=io_uring', '--shared=8', `--socket=${socket}`, disk.device],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  scratch.onClose(() => server.kill('SIGKILL'));
  while (!existsSync(socket)) {
    if (server.exitCode !== null) throw new Error(`qemu-nbd ended with ${server.exitCode}`);
    await new Promise((wake) => setTimeout(wake, 20));
  }
  try {
    return await runWorkloads({ uri: `nbd+unix:///?socket=${socket}` }, `qemu-nbd ${await version('qemu-nbd')} on one device`, {
      ...plan,
      bytes: Math.min(plan.bytes, disk.sizeBytes),
    });
  } finally {
    const gone = once(server, 'exit');
    server.kill('SIGTERM');
    await gone;
    runQuietly('rm', ['-f', socket]);
  }
}
