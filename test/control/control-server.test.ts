import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { KeelsonError } from '../../src/base/errors.js';
import { ControlClient } from '../../src/control/control-client.js';
import { type ControlServer, startControlServer } from '../../src/control/control-server.js';
import { FakeTarget, PLAN, REBUILT, STATUS } from './fake-target.js';

interface Rig {
  readonly target: FakeTarget;
  readonly client: ControlClient;
  readonly socket: string;
  readonly server: ControlServer;
  readonly stops: { count: number };
}

async function rig(t: ExecutionContext, http: { host: string; port: number } | null = null): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-control-'));
  const socket = join(folder, 'ctl');
  const target = new FakeTarget();
  const stops = { count: 0 };
  const server = await startControlServer({ target, socket, http, onStop: () => stops.count++ });
  t.teardown(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });
  return { target, client: new ControlClient(socket), socket, server, stops };
}

test('the control socket is for its owner only', async (t) => {
  const { socket } = await rig(t);
  t.is(statSync(socket).mode & 0o777, 0o600);
});

test('status, plan and flush pass both ways unchanged', async (t) => {
  const { client, target } = await rig(t);
  t.deepEqual(await client.status(), STATUS);
  t.deepEqual(await client.plan(), PLAN);
  await client.flush();
  t.deepEqual(target.calls, ['flush']);
});

test('a refusal keeps its code, its explanation and its exit status', async (t) => {
  const { client } = await rig(t);
  const error = await t.throwsAsync(client.fail('3', false), { code: 'WOULD_LOSE' });
  const known = error as KeelsonError;
  t.is(known.exit, 3);
  t.is(known.action, 'insist with --force');
  await t.notThrowsAsync(client.fail('3', true));
});

test('long work tells its progress while it runs, then its result', async (t) => {
  const { client, target } = await rig(t);
  let open: () => void = () => undefined;
  target.gate = new Promise((resolve) => {
    open = resolve;
  });
  const seen: number[] = [];
  const result = await client.drain(true, ({ doneBytes }) => {
    seen.push(doneBytes);
    // The second progress comes only after the first one has arrived here: nothing is held back until the end.
    open();
  });
  t.deepEqual(result, { drainedLsn: 1200 });
  t.deepEqual(seen, [1, 2]);
  t.deepEqual(await client.replace('1', '/dev/sdh', { force: false }, () => undefined), REBUILT);
  t.is(await client.rebuild(() => undefined), null);
});

test('long work that fails after its first progress gives its error', async (t) => {
  const { client } = await rig(t);
  await t.throwsAsync(
    client.replace('1', '/bad', { force: false }, () => undefined),
    { code: 'DEVICE_MISSING' },
  );
});

test('a server that ends in the middle of long work is told apart from a refusal', async (t) => {
  const { client, target, server } = await rig(t);
  target.gate = new Promise(() => undefined);
  await t.throwsAsync(
    client.drain(true, () => void server.close()),
    { code: 'CONTROL_LOST' },
  );
});

test('stop answers before it is acted on', async (t) => {
  const { client, stops } = await rig(t);
  await client.stop();
  // The callback follows the end of the reply on the server's side: another question is answered after it.
  await client.status();
  t.is(stops.count, 1);
});

test('a server that is not running is named, with what to do', async (t) => {
  const client = new ControlClient('/nonexistent/keelson.ctl');
  const error = (await t.throwsAsync(client.status(), { code: 'CONTROL_NOT_RUNNING' })) as KeelsonError;
  t.regex(error.found ?? '', /\/nonexistent\/keelson\.ctl/);
  t.regex(error.action ?? '', /keelson serve/);
});

test('a socket left over from a crash is replaced; a live one is not taken', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-stale-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const socket = join(folder, 'ctl');
  await leaveStaleSocket(socket);
  t.true(existsSync(socket));
  const options = { target: new FakeTarget(), socket, http: null, onStop: () => undefined };
  const server = await startControlServer(options);
  t.teardown(() => server.close());
  await t.throwsAsync(startControlServer(options), { code: 'CONTROL_BUSY' });
  t.is((await new ControlClient(socket).status()).name, 'vault', 'the refused one did no harm');
});

test('control.socket that names a file is refused, the file stays, and nothing listens', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-file-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const socket = join(folder, 'letters.txt');
  writeFileSync(socket, 'my letters');
  const starting = startControlServer({ target: new FakeTarget(), socket, http: null, onStop: () => undefined });
  const error = (await t.throwsAsync(starting, { code: 'CONTROL_LISTEN' })) as KeelsonError;
  t.is(error.exit, 2);
  t.regex(error.describe(), /exists and is not a socket.*correct control\.socket, or move the file away/);
  t.is(readFileSync(socket, 'utf8'), 'my letters');
});

/** A bound socket whose listener is gone without unlinking: what kill -9 leaves. Made by renaming it away while the listener closes. */
async function leaveStaleSocket(path: string): Promise<void> {
  const { renameSync } = await import('node:fs');
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(`${path}.live`, resolve));
  renameSync(`${path}.live`, path);
  await new Promise((resolve) => listener.close(resolve));
}

test('a directory in which every user could put another socket is refused, and its advice helps; a sticky one is not', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-open-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const options = { target: new FakeTarget(), socket: join(folder, 'ctl'), http: null, onStop: () => undefined };
  chmodSync(folder, 0o777);
  const error = (await t.throwsAsync(startControlServer(options), { code: 'CONTROL_LISTEN' })) as KeelsonError;
  t.regex(error.found ?? '', /: chmod o-w \/.*keelson-open-\w+$/);
  t.deepEqual(readdirSync(folder), []);
  for (const mode of [0o775, 0o1777]) {
    chmodSync(folder, mode);
    await (await startControlServer(options)).close();
  }
});

test('a directory that is not there is told', async (t) => {
  await t.throwsAsync(startControlServer({ target: new FakeTarget(), socket: '/nonexistent/x/ctl', http: null, onStop: () => undefined }), {
    code: 'CONTROL_LISTEN',
  });
});

for (const [title, path, body] of [
  ['unknown path', '/nothing', {}],
  ['missing field', '/fail', { member: '1' }],
  ['unknown field', '/fail', { member: 'x', force: true, more: 1 }],
  ['wrong type', '/drain', { wait: 'yes' }],
  ['no JSON', '/flush', undefined],
] as const) {
  test(`a bad request is refused and named: ${title}`, async (t) => {
    const { socket, client, target } = await rig(t);
    const answer = await post({ socketPath: socket }, path, body === undefined ? '{' : JSON.stringify(body));
    t.true(answer.status >= 400 && answer.status <= 500, String(answer.status));
    t.is(typeof (JSON.parse(answer.text) as { code: unknown }).code, 'string');
    t.deepEqual(target.calls, []);
    t.is((await client.status()).name, 'vault');
  });
}

test('http shows status and a page, whose texts are escaped', async (t) => {
  const { server, target, stops } = await rig(t, { host: '127.0.0.1', port: 0 });
  const base = `http://127.0.0.1:${server.httpPort}`;
  t.like(await (await fetch(`${base}/status`)).json(), { name: 'vault' });
  const page = await (await fetch(base)).text();
  t.regex(page, /\/dev\/&#60;sdc&#62;/, 'paths are escaped');
  t.false(page.includes('<sdc>'));
  t.deepEqual(target.calls, []);
  t.is(stops.count, 0);
});

test('metrics carry the figures of status in base units, under fixed names', async (t) => {
  const { server } = await rig(t, { host: '127.0.0.1', port: 0 });
  const answer = await fetch(`http://127.0.0.1:${server.httpPort}/metrics`);
  t.regex(answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  const text = await answer.text();
  for (const line of [
    'keelson_undrained_bytes 3145728',
    'keelson_oldest_undrained_seconds 12.5',
    'keelson_device_failures_tolerated 4',
    'keelson_journal_fill_ratio 0.25',
    'keelson_backpressure_seconds_total 1.5',
    'keelson_array_state{state="online"} 1',
    'keelson_member_state{member="1",path="/dev/<sdc>",role="data",state="failed"} 1',
    'keelson_member_state{member="1",path="/dev/<sdc>",role="data",state="online"} 0',
    'keelson_member_errors_total{member="1",path="/dev/<sdc>",role="data",kind="checksum"} 2',
  ]) {
    t.true(text.split('\n').includes(line), line);
  }
});

function post(where: { socketPath: string }, path: string, body: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const call = request({ ...where, path, method: 'POST', headers: { 'content-type': 'application/json' }, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (piece: string) => {
        text += piece;
      });
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    call.once('error', reject);
    call.end(body);
  });
}
