import test from 'ava';
import { CONTEXT_ALLOCATION, CONTEXT_UNDRAINED, INFO, OPT, REP, TX } from '../../src/nbd/protocol.js';
import { contextData, infoData, optionBytes } from './client-encoding.js';
import { NbdClient } from './nbd-client.js';
import { serve } from './serve.js';

const WRITABLE =
  TX.HAS_FLAGS | TX.SEND_FLUSH | TX.SEND_FUA | TX.SEND_TRIM | TX.SEND_WRITE_ZEROES | TX.CAN_MULTI_CONN | TX.SEND_CACHE | TX.SEND_FAST_ZERO;

async function greeted(address: string): Promise<NbdClient> {
  const client = await NbdClient.connect(address);
  await client.greet();
  return client;
}

test('the greeting announces fixed newstyle and no zeroes', async (t) => {
  const { address } = await serve(t);
  const client = await NbdClient.connect(address);
  t.is(await client.greet(), 3);
  client.destroy();
});

test('GO answers size, flags and what was asked for, by name and by the default name', async (t) => {
  const { address } = await serve(t, { name: 'vault', sizeBytes: 3 * 4096 }, { description: 'the big one' });
  for (const name of ['', 'vault']) {
    const client = await greeted(address);
    await client.go(name, [INFO.BLOCK_SIZE, INFO.NAME, INFO.DESCRIPTION, 999]);
    t.is(client.sizeBytes, 3 * 4096);
    t.is(client.flags, WRITABLE);
    t.is(client.info.get(INFO.NAME)?.toString(), 'vault');
    t.is(client.info.get(INFO.DESCRIPTION)?.toString(), 'the big one');
    const sizes = client.info.get(INFO.BLOCK_SIZE);
    t.deepEqual([sizes?.readUInt32BE(0), sizes?.readUInt32BE(4), sizes?.readUInt32BE(8)], [1, 4096, 32 * 1024 * 1024]);
    t.false(client.info.has(999));
    await client.flush();
    await client.disconnect();
  }
});

test('INFO answers like GO and leaves the negotiation open', async (t) => {
  const { address } = await serve(t);
  const client = await greeted(address);
  await client.go('', [], OPT.INFO);
  t.is(client.sizeBytes, 1024 * 1024);
  t.deepEqual([...client.info.keys()], [INFO.EXPORT]);
  await client.go('ram', []);
  t.is((await client.read(0, 5)).length, 5);
  client.destroy();
});

test('DF is announced only after structured replies', async (t) => {
  const { address } = await serve(t);
  const plain = await NbdClient.open(address, { structured: false });
  t.is(plain.flags & TX.SEND_DF, 0);
  plain.destroy();
  const structured = await NbdClient.open(address);
  t.is(structured.flags, WRITABLE | TX.SEND_DF);
  structured.destroy();
});

test('a read-only volume announces so, and none of the commands that change it', async (t) => {
  const { address } = await serve(t, { readOnly: true });
  const client = await NbdClient.open(address);
  t.is(client.flags, TX.HAS_FLAGS | TX.READ_ONLY | TX.SEND_FLUSH | TX.CAN_MULTI_CONN | TX.SEND_CACHE | TX.SEND_DF);
  client.destroy();
});

test('an unknown export is ERR_UNKNOWN and the negotiation goes on', async (t) => {
  const { address } = await serve(t);
  const client = await greeted(address);
  for (const option of [OPT.INFO, OPT.GO]) t.is((await client.option(option, infoData('nothing', []))).at(-1)?.type, REP.ERR_UNKNOWN);
  t.is((await client.option(OPT.LIST_META_CONTEXT, contextData('nothing', []))).at(-1)?.type, REP.ERR_UNKNOWN);
  await client.go('ram', []);
  client.destroy();
});

test('EXPORT_NAME enters transmission, with 124 zeroes or without', async (t) => {
  const { address } = await serve(t);
  for (const noZeroes of [true, false]) {
    const client = await NbdClient.connect(address);
    await client.greet(noZeroes ? 3 : 1);
    await client.exportName('ram', noZeroes);
    t.is(client.sizeBytes, 1024 * 1024);
    t.is(client.flags, WRITABLE);
    await client.write(100, Buffer.from('hello'));
    t.is((await client.read(100, 5)).toString(), 'hello');
    await client.disconnect();
  }
});

test('EXPORT_NAME of an unknown export closes the connection, which is all the protocol leaves', async (t) => {
  const { address, faults } = await serve(t);
  const client = await greeted(address);
  client.send(optionBytes(OPT.EXPORT_NAME, Buffer.from('nothing')));
  await client.untilClosed();
  t.is(faults.length, 1);
});

test('LIST names the export and describes it; with data it is ERR_INVALID', async (t) => {
  const { address } = await serve(t, { name: 'vault' });
  const client = await greeted(address);
  const replies = await client.option(OPT.LIST);
  t.deepEqual(
    replies.map((reply) => reply.type),
    [REP.SERVER, REP.ACK],
  );
  t.is(replies[0]?.data.readUInt32BE(0), 5);
  t.is(replies[0]?.data.toString('utf8', 4), 'vaultkeelson volume vault');
  t.is((await client.option(OPT.LIST, Buffer.from('x'))).at(-1)?.type, REP.ERR_INVALID);
  client.destroy();
});

test('ABORT is acknowledged and the connection closes without counting as a fault', async (t) => {
  const { address, faults } = await serve(t);
  const client = await greeted(address);
  t.is((await client.option(OPT.ABORT)).at(-1)?.type, REP.ACK);
  await client.untilClosed();
  t.deepEqual(faults, []);
});

test('STARTTLS, extended headers and unknown options are ERR_UNSUP, and the negotiation goes on', async (t) => {
  const { address } = await serve(t);
  const client = await greeted(address);
  for (const option of [OPT.STARTTLS, OPT.EXTENDED_HEADERS, 4, 12, 77, 0xffffffff]) {
    t.is((await client.option(option, Buffer.from('anything'))).at(-1)?.type, REP.ERR_UNSUP, `option ${option}`);
  }
  await client.go();
  client.destroy();
});

test('STRUCTURED_REPLY is acknowledged; with data it is ERR_INVALID and not in force', async (t) => {
  const { address } = await serve(t);
  const client = await greeted(address);
  t.is((await client.option(OPT.STRUCTURED_REPLY, Buffer.from('x'))).at(-1)?.type, REP.ERR_INVALID);
  await client.go();
  t.is((await client.request({ type: 0, offset: 0, length: 3 })).structured, false);
  client.destroy();
});

test('LIST_META_CONTEXT lists everything, a namespace, or one context; ids are zero', async (t) => {
  const { address } = await serve(t);
  const client = await greeted(address);
  const list = async (queries: string[]): Promise<string[]> => {
    const replies = await client.option(OPT.LIST_META_CONTEXT, contextData('', queries));
    t.is(replies.at(-1)?.type, REP.ACK);
    const found = replies.slice(0, -1);
    for (const reply of found) {
      t.is(reply.type, REP.META_CONTEXT);
      t.is(reply.data.readUInt32BE(0), 0);
    }
    return found.map((reply) => reply.data.toString('utf8', 4));
  };
  t.deepEqual(await list([]), [CONTEXT_ALLOCATION, CONTEXT_UNDRAINED]);
  t.deepEqual(await list(['base:']), [CONTEXT_ALLOCATION]);
  t.deepEqual(await list(['x-keelson:']), [CONTEXT_UNDRAINED]);
  t.deepEqual(await list([CONTEXT_UNDRAINED, 'base:', 'qemu:']), [CONTEXT_ALLOCATION, CONTEXT_UNDRAINED]);
  t.deepEqual(await list(['base', 'base:alloc', 'qemu:dirty-bitmap:x', '']), []);
  client.destroy();
});

test('SET_META_CONTEXT selects exact names with distinct ids; a wildcard selects nothing; the last one stands', async (t) => {
  const { address } = await serve(t);
  const client = await greeted(address);
  await client.negotiateStructured();
  await client.selectContexts('', [CONTEXT_ALLOCATION, CONTEXT_UNDRAINED]);
  t.is(client.contexts.size, 2);
  t.is(new Set(client.contexts.values()).size, 2);
  t.false([...client.contexts.values()].includes(0));
  await client.selectContexts('', ['base:', 'x-keelson:']);
  t.is(client.contexts.size, 0);
  await client.selectContexts('', [CONTEXT_UNDRAINED]);
  await client.go('');
  t.deepEqual([...(await client.blockStatus(0, 8192)).keys()], [CONTEXT_UNDRAINED]);
  client.destroy();
});

test('meta contexts that overlap, a name twice or a namespace and a name of it, are told once each', async (t) => {
  const { address } = await serve(t);
  const client = await greeted(address);
  await client.negotiateStructured();
  const told = (replies: readonly { type: number; data: Buffer }[]): string[] =>
    replies.filter(({ type }) => type === REP.META_CONTEXT).map(({ data }) => data.toString('utf8', 4));
  const twice = [CONTEXT_ALLOCATION, CONTEXT_UNDRAINED, CONTEXT_ALLOCATION, CONTEXT_ALLOCATION];
  t.deepEqual(told(await client.option(OPT.SET_META_CONTEXT, contextData('', twice))).sort(), [CONTEXT_ALLOCATION, CONTEXT_UNDRAINED]);
  const both = ['base:', CONTEXT_ALLOCATION, 'base:', 'base:allocation:more'];
  t.deepEqual(told(await client.option(OPT.LIST_META_CONTEXT, contextData('', both))), [CONTEXT_ALLOCATION]);
  await client.selectContexts('', twice);
  await client.go('');
  t.deepEqual([...(await client.blockStatus(0, 8192)).keys()].sort(), [CONTEXT_ALLOCATION, CONTEXT_UNDRAINED]);
  client.destroy();
});

test('SET_META_CONTEXT before structured replies is ERR_INVALID', async (t) => {
  const { address } = await serve(t);
  const client = await greeted(address);
  t.is((await client.option(OPT.SET_META_CONTEXT, contextData('', [CONTEXT_ALLOCATION]))).at(-1)?.type, REP.ERR_INVALID);
  client.destroy();
});

test('contexts selected for another export name, or before a failing selection, do not stand', async (t) => {
  const { address } = await serve(t);
  const other = await greeted(address);
  await other.negotiateStructured();
  await other.selectContexts('ram', [CONTEXT_ALLOCATION]);
  await other.go('');
  await t.throwsAsync(other.blockStatus(0, 4096), { message: /NBD error 22/ });
  other.destroy();
  const failing = await greeted(address);
  await failing.negotiateStructured();
  await failing.selectContexts('', [CONTEXT_ALLOCATION]);
  t.is((await failing.option(OPT.SET_META_CONTEXT, contextData('nothing', [CONTEXT_ALLOCATION]))).at(-1)?.type, REP.ERR_UNKNOWN);
  await failing.go('');
  await t.throwsAsync(failing.blockStatus(0, 4096), { message: /NBD error 22/ });
  failing.destroy();
});

test('option data whose lengths do not add up are ERR_INVALID, and the negotiation goes on', async (t) => {
  const { address } = await serve(t);
  const client = await greeted(address);
  await client.negotiateStructured();
  const good = infoData('ram', [INFO.NAME, INFO.BLOCK_SIZE]);
  const contexts = contextData('ram', [CONTEXT_ALLOCATION, 'x:y']);
  for (const [option, data] of [
    [OPT.GO, good],
    [OPT.INFO, good],
    [OPT.SET_META_CONTEXT, contexts],
    [OPT.LIST_META_CONTEXT, contexts],
  ] as const) {
    for (let length = 0; length < data.length; length++) {
      t.is((await client.option(option, data.subarray(0, length))).at(-1)?.type, REP.ERR_INVALID, `option ${option} cut at ${length}`);
    }
    t.is((await client.option(option, Buffer.concat([data, Buffer.alloc(1)]))).at(-1)?.type, REP.ERR_INVALID, `option ${option} too long`);
    const lying = Buffer.from(data);
    lying.writeUInt32BE(0xffffffff, 0);
    t.is((await client.option(option, lying)).at(-1)?.type, REP.ERR_INVALID, `option ${option} with a lying name length`);
  }
  await client.go('ram');
  client.destroy();
});

test('names above 4096 bytes and options above 64 KiB are ERR_TOO_BIG, and the negotiation goes on', async (t) => {
  const { address } = await serve(t);
  const client = await greeted(address);
  t.is((await client.option(OPT.INFO, infoData('n'.repeat(4097), []))).at(-1)?.type, REP.ERR_TOO_BIG);
  t.is((await client.option(OPT.GO, Buffer.alloc(70_000))).at(-1)?.type, REP.ERR_TOO_BIG);
  await client.go();
  client.destroy();
});

test('a selection of very many contexts is answered within the option bound', async (t) => {
  const { address } = await serve(t);
  const client = await greeted(address);
  await client.negotiateStructured();
  const queries = Array.from({ length: 3000 }, (_, index) => (index % 2 === 0 ? CONTEXT_ALLOCATION : `x:${index}`));
  const replies = await client.option(OPT.SET_META_CONTEXT, contextData('', queries));
  t.deepEqual(
    replies.map((reply) => reply.type),
    [REP.META_CONTEXT, REP.ACK],
  );
  client.destroy();
});
