import { isIP } from 'node:net';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { KeelsonError } from '../base/errors.js';
import { PAGE_POLICY } from './dashboard.js';

const METHODS = ['GET', 'HEAD'];
/** Names by which a browser on this machine asks. */
const OWN_NAMES = ['localhost', '127.0.0.1', '::1'];
const ANY_ADDRESS = ['0.0.0.0', '::'];
/** Browsers and scrapers that are open at once; the rest is turned away. */
export const PAGE_CONNECTIONS_MAX = 64;

/** On every answer, errors included. */
const HEADERS = {
  'content-security-policy': PAGE_POLICY,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': 'no-store',
} as const;

/**
 * What the read-only pages ask of a request before anything looks at it. The Host header has to name this server: a page of a
 * foreign site whose name was pointed at this address (DNS rebinding) sends its own. Methods that could ask for a change are
 * refused. `bound`: the configured address; `hosts`: further names of this server.
 */
export function guardPages(app: FastifyInstance, bound: string, hosts: readonly string[]): void {
  const names = new Set([...OWN_NAMES, bound, ...hosts].map(canonical));
  app.server.maxConnections = PAGE_CONNECTIONS_MAX;
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(HEADERS);
    if (!METHODS.includes(request.method)) return refused(reply.header('allow', METHODS.join(', ')), 405, readOnly(request));
    const asked = askedHost(request);
    const { localAddress = '' } = request.socket;
    const own = asked !== null && (names.has(asked) || (ANY_ADDRESS.includes(bound) && asked === canonical(localAddress)));
    return own ? undefined : refused(reply, 421, foreign(request, names));
  });
}

/** The one name in the Host header, in the form of `names`; null when there is none, or more than one. */
function askedHost(request: FastifyRequest): string | null {
  const written = request.raw.rawHeaders.filter((_, index, all) => index % 2 === 1 && all[index - 1]?.toLowerCase() === 'host');
  const [host = ''] = written;
  if (written.length !== 1 || !/^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?$/.test(host)) return null;
  return canonical(host.replace(/:\d{1,5}$/, ''));
}

/** One spelling for each name and address: lower case, no brackets, no dot at the end, IPv6 shortened. */
function canonical(host: string): string {
  const bare = host.replace(/^\[|\]$/g, '').replace(/^::ffff:(?=[\d.]+$)/i, '');
  if (isIP(bare) === 6) return new URL(`http://[${bare}]`).hostname.slice(1, -1);
  return bare.toLowerCase().replace(/\.$/, '');
}

function refused(reply: FastifyReply, status: number, error: KeelsonError): FastifyReply {
  return reply.code(status).send(error.toRecord());
}

function readOnly({ method }: FastifyRequest): KeelsonError {
  return new KeelsonError('CONTROL_REQUEST', 'these pages are read-only', {
    found: method,
    expected: METHODS.join(' or '),
    action: 'use the keelson command, or its control socket',
  });
}

function foreign(request: FastifyRequest, names: ReadonlySet<string>): KeelsonError {
  return new KeelsonError('CONTROL_HOST', 'the Host header does not name this server', {
    found: request.headers.host ?? 'no Host header',
    expected: [...names].join(', '),
    action: 'ask by one of these, or add the name to control.hosts if it is one of this server',
  });
}
