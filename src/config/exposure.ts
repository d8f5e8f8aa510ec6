import { BlockList, isIP } from 'node:net';
import type { Settings } from './settings.js';

/** Something that other hosts can reach and that has neither a login nor encryption. It is allowed, and told at every start. */
export interface Exposure {
  readonly code: 'NBD_IN_CLEAR' | 'HTTP_IN_CLEAR';
  readonly message: string;
  readonly action: string;
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Whether an address to listen on takes peers of this host alone. A name other than localhost may be anything. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return host.toLowerCase() === 'localhost';
  return LOOPBACK.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

/** What of a configuration is open to other hosts in clear, in the order of its keys. */
export function exposures({ export: exported, control }: Settings): Exposure[] {
  const found: Exposure[] = [];
  exported.nbd.forEach((address, index) => {
    if (address.kind !== 'tcp' || isLoopback(address.host)) return;
    found.push({
      code: 'NBD_IN_CLEAR',
      message: `export.nbd[${index}] (${hostPort(address)}) is open to other hosts, in clear and without a login: who reaches the port reads and writes the volume`,
      action: `bind it to 127.0.0.1 and bring clients there through ssh -L or a VPN; at the least, let a firewall admit known hosts only`,
    });
  });
  if (control.http !== null && !isLoopback(control.http.host)) {
    found.push({
      code: 'HTTP_IN_CLEAR',
      message: `control.http (${hostPort(control.http)}) is open to other hosts, in clear and without a login: who reaches the port reads the state of the array`,
      action: 'bind it to 127.0.0.1 and put a proxy with a login before it; at the least, let a firewall admit known hosts only',
    });
  }
  return found;
}

function hostPort({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
