import { PassThrough } from 'node:stream';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import * as v from 'valibot';
import { EXIT, KeelsonError } from '../base/errors.js';
import { nameSocket, type SocketFile, SocketPathTaken } from '../base/socket-file.js';
import { BODY_BYTES_MAX, CONTROL, type ControlLine } from './control-api.js';
import type { ControlTarget, OnProgress } from './control-target.js';
import { dashboardPage } from './dashboard.js';
import { guardPages } from './page-guard.js';

export interface ControlServerOptions {
  readonly target: ControlTarget;
  /** Path of the unix socket. */
  readonly socket: string;
  /** Read-only HTTP besides it: metrics, status and a page; null: none. */
  readonly http: { readonly host: string; readonly port: number } | null;
  /** Names by which http may be asked, besides its address and localhost. */
  readonly hosts?: readonly string[];
  /** Asked by `stop`: answers first, then the caller closes everything. */
  readonly onStop: () => void;
}

export interface ControlServer {
  /** The port really bound (0 in the options takes a free one); null without http. */
  readonly httpPort: number | null;
  close(): Promise<void>;
}

const REQUEST_TIMEOUT_MS = 10_000;

const empty = v.strictObject({});
const drainBody = v.strictObject({ wait: v.boolean() });
const failBody = v.strictObject({ member: v.string(), force: v.boolean() });
const replaceBody = v.strictObject({
  member: v.string(),
  device: v.string(),
  force: v.optional(v.boolean(), false),
  giveUp: v.optional(v.string()),
});

/**
 * Serves the control protocol (control-api.ts) on a unix socket of mode 0600, and the read-only pages on http.
 * Throws CONTROL_BUSY when another server answers on the socket, CONTROL_LISTEN when it cannot be made, or anything else is at its path.
 */
export async function startControlServer(options: ControlServerOptions): Promise<ControlServer> {
  // Its libraries take a while: loaded now where somebody is going to ask for figures, else when somebody does.
  if (options.http !== null) await loadMetrics();
  const control = controlRoutes(options);
  const name = await listenOnSocket(control, options.socket);
  const closeControl = async (): Promise<void> => {
    await control.close();
    name.remove();
  };
  if (options.http === null) return { httpPort: null, close: closeControl };

  const { host, port } = options.http;
  const pages = readOnlyRoutes(options.target);
  guardPages(pages, host, options.hosts ?? []);
  try {
    await pages.listen({ host, port });
  } catch (error) {
    await Promise.all([closeControl(), pages.close()]);
    throw cannotListen(`${host}:${port}`, error);
  }
  const httpPort = boundPort(pages, port);
  return {
    httpPort,
    async close() {
      await Promise.all([closeControl(), pages.close()]);
    },
  };
}

/** Bodies are checked by valibot: without fastify's own compilers, which no route uses, the server starts a tenth of a second faster. */
function noSchemas(): never {
  throw new Error('routes have no JSON schema');
}

function newApp(): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    forceCloseConnections: true,
    // A peer that does not come to the end of its request holds a connection for so long.
    requestTimeout: REQUEST_TIMEOUT_MS,
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
  });
  app.setErrorHandler((error, request, reply) => {
    const known = badRequest(error, request) ?? KeelsonError.from(error, 'CONTROL_INTERNAL');
    const status = known.code === 'CONTROL_REQUEST' ? 400 : known.exit === EXIT.refused ? 409 : 500;
    return reply.code(status).send(known.toRecord());
  });
  app.setNotFoundHandler((request, reply) => {
    const error = new KeelsonError('CONTROL_REQUEST', `${request.method} ${request.url} is not part of this interface`, {
      action: 'use the same version of keelson for the command and the server',
    });
    return reply.code(404).send(error.toRecord());
  });
  return app;
}

/** What fastify itself refuses: a body that is not JSON, too large, or of another type. null: the error is not of that kind. */
function badRequest(error: unknown, request: FastifyRequest): KeelsonError | null {
  if (!(error instanceof Error) || !('statusCode' in error) || typeof error.statusCode !== 'number' || error.statusCode >= 500) return null;
  return new KeelsonError('CONTROL_REQUEST', `a bad request to ${request.url}`, {
    found: error.message,
    expected: `JSON of at most ${BODY_BYTES_MAX} bytes`,
    cause: error,
  });
}

function controlRoutes({ target, onStop }: ControlServerOptions): FastifyInstance {
  const app = newApp();
  addReadOnly(app, target);
  app.post(CONTROL.stop, async (request, reply) => {
    checked(empty, request);
    reply.raw.once('finish', onStop);
    return {};
  });
  app.post(CONTROL.flush, async (request) => {
    checked(empty, request);
    await target.flush();
    return {};
  });
  app.post(CONTROL.fail, async (request) => {
    const { member, force } = checked(failBody, request);
    await target.fail(member, { force });
    return {};
  });
  app.get(CONTROL.plan, () => target.rebuildPlan());
  app.post(CONTROL.drain, (request, reply) => {
    const { wait } = checked(drainBody, request);
    return stream(reply, (onProgress) => target.drain(wait, onProgress));
  });
  app.post(CONTROL.replace, (request, reply) => {
    const { member, device, force, giveUp } = checked(replaceBody, request);
    const options = { force, ...(giveUp === undefined ? {} : { giveUp }) };
    return stream(reply, (onProgress) => target.replace(member, device, options, onProgress));
  });
  app.post(CONTROL.rebuild, (request, reply) => {
    checked(empty, request);
    return stream(reply, (onProgress) => target.rebuild(onProgress));
  });
  return app;
}

function readOnlyRoutes(target: ControlTarget): FastifyInstance {
  const app = newApp();
  addReadOnly(app, target);
  app.get('/', (_request, reply) => reply.type('text/html; charset=utf-8').send(dashboardPage(target.status())));
  return app;
}

const loadMetrics = () => import('./metrics.js');

function addReadOnly(app: FastifyInstance, target: ControlTarget): void {
  app.get(CONTROL.status, () => target.status());
  app.get(CONTROL.metrics, async (_request, reply) => {
    reply.type('text/plain; version=0.0.4; charset=utf-8');
    const { metricsText } = await loadMetrics();
    return metricsText(target.status(), target.figures());
  });
}

function checked<Schema extends v.GenericSchema>(schema: Schema, request: FastifyRequest): v.InferOutput<Schema> {
  const result = v.safeParse(schema, request.body ?? {});
  if (result.success) return result.output;
  const issue = result.issues[0];
  const where = issue.path?.map((item) => String(item.key)).join('.') ?? 'body';
  throw new KeelsonError('CONTROL_REQUEST', `a bad request to ${request.url}`, {
    found: `${where}: ${issue.message}`,
    expected: issue.expected ?? 'another value',
  });
}

/** Long work goes on when the asker goes away: what was begun on the members is finished. */
function stream(reply: FastifyReply, work: (onProgress: OnProgress) => Promise<unknown>): FastifyReply {
  const lines = new PassThrough();
  const write = (line: ControlLine): void => {
    if (!lines.destroyed) lines.write(`${JSON.stringify(line)}\n`);
  };
  work((progress) => write({ type: 'progress', progress }))
    .then((result) => write({ type: 'result', result: result ?? null }))
    .catch((error: unknown) => write({ type: 'error', error: KeelsonError.from(error).toRecord() }))
    .finally(() => lines.end());
  return reply.type('application/x-ndjson').send(lines);
}

/** Mode 0600: whoever connects may fail members. */
async function listenOnSocket(app: FastifyInstance, path: string): Promise<SocketFile> {
  try {
    return await nameSocket(path, 0o600, async (unnamed) => void (await app.listen({ path: unnamed })));
  } catch (error) {
    await app.close();
    if (!(error instanceof SocketPathTaken)) throw cannotListen(path, error);
    const live = error.by === 'live socket';
    throw new KeelsonError(live ? 'CONTROL_BUSY' : 'CONTROL_LISTEN', error.message, {
      expected: live ? 'one server for one array' : 'a path for a socket at which nothing is yet',
      action: live
        ? 'stop it first (keelson stop), or give this array a control.socket of its own'
        : 'correct control.socket, or move the file away: it is left as it is',
      exit: live ? EXIT.refused : EXIT.usage,
      cause: error,
    });
  }
}

function cannotListen(where: string, error: unknown): KeelsonError {
  return new KeelsonError('CONTROL_LISTEN', `cannot listen on ${where}`, {
    found: error instanceof Error ? error.message : String(error),
    expected: 'a directory this user may write to and an address that is free',
    action: 'change [control] in the configuration',
    cause: error,
  });
}

function boundPort(app: FastifyInstance, asked: number): number {
  const address = app.server.address();
  return address !== null && typeof address === 'object' ? address.port : asked;
}
