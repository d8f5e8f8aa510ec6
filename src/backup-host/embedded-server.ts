import { existsSync, lstatSync, mkdirSync, readFileSync, realpathSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { known } from '../base/assert.js';
import { EXIT, KeelsonError } from '../base/errors.js';
import { exposed } from '../base/secrets.js';
import { EMBEDDED_USER, type EmbeddedHostOptions } from './embedded-host.js';
import { sshKeyPair } from './ssh-key-pair.js';

export interface EmbeddedServerOptions {
  /** What clients see as "/". Made when missing. */
  readonly directory: string;
  /** Where the key pairs and known_hosts are kept. Made when missing, mode 0700. */
  readonly keys: string;
  /** 0 or left out: any free port. */
  readonly port?: number;
}

export interface EmbeddedServer {
  readonly port: number;
  /** sftp://keelson@127.0.0.1:port/ */
  readonly url: string;
  /** Path of the client's private key. */
  readonly identity: string;
  /** Path of a known_hosts file with the server's key. */
  readonly knownHosts: string;
  close(): Promise<void>;
}

/** By it keys of an earlier run are known. */
const KEY_COMMENT = 'keelson demonstration';

/** What the server's thread is told. */
export interface EmbeddedServerData extends EmbeddedHostOptions {
  readonly port: number;
}

/**
 * The demonstration's backup host: an SFTP server on the loopback interface, in a thread of its own, for one key and one directory.
 * Key pairs (ed25519) are made on first use and kept, mode 0600. Throws EMBEDDED_SERVER.
 */
export async function startEmbeddedServer(options: EmbeddedServerOptions): Promise<EmbeddedServer> {
  mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  mkdirSync(options.keys, { recursive: true, mode: 0o700 });
  requirePrivate(options.keys);
  const host = keyPair(join(options.keys, 'host_ed25519'));
  const client = keyPair(join(options.keys, 'id_ed25519'));
  const data: EmbeddedServerData = {
    directory: realpathSync(options.directory),
    port: options.port ?? 0,
    hostKey: host.privateKey,
    clientKey: client.publicKey,
  };
  const worker = new Worker(new URL('./embedded-server-worker.js', import.meta.url), { workerData: data, name: 'keelson backup host' });
  const port = await new Promise<number>((resolve, reject) => {
    const fail = (found: string): void => {
      const action = 'choose another port, or stop what uses it';
      reject(
        new KeelsonError('EMBEDDED_SERVER', 'the embedded backup host did not start', { found, expected: 'a free loopback port', action }),
      );
    };
    worker.once('message', (message: { readonly port: number } | { readonly error: string }) => {
      if ('port' in message) resolve(message.port);
      else fail(message.error);
    });
    worker.once('error', (error) => fail(String(error)));
    worker.once('exit', () => fail('its thread ended'));
  });
  const knownHosts = join(options.keys, 'known_hosts');
  try {
    const isOurs = (old: string): boolean => /^(\[127\.0\.0\.1\]:\d+ .*\n)*$/.test(old);
    writeOurs(knownHosts, `[127.0.0.1]:${port} ${host.publicKey}\n`, 0o600, isOurs);
  } catch (error) {
    await worker.terminate();
    throw error;
  }
  return {
    port,
    url: `sftp://${EMBEDDED_USER}@127.0.0.1:${port}/`,
    identity: client.path,
    knownHosts,
    close: async () => {
      await worker.terminate();
    },
  };
}

/** As ssh does: a key that others could read, or a directory in which they could put another one, is not used. */
function requirePrivate(path: string): void {
  const found = statSync(path);
  const trouble = exposed(found);
  if (trouble === '') return;
  throw new KeelsonError('EMBEDDED_SERVER', 'the keys of the embedded backup host are not trusted', {
    found: `${path}, which ${trouble}`,
    expected: 'a directory of mode 0700 with private keys of mode 0600',
    action: `chmod ${found.isDirectory() ? '700' : '600'} ${path}`,
  });
}

/** In the place of an earlier one of ours, if there is one; never over a file of somebody else, nor through a link to one. */
function writeOurs(path: string, text: string, mode: number, isOurs: (old: string) => boolean): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined) {
    if (!found.isFile() || !isOurs(readFileSync(path, 'utf8'))) {
      throw new KeelsonError('EMBEDDED_SERVER', `${path} is not a file that the embedded backup host made`, {
        expected: 'nothing there, or its own file',
        action: 'move it away: the host writes a file of its own there',
        exit: EXIT.usage,
      });
    }
    unlinkSync(path);
  }
  writeFileSync(path, text, { mode, flag: 'wx' });
}

function keyPair(path: string): { readonly path: string; readonly privateKey: string; readonly publicKey: string } {
  if (!existsSync(path)) {
    const pair = sshKeyPair(KEY_COMMENT);
    writeOurs(`${path}.pub`, `${pair.public}\n`, 0o644, (old) => old === '' || old.endsWith(` ${KEY_COMMENT}\n`));
    // Last, so that an interrupted first run is begun again.
    writeOurs(path, pair.private, 0o600, () => false);
  }
  requirePrivate(path);
  const [type, key] = readFileSync(`${path}.pub`, 'utf8').trim().split(' ');
  return { path, privateKey: readFileSync(path, 'utf8'), publicKey: `${known(type, 'a key type')} ${known(key, 'a key')}` };
}
