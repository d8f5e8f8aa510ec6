import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attempt, type CommandResult } from './command.js';
import type { Scratch } from './scratch.js';

/** The compiled tree that is under test: KEELSON_OUT, else the one this file was compiled into. */
const OUT = process.env.KEELSON_OUT === undefined ? fileURLToPath(new URL('../../../', import.meta.url)) : resolve(process.env.KEELSON_OUT);
export const MAIN = join(OUT, 'src/cli/main.js');

/** A server that is not accepting by then has hung. Recovery of the largest ring in the tests takes a small part of it. */
const READY_TIMEOUT_MS = 30_000;
const READY_POLL_MS = 10;
const STOP_TIMEOUT_MS = 30_000;
const VERB_TIMEOUT_MS = 120_000;

/** Runs one verb of the command line to its end. */
export function verb(config: string, args: readonly string[], timeout_ms = VERB_TIMEOUT_MS): Promise<CommandResult> {
  const [name = '', ...rest] = args;
  return attempt(process.execPath, [MAIN, name, '-c', config, ...rest], { timeout_ms });
}

/** A running `keelson serve`. */
export class KeelsonProcess {
  readonly child: ChildProcess;
  readonly socket: string;
  readonly logFile: string;
  /** Earlier processes wrote what comes before. */
  readonly #logFrom: number;
  #ended = false;

  private constructor(child: ChildProcess, socket: string, logFile: string, logFrom: number) {
    this.#logFrom = logFrom;
    this.child = child;
    this.socket = socket;
    this.logFile = logFile;
    child.on('exit', () => {
      this.#ended = true;
    });
  }

  /** Starts the server without waiting for it. */
  static spawn(scratch: Scratch, config: string, socket: string, env: NodeJS.ProcessEnv = {}): KeelsonProcess {
    const logFile = `${config}.log`;
    const log = openSync(logFile, 'a');
    const logFrom = fstatSync(log).size;
    const child = spawn(process.execPath, [MAIN, 'serve', '-c', config], { stdio: ['ignore', log, log], env: { ...process.env, ...env } });
    closeSync(log);
    const server = new KeelsonProcess(child, socket, logFile, logFrom);
    scratch.onClose(() => {
      if (!server.ended) child.kill('SIGKILL');
    });
    return server;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get ended(): boolean {
    return this.#ended;
  }

  log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '';
  }

  /** Resolves when the export greets a client and the server has said so, which it does when its control socket answers too. Throws with the end of the log when the process ends first or hangs. */
  async ready(timeout_ms = READY_TIMEOUT_MS): Promise<this> {
    const deadline = performance.now() + timeout_ms;
    while (!(this.#announced() && (await greets(this.socket)))) {
      if (this.#ended)
        throw new Error(
          `keelson serve ended with ${this.child.exitCode ?? this.child.signalCode} before it served\n${this.log().slice(-4000)}`,
        );
      if (performance.now() > deadline)
        throw new Error(`keelson serve is not accepting after ${timeout_ms} ms\n${this.log().slice(-4000)}`);
      await new Promise((wake) => setTimeout(wake, READY_POLL_MS));
    }
    return this;
  }

  /** The line of the first export, in what this process printed. */
  #announced(): boolean {
    const own = readFileSync(this.logFile).subarray(this.#logFrom);
    return own.includes('serving nbd');
  }

  /** kill -9. Resolves when the process is gone. */
  async kill(): Promise<void> {
    if (this.#ended) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }

  /** SIGTERM and a clean end. Throws when the server does not end with status 0. */
  async stop(): Promise<void> {
    if (this.#ended) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await gone;
    clearTimeout(timer);
    if (this.child.exitCode !== 0)
      throw new Error(`keelson serve ended with ${this.child.exitCode ?? this.child.signalCode} after SIGTERM\n${this.log().slice(-4000)}`);
  }
}

/** True when somebody sends the first bytes of an NBD handshake on this socket. */
function greets(socket: string): Promise<boolean> {
  return new Promise((resolve_) => {
    const connection = createConnection(socket);
    const settle = (answer: boolean): void => {
      connection.destroy();
      resolve_(answer);
    };
    connection.setTimeout(1000, () => settle(false));
    connection.on('error', () => settle(false));
    connection.on('close', () => settle(false));
    connection.once('data', (bytes) => settle(bytes.subarray(0, 8).toString('latin1') === 'NBDMAGIC'));
  });
}
