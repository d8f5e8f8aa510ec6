import test from 'ava';
import { CHUNK, CMD, CMD_FLAG, CONTEXT_ALLOCATION, CONTEXT_UNDRAINED } from '../../src/nbd/protocol.js';
import { requestHeader } from './client-encoding.js';
import { NbdClient } from './nbd-client.js';
import { pattern, serve, until } from './serve.js';

const MIB = 1024 * 1024;

for (const structured of [true, false]) {
  for (const completes of ['now', 'later'] as const) {
    const how = `${structured ? 'structured' : 'simple'} replies, volume completing ${completes}`;

    test(`what is written is read back, at any alignment and size (${how})`, async (t) => {
      const { address, volume } = await serve(t, { sizeBytes: 4 * MIB, completes });
      const client = await NbdClient.open(address, { structured });
      for (const [index, [offset, length]] of (
        [
          [0, 4096],
          [4095, 2],
          [1, 1],
          [4 * MIB - 1, 1],
          [12345, 65536],
          [77, 70_001],
          [8192, 16 * 1024],
          [8192, 16 * 1024 + 1],
          [500_000, 2 * MIB + 3],
        ] as const
      ).entries()) {
        const bytes = pattern(length, index + 1);
        await client.write(offset, bytes);
        t.true(volume.bytes.subarray(offset, offset + length).equals(bytes), `written ${length} at ${offset}`);
        t.true((await client.read(offset, length)).equals(bytes), `read ${length} at ${offset}`);
      }
      await client.disconnect();
    });

    test(`a request of 32 MiB is served (${how})`, async (t) => {
      const { address, volume } = await serve(t, { sizeBytes: 33 * MIB, completes });
      const client = await NbdClient.open(address, { structured });
      const bytes = pattern(32 * MIB, 7);
      await client.write(MIB - 3, bytes);
      t.true(volume.bytes.subarray(MIB - 3, 33 * MIB - 3).equals(bytes));
      t.true((await client.read(MIB - 3, 32 * MIB)).equals(bytes));
      client.destroy();
    });

    test(`many requests in flight each get their own answer (${how})`, async (t) => {
      const { address } = await serve(t, { sizeBytes: 4 * MIB, completes });
      const client = await NbdClient.open(address, { structured });
      const blocks = Array.from({ length: 500 }, (_, index) => pattern(4096 + (index % 7), index));
      await Promise.all(blocks.map((block, index) => client.write(index * 8192, block)));
      const read = await Promise.all(blocks.map((block, index) => client.read(index * 8192, block.length)));
      for (const [index, block] of blocks.entries()) t.true(read[index]?.equals(block), `block ${index}`);
      await client.disconnect();
    });
  }
}

test('answers go out in the order of completion, matched by cookie', async (t) => {
  const { address, volume } = await serve(t, { completes: 'held' });
  const client = await NbdClient.open(address);
  volume.bytes.set(pattern(3 * 4096, 9), 0);
  const reads = [0, 1, 2].map(async (index) => await client.read(index * 4096, 4096));
  await until(() => volume.heldCount === 3);
  volume.release((waiting) => waiting.reverse());
  for (const [index, bytes] of (await Promise.all(reads)).entries())
    t.true(bytes.equals(volume.bytes.subarray(index * 4096, (index + 1) * 4096)));
  client.destroy();
});

test('with DF a read is one chunk, whatever its size', async (t) => {
  const { address } = await serve(t, { sizeBytes: 8 * MIB });
  const client = await NbdClient.open(address);
  for (const length of [1, 65536, 8 * MIB]) {
    const reply = await client.request({ type: CMD.READ, flags: CMD_FLAG.DF, offset: 0, length });
    t.deepEqual(
      reply.chunks.map((chunk) => chunk.type),
      [CHUNK.OFFSET_DATA],
    );
  }
  client.destroy();
});

test('FUA reaches the volume with writes, trims and write-zeroes, and only when set', async (t) => {
  const { address, volume } = await serve(t);
  const client = await NbdClient.open(address);
  for (const flags of [0, CMD_FLAG.FUA]) {
    await client.write(0, Buffer.alloc(512), flags);
    await client.trim(4096, 4096, flags);
    await client.writeZeroes(8192, 4096, flags);
  }
  t.deepEqual(
    volume.calls.map((call) => [call.kind, call.fua]),
    [
      ['write', false],
      ['trim', false],
      ['writeZeroes', false],
      ['write', true],
      ['trim', true],
      ['writeZeroes', true],
    ],
  );
  client.destroy();
});

test('FUA on commands it means nothing to is accepted', async (t) => {
  const { address } = await serve(t);
  const client = await NbdClient.open(address, { contexts: [CONTEXT_ALLOCATION] });
  await client.read(0, 1, CMD_FLAG.FUA);
  await client.request({ type: CMD.FLUSH, flags: CMD_FLAG.FUA });
  await client.request({ type: CMD.CACHE, flags: CMD_FLAG.FUA, offset: 0, length: 1 });
  await client.request({ type: CMD.BLOCK_STATUS, flags: CMD_FLAG.FUA, offset: 0, length: 1 });
  t.pass();
  client.destroy();
});

test('durability sync makes every change FUA', async (t) => {
  const { address, volume } = await serve(t, {}, { durability: 'sync' });
  const client = await NbdClient.open(address);
  await client.write(0, Buffer.alloc(1));
  await client.trim(0, 1);
  await client.writeZeroes(0, 1);
  t.deepEqual(
    volume.calls.map((call) => call.fua),
    [true, true, true],
  );
  client.destroy();
});

test('NO_HOLE reaches the volume and FAST_ZERO is honoured', async (t) => {
  const { address, volume } = await serve(t);
  const client = await NbdClient.open(address);
  await client.writeZeroes(0, 4096, CMD_FLAG.NO_HOLE);
  await client.writeZeroes(0, 4096, CMD_FLAG.FAST_ZERO);
  await client.writeZeroes(0, 4096, CMD_FLAG.FAST_ZERO | CMD_FLAG.NO_HOLE | CMD_FLAG.FUA);
  t.deepEqual(
    volume.calls.map((call) => call.noHole),
    [true, false, true],
  );
  client.destroy();
});

test('trim and write-zeroes read back as zeroes and may be longer than a payload', async (t) => {
  const { address, volume } = await serve(t, { sizeBytes: 40 * MIB });
  const client = await NbdClient.open(address);
  volume.bytes.fill(0xff);
  await client.trim(1, 36 * MIB);
  await client.writeZeroes(37 * MIB, 3 * MIB);
  t.is(volume.bytes[0], 0xff);
  t.true((await client.read(1, MIB)).equals(Buffer.alloc(MIB)));
  t.deepEqual(
    volume.calls.slice(0, 2).map((call) => call.length),
    [36 * MIB, 3 * MIB],
  );
  await client.writeZeroes(0, 40 * MIB);
  t.is(volume.bytes[0], 0);
  client.destroy();
});

test('CACHE succeeds and changes nothing', async (t) => {
  const { address, volume } = await serve(t);
  const client = await NbdClient.open(address);
  await client.cache(4096, 8192);
  t.deepEqual(volume.calls, []);
  client.destroy();
});

test('a flush on one connection comes after writes acknowledged on another', async (t) => {
  const { address, volume } = await serve(t);
  const one = await NbdClient.open(address);
  const other = await NbdClient.open(address);
  await one.write(0, Buffer.from('x'));
  await other.flush();
  t.deepEqual(
    volume.calls.map((call) => call.kind),
    ['write', 'flush'],
  );
  one.destroy();
  other.destroy();
});

test('block status tells holes and undrained extents apart, merged, one chunk a context', async (t) => {
  const { address, volume } = await serve(t);
  const client = await NbdClient.open(address, { contexts: [CONTEXT_ALLOCATION, CONTEXT_UNDRAINED] });
  await client.write(4096, Buffer.alloc(8192, 1));
  volume.drainAll();
  await client.write(8192, Buffer.alloc(8192, 2));
  const status = await client.blockStatus(0, 32768);
  t.deepEqual(status.get(CONTEXT_ALLOCATION), [
    { length: 4096, flags: 3 },
    { length: 12288, flags: 0 },
    { length: 16384, flags: 3 },
  ]);
  t.deepEqual(status.get(CONTEXT_UNDRAINED), [
    { length: 8192, flags: 0 },
    { length: 8192, flags: 1 },
    { length: 16384, flags: 0 },
  ]);
  client.destroy();
});

test('block status with REQ_ONE gives one extent inside the request; unaligned ranges are exact', async (t) => {
  const { address } = await serve(t);
  const client = await NbdClient.open(address, { contexts: [CONTEXT_ALLOCATION] });
  await client.write(4096, Buffer.alloc(4096, 1));
  t.deepEqual((await client.blockStatus(0, 32768, true)).get(CONTEXT_ALLOCATION), [{ length: 4096, flags: 3 }]);
  t.deepEqual((await client.blockStatus(100, 200, true)).get(CONTEXT_ALLOCATION), [{ length: 200, flags: 3 }]);
  t.deepEqual((await client.blockStatus(4000, 200)).get(CONTEXT_ALLOCATION), [
    { length: 96, flags: 3 },
    { length: 104, flags: 0 },
  ]);
  client.destroy();
});

test('block status is bounded, covers a beginning, and a client can walk on from there', async (t) => {
  const { address, volume } = await serve(t, { sizeBytes: 64 * 4096 }, { limits: { statusExtentsMax: 5 } });
  const client = await NbdClient.open(address, { contexts: [CONTEXT_ALLOCATION] });
  for (let block = 0; block < 64; block += 2) await client.write(block * 4096, Buffer.alloc(4096, 1));
  let at = 0;
  let rounds = 0;
  while (at < volume.sizeBytes) {
    const extents = (await client.blockStatus(at, volume.sizeBytes - at)).get(CONTEXT_ALLOCATION) ?? [];
    t.true(extents.length > 0 && extents.length <= 5);
    for (const extent of extents) at += extent.length;
    rounds++;
  }
  t.is(at, volume.sizeBytes);
  t.is(rounds, 13);
  client.destroy();
});

test('DISC answers what is in flight, then closes, without a fault', async (t) => {
  const { address, volume, faults } = await serve(t, { completes: 'held' });
  const client = await NbdClient.open(address);
  const read = client.read(0, 100_000);
  const written = client.write(0, Buffer.from('x'));
  client.send(requestHeader({ type: CMD.DISC }, 0));
  await until(() => volume.heldCount === 2);
  volume.release();
  t.is((await read).length, 100_000);
  await written;
  await client.untilClosed();
  t.deepEqual(faults, []);
});

test('a client that ends its side still gets its answers', async (t) => {
  const { address, volume } = await serve(t, { completes: 'held' });
  const client = await NbdClient.open(address);
  const written = client.write(5, Buffer.from('kept'));
  client.socket.end();
  await until(() => volume.heldCount === 1);
  volume.release();
  await written;
  t.is(volume.bytes.toString('latin1', 5, 9), 'kept');
  await client.untilClosed();
});
