import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { startControlServer } from '../../src/control/control-server.js';
import { PAGE_CONNECTIONS_MAX } from '../../src/control/page-guard.js';
import { FakeTarget } from './fake-target.js';

interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** The pages on a free port, and a request to them byte by byte: fetch would put its own Host in. */
async function pages(t: ExecutionContext, host = '127.0.0.1', hosts: readonly string[] = []) {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-pages-'));
  const target = new FakeTarget();
  const server = await startControlServer({
    target,
    socket: join(folder, 'ctl'),
    http: { host, port: 0 },
    hosts,
    onStop: () => t.fail('stopped through the pages'),
  });
  t.teardown(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });
  const port = server.httpPort ?? 0;
  const ask = (lines: readonly string[], to = '127.0.0.1'): Promise<Answer> =>
    raw(to, port, `${lines.join('\r\n')}\r\nConnection: close\r\n\r\n`);
  return { ask, port, target, get: (name: string, path = '/status') => ask([`GET ${path} HTTP/1.1`, `Host: ${name}`]) };
}

function raw(host: string, port: number, bytes: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect({ host, port }, () => socket.write(bytes));
    socket.setEncoding('latin1').on('data', (piece: string) => {
      text += piece;
    });
    socket.once('error', reject);
    socket.once('close', () => {
      const [head = '', body = ''] = text.split(/\r\n\r\n(.*)/s);
      const [first = '', ...lines] = head.split('\r\n');
      const headers = new Map(lines.map((line) => [line.split(':')[0]?.toLowerCase() ?? '', line.replace(/^[^:]*: ?/, '')]));
      resolve({ status: Number(first.split(' ')[1] ?? 0), headers, body });
    });
  });
}

test('a name that is not of this server is refused, whatever it asks for: a foreign page cannot read the figures', async (t) => {
  const { get, port } = await pages(t, '127.0.0.1', ['nas.example']);
  for (const name of [
    'evil.example',
    `evil.example:${port}`,
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '10.0.0.1',
    '',
    'a@localhost',
  ]) {
    for (const path of ['/', '/status', '/metrics', '/nothing']) {
      const { status, body } = await get(name, path);
      t.true(status === 421 || status === 400, `${name} ${path}: ${status}`);
      t.notRegex(body, /vault|keelson_/);
    }
  }
});

test('the address, localhost and the names of control.hosts are answered, with any port and in any case', async (t) => {
  const { get, port } = await pages(t, '127.0.0.1', ['nas.example']);
  for (const name of [
    '127.0.0.1',
    `127.0.0.1:${port}`,
    'localhost:8080',
    'LOCALHOST',
    'localhost.',
    '[::1]:1',
    '[0:0::1]',
    'NAS.example:9187',
  ])
    t.is((await get(name)).status, 200, name);
});

test('bound to every address, the one that was reached is answered too, and no name', async (t) => {
  const { ask } = await pages(t, '0.0.0.0');
  const asked = async (name: string): Promise<number> => (await ask(['GET /status HTTP/1.1', `Host: ${name}`], '127.0.0.2')).status;
  t.is(await asked('127.0.0.2'), 200);
  t.is(await asked('127.0.0.3'), 421);
  t.is(await asked('evil.example'), 421);
});

test('two Host headers, none, or a whole URL of another host do not get past the name', async (t) => {
  const { ask } = await pages(t);
  for (const lines of [
    ['GET /status HTTP/1.1', 'Host: localhost', 'Host: evil.example'],
    ['GET /status HTTP/1.1', 'Host: evil.example', 'Host: localhost'],
    ['GET /status HTTP/1.1'],
    ['GET /status HTTP/1.0'],
    ['GET http://evil.example/status HTTP/1.1', 'Host: evil.example'],
    ['GET /status HTTP/1.1', 'Host: evil.example', 'X-Forwarded-Host: localhost', 'Forwarded: host=localhost'],
  ]) {
    const { status, body } = await ask(lines);
    t.true(status === 421 || status === 400, `${lines.join(' | ')}: ${status}`);
    t.notRegex(body, /vault/);
  }
});

test('the refusal of a name says which are answered, and where another one is added', async (t) => {
  const { get } = await pages(t);
  const error = JSON.parse((await get('nas.example')).body) as Record<string, string>;
  t.is(error.code, 'CONTROL_HOST');
  t.is(error.found, 'nas.example');
  t.regex(error.expected ?? '', /localhost, 127\.0\.0\.1/);
  t.regex(error.action ?? '', /control\.hosts/);
  // As it says.
  t.is((await (await pages(t, '127.0.0.1', ['nas.example'])).get('nas.example')).status, 200);
});

for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY']) {
  test(`${method} is refused on every path of the pages, and nothing is done`, async (t) => {
    const { ask, target } = await pages(t);
    for (const path of ['/', '/status', '/stop', '/flush', '/fail', '/replace', '/rebuild', '/drain', '/nothing']) {
      const { status } = await ask([`${method} ${path} HTTP/1.1`, 'Host: localhost', 'Content-Length: 0']);
      t.true([400, 404, 405, 501].includes(status), `${path}: ${status}`);
    }
    t.deepEqual(target.calls, []);
  });
}

test('a method that is refused is answered with those that are not', async (t) => {
  const { ask } = await pages(t);
  const { status, headers, body } = await ask(['POST /stop HTTP/1.1', 'Host: localhost', 'Content-Length: 0']);
  t.is(status, 405);
  t.is(headers.get('allow'), 'GET, HEAD');
  t.is((JSON.parse(body) as { code: string }).code, 'CONTROL_REQUEST');
});

test('HEAD has the headers of GET and no body', async (t) => {
  const { ask } = await pages(t);
  const { status, body } = await ask(['HEAD /metrics HTTP/1.1', 'Host: localhost']);
  t.is(status, 200);
  t.is(body, '');
});

test('no answer, not even a refusal, may be framed, stored, guessed at in type, or read from another origin', async (t) => {
  const { get } = await pages(t);
  for (const [name, path] of [
    ['localhost', '/'],
    ['localhost', '/status'],
    ['localhost', '/metrics'],
    ['localhost', '/nothing'],
    ['evil.example', '/'],
  ] as const) {
    const { headers } = await get(name, path);
    const where = `${name}${path}`;
    t.is(headers.get('x-content-type-options'), 'nosniff', where);
    t.is(headers.get('x-frame-options'), 'DENY', where);
    t.is(headers.get('referrer-policy'), 'no-referrer', where);
    t.is(headers.get('cache-control'), 'no-store', where);
    t.is(headers.get('cross-origin-resource-policy'), 'same-origin', where);
    t.is(headers.get('access-control-allow-origin'), undefined, where);
    const policy = (headers.get('content-security-policy') ?? '').split('; ');
    t.true(policy.includes("default-src 'none'"), where);
    t.true(policy.includes("frame-ancestors 'none'"), where);
    t.false(
      policy.some((rule) => /unsafe|script|\*/.test(rule)),
      where,
    );
  }
});

test('the policy of the page allows the very style it has, and the page has nothing else that a policy rules on', async (t) => {
  const { get } = await pages(t);
  const { headers, body } = await get('localhost', '/');
  const styles = [...body.matchAll(/<style>([\s\S]*?)<\/style>/g)].map(([, style = '']) => style);
  t.is(styles.length, 1);
  const hash = createHash('sha256')
    .update(styles[0] ?? '')
    .digest('base64');
  t.regex(headers.get('content-security-policy') ?? '', new RegExp(`style-src 'sha256-${hash.replaceAll('+', '\\+')}'`));
  t.notRegex(body, /<script|<img|<link|<iframe|<form|\sstyle=|\son\w+=|https?:\/\//i);
});

test('more browsers than the bound are turned away, and the array is still told of', async (t) => {
  const { port, get } = await pages(t);
  const open = await Promise.all(
    Array.from(
      { length: PAGE_CONNECTIONS_MAX },
      () =>
        new Promise<ReturnType<typeof connect>>((resolve) => {
          const socket = connect(port, '127.0.0.1', () => resolve(socket));
        }),
    ),
  );
  const turnedAway = connect(port, '127.0.0.1');
  turnedAway.on('error', () => undefined);
  await new Promise((resolve) => turnedAway.once('close', resolve));
  const gone = open.map((socket) => new Promise((resolve) => socket.once('close', resolve)));
  for (const socket of open) socket.end();
  await Promise.all(gone);
  t.is((await get('localhost')).status, 200);
});
