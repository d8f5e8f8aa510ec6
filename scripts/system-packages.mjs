import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

// Debian packages of the system tests and the benchmarks, each with a program, or a file, that shows it is there.
export const packages = [
  { name: 'fio', tool: 'fio' },
  { name: 'libnbd-bin', tool: 'nbdinfo' },
  { name: 'libnbd-bin', tool: 'nbdfuse' },
  { name: 'nbdkit', tool: 'nbdkit' },
  { name: 'qemu-utils', tool: 'qemu-img' },
  { name: 'openssh-server', tool: 'sshd' },
  { name: 'openssh-client', tool: 'ssh-keygen' },
  { name: 'fuse3', tool: 'fusermount3' },
  { name: 'e2fsprogs', tool: 'mkfs.ext4' },
  { name: 'xfsprogs', tool: 'mkfs.xfs' },
  { name: 'btrfs-progs', tool: 'mkfs.btrfs' },
  { name: 'util-linux', tool: 'losetup' },
  { name: 'mount', tool: 'mount' },
  { name: 'util-linux', tool: 'setpriv' },
  { name: 'systemd', tool: 'systemd-analyze' },
  { name: 'gcc', tool: 'cc' },
  { name: 'postgresql', tool: 'pg_ctlcluster' },
  { name: 'sqlite3', tool: 'sqlite3' },
  { name: 'g++-aarch64-linux-gnu', tool: 'aarch64-linux-gnu-g++' },
  { name: 'qemu-user', tool: 'qemu-aarch64' },
  { name: 'clang-14', tool: 'clang++-14' },
  { name: 'libclang-rt-14-dev', file: '/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux' },
  { name: 'libisal-dev', file: '/usr/include/isa-l.h' },
];

const found = (tool) => spawnSync('sh', ['-c', `PATH="$PATH:/usr/sbin:/sbin" command -v ${tool}`]).status === 0;

/** What keeps the system tests from running here, each with what to do. */
export function systemTroubles() {
  const missing = packages.filter(({ tool, file }) => !(file === undefined ? found(tool) : existsSync(file)));
  const troubles = [];
  if (missing.length > 0) {
    const names = [...new Set(missing.map(({ name }) => name))].join(' ');
    troubles.push(`missing Debian packages: ${names}\n  install them with: apt-get install --no-install-recommends ${names}`);
  }
  if (process.getuid() !== 0) troubles.push('root is needed, for loop devices and mounts\n  run it as root, with sudo');
  for (const device of ['/dev/loop-control', '/dev/fuse']) {
    if (!existsSync(device)) troubles.push(`${device} is missing\n  give this machine or container the device (modprobe loop fuse)`);
  }
  return troubles;
}

// `node scripts/system-packages.mjs` prints the names, for apt-get.
if (process.argv[1]?.endsWith('system-packages.mjs')) process.stdout.write(`${packages.map(({ name }) => name).join(' ')}\n`);
