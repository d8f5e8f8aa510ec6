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
  { name: 'gcc', tool: 'cc' },
  { name: 'postgresql', tool: 'pg_ctlcluster' },
  { name: 'sqlite3', tool: 'sqlite3' },
  { name: 'g++-aarch64-linux-gnu', tool: 'aarch64-linux-gnu-g++' },
  { name: 'qemu-user', tool: 'qemu-aarch64' },
  { name: 'clang-14', tool: 'clang++-14' },
  { name: 'libclang-rt-14-dev', file: '/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux' },
  { name: 'libisal-dev', file: '/usr/include/isa-l.h' },
];

// `node scripts/system-packages.mjs` prints the names, for apt-get.
if (process.argv[1]?.endsWith('system-packages.mjs')) process.stdout.write(`${packages.map(({ name }) => name).join(' ')}\n`);
