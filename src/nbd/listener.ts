import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';
import { KeelsonError } from '../base/errors.js';
import type { NbdAddress } from './address.js';

/** How long an existing unix socket may take to answer before it counts as alive but busy. */
const PROBE_TIMEOUT_MS = 2000;

/** One bound address. */
export interface Listener {
  /** With the port the system chose, where 0 was asked for. */
  readonly address: NbdAddress;
  /** Stops accepting; a unix socket's file is removed. */
  close(): Promise<void>;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

/** Whether somebody accepts connections at the unix socket. */
async function answers(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const probe = connect(path);
    const settle = (alive: boolean): void => {
      probe.destroy();
      resolve(alive);
    };
    probe.setTimeout(PROBE_TIMEOUT_MS, () => settle(true));
    probe.once('connect', () => settle(true));
    // EAGAIN is a full accept queue: somebody is there. EACCES leaves it unknown, which must count as alive.
    probe.once('error', (error) => settle(!['ECONNREFUSED', 'ENOENT'].includes(codeOf(error))));
  });
}

/** Removes a unix socket that nobody answers on. Throws NBD_ADDRESS_IN_USE for a live one or for any other kind of file. */
export async function removeStaleSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new KeelsonError('NBD_ADDRESS_IN_USE', `${path} exists and is not a socket`, {
      action: 'choose another path, or move the file away',
    });
  }
  if (await answers(path)) {
    throw new KeelsonError('NBD_ADDRESS_IN_USE', `another server answers on ${path}`, { action: 'stop it, or choose another path' });
  }
  unlinkSync(path);
}

async function bind(server: Server, address: NbdAddress, unixMode: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    const listening = (): void => {
      server.off('error', reject);
      resolve();
    };
    if (address.kind === 'tcp') {
      server.listen({ host: address.host, port: address.port }, listening);
      return;
    }
    // The file is made inside listen(): under this mask it never exists with a wider mode.
    const before = process.umask(0o777 & ~unixMode);
    try {
      server.listen({ path: address.path }, listening);
    } finally {
      process.umask(before);
    }
  });
  if (address.kind === 'unix') chmodSync(address.path, unixMode);
}

/** Binds an address and hands every accepted socket on. Throws NBD_ADDRESS_IN_USE or NBD_LISTEN. */
export async function listen(address: NbdAddress, unixMode: number, onSocket: (socket: Socket) => void): Promise<Listener> {
  if (address.kind === 'unix') await removeStaleSocket(address.path);
  const where = address.kind === 'unix' ? address.path : `${address.host}:${address.port}`;
  // Half-open: a client may end its side and still wait for its replies.
  // Paused: the connection decides how the socket is read (intake.ts).
  const server = createServer(
    { allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 },
    onSocket,
  );
  try {
    await bind(server, address, unixMode);
  } catch (error) {
    const code = codeOf(error) === 'EADDRINUSE' ? 'NBD_ADDRESS_IN_USE' : 'NBD_LISTEN';
    throw new KeelsonError(code, `cannot listen on ${where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  // An accept that fails (no descriptors left) costs that client; the listener stays.
  server.on('error', () => undefined);
  const bound: NbdAddress = address.kind === 'unix' ? address : { ...address, port: (server.address() as AddressInfo).port };
  return {
    address: bound,
    close: async () => await new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
