import type { Stats } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { connect as connectSocket, type Socket } from 'node:net';
import type { ClientErrorExtensions, ServerHostKeyAlgorithm, SFTPWrapper, Client as SshClient } from 'ssh2';
import { type Clock, systemClock, type Timer } from '../../base/clock.js';
import { KeelsonError } from '../../base/errors.js';
import { exposed, writableByAll } from '../../base/secrets.js';
import { judgeHostKey, knownKeyTypes, type KnownHost, parseKnownHosts } from './known-hosts.js';
import { unreachable } from '../target.js';

export interface SftpAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Absolute directory on the server. */
  readonly directory: string;
  /** URL without secrets. */
  readonly url: string;
}

export interface SftpCredentials {
  /** Path of an unencrypted private key (OpenSSH or PEM). */
  readonly identity: string;
  /** Path of a known_hosts file. */
  readonly knownHosts: string;
}

/** TCP connect, key exchange, authentication and the greeting of SFTP together. A backup host over a slow line needs seconds, never this long. */
export const CONNECT_TIMEOUT_MS = 20_000;
/** A server that lives (it answers keepalives) but answers none of our requests is given up: longer than the fsync of a large file on a slow disk. */
export const REPLY_TIMEOUT_MS = 120_000;
/** A silent peer is given up after interval x count = 30 s; without it a pulled cable would hang a publish for ever. */
const KEEPALIVE_INTERVAL_MS = 10_000;
const KEEPALIVE_COUNT_MAX = 3;
/** AES-GCM first: one pass for cipher and MAC; 128 bits were twice as fast as anything else that ssh2 offers. */
const CIPHERS = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr', 'aes192-ctr', 'aes256-ctr'] as const;
const HOST_KEY_ALGORITHMS: readonly ServerHostKeyAlgorithm[] = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
];

type Reply<T> = (error: Error | undefined | null, value?: T) => void;

/**
 * One SSH connection with one SFTP channel. ssh2 drops requests silently once its channel is closed, so every request is also
 * registered here and is failed when the connection goes.
 */
export class SftpSession {
  readonly sftp: SFTPWrapper;
  readonly url: string;
  readonly #client: SshClient;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #waiting = new Set<(error: KeelsonError) => void>();
  #lost: KeelsonError | null = null;
  #timer: Timer | null = null;
  /** When the last request was answered, or the first one asked after a pause. */
  #answeredAt = 0;

  private constructor(client: SshClient, socket: Socket, sftp: SFTPWrapper, url: string, clock: Clock) {
    this.#clock = clock;
    this.#client = client;
    this.#socket = socket;
    this.sftp = sftp;
    this.url = url;
    let reason: unknown = 'the connection was closed by the backup host';
    client.on('error', (error) => {
      reason = error;
    });
    sftp.on('error', (error: unknown) => {
      reason = error;
      client.destroy();
    });
    // Requests on a closed channel would never be answered, however long the connection lives.
    sftp.on('close', () => client.destroy());
    client.on('close', () => this.#lose(unreachable(url, 'the connection was lost', reason)));
  }

  /** Throws BACKUP_UNREACHABLE, BACKUP_HOST_KEY or BACKUP_AUTH. */
  static async connect(address: SftpAddress, credentials: SftpCredentials, clock: Clock = systemClock): Promise<SftpSession> {
    const identity = await readCredential(credentials.identity, IDENTITY);
    const hosts = await readCredential(credentials.knownHosts, KNOWN_HOSTS);
    const known = parseKnownHosts(hosts.toString('utf8'));
    // Here, because an array without a backup, and every thread but the backup's, start faster without.
    const { default: ssh2 } = await import('ssh2');
    const client = new ssh2.Client();
    // Our own socket, so that bursts of requests can be corked (one system call for many packets).
    const socket = connectSocket({ host: address.host, port: address.port, noDelay: true });
    const sftp = await new Promise<SFTPWrapper>((resolve, reject) => {
      let refused: KeelsonError | null = null;
      const deadline = clock.after(CONNECT_TIMEOUT_MS, () =>
        fail(unreachable(address.url, 'no connection', new Error(`no SFTP session within ${CONNECT_TIMEOUT_MS / 1000} s`))),
      );
      const fail = (error: KeelsonError): void => {
        deadline.cancel();
        client.destroy();
        socket.destroy();
        reject(error);
      };
      client.on('error', (error) => fail(refused ?? connectFailure(address, error)));
      client.on('close', () => fail(refused ?? unreachable(address.url, 'the connection was closed before it was ready', 'closed')));
      client.on('ready', () => {
        client.sftp((error, channel) => {
          if (error !== undefined) fail(unreachable(address.url, 'the server offers no SFTP', error));
          else {
            deadline.cancel();
            resolve(channel);
          }
        });
      });
      try {
        client.connect({
          sock: socket,
          username: address.user,
          privateKey: identity,
          readyTimeout: CONNECT_TIMEOUT_MS,
          keepaliveInterval: KEEPALIVE_INTERVAL_MS,
          keepaliveCountMax: KEEPALIVE_COUNT_MAX,
          algorithms: { cipher: [...CIPHERS], serverHostKey: preferredHostKeys(known, address) },
          hostVerifier: (key: Buffer): boolean => {
            refused = judgeHostKey(known, address.host, address.port, key, credentials.knownHosts);
            return refused === null;
          },
        });
      } catch (error) {
        fail(authFailure(address, error, credentials.identity));
      }
    });
    client.removeAllListeners('error');
    client.removeAllListeners('close');
    return new SftpSession(client, socket, sftp, address.url, clock);
  }

  get lost(): KeelsonError | null {
    return this.#lost;
  }

  /** Runs one request; rejects with the server's own error, or with BACKUP_UNREACHABLE when the connection goes before the reply. */
  call<T>(start: (done: Reply<T>) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const watch = this.watch(reject);
      if (watch === null) return;
      start((error, value) => {
        if (!watch()) return;
        if (error) reject(this.#lost ?? error);
        else resolve(value as T);
      });
    });
  }

  /**
   * Registers a request that must be told when the connection goes. Returns null after telling it at once, else a function that
   * takes it off again and says whether it was still waiting.
   */
  watch(onLost: (error: KeelsonError) => void): (() => boolean) | null {
    if (this.#lost !== null) {
      onLost(this.#lost);
      return null;
    }
    if (this.#waiting.size === 0) this.#answeredAt = this.#clock.now();
    this.#waiting.add(onLost);
    if (this.#timer === null) this.#guard(REPLY_TIMEOUT_MS);
    return () => {
      this.#answeredAt = this.#clock.now();
      return this.#waiting.delete(onLost);
    };
  }

  /** One timer for all requests: an answer only notes the time. */
  #guard(delay_ms: number): void {
    this.#timer = this.#clock.after(delay_ms, () => {
      this.#timer = null;
      if (this.#waiting.size === 0 || this.#lost !== null) return;
      const left = this.#answeredAt + REPLY_TIMEOUT_MS - this.#clock.now();
      if (left > 0) {
        this.#guard(left);
        return;
      }
      this.#lose(
        unreachable(this.url, 'the connection was given up', new Error(`no request was answered for ${REPLY_TIMEOUT_MS / 1000} s`)),
      );
      this.#client.destroy();
    });
  }

  /** Bytes that one WRITE request may carry: ssh2 would split a longer one, and send its second part from memory that is somebody else's by then. */
  get writeBytesMax(): number {
    const limit: unknown = Reflect.get(this.sftp, '_maxWriteLen');
    return typeof limit === 'number' && limit >= 1 ? limit : Number.POSITIVE_INFINITY;
  }

  /** Sends what `requests` writes in as few system calls as the kernel takes. */
  burst(requests: () => void): void {
    this.#socket.cork();
    try {
      requests();
    } finally {
      this.#socket.uncork();
    }
  }

  close(): Promise<void> {
    if (this.#lost !== null) return Promise.resolve();
    return new Promise((resolve) => {
      this.#client.once('close', () => resolve());
      this.#client.end();
      // A peer that does not answer must not keep us here.
      setTimeout(() => this.#client.destroy(), 1000).unref();
    });
  }

  #lose(error: KeelsonError): void {
    this.#timer?.cancel();
    this.#lost ??= error;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const onLost of waiting) onLost(this.#lost);
  }
}

interface Credential {
  readonly code: string;
  readonly what: string;
  readonly key: string;
  /** What the rights of the file must not be; '' when they are right. */
  readonly wrong: (stat: Stats) => string;
  readonly chmod: string;
}

const IDENTITY: Credential = {
  code: 'BACKUP_AUTH',
  what: 'the private key of the backup user',
  key: 'backup.identity',
  wrong: exposed,
  chmod: '600',
};
const KNOWN_HOSTS: Credential = {
  code: 'BACKUP_HOST_KEY',
  what: 'the file of known host keys',
  key: 'backup.knownHosts',
  wrong: writableByAll,
  chmod: 'o-w',
};

async function readCredential(path: string, { code, what, key, wrong, chmod }: Credential): Promise<Buffer> {
  try {
    const open = wrong(await stat(path));
    if (open === '') return await readFile(path);
    throw new KeelsonError(code, `${what} is not trusted`, {
      found: `${path}, which ${open}`,
      expected: 'a file for its owner alone',
      action: `chmod ${chmod} ${path}`,
    });
  } catch (error) {
    if (error instanceof KeelsonError) throw error;
    throw new KeelsonError(code, `${what} cannot be read`, {
      found: error instanceof Error ? error.message : String(error),
      expected: `a readable file named by ${key}`,
      action: `correct ${key}`,
      cause: error,
    });
  }
}

/** Types we know for this host come first: else a server with several keys would show one that we cannot judge. */
function preferredHostKeys(known: readonly KnownHost[], address: SftpAddress): ServerHostKeyAlgorithm[] {
  const types = knownKeyTypes(known, address.host, address.port);
  const wanted = HOST_KEY_ALGORITHMS.filter((name) => types.includes(name) || (name.startsWith('rsa-') && types.includes('ssh-rsa')));
  return [...wanted, ...HOST_KEY_ALGORITHMS.filter((name) => !wanted.includes(name))];
}

function connectFailure(address: SftpAddress, error: Error & ClientErrorExtensions): KeelsonError {
  if (error.level === 'client-authentication') return authFailure(address, error, 'the private key');
  return unreachable(address.url, 'no connection', error);
}

function authFailure(address: SftpAddress, error: unknown, identity: string): KeelsonError {
  return new KeelsonError('BACKUP_AUTH', `the backup host ${address.url} does not accept our login`, {
    found: error instanceof Error ? error.message : String(error),
    expected: `${identity} without a passphrase, and its public half in the authorized_keys of ${address.user}`,
    action: 'correct backup.identity or the account on the backup host',
    cause: error,
  });
}
