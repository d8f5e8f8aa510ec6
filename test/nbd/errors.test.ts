import test from 'ava';
import { CMD, CMD_FLAG, CONTEXT_ALLOCATION, ERRNO } from '../../src/nbd/protocol.js';
import { Request, errnoOf as errnoOfCode, refusal } from '../../src/nbd/request.js';
import type { RequestFields } from './client-encoding.js';
import { NbdClient } from './nbd-client.js';
import { errnoOf, serve } from './serve.js';

const MIB = 1024 * 1024;
const SIZE = 2 * MIB;
const HUGE = 0xffff_ffff_ffff_f000n;

const CASES: readonly (RequestFields & { title: string; errno: number })[] = [
  { title: 'a read past the end', type: CMD.READ, offset: SIZE - 1, length: 2, errno: ERRNO.EINVAL },
  { title: 'a read that begins past the end', type: CMD.READ, offset: SIZE, length: 1, errno: ERRNO.EINVAL },
  { title: 'a read at an offset above 2^53', type: CMD.READ, offset: HUGE, length: 4096, errno: ERRNO.EINVAL },
  { title: 'a read of nothing', type: CMD.READ, offset: 0, length: 0, errno: ERRNO.EINVAL },
  { title: 'a read above 32 MiB', type: CMD.READ, offset: 0, length: 32 * MIB + 1, errno: ERRNO.EINVAL },
  { title: 'a read above 32 MiB with DF', type: CMD.READ, flags: CMD_FLAG.DF, offset: 0, length: 32 * MIB + 1, errno: ERRNO.EOVERFLOW },
  { title: 'a read with a flag of write-zeroes', type: CMD.READ, flags: CMD_FLAG.NO_HOLE, offset: 0, length: 1, errno: ERRNO.EINVAL },
  { title: 'a read with an unknown flag', type: CMD.READ, flags: 0x8000, offset: 0, length: 1, errno: ERRNO.EINVAL },
  { title: 'a write past the end', type: CMD.WRITE, offset: SIZE - 1, payload: Buffer.alloc(2), errno: ERRNO.ENOSPC },
  { title: 'a write at an offset above 2^53', type: CMD.WRITE, offset: HUGE, payload: Buffer.alloc(5000), errno: ERRNO.ENOSPC },
  { title: 'a write of nothing', type: CMD.WRITE, offset: 0, payload: Buffer.alloc(0), errno: ERRNO.EINVAL },
  { title: 'a write with DF', type: CMD.WRITE, flags: CMD_FLAG.DF, offset: 0, payload: Buffer.alloc(70_000), errno: ERRNO.EINVAL },
  { title: 'a write above 32 MiB', type: CMD.WRITE, offset: 0, payload: Buffer.alloc(32 * MIB + 1), errno: ERRNO.EINVAL },
  { title: 'a trim past the end', type: CMD.TRIM, offset: SIZE - 4096, length: 4097, errno: ERRNO.EINVAL },
  { title: 'a trim of nothing', type: CMD.TRIM, offset: 0, length: 0, errno: ERRNO.EINVAL },
  { title: 'a trim with NO_HOLE', type: CMD.TRIM, flags: CMD_FLAG.NO_HOLE, offset: 0, length: 1, errno: ERRNO.EINVAL },
  { title: 'a write-zeroes past the end', type: CMD.WRITE_ZEROES, offset: 0, length: SIZE + 1, errno: ERRNO.ENOSPC },
  { title: 'a write-zeroes of 4 GiB - 1', type: CMD.WRITE_ZEROES, offset: 0, length: 0xffffffff, errno: ERRNO.ENOSPC },
  { title: 'a write-zeroes with REQ_ONE', type: CMD.WRITE_ZEROES, flags: CMD_FLAG.REQ_ONE, offset: 0, length: 1, errno: ERRNO.EINVAL },
  { title: 'a write-zeroes of nothing', type: CMD.WRITE_ZEROES, offset: 0, length: 0, errno: ERRNO.EINVAL },
  { title: 'a cache of nothing', type: CMD.CACHE, offset: 0, length: 0, errno: ERRNO.EINVAL },
  { title: 'a cache past the end', type: CMD.CACHE, offset: SIZE, length: 1, errno: ERRNO.EINVAL },
  { title: 'a flush with a length', type: CMD.FLUSH, offset: 0, length: 1, errno: ERRNO.EINVAL },
  { title: 'a flush with an offset', type: CMD.FLUSH, offset: 1, length: 0, errno: ERRNO.EINVAL },
  { title: 'a block status past the end', type: CMD.BLOCK_STATUS, offset: 0, length: SIZE + 1, errno: ERRNO.EINVAL },
  { title: 'a block status of nothing', type: CMD.BLOCK_STATUS, offset: 0, length: 0, errno: ERRNO.EINVAL },
  { title: 'an unknown command', type: 8, offset: 0, length: 0, errno: ERRNO.EINVAL },
  { title: 'another unknown command', type: 0xffff, offset: 3, length: 77, errno: ERRNO.EINVAL },
];

for (const structured of [true, false]) {
  test(`every bad request gets its error, the volume never sees it, and the stream stays in step (${structured ? 'structured' : 'simple'})`, async (t) => {
    const { address, volume, faults } = await serve(t, { sizeBytes: SIZE });
    const client = await NbdClient.open(address, structured ? { contexts: [CONTEXT_ALLOCATION] } : { structured: false });
    for (const { title, errno, ...fields } of CASES) {
      // Without structured replies DF is a flag that was never offered.
      const expected = !structured && fields.type === CMD.READ && fields.flags === CMD_FLAG.DF ? ERRNO.EINVAL : errno;
      t.is(await errnoOf(client.request(fields)), expected, title);
      await client.write(0, Buffer.from(title));
      t.is((await client.read(0, title.length)).toString(), title);
    }
    t.true(volume.calls.every((call) => call.kind === 'read' || call.kind === 'write'));
    t.is(volume.calls.length, CASES.length * 2);
    t.deepEqual(faults, []);
    client.destroy();
  });
}

test('all bad requests at once, pipelined with good ones, each get their own answer', async (t) => {
  const { address } = await serve(t, { sizeBytes: SIZE });
  const client = await NbdClient.open(address, { contexts: [CONTEXT_ALLOCATION] });
  const answers = await Promise.all(
    CASES.flatMap(({ title: _title, errno: _errno, ...fields }) => [
      errnoOf(client.request(fields)),
      errnoOf(client.write(0, Buffer.alloc(9))),
    ]),
  );
  t.deepEqual(
    answers,
    CASES.flatMap(({ errno }) => [errno, 0]),
  );
  client.destroy();
});

test('DF without structured replies is EINVAL', async (t) => {
  const { address } = await serve(t);
  const client = await NbdClient.open(address, { structured: false });
  t.is(await errnoOf(client.read(0, 1, CMD_FLAG.DF)), ERRNO.EINVAL);
  client.destroy();
});

test('block status without a selected context is EINVAL', async (t) => {
  const { address } = await serve(t);
  const client = await NbdClient.open(address);
  t.is(await errnoOf(client.blockStatus(0, 4096)), ERRNO.EINVAL);
  client.destroy();
});

test('a read-only volume answers EPERM to every change, skips the payload, and still reads and flushes', async (t) => {
  const { address, volume } = await serve(t, { readOnly: true });
  const client = await NbdClient.open(address);
  t.is(await errnoOf(client.write(0, Buffer.alloc(100_000))), ERRNO.EPERM);
  t.is(await errnoOf(client.write(0, Buffer.alloc(1), CMD_FLAG.FUA)), ERRNO.EPERM);
  t.is(await errnoOf(client.trim(0, 4096)), ERRNO.EPERM);
  t.is(await errnoOf(client.writeZeroes(0, 4096)), ERRNO.EPERM);
  t.is((await client.read(0, 4096)).length, 4096);
  await client.flush();
  t.deepEqual(
    volume.calls.map((call) => call.kind),
    ['read', 'flush'],
  );
  client.destroy();
});

test('errors of the volume reach the client as their numbers, for every command', async (t) => {
  const { address, volume, bugs } = await serve(t);
  const client = await NbdClient.open(address);
  const commands = {
    read: async () => await client.read(0, 4096),
    write: async () => await client.write(0, Buffer.alloc(4096)),
    flush: async () => await client.flush(),
    trim: async () => await client.trim(0, 4096),
    writeZeroes: async () => await client.writeZeroes(0, 4096),
  } as const;
  for (const kind of ['read', 'write', 'flush', 'trim', 'writeZeroes'] as const) {
    for (const [code, errno] of [
      ['READ_ONLY', ERRNO.EPERM],
      ['NO_SPACE', ERRNO.ENOSPC],
      ['DATA_LOST', ERRNO.EIO],
      ['DATA_UNAVAILABLE', ERRNO.EIO],
      ['IO', ERRNO.EIO],
      ['SHUTTING_DOWN', ERRNO.ESHUTDOWN],
      ['ANYTHING_ELSE', ERRNO.EIO],
    ] as const) {
      volume.failNext = { kind, code };
      t.is(await errnoOf(commands[kind]()), errno, `${kind} ${code}`);
      t.is(await errnoOf(commands[kind]()), 0, `${kind} after ${code}`);
      t.is(errnoOfCode(code), errno);
    }
  }
  t.deepEqual(bugs, []);
  client.destroy();
});

test('a volume that throws a bug costs that request an EIO and is reported', async (t) => {
  const { address, volume, bugs } = await serve(t);
  const client = await NbdClient.open(address);
  for (const request of [
    async () => await client.read(0, 1),
    async () => await client.write(0, Buffer.alloc(1)),
    async () => await client.flush(),
  ]) {
    volume.throwNext = new TypeError('a bug');
    t.is(await errnoOf(request()), ERRNO.EIO);
    t.is(await errnoOf(request()), 0);
  }
  t.is(bugs.length, 3);
  client.destroy();
});

test('a volume that returns a wrong number of bytes costs that read an EIO, is reported, and the stream stays in step', async (t) => {
  for (const completes of ['now', 'later'] as const) {
    const { address, volume, bugs } = await serve(t, { completes });
    const client = await NbdClient.open(address);
    volume.shortenNextRead = 1;
    t.is(await errnoOf(client.read(0, 100_000)), ERRNO.EIO);
    t.is((await client.read(0, 100_000)).length, 100_000);
    t.is(bugs.length, 1);
    client.destroy();
  }
});

test('validation accepts exactly the requests that lie inside the volume', (t) => {
  const rules = { sizeBytes: 10_000, readOnly: false, structured: true, contextCount: 1 };
  const request = new Request();
  for (const type of [CMD.READ, CMD.WRITE, CMD.TRIM, CMD.CACHE, CMD.WRITE_ZEROES, CMD.BLOCK_STATUS]) {
    for (const offset of [0, 1, 4095, 9_998, 9_999, 10_000, 10_001, Number.MAX_SAFE_INTEGER]) {
      for (const length of [0, 1, 2, 5_000, 9_999, 10_000, 10_001, 0xffffffff]) {
        request.type = type;
        request.offset = offset;
        request.length = length;
        t.is(refusal(request, rules) === 0, length > 0 && offset + length <= 10_000, `${type} ${offset} ${length}`);
      }
    }
  }
});
