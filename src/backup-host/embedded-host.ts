import { timingSafeEqual } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import ssh2, { type AuthContext, type ClientInfo, type Connection, type ParsedKey } from 'ssh2';
import { type Clock, systemClock, type Timer } from '../base/clock.js';
import { EXTENSIONS, serveSftp } from './sftp-server.js';

export const EMBEDDED_USER = 'keelson';
/** Of all clients together, logged in or not; the next one is closed unanswered. */
export const CONNECTIONS_MAX = 16;
/** Channels of one connection at once; the next one is refused. */
export const SESSIONS_MAX = 4;
/** Who is not logged in by then makes room for others. */
export const LOGIN_TIMEOUT_MS = 20_000;

export interface EmbeddedHostOptions {
  /** What clients see as "/". */
  readonly directory: string;
  readonly hostKey: string;
  /** The public key of the only client. */
  readonly clientKey: string;
}

/** @types/ssh2 leaves this method out. */
interface TunableConnection extends Connection {
  setNoDelay(noDelay: boolean): void;
}

/** The embedded backup host, not listening yet: SSH by ssh2, SFTP by sftp-server.ts, for one key and one directory. */
export function embeddedHost({ directory, hostKey, clientKey }: EmbeddedHostOptions, clock: Clock = systemClock): Server {
  const client = ssh2.utils.parseKey(clientKey);
  if (client instanceof Error) throw client;
  /** By the port that they come from: ssh2 does not give its socket away. */
  const sockets = new Map<number, Socket>();
  const deadlines = new WeakMap<Socket, Timer>();

  const server = new ssh2.Server(
    { hostKeys: [hostKey], algorithms: { cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr'] } },
    (connection, { port }: ClientInfo) => {
      const socket = sockets.get(port);
      connection.on('authentication', (context) => authenticate(context, client));
      connection.on('ready', () => {
        if (socket !== undefined) deadlines.get(socket)?.cancel();
      });
      serve(connection, directory, socket);
    },
  );

  /** ssh2 listens on no socket of its own, since it goes on reading requests while their replies find no way out. */
  const listener = createServer((socket) => {
    const { remotePort = 0 } = socket;
    const deadline = clock.after(LOGIN_TIMEOUT_MS, () => socket.destroy());
    sockets.set(remotePort, socket);
    deadlines.set(socket, deadline);
    socket.on('close', () => {
      deadline.cancel();
      sockets.delete(remotePort);
    });
    socket.on('error', () => socket.destroy());
    server.injectSocket(socket);
    socket.on('data', () => {
      if (!socket.writableNeedDrain || socket.isPaused()) return;
      socket.pause();
      socket.once('drain', () => socket.resume());
    });
  });
  listener.maxConnections = CONNECTIONS_MAX;
  return listener;
}

function authenticate(context: AuthContext, client: ParsedKey): void {
  if (isOurClient(context, client)) context.accept();
  else context.reject(['publickey']);
}

function isOurClient(context: AuthContext, client: ParsedKey): boolean {
  if (context.method !== 'publickey' || context.username !== EMBEDDED_USER) return false;
  if (context.key.algo !== client.type || !equal(context.key.data, client.getPublicSSH())) return false;
  // Without a signature the client only asks whether the key would do; ssh2 lets nobody in for that.
  if (context.signature === undefined) return true;
  if (context.blob === undefined) return false;
  return client.verify(context.blob, context.signature, context.hashAlgo) === true;
}

function equal(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function serve(connection: Connection, directory: string, socket: Socket | undefined): void {
  let sessions = 0;
  // Small replies must not wait for the acknowledgement of the one before (40 ms each).
  (connection as TunableConnection).setNoDelay(true);
  connection.on('error', () => connection.end());
  connection.on('session', (acceptSession, rejectSession) => {
    if (sessions >= SESSIONS_MAX) {
      rejectSession();
      return;
    }
    sessions++;
    const session = acceptSession();
    session.on('close', () => sessions--);
    session.on('subsystem', (accept, reject, { name }) => {
      if (name !== 'sftp') {
        reject();
        return;
      }
      const channel = accept();
      channel.on('error', () => connection.end());
      void serveSftp(channel, directory, EXTENSIONS, socket);
    });
  });
}
