import { spawn, spawnSync } from 'node:child_process';

export interface CommandResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly timeout_ms?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
  readonly cwd?: string;
  /** Kills the program when it is aborted. */
  readonly signal?: AbortSignal;
}

/** Longest that any single external program may take before the rig kills it: a hang must fail a test, not stop the suite. */
const COMMAND_TIMEOUT_MS = 120_000;

/** Runs a program to its end. It does not throw for a status other than 0; the status is 128 when it was killed. */
export function attempt(program: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: options.env ?? process.env, cwd: options.cwd, stdio: ['pipe', 'pipe', 'pipe'] });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeout_ms ?? COMMAND_TIMEOUT_MS);
    const abort = (): boolean => child.kill('SIGKILL');
    options.signal?.addEventListener('abort', abort, { once: true });
    child.stdout.on('data', (piece: Buffer) => out.push(piece));
    child.stderr.on('data', (piece: Buffer) => err.push(piece));
    child.stdin.on('error', () => {
      // A program that does not read its input closes the pipe early; its status says whether that was right.
    });
    child.stdin.end(options.input ?? '');
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(missing(program, error));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', abort);
      const stderr = Buffer.concat(err).toString('utf8') + (signal === null ? '' : `\nkilled by ${signal}`);
      resolve({ status: code ?? 128, stdout: Buffer.concat(out).toString('utf8'), stderr });
    });
  });
}

/** Runs a program that must succeed; returns what it printed. */
export async function run(program: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await attempt(program, args, options);
  if (result.status !== 0) {
    throw new Error(
      `${program} ${args.join(' ')} ended with status ${result.status}\n${result.stderr.slice(-4000)}\n${result.stdout.slice(-4000)}`,
    );
  }
  return result.stdout;
}

/** Blocking form for teardown, where a process that is about to exit cannot wait for promises. Errors are ignored: there is nothing left to do. */
export function runQuietly(program: string, args: readonly string[]): void {
  spawnSync(program, args, { stdio: 'ignore', timeout: 20_000 });
}

/** Debian package of each program that the system tests use. */
const PACKAGES: Readonly<Record<string, string>> = {
  fio: 'fio',
  nbdfuse: 'libnbd-bin',
  nbdcopy: 'libnbd-bin',
  nbdinfo: 'libnbd-bin',
  'qemu-img': 'qemu-utils',
  'qemu-nbd': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  fusermount3: 'fuse3',
  losetup: 'mount',
  'mkfs.ext4': 'e2fsprogs',
  e2fsck: 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  xfs_repair: 'xfsprogs',
  'mkfs.btrfs': 'btrfs-progs',
  btrfs: 'btrfs-progs',
  mkswap: 'util-linux',
  setpriv: 'util-linux',
  cc: 'gcc',
  nbdkit: 'nbdkit',
  sqlite3: 'sqlite3',
  sshd: 'openssh-server',
  'ssh-keygen': 'openssh-client',
  'aarch64-linux-gnu-g++': 'g++-aarch64-linux-gnu',
  'qemu-aarch64': 'qemu-user',
  'clang++-14': 'clang-14',
};

function missing(program: string, error: Error): Error {
  const name = program.slice(program.lastIndexOf('/') + 1);
  const owner = PACKAGES[name];
  return owner === undefined ? error : new Error(`${name} is not installed: apt-get install ${owner}`, { cause: error });
}
