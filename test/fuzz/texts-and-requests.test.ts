import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import test from 'ava';
import { type Random, seededRandom } from '../../src/base/random.js';
import { ConfigError } from '../../src/config/mistakes.js';
import { parseSettings } from '../../src/config/load-settings.js';
import { ControlClient } from '../../src/control/control-client.js';
import { startControlServer } from '../../src/control/control-server.js';
import { judgeHostKey, parseKnownHosts } from '../../src/target/sftp/known-hosts.js';
import {
  MalformedPacket,
  PACKET_BYTES_MAX,
  PacketReader,
  PacketSplitter,
  PacketWriter,
  REQUEST,
} from '../../src/backup-host/sftp-packets.js';
import { serveSftp } from '../../src/backup-host/sftp-server.js';
import { FakeTarget, STATUS } from '../control/fake-target.js';
import { decodeBetweenGuards, fuzz, mutant } from './mutation.js';

const CONFIG = `name = "vault"
[stripe]
members = ["/dev/sdb", "/dev/sdc", "/dev/sdd", "/dev/sde"]
memberSize = "4GiB"
parity = 2
chunk = "64KiB"
spares = []
[journal]
members = ["/dev/nvme0n1p1", "/dev/nvme1n1p1"]
copies = 2
size = "16GiB"
segment = "8MiB"
[backup]
url = "file:///srv/vault"
compression = "zstd"
onUnreachable = "stall"
keepPoints = "7d"
[drain]
maxAge = "30s"
maxBytes = "256MiB"
maxFill = 0.5
schedule = ["0 3 * * *"]
onDegraded = true
[export]
nbd = ["unix:./keelson.sock", "tcp:127.0.0.1:10809"]
durability = "write-back"
[control]
socket = "./keelson.ctl"
http = "127.0.0.1:9187"
[memory]
slab = "256MiB"
`;

const TOKENS = [
  '[',
  ']',
  '[[',
  ']]',
  '{',
  '}',
  '=',
  '"',
  "'''",
  '"""',
  '#',
  '\n',
  '\r\n',
  ',',
  '.',
  '\\',
  '\\u0000',
  '\u{1F4A5}',
  '\u0000',
  '1e999',
  '-0',
  'nan',
  'inf',
  '0x',
  '1979-05-27',
  '__proto__',
  'constructor',
  '999999999999GiB',
  'true',
  '-1',
  '0.1.2',
];

/** Words of the language put where they do not belong: bytes alone would seldom come past the first line. */
function scribble(random: Random, text: string): string {
  let result = text;
  for (let count = random.below(6); count >= 0; count--) {
    const at = random.below(result.length + 1);
    const token = TOKENS[random.below(TOKENS.length)] as string;
    const piece = random.below(20) === 0 ? token.repeat(random.below(5000)) : token;
    const lines = result.split('\n');
    const form = random.below(4);
    if (form === 0) result = result.slice(0, at) + piece + result.slice(at + random.below(20));
    else if (form === 1) result = result.slice(0, at) + piece + result.slice(at);
    else if (form === 2) lines.splice(random.below(lines.length), 1, lines[random.below(lines.length)] as string);
    else lines.splice(random.below(lines.length), random.below(3));
    if (form >= 2) result = lines.join('\n');
  }
  return result;
}

test('configuration: any text is a configuration or a list of mistakes, each with its line', (t) => {
  t.is(parseSettings(CONFIG, '/etc/keelson.toml').name, 'vault');
  fuzz(t, 600, (random) => {
    const text = random.below(3) === 0 ? mutant(random, Buffer.from(CONFIG)).toString('utf8') : scribble(random, CONFIG);
    try {
      parseSettings(text, '/etc/keelson.toml');
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const lines = text.split('\n').length;
      for (const mistake of error.mistakes)
        if (!(mistake.line >= 1 && mistake.line <= lines + 1)) throw new Error(`line ${mistake.line} of ${lines}`);
    }
  });
});

test('known_hosts: no mutation makes another key known', (t) => {
  const key = (type: string, fill: number): Buffer =>
    Buffer.concat([Buffer.from([0, 0, 0, type.length]), Buffer.from(type), Buffer.alloc(36, fill)]);
  const ours = key('ssh-ed25519', 7);
  const shown = key('ssh-ed25519', 8);
  const sample = Buffer.from(
    `# hosts\nvault,[vault]:2222,10.0.* ssh-ed25519 ${ours.toString('base64')}\n@revoked * ssh-ed25519 ${key('ssh-ed25519', 9).toString('base64')}\n|1|c2FsdA==|aGFzaA== ssh-ed25519 ${ours.toString('base64')}\n`,
  );
  t.is(judgeHostKey(parseKnownHosts(sample.toString('utf8')), 'vault', 22, ours, 'known_hosts'), null);
  fuzz(t, 1000, (random) => {
    const text = (
      random.below(2) === 0 ? mutant(random, sample) : Buffer.from(scribble(random, sample.toString('latin1')), 'latin1')
    ).toString('utf8');
    for (const port of [22, 2222]) {
      if (judgeHostKey(parseKnownHosts(text), 'vault', port, shown, 'known_hosts')?.code !== 'BACKUP_HOST_KEY')
        throw new Error('a key that nobody wrote down is known');
      judgeHostKey(parseKnownHosts(text), 'vault', port, mutant(random, shown), 'known_hosts');
    }
  });
});

test('SFTP packets: fields come from the packet alone, and any cutting of the stream gives the same packets', (t) => {
  const packet = new PacketWriter(REQUEST.write)
    .u32(7)
    .text('handle')
    .u64(2 ** 40)
    .blob(Buffer.alloc(50, 3))
    .finish();
  fuzz(t, 1000, (random) => {
    const body = mutant(random, packet.subarray(4));
    const read = (range: Uint8Array): unknown => {
      const reader = new PacketReader(Buffer.from(range.buffer, range.byteOffset, range.length));
      try {
        return [reader.u8(), reader.u32(), reader.text(), reader.u64(), reader.blob().toString('hex')];
      } catch (error) {
        if (error instanceof MalformedPacket) return error.message;
        throw error;
      }
    };
    decodeBetweenGuards(body, read);
    const stream = Buffer.concat(
      Array.from({ length: 1 + random.below(4) }, () => (random.below(8) === 0 ? mutant(random, packet) : packet)),
    );
    const cut = (most: number): string => {
      const splitter = new PacketSplitter();
      const found: string[] = [];
      try {
        for (let at = 0; at < stream.length; ) {
          const length = 1 + random.below(most);
          for (const each of splitter.push(stream.subarray(at, at + length))) {
            if (each.length > PACKET_BYTES_MAX) throw new Error('a packet above the bound');
            found.push(each.toString('hex'));
          }
          at += length;
        }
      } catch (error) {
        if (!(error instanceof MalformedPacket)) throw error;
        found.push(error.message);
      }
      return found.join();
    };
    const claimed = Buffer.alloc(8);
    claimed.writeUInt32BE(random.below(2) === 0 ? 0 : PACKET_BYTES_MAX + 1 + random.below(2 ** 31));
    try {
      for (const _each of new PacketSplitter().push(claimed)) throw new Error('a packet out of nothing');
      throw new Error('a packet that cannot be is waited for');
    } catch (error) {
      if (!(error instanceof MalformedPacket)) throw error;
    }
    if (cut(1) !== cut(1000)) throw new Error('the cutting of the stream changes the packets');
  });
  t.pass();
});

test('SFTP server: mutated conversations are answered or ended, and leave the directory as it may be', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'keelson-sftp-fuzz-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const first = Number(process.env.KEELSON_SEED ?? 1 + Math.floor(performance.now() * 1000));
  t.log(`KEELSON_SEED=${first}`);
  const rounds = 150 * Number(process.env.KEELSON_FUZZ ?? 1);
  for (let round = 0; round < rounds; round++) {
    const random = seededRandom(first + round);
    const handle = Buffer.from([0, 0, 0, 1 + random.below(3)]);
    const packets = [
      new PacketWriter(REQUEST.open)
        .u32(1)
        .text(`/f${random.below(3)}`)
        .u32(0x1a)
        .u32(0),
      new PacketWriter(REQUEST.write)
        .u32(2)
        .blob(handle)
        .u64(random.below(100_000))
        .blob(Buffer.alloc(random.below(3000), 1)),
      new PacketWriter(REQUEST.read).u32(3).blob(handle).u64(0).u32(random.u32()),
      new PacketWriter(REQUEST.extended).u32(4).text('posix-rename@openssh.com').text('/f0').text('/f1'),
      new PacketWriter(REQUEST.extended).u32(5).text('fsync@openssh.com').blob(handle),
      new PacketWriter(REQUEST.opendir).u32(6).text('/'),
      new PacketWriter(REQUEST.readdir).u32(7).blob(handle),
      new PacketWriter(REQUEST.extended).u32(8).text('statvfs@openssh.com').text('/'),
      new PacketWriter(REQUEST.close).u32(9).blob(handle),
    ].map((writer) => writer.finish());
    let answered = 0;
    const channel = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        answered += chunk.length;
        done();
      },
    });
    channel.on('error', () => undefined);
    const served = serveSftp(channel, root);
    channel.push(Buffer.from([0, 0, 0, 5, 1, 0, 0, 0, 3]));
    for (const each of packets) channel.push(random.below(3) === 0 ? mutant(random, each, packets) : each);
    channel.push(null);
    await served;
    if (answered === 0) t.fail(`KEELSON_SEED=${first + round}: not even a greeting`);
  }
  t.pass();
});

const ROUTES = [
  '/status',
  '/stop',
  '/flush',
  '/fail',
  '/drain',
  '/replace',
  '/rebuild',
  '/metrics',
  '/rebuild/plan',
  '/',
  '/../x',
  '/%00',
  '/status?x=1',
];

test('control requests: whatever is sent is answered or closed, and the server goes on', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-control-fuzz-'));
  const socketPath = join(folder, 'ctl');
  const server = await startControlServer({ target: new FakeTarget(), socket: socketPath, http: null, onStop: () => undefined });
  t.teardown(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const first = Number(process.env.KEELSON_SEED ?? 1 + Math.floor(performance.now() * 1000));
  t.log(`KEELSON_SEED=${first}`);
  const bodies = [
    '{"member":"3","force":true}',
    '{"wait":true}',
    '{}',
    '{"member":"1","device":"/dev/sdh"}',
    '[]',
    'null',
    '{"__proto__":{"wait":true}}',
  ];
  const rounds = 300 * Number(process.env.KEELSON_FUZZ ?? 1);
  for (let round = 0; round < rounds; round++) {
    const random = seededRandom(first + round);
    const path = ROUTES[random.below(ROUTES.length)] as string;
    const body = mutant(random, Buffer.from(bodies[random.below(bodies.length)] as string));
    if (random.below(3) === 0) {
      const raw = Buffer.concat([
        Buffer.from(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`),
        body,
      ]);
      await new Promise<void>((resolve) => {
        const socket = connect(socketPath);
        socket.on('error', () => undefined);
        socket.on('close', () => resolve());
        socket.on('data', () => socket.destroy());
        // A request that is not whole is given up by the one who sent it.
        socket.end(mutant(random, raw), () => setImmediate(() => socket.destroy()));
      });
      continue;
    }
    const status = await new Promise<number>((resolve, reject) => {
      const asked = httpRequest(
        {
          socketPath,
          path,
          method: random.below(4) === 0 ? 'GET' : 'POST',
          headers: { 'content-type': random.below(8) === 0 ? 'text/plain' : 'application/json', 'content-length': body.length },
        },
        (response) => {
          response.resume();
          response.on('end', () => resolve(response.statusCode ?? 0));
        },
      );
      asked.on('error', reject);
      asked.end(body);
    }).catch(() => 0);
    if (status >= 500 && status !== 501 && path !== '/fail')
      t.fail(`KEELSON_SEED=${first + round}: ${path} with ${body.toString('latin1')} answered ${status}`);
  }
  t.deepEqual(await new ControlClient(socketPath).status(), STATUS);
});
