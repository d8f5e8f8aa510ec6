import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { run } from './command.js';
import type { Scratch } from './scratch.js';

const READY_TIMEOUT_MS = 10_000;

/**
 * A real OpenSSH server on a loopback port of its own, with fresh host and user keys, that offers nothing but SFTP.
 * It runs in the foreground as our child, so that killing it is killing a known process.
 */
export class OpensshServer {
  readonly port: number;
  readonly identity: string;
  readonly knownHosts: string;
  readonly #home: string;
  readonly #scratch: Scratch;
  #child: ChildProcess | null = null;

  private constructor(scratch: Scratch, home: string, port: number) {
    this.#scratch = scratch;
    this.#home = home;
    this.port = port;
    this.identity = join(home, 'user_key');
    this.knownHosts = join(home, 'known_hosts');
  }

  /** Makes the keys and the configuration and starts the server. */
  static async start(scratch: Scratch): Promise<OpensshServer> {
    const home = scratch.path('sshd');
    mkdirSync(home, { mode: 0o700 });
    // sshd refuses to start without its privilege separation folder, which Debian's service file makes.
    mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    const server = new OpensshServer(scratch, home, await freePort());
    await server.makeHostKey();
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', server.identity]);
    copyFileSync(`${server.identity}.pub`, join(home, 'authorized_keys'));
    chmodSync(join(home, 'authorized_keys'), 0o600);
    server.trustHostKey();
    writeFileSync(
      join(home, 'sshd_config'),
      [
        `Port ${server.port}`,
        'ListenAddress 127.0.0.1',
        `HostKey ${home}/host_key`,
        `AuthorizedKeysFile ${home}/authorized_keys`,
        `PidFile ${home}/sshd.pid`,
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
        'UsePAM no',
        'PermitRootLogin prohibit-password',
        // The scratch folder lies below a world-writable one.
        'StrictModes no',
        'UseDNS no',
        'LogLevel VERBOSE',
        'MaxStartups 100',
        'Subsystem sftp internal-sftp',
        '',
      ].join('\n'),
    );
    await server.run();
    return server;
  }

  /** Makes a new host key: the next start of the server is another host to its clients. */
  async makeHostKey(): Promise<void> {
    for (const name of ['host_key', 'host_key.pub']) rmSync(join(this.#home, name), { force: true });
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(this.#home, 'host_key')]);
  }

  /** Writes the present host key to the known hosts of the clients. */
  trustHostKey(): void {
    const [type, key] = readFileSync(join(this.#home, 'host_key.pub'), 'utf8').split(' ');
    writeFileSync(this.knownHosts, `[127.0.0.1]:${this.port} ${type} ${key}\n`);
  }

  url(path: string): string {
    return `sftp://${userInfo().username}@127.0.0.1:${this.port}${path}`;
  }

  /** The [backup] table of a configuration that stores to `path` on this server. */
  backup(path: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
    return { url: this.url(path), identity: this.identity, knownHosts: this.knownHosts, compression: 'none', ...more };
  }

  async run(): Promise<void> {
    const log = openSync(join(this.#home, 'sshd.log'), 'a');
    const child = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', join(this.#home, 'sshd_config')], { stdio: ['ignore', log, log] });
    this.#child = child;
    this.#scratch.onClose(() => this.#killTree());
    const deadline = performance.now() + READY_TIMEOUT_MS;
    while (!(await accepts(this.port))) {
      if (child.exitCode !== null || performance.now() > deadline)
        throw new Error(`sshd does not accept\n${readFileSync(join(this.#home, 'sshd.log'), 'utf8')}`);
      await new Promise((wake) => setTimeout(wake, 20));
    }
  }

  /** kill -9 of the server and of every session it has open: what a power cut of the backup host looks like from here. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    this.#killTree();
    await gone;
    this.#child = null;
  }

  #killTree(): void {
    const root = this.#child?.pid;
    if (root === undefined) return;
    // Sessions are found before the listener dies, or they would belong to init by then.
    for (const pid of [root, ...descendants(root)]) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Already gone.
      }
    }
  }
}

function descendants(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      // The command's name may hold spaces: fields count from the closing parenthesis.
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // The process ended while we looked.
    }
  }
  const found: number[] = [];
  const queue = [root];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    for (const child of children.get(pid) ?? []) {
      found.push(child);
      queue.push(child);
    }
  }
  return found;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(port, '127.0.0.1');
    connection.on('error', () => resolve(false));
    connection.on('connect', () => {
      connection.destroy();
      resolve(true);
    });
  });
}
