import { isAbsolute, resolve } from 'node:path';
import { EXIT, KeelsonError } from '../base/errors.js';

/** Where a server listens. */
export type NbdAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** sun_path of Linux without its closing zero. */
const UNIX_PATH_BYTES_MAX = 107;

function refuse(text: string, why: string): never {
  throw new KeelsonError('NBD_ADDRESS', `not an address to listen on: ${why}`, {
    found: JSON.stringify(text),
    expected: '"unix:PATH" or "tcp:HOST:PORT"',
    action: 'correct export.nbd in the configuration',
    exit: EXIT.usage,
  });
}

/** Reads "unix:./path" or "tcp:host:port" ("tcp:[::1]:10809" for IPv6; port 0 lets the system choose). Throws NBD_ADDRESS. */
export function parseAddress(text: string): NbdAddress {
  if (text.startsWith('unix:')) {
    const path = text.slice(5);
    if (path === '') refuse(text, 'the path is missing');
    if (path.includes('\0')) refuse(text, 'the path has a zero byte');
    const absolute = isAbsolute(path) ? path : resolve(path);
    if (Buffer.byteLength(absolute) > UNIX_PATH_BYTES_MAX) refuse(text, `the path is longer than ${UNIX_PATH_BYTES_MAX} bytes`);
    return { kind: 'unix', path: absolute };
  }
  const tcp = /^tcp:(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (tcp === null) refuse(text, 'neither form fits');
  const port = Number(tcp[3]);
  if (port > 65535) refuse(text, 'the port is above 65535');
  return { kind: 'tcp', host: tcp[1] ?? tcp[2] ?? '', port };
}

/** The NBD URI of an export at an address. Source: the NBD project's doc/uri.md. */
export function uriOf(address: NbdAddress, exportName: string): string {
  const name = encodeURIComponent(exportName);
  if (address.kind === 'unix') return `nbd+unix:///${name}?socket=${encodeURI(address.path).replaceAll(/[?#&+]/g, encodeURIComponent)}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `nbd://${host}:${address.port}/${name}`;
}
