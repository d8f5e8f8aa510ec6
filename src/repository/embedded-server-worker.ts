import { timingSafeEqual } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import ssh2, { type AuthContext, type ClientInfo, type Connection, type ParsedKey } from 'ssh2';
import { known } from '../base/assert.js';
import { EMBEDDED_USER, type EmbeddedServerData } from './embedded-server.js';
import { EXTENSIONS, serveSftp } from './sftp-server.js';

/** Entry of the embedded backup host's thread: SSH by ssh2, SFTP by sftp-server.ts. */
const port = known(parentPort, 'the embedded server runs in a worker thread');
const data = workerData as EmbeddedServerData;
const CONNECTIONS_MAX = 16;
const SESSIONS_MAX = 4;
/** Who is not logged in by then makes room for others. */
const LOGIN_TIMEOUT_MS = 20_000;

const parsed = ssh2.utils.parseKey(data.clientKey);
if (parsed instanceof Error) throw parsed;
const clientKey: ParsedKey = parsed;

function equal(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function authenticate(context: AuthContext): void {
  if (isOurClient(context)) context.accept();
  else context.reject(['publickey']);
}

function isOurClient(context: AuthContext): boolean {
  if (context.method !== 'publickey' || context.username !== EMBEDDED_USER) return false;
  if (context.key.algo !== clientKey.type || !equal(context.key.data, clientKey.getPublicSSH())) return false;
  // Without a signature the client only asks whether the key would do; ssh2 lets nobody in for that.
  if (context.signature === undefined) return true;
  if (context.blob === undefined) return false;
  return clientKey.verify(context.blob, context.signature, context.hashAlgo) === true;
}

/** @types/ssh2 leaves this method out. */
interface TunableConnection extends Connection {
  setNoDelay(noDelay: boolean): void;
}

/** By the port that they come from: ssh2 does not give its socket away. */
const sockets = new Map<number, Socket>();
const deadlines = new WeakMap<Socket, NodeJS.Timeout>();

function serve(client: Connection, info: ClientInfo): void {
  const socket = sockets.get(info.port);
  let sessions = 0;
  // Small replies must not wait for the acknowledgement of the one before (40 ms each).
  (client as TunableConnection).setNoDelay(true);
  client.on('authentication', authenticate);
  client.on('ready', () => clearTimeout(socket === undefined ? undefined : deadlines.get(socket)));
  client.on('error', () => client.end());
  client.on('session', (acceptSession, rejectSession) => {
    if (sessions >= SESSIONS_MAX) {
      rejectSession();
      return;
    }
    sessions++;
    const session = acceptSession();
    session.on('close', () => sessions--);
    session.on('subsystem', (accept, reject, info) => {
      if (info.name !== 'sftp') {
        reject();
        return;
      }
      const channel = accept();
      channel.on('error', () => client.end());
      void serveSftp(channel, data.directory, EXTENSIONS, socket);
    });
  });
}

const server = new ssh2.Server(
  { hostKeys: [data.hostKey], algorithms: { cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr'] } },
  serve,
);
server.on('error', (error: Error) => port.postMessage({ error: error.message }));

/** ssh2 listens on no socket of its own, since it goes on reading requests while their replies find no way out. */
const listener = createServer((socket) => {
  const { remotePort = 0 } = socket;
  sockets.set(remotePort, socket);
  const deadline = setTimeout(() => socket.destroy(), LOGIN_TIMEOUT_MS);
  socket.on('close', () => {
    clearTimeout(deadline);
    sockets.delete(remotePort);
  });
  socket.on('error', () => socket.destroy());
  server.injectSocket(socket);
  socket.on('data', () => {
    if (!socket.writableNeedDrain || socket.isPaused()) return;
    socket.pause();
    socket.once('drain', () => socket.resume());
  });
  deadlines.set(socket, deadline);
});
listener.maxConnections = CONNECTIONS_MAX;
listener.on('error', (error: Error) => port.postMessage({ error: error.message }));
listener.listen(data.port, '127.0.0.1', () => {
  const address = listener.address();
  port.postMessage({ port: typeof address === 'object' && address !== null ? address.port : 0 });
});
