import { type AddressInfo, type Server, type Socket, createServer } from 'node:net';
import { KeelsonError } from '../base/errors.js';
import { nameSocket, type SocketFile, SocketPathTaken } from '../base/socket-file.js';
import type { NbdAddress } from './address.js';

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

/** Resolves when the server listens. The name of a unix socket, null for tcp. */
async function bind(server: Server, address: NbdAddress, unixMode: number): Promise<SocketFile | null> {
  const listening = async (where: { path: string } | { host: string; port: number }): Promise<void> =>
    await new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(where, () => {
        server.off('error', reject);
        resolve();
      });
    });
  if (address.kind === 'unix') return await nameSocket(address.path, unixMode, (path) => listening({ path }));
  await listening({ host: address.host, port: address.port });
  return null;
}

function refusal(where: string, error: unknown): KeelsonError {
  if (error instanceof SocketPathTaken) {
    const action = error.by === 'live socket' ? 'stop it, or choose another path' : 'choose another path, or move the file away';
    return new KeelsonError('NBD_ADDRESS_IN_USE', error.message, { action, cause: error });
  }
  const code = codeOf(error) === 'EADDRINUSE' ? 'NBD_ADDRESS_IN_USE' : 'NBD_LISTEN';
  return new KeelsonError(code, `cannot listen on ${where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}

/** Binds an address and hands every accepted socket on. Throws NBD_ADDRESS_IN_USE or NBD_LISTEN. */
export async function listen(address: NbdAddress, unixMode: number, onSocket: (socket: Socket) => void): Promise<Listener> {
  const where = address.kind === 'unix' ? address.path : `${address.host}:${address.port}`;
  // Half-open: a client may end its side and still wait for its replies.
  // Paused: the connection decides how the socket is read (intake.ts).
  const server = createServer(
    { allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 },
    onSocket,
  );
  let name: SocketFile | null;
  try {
    name = await bind(server, address, unixMode);
  } catch (error) {
    server.close();
    throw refusal(where, error);
  }
  // An accept that fails (no descriptors left) costs that client; the listener stays.
  server.on('error', () => undefined);
  const bound: NbdAddress = address.kind === 'unix' ? address : { ...address, port: (server.address() as AddressInfo).port };
  return {
    address: bound,
    close: async () => {
      name?.remove();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
