import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { attempt, run, runQuietly } from './command.js';
import { attachLoop, type LoopDevice } from './loop-device.js';
import type { Scratch } from './scratch.js';

const READY_TIMEOUT_MS = 10_000;
let mounts = 0;

/** An NBD export as a block device, without the nbd module: nbdfuse shows it as a file, a loop device makes the file a disk. */
export class NbdDisk {
  readonly device: string;
  readonly #loop: LoopDevice;
  readonly #fuse: ChildProcess;
  readonly #folder: string;

  private constructor(loop: LoopDevice, fuse: ChildProcess, folder: string) {
    this.device = loop.device;
    this.#loop = loop;
    this.#fuse = fuse;
    this.#folder = folder;
  }

  static async attach(scratch: Scratch, socket: string): Promise<NbdDisk> {
    mounts += 1;
    const folder = scratch.path(`nbdfuse-${mounts}`);
    mkdirSync(folder);
    // It reports every request that fails once the server is dead: that belongs into a log.
    const log = openSync(`${folder}.log`, 'a');
    const fuse = spawn('nbdfuse', [`${folder}/disk`, '--unix', socket], { stdio: ['ignore', log, log] });
    closeSync(log);
    scratch.onClose(() => {
      runQuietly('fusermount3', ['-u', '-z', folder]);
      fuse.kill('SIGKILL');
    });
    const deadline = performance.now() + READY_TIMEOUT_MS;
    while (!existsSync(`${folder}/disk`)) {
      if (fuse.exitCode !== null || performance.now() > deadline)
        throw new Error(`nbdfuse does not show ${socket}\n${readFileSync(`${folder}.log`, 'utf8')}`);
      await new Promise((wake) => setTimeout(wake, 20));
    }
    return new NbdDisk(await attachLoop(scratch, `${folder}/disk`), fuse, folder);
  }

  /** Takes the disk away: after a clean umount, or when the server behind it is dead. */
  async detach(): Promise<void> {
    this.#loop.detach();
    const gone = this.#fuse.exitCode === null && this.#fuse.signalCode === null ? once(this.#fuse, 'exit') : Promise.resolve();
    await attempt('fusermount3', ['-u', '-z', this.#folder]);
    const timer = setTimeout(() => this.#fuse.kill('SIGKILL'), 5000);
    await gone;
    clearTimeout(timer);
  }
}

/** A mounted file system. */
export interface Mount {
  readonly folder: string;
  umount(): Promise<void>;
}

export async function mount(scratch: Scratch, device: string, type: string, options = 'defaults'): Promise<Mount> {
  mounts += 1;
  const folder = scratch.path(`mount-${mounts}`);
  mkdirSync(folder);
  await run('mount', ['-t', type, '-o', options, device, folder]);
  const isMounted = (): boolean => readFileSync('/proc/mounts', 'utf8').includes(` ${folder} `);
  scratch.onClose(() => {
    if (isMounted()) runQuietly('umount', ['-l', folder]);
  });
  return {
    folder,
    // A file system whose disk is gone may report EIO on umount and still be unmounted: what counts is the mount table.
    async umount() {
      const result = await attempt('umount', [folder]);
      if (isMounted()) throw new Error(`umount ${folder}: ${result.stderr}`);
    },
  };
}
