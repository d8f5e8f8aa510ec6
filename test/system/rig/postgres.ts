import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { attempt, type CommandResult, run } from './command.js';
import type { Scratch } from './scratch.js';

const READY_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;
const VERSIONS = '/usr/lib/postgresql';
/** PostgreSQL refuses to run as root. */
const USER = ['--reuid=postgres', '--regid=postgres', '--clear-groups', '--'];

/** Debian keeps the server's programs by version, outside of PATH. */
function program(name: string): string {
  const found = existsSync(VERSIONS)
    ? readdirSync(VERSIONS)
        .sort()
        .map((version) => join(VERSIONS, version, 'bin', name))
        .findLast(existsSync)
    : undefined;
  if (found === undefined) throw new Error(`${name} is not installed: apt-get install postgresql`);
  return found;
}

/** One PostgreSQL cluster in a folder of a file system under test. */
export class Postgres {
  readonly #scratch: Scratch;
  readonly #sockets: string;
  #server: ChildProcess | null = null;

  constructor(scratch: Scratch) {
    this.#scratch = scratch;
    this.#sockets = scratch.path('postgres');
    mkdirSync(this.#sockets);
    chmodSync(this.#sockets, 0o777);
    // The server's user has to come through to what is mounted below.
    chmodSync(scratch.folder, 0o711);
  }

  get #connection(): string[] {
    return ['-h', this.#sockets, '-U', 'keelson'];
  }

  async init(folder: string): Promise<void> {
    mkdirSync(folder);
    chownSync(folder, Number(await run('id', ['-u', 'postgres'])), Number(await run('id', ['-g', 'postgres'])));
    await run('setpriv', [
      ...USER,
      program('initdb'),
      ...['-D', folder, '-A', 'trust', '-U', 'keelson', '-E', 'UTF8', '--no-locale', '--wal-segsize=1', '--data-checksums'],
    ]);
  }

  /** Starts the server, which recovers what it finds, and waits for it. */
  async start(folder: string): Promise<void> {
    const settings = {
      listen_addresses: '',
      unix_socket_directories: this.#sockets,
      shared_buffers: '16MB',
      max_wal_size: '16MB',
      fsync: 'on',
      synchronous_commit: 'on',
      restart_after_crash: 'off',
    };
    const logFile = this.#scratch.path('postgres.log');
    const log = openSync(logFile, 'a');
    const server = spawn(
      'setpriv',
      [...USER, program('postgres'), '-D', folder, ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])],
      { stdio: ['ignore', log, log] },
    );
    closeSync(log);
    this.#server = server;
    this.#scratch.onClose(() => server.kill('SIGKILL'));
    const deadline = performance.now() + READY_TIMEOUT_MS;
    while ((await this.psql('SELECT 1')).status !== 0) {
      if (server.exitCode !== null || performance.now() > deadline)
        throw new Error(`PostgreSQL does not start\n${readFileSync(logFile, 'utf8').slice(-4000)}`);
      await new Promise((wake) => setTimeout(wake, 50));
    }
  }

  /** Runs a script until its end, its first error, or the end of the server. */
  psql(script: string): Promise<CommandResult> {
    // A line that was printed has to arrive although psql dies after it.
    return attempt('stdbuf', ['-oL', 'psql', ...this.#connection, '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', 'postgres'], {
      input: script,
    });
  }

  async query(sql: string): Promise<string> {
    const { status, stdout, stderr } = await this.psql(sql);
    if (status !== 0) throw new Error(`psql: ${stderr}`);
    return stdout.trim();
  }

  /** '' or what PostgreSQL's own checker of heaps and indexes says. */
  async amcheck(): Promise<string> {
    const args = [...this.#connection, '--all', '--install-missing', '--heapallindexed', '--parent-check'];
    const { status, stdout, stderr } = await attempt(program('pg_amcheck'), args);
    return status === 0 ? '' : stdout + stderr;
  }

  /** Ends the server at once, without a checkpoint. Its disk may be gone. */
  async crash(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null || server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, 'exit');
    server.kill('SIGQUIT');
    const timer = setTimeout(() => server.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await gone;
    clearTimeout(timer);
  }
}
