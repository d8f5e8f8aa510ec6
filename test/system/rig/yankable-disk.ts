import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { NbdDisk } from './nbd-disk.js';
import type { Scratch } from './scratch.js';

const READY_TIMEOUT_MS = 10_000;
let servers = 0;

/**
 * A block device whose other end can be pulled out: a file, behind nbdkit with its error and delay filters, behind nbdfuse and a loop device. The file outlives it: plug() gives
 * what was on it another device.
 */
export class YankableDisk {
  readonly file: string;
  readonly #scratch: Scratch;
  readonly #trigger: string;
  readonly #delay_ms: number;
  #server: ChildProcess | null = null;
  #disk: NbdDisk | null = null;

  private constructor(scratch: Scratch, file: string, delay_ms: number) {
    this.#scratch = scratch;
    this.file = file;
    this.#trigger = scratch.path(`errors-of-${basename(file)}`);
    this.#delay_ms = delay_ms;
  }

  /** A new disk of zeroes; each request to it takes delay_ms longer. */
  static async create(scratch: Scratch, name: string, sizeBytes: number, delay_ms: number): Promise<YankableDisk> {
    const file = join(scratch.memory, name);
    const fd = openSync(file, 'w');
    ftruncateSync(fd, sizeBytes);
    closeSync(fd);
    const disk = new YankableDisk(scratch, file, delay_ms);
    await disk.plug();
    return disk;
  }

  get device(): string {
    return (this.#disk as NbdDisk).device;
  }

  /** Serves the file again, as another device. */
  async plug(): Promise<void> {
    servers += 1;
    const socket = this.#scratch.path(`nbdkit-${servers}.sock`);
    const log = openSync(`${socket}.log`, 'a');
    const delay = this.#delay_ms;
    const server = spawn(
      'nbdkit',
      [
        ...['--foreground', '--exit-with-parent', '--unix', socket, '--filter=error', '--filter=delay', 'file', this.file],
        ...['error=EIO', 'error-rate=25%', `error-file=${this.#trigger}`, `rdelay=${delay}ms`, `wdelay=${delay}ms`],
      ],
      { stdio: ['ignore', log, log] },
    );
    closeSync(log);
    this.#scratch.onClose(() => server.kill('SIGKILL'));
    const deadline = performance.now() + READY_TIMEOUT_MS;
    while (!existsSync(socket)) {
      if (server.exitCode !== null || performance.now() > deadline)
        throw new Error(`nbdkit does not serve ${this.file}\n${readFileSync(`${socket}.log`, 'utf8')}`);
      await new Promise((wake) => setTimeout(wake, 10));
    }
    this.#server = server;
    this.#disk = await NbdDisk.attach(this.#scratch, socket);
  }

  /** A quarter of all requests fail from now on. */
  startErrors(): void {
    writeFileSync(this.#trigger, '');
  }

  stopErrors(): void {
    rmSync(this.#trigger, { force: true });
  }

  /** kill -9 of what serves it: every request fails from now on, also those that are on their way. */
  async yank(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null || server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, 'exit');
    server.kill('SIGKILL');
    await gone;
  }

  /** Takes the dead device away, once nobody holds it any more. */
  async remove(): Promise<void> {
    await this.#disk?.detach();
  }
}
