import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import { KeelsonError } from '../../../src/base/errors.js';
import { PacketReader, PacketSplitter, PacketWriter, REQUEST, RESPONSE, STATUS } from '../../../src/backup-host/sftp-packets.js';
import { CONNECT_TIMEOUT_MS, REPLY_TIMEOUT_MS } from '../../../src/target/sftp/sftp-session.js';
import { SftpTarget } from '../../../src/target/sftp/sftp-target.js';
import { readWhole } from '../../../src/target/target.js';
import { sshKeyPair } from '../../../src/backup-host/ssh-key-pair.js';
import { ManualClock } from '../../nbd/manual-clock.js';
import { scratchFolder } from '../../repository/scratch.js';
import { sshServer } from './ssh-server.js';
import { rejection } from '../target-conformance.js';

const HOST = sshKeyPair();
const CLIENT = sshKeyPair();

interface Asked {
  readonly type: number;
  readonly id: number;
  readonly fields: PacketReader;
  readonly channel: Duplex;
}

interface Host {
  readonly target: SftpTarget;
  readonly clock: ManualClock;
  /** Resolves when that many requests of the type have come. */
  asked(type: number, times?: number): Promise<void>;
}

/** A target on an SFTP server that says what `answer` makes it say. greeting null: it never greets. */
async function hostOf(t: ExecutionContext, answer: (asked: Asked) => void, greeting: Buffer | null = hello()): Promise<Host> {
  const folder = scratchFolder(t);
  const counts = new Map<number, number>();
  const waiting: { type: number; times: number; resolve: () => void }[] = [];
  const note = (type: number): void => {
    counts.set(type, (counts.get(type) ?? 0) + 1);
    for (const each of waiting) if ((counts.get(each.type) ?? 0) >= each.times) each.resolve();
  };
  const serve = (channel: Duplex): void => {
    const splitter = new PacketSplitter();
    channel.on('data', (chunk: Buffer) => {
      for (const packet of splitter.push(chunk)) {
        const fields = new PacketReader(packet);
        const type = fields.u8();
        note(type);
        if (type === REQUEST.init) {
          if (greeting !== null) channel.write(greeting);
          continue;
        }
        answer({ type, id: fields.u32(), fields, channel });
      }
    });
    channel.on('error', () => undefined);
  };
  const port = await sshServer(t, [HOST.private], serve);
  writeFileSync(join(folder, 'id'), CLIENT.private, { mode: 0o600 });
  writeFileSync(join(folder, 'known_hosts'), `[127.0.0.1]:${port} ${HOST.public}\n`);
  const clock = new ManualClock();
  const target = new SftpTarget(
    { host: '127.0.0.1', port, user: 'me', directory: '/vault', url: `sftp://me@127.0.0.1:${port}/vault` },
    { identity: join(folder, 'id'), knownHosts: join(folder, 'known_hosts') },
    { clock, namesMax: 500 },
  );
  t.teardown(() => target.close());
  const asked = (type: number, times = 1): Promise<void> =>
    new Promise((resolve) => {
      waiting.push({ type, times, resolve });
      if ((counts.get(type) ?? 0) >= times) resolve();
    });
  return { target, clock, asked };
}

function hello(...extensions: readonly [string, string][]): Buffer {
  const greeting = new PacketWriter(RESPONSE.version).u32(3);
  for (const [name, data] of extensions) greeting.text(name).text(data);
  return greeting.finish();
}

const handle = (id: number): Buffer => new PacketWriter(RESPONSE.handle).u32(id).blob(Buffer.from('h')).finish();
const status = (id: number, code: number): Buffer => new PacketWriter(RESPONSE.status).u32(id).u32(code).text('').text('').finish();
const attributes = (id: number, bytes: bigint): Buffer => {
  const reply = new PacketWriter(RESPONSE.attrs).u32(id).u32(1).u64(0).finish();
  reply.writeBigUInt64BE(bytes, reply.length - 8);
  return reply;
};

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate);
}

/** Opens what it is asked to open and says yes to the rest, but for what `special` answers (true: it did). */
function obliging(special: (asked: Asked) => boolean): (asked: Asked) => void {
  return (asked) => {
    if (special(asked)) return;
    const opens = asked.type === REQUEST.open || asked.type === REQUEST.opendir;
    asked.channel.write(opens ? handle(asked.id) : status(asked.id, STATUS.ok));
  };
}

test('a server that greets and then never answers is given up with a clear error, and so is one that answers other questions than were asked', async (t) => {
  const silent = (): void => undefined;
  const confused = ({ id, channel }: Asked): void => {
    for (const wrong of [id + 1, id + 1000, 0xffff_ffff]) {
      channel.write(status(wrong, STATUS.ok));
      channel.write(attributes(wrong, 5n));
      channel.write(handle(wrong));
    }
  };
  for (const answer of [silent, confused]) {
    const { target, clock, asked } = await hostOf(t, answer);
    const refusal = rejection(t, target.stat('HEAD'));
    const list = rejection(t, target.list());
    await asked(REQUEST.stat);
    await asked(REQUEST.opendir);
    clock.advance(REPLY_TIMEOUT_MS);
    for (const error of [await refusal, await list]) {
      t.is(error.code, 'BACKUP_UNREACHABLE');
      t.regex(error.found ?? '', /no request was answered for 120 s/);
    }
  }
});

test('a server that answers now and then is not given up', async (t) => {
  const answers: (() => void)[] = [];
  const { target, clock, asked } = await hostOf(t, ({ id, channel }) => answers.push(() => channel.write(attributes(id, 7n))));
  // One is always waiting, each for nearly twice the time in which some answer has to come.
  let earlier = target.stat('HEAD');
  await asked(REQUEST.stat);
  for (let turn = 2; turn <= 4; turn++) {
    const later = target.stat('HEAD');
    await asked(REQUEST.stat, turn);
    clock.advance(REPLY_TIMEOUT_MS - 1);
    answers.shift()?.();
    t.is(await earlier, 7);
    earlier = later;
  }
  answers.shift()?.();
  t.is(await earlier, 7);
});

test('a server that lets us log in and never greets is given up', async (t) => {
  const { target, clock, asked } = await hostOf(t, () => undefined, null);
  const refusal = rejection(t, target.stat('HEAD'));
  await asked(REQUEST.init);
  clock.advance(CONNECT_TIMEOUT_MS);
  const error = await Promise.race([refusal, turns(50)]);
  if (!(error instanceof KeelsonError)) {
    t.fail(`${CONNECT_TIMEOUT_MS} ms have passed and it is still waited for`);
    return;
  }
  t.is(error.code, 'BACKUP_UNREACHABLE');
  t.regex(error.found ?? '', /no SFTP session within 20 s/);
});

test('packets of impossible lengths, unknown kinds and cut fields end the connection, not the process', async (t) => {
  const spoilt = [
    Buffer.from([0x7f, 0xff, 0xff, 0xff, RESPONSE.attrs]),
    Buffer.from([0, 0, 0, 0]),
    Buffer.from([0, 0, 0, 1, 77]),
    Buffer.from([0, 0, 0, 9, RESPONSE.handle, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]),
    Buffer.from([0, 0, 0, 9, RESPONSE.name, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]),
    Buffer.from([0, 0, 0, 9, RESPONSE.attrs, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]),
    hello(),
  ];
  for (const bytes of spoilt) {
    const { target, clock, asked } = await hostOf(t, ({ channel }) => channel.write(bytes));
    const refusal = rejection(t, target.list());
    await asked(REQUEST.opendir);
    // What ssh2 passes over is never an answer.
    await turns(50);
    clock.advance(REPLY_TIMEOUT_MS);
    t.is((await refusal).code, 'BACKUP_UNREACHABLE', bytes.toString('hex').slice(0, 40));
  }
});

test('a listing that never ends is an error, whether its replies have names or none', async (t) => {
  for (const names of [0, 40]) {
    let replies = 0;
    const endless = obliging(({ type, id, channel }) => {
      if (type !== REQUEST.readdir) return false;
      replies++;
      // A client without a bound would go on until its memory ends, and this test with it.
      if (replies > 50) {
        channel.write(status(id, STATUS.eof));
        return true;
      }
      const reply = new PacketWriter(RESPONSE.name).u32(id).u32(names);
      for (let i = 0; i < names; i++) reply.text(`segment-${replies}-${i}`).text('').u32(4).u32(0o100600);
      channel.write(reply.finish());
      return true;
    });
    const { target } = await hostOf(t, endless);
    const error = await rejection(t, target.list());
    t.is(error.code, 'BACKUP_UNREACHABLE');
    t.regex(error.found ?? '', /a listing that does not end/);
    t.true(replies <= 14, `${replies} replies were asked for`);
  }
});

test('a file that is said to have 2^60 bytes is not made room for, and data longer than was asked for fill no more than was given', async (t) => {
  const giant = obliging(({ type, id, channel }) => {
    if (type === REQUEST.stat) channel.write(attributes(id, 2n ** 60n));
    else if (type === REQUEST.read) channel.write(new PacketWriter(RESPONSE.data).u32(id).blob(Buffer.alloc(5000, 1)).finish());
    else return false;
    return true;
  });
  const { target } = await hostOf(t, giant);
  t.is((await rejection(t, readWhole(target, 'lease', 1 << 20))).code, 'BACKUP_CORRUPT');
  const around = Buffer.alloc(3000, 9);
  t.is(await target.read('lease', 0, around.subarray(1000, 2000)), 1000);
  t.true(around.subarray(2000).every((byte) => byte === 9) && around.subarray(0, 1000).every((byte) => byte === 9));
});

test('a server that takes less in one request gets less, and what was handed over, not what its memory held later', async (t) => {
  const limits = hello(['limits@openssh.com', '1']);
  const got = Buffer.alloc(100_000);
  const small = obliging(({ type, id, fields, channel }) => {
    if (type === REQUEST.extended && fields.text() === 'limits@openssh.com') {
      channel.write(new PacketWriter(RESPONSE.extended).u32(id).u64(34_000).u64(1000).u64(1000).u64(10).finish());
      return true;
    }
    if (type !== REQUEST.write) return false;
    fields.blob();
    const at = fields.u64();
    fields.blob().copy(got, at);
    return false;
  });
  const { target } = await hostOf(t, small, limits);
  const writer = await target.create('tmp-1');
  const memory = Buffer.alloc(100_000, 5);
  await writer.write(memory);
  memory.fill(6);
  await writer.close();
  t.deepEqual(got, Buffer.alloc(100_000, 5));
});
