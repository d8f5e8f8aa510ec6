import { isIP } from 'node:net';

/** sun_path of Linux holds 108 bytes with its closing zero. */
export const SOCKET_PATH_BYTES_MAX = 107;

export const HOST_PORT_FORM = 'HOST:PORT, with a port from 1 to 65535, such as "127.0.0.1:9187" or "[::1]:9187"';
export const HOST_NAME_FORM = 'a name of this server without a port, such as "nas.example"';
export const NBD_FORM = '"unix:PATH" or "tcp:HOST:PORT" (port 0 takes a free one)';
export const BACKUP_FORM = '"sftp://USER@HOST:PORT/ABSOLUTE/PATH", "file:///ABSOLUTE/PATH" or "embedded"';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** "host:port" or "[v6]:port". */
export function parseHostPort(text: string, lowestPort = 1): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const host = match[1] ?? match[2] ?? '';
  const port = Number(match[3]);
  if (port < lowestPort || port > 65_535) return undefined;
  if (match[1] !== undefined && isIP(match[1]) !== 6) return undefined;
  // Digits and dots that are no address would be asked of the name server.
  if (/^[0-9.]+$/.test(host) && isIP(host) !== 4) return undefined;
  return { host, port };
}

/** Path still as written: the caller resolves it. */
export function parseNbdAddress(text: string): { kind: 'unix'; path: string } | ({ kind: 'tcp' } & HostPort) | undefined {
  if (text.startsWith('unix:')) return text.length > 5 && !text.includes('\0') ? { kind: 'unix', path: text.slice(5) } : undefined;
  if (!text.startsWith('tcp:')) return undefined;
  const address = parseHostPort(text.slice(4), 0);
  return address === undefined ? undefined : { kind: 'tcp', ...address };
}

export type BackupUrl =
  | { kind: 'sftp'; url: string; host: string; port: number; user: string; path: string }
  | { kind: 'file'; url: string; path: string }
  | { kind: 'embedded'; url: string };

/** A string: what is wrong with it. */
export function parseBackupUrl(text: string): BackupUrl | string {
  if (text === 'embedded') return { kind: 'embedded', url: text };
  if (!URL.canParse(text)) return BACKUP_FORM;
  const url = new URL(text);
  const path = decodePath(url.pathname);
  if (path === undefined) return `${BACKUP_FORM}; the path has a bad %-escape`;
  if (url.search !== '' || url.hash !== '') return `${BACKUP_FORM}, without "?" or "#" (write %3F, %23)`;
  if (url.protocol === 'file:') {
    if (url.host !== '' || !text.startsWith('file:///') || path === '/') return 'file:///ABSOLUTE/PATH of a directory that is not the root';
    return { kind: 'file', url: text, path };
  }
  if (url.protocol !== 'sftp:') return `${BACKUP_FORM}; the scheme "${url.protocol}" is not known`;
  if (url.password !== '') return 'sftp:// without a password: log in with a key, named by backup.identity';
  if (url.hostname === '') return `${BACKUP_FORM}; the host is missing`;
  if (url.username === '') return `${BACKUP_FORM}; the user is missing`;
  if (path === '' || path === '/') return `${BACKUP_FORM}; the directory is missing`;
  const user = decodePath(url.username);
  if (user === undefined) return `${BACKUP_FORM}; the user has a bad %-escape`;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return { kind: 'sftp', url: text, host, port: url.port === '' ? 22 : Number(url.port), user, path };
}

function decodePath(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}
