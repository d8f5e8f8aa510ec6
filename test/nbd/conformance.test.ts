import { randomInt } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { type Random, seededRandom } from '../../src/base/random.js';
import { CMD, CMD_FLAG, CONTEXT_ALLOCATION, CONTEXT_UNDRAINED, ERRNO, INFO, OPT, REP, TX } from '../../src/nbd/protocol.js';
import { contextData, infoData } from './client-encoding.js';
import { NbdClient } from './nbd-client.js';
import { RamVolume } from './ram-volume.js';
import { errnoOf, pattern, type Served, serve } from './serve.js';

const SIZE = 300_000;
const CONVERSATIONS = 120 * Number(process.env.KEELSON_FUZZ ?? 1);
const QUERIES = [CONTEXT_ALLOCATION, CONTEXT_UNDRAINED, 'base:', 'x-keelson:', 'base', 'base:allocationx', 'qemu:dirty-bitmap:a', ''];

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random.below(from.length)] as T;
}

/** What the protocol says of the negotiation so far; written from doc/proto.md, not from the server. */
class Agreement {
  structured = false;
  contexts: string[] = [];
  contextsFor: string | null = null;

  /** Reply types that an option must bring, in order. whole: its data are as they should be. */
  infoReplies(name: string, kinds: readonly number[], whole: boolean): number[] {
    if (!whole) return [REP.ERR_INVALID];
    if (name.length > 4096) return [REP.ERR_TOO_BIG];
    if (name !== '' && name !== 'ram') return [REP.ERR_UNKNOWN];
    const known = new Set(kinds.filter((kind) => kind === INFO.NAME || kind === INFO.DESCRIPTION || kind === INFO.BLOCK_SIZE));
    return [REP.INFO, ...[...known].map(() => REP.INFO), REP.ACK];
  }

  contextReplies(setting: boolean, name: string, queries: readonly string[], whole: boolean): number[] {
    if (setting) {
      this.contexts = [];
      this.contextsFor = null;
      if (!this.structured) return [REP.ERR_INVALID];
    }
    if (!whole) return [REP.ERR_INVALID];
    if (name !== '' && name !== 'ram') return [REP.ERR_UNKNOWN];
    const fits = (context: string): boolean =>
      queries.includes(context) || (!setting && (queries.length === 0 || queries.includes(`${context.split(':')[0]}:`)));
    const found = [CONTEXT_ALLOCATION, CONTEXT_UNDRAINED].filter(fits);
    if (setting) {
      this.contexts = found;
      this.contextsFor = name;
    }
    return [...found.map(() => REP.META_CONTEXT), REP.ACK];
  }

  enter(name: string): void {
    if (this.contextsFor !== name) this.contexts = [];
  }
}

/** Leaves the data as they are, or takes some from their end, or puts some there. */
function damage(random: Random, data: Buffer): { data: Buffer; whole: boolean } {
  const kind = random.below(6);
  if (kind === 0 && data.length > 0) return { data: data.subarray(0, random.below(data.length)), whole: false };
  if (kind === 1) return { data: Buffer.concat([data, Buffer.alloc(1 + random.below(9))]), whole: false };
  return { data, whole: true };
}

async function negotiate(random: Random, client: NbdClient, agreement: Agreement): Promise<string> {
  // Chance alone would seldom come to structured replies and then to contexts.
  if (random.below(3) > 0) {
    await client.negotiateStructured();
    agreement.structured = true;
    const name = pick(random, ['', 'ram']);
    const chosen = [CONTEXT_ALLOCATION, CONTEXT_UNDRAINED].filter(() => random.below(3) > 0);
    await client.selectContexts(name, chosen);
    agreement.contextReplies(true, name, chosen, true);
  }
  for (let count = random.below(5); count > 0; count--) {
    const name = pick(random, ['', 'ram', 'ram', 'other', 'n'.repeat(4097)]);
    const short = name.length > 4096 ? 'other' : name;
    let option: number;
    let sent: { data: Buffer; whole: boolean };
    let expected: number[];
    switch (random.below(6)) {
      case 0: {
        option = OPT.STRUCTURED_REPLY;
        sent = damage(random, Buffer.alloc(0));
        expected = [sent.whole ? REP.ACK : REP.ERR_INVALID];
        if (sent.whole) agreement.structured = true;
        break;
      }
      case 1: {
        option = OPT.LIST;
        sent = damage(random, Buffer.alloc(0));
        expected = sent.whole ? [REP.SERVER, REP.ACK] : [REP.ERR_INVALID];
        break;
      }
      case 2: {
        option = OPT.INFO;
        const kinds = Array.from({ length: random.below(5) }, () => random.below(6));
        sent = damage(random, infoData(name, kinds));
        expected = agreement.infoReplies(name, kinds, sent.whole);
        // Cut after the name, the name has already been found too long.
        if (!sent.whole && name.length > 4096 && sent.data.length >= 4 + name.length) expected = [REP.ERR_TOO_BIG];
        break;
      }
      case 3:
      case 4: {
        const setting = random.below(3) > 0;
        option = setting ? OPT.SET_META_CONTEXT : OPT.LIST_META_CONTEXT;
        const queries = Array.from({ length: random.below(6) }, () => pick(random, QUERIES));
        sent = damage(random, contextData(short, queries));
        expected = agreement.contextReplies(setting, short, queries, sent.whole);
        break;
      }
      default:
        option = pick(random, [OPT.STARTTLS, OPT.EXTENDED_HEADERS, 4, 12, 99, 0x8000 + random.below(2 ** 31)]);
        sent = { data: pattern(random.below(40), random.u32()), whole: true };
        expected = [REP.ERR_UNSUP];
    }
    const replies = await client.option(option, sent.data);
    const types = replies.map((reply) => reply.type);
    if (types.join() !== expected.join()) return `option ${option} with ${sent.data.length} bytes: ${types} instead of ${expected}`;
    for (const { data } of replies.filter((reply) => reply.type === REP.META_CONTEXT)) {
      const id = data.readUInt32BE(0);
      if ((id !== 0) !== (option === OPT.SET_META_CONTEXT)) return `context id ${id} in the answer to option ${option}`;
      if (id !== 0) client.contexts.set(data.toString('utf8', 4), id);
    }
  }
  client.structured = agreement.structured;
  return '';
}

interface Asked {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
}

/** The error the protocol and INTERFACE ask for. */
function expectedError(asked: Asked, agreement: Agreement, readOnly: boolean): number {
  const { type, flags, offset, length } = asked;
  const changes = type === CMD.WRITE || type === CMD.TRIM || type === CMD.WRITE_ZEROES;
  if (type > CMD.BLOCK_STATUS) return ERRNO.EINVAL;
  if (changes && readOnly) return ERRNO.EPERM;
  let allowed = readOnly ? 0 : CMD_FLAG.FUA;
  if (type === CMD.READ && agreement.structured) allowed |= CMD_FLAG.DF;
  if (type === CMD.WRITE_ZEROES) allowed |= CMD_FLAG.NO_HOLE | CMD_FLAG.FAST_ZERO;
  if (type === CMD.BLOCK_STATUS) allowed |= CMD_FLAG.REQ_ONE;
  if ((flags | allowed) !== allowed) return ERRNO.EINVAL;
  if (type === CMD.FLUSH) return offset === 0 && length === 0 ? 0 : ERRNO.EINVAL;
  if (length === 0 || (type === CMD.BLOCK_STATUS && agreement.contexts.length === 0)) return ERRNO.EINVAL;
  if (type === CMD.READ && length > 2 ** 25) return (flags & CMD_FLAG.DF) !== 0 ? ERRNO.EOVERFLOW : ERRNO.EINVAL;
  if (offset + length > SIZE) return type === CMD.WRITE || type === CMD.WRITE_ZEROES ? ERRNO.ENOSPC : ERRNO.EINVAL;
  return 0;
}

function ask(random: Random): Asked {
  const type = random.below(12) === 0 ? pick(random, [8, 9, 255, 0xffff]) : pick(random, [0, 0, 1, 1, 3, 4, 5, 6, 7, 7]);
  const own = type === CMD.READ ? CMD_FLAG.DF : type === CMD.BLOCK_STATUS ? CMD_FLAG.REQ_ONE : CMD_FLAG.FUA;
  const flags = random.below(3) > 0 ? own * random.below(2) : random.below(8) === 0 ? 1 << random.below(16) : random.below(32);
  const offset = pick(random, [0, 0, 1, SIZE - 1, SIZE, SIZE + 1, 2 ** 52, random.below(SIZE), random.below(SIZE)]);
  const lengths = [0, 1, 4096, SIZE, random.below(5000), random.below(SIZE), Math.max(0, SIZE - offset)];
  // A refused write's payload has to be sent, so only the others may be of any size.
  const length = pick(random, type === CMD.WRITE ? lengths : [...lengths, 2 ** 25, 2 ** 25 + 1, 2 ** 32 - 1]);
  return type === CMD.FLUSH && random.below(3) > 0 ? { type, flags, offset: 0, length: 0 } : { type, flags, offset, length };
}

/** Sends requests in bursts and holds every answer against the model. Returns '' or what was wrong. */
async function transmit(random: Random, client: NbdClient, agreement: Agreement, model: Buffer, readOnly: boolean): Promise<string> {
  for (let burst = 0; burst < 6; burst++) {
    const answers: Promise<string>[] = [];
    for (let count = 1 + random.below(12); count > 0; count--) {
      const asked = ask(random);
      const errno = expectedError(asked, agreement, readOnly);
      const say = `${JSON.stringify(asked)}, structured ${agreement.structured}, contexts ${agreement.contexts}, read-only ${readOnly}`;
      const { type, flags, offset, length } = asked;
      const payload = type === CMD.WRITE ? pattern(length, random.u32()) : null;
      if (errno === 0 && payload !== null) payload.copy(model, offset);
      if (errno === 0 && (type === CMD.TRIM || type === CMD.WRITE_ZEROES)) model.fill(0, offset, offset + length);
      const data = errno === 0 && type === CMD.READ ? Buffer.from(model.subarray(offset, offset + length)) : null;
      if (errno === 0 && type === CMD.BLOCK_STATUS) {
        const one = (flags & CMD_FLAG.REQ_ONE) !== 0;
        answers.push(client.blockStatus(offset, length, one).then((found) => judgeStatus(found, agreement, length, one, say)));
        continue;
      }
      const reply = client.request({ type, flags, offset, length, ...(payload === null ? {} : { payload }) });
      const got = errnoOf(reply);
      answers.push(
        got.then(async (number) => {
          if (number !== errno) return `${say}: ${number} instead of ${errno}`;
          return data === null || (await reply).data.equals(data) ? '' : `${say}: other bytes`;
        }),
      );
    }
    const wrong = (await Promise.all(answers)).find((answer) => answer !== '');
    if (wrong !== undefined) return wrong;
  }
  return '';
}

function judgeStatus(
  found: Awaited<ReturnType<NbdClient['blockStatus']>>,
  agreement: Agreement,
  length: number,
  one: boolean,
  say: string,
): string {
  if ([...found.keys()].sort().join() !== [...agreement.contexts].sort().join()) return `${say}: contexts ${[...found.keys()]}`;
  for (const extents of found.values()) {
    const covered = extents.reduce((sum, extent) => sum + extent.length, 0);
    if (extents.length === 0 || extents.some((extent) => extent.length === 0)) return `${say}: an empty extent, or none`;
    if (covered > length || (one && extents.length !== 1)) return `${say}: ${extents.length} extents over ${covered} bytes`;
  }
  return '';
}

async function converse(t: ExecutionContext, seed: number, served: Served, model: Buffer, readOnly: boolean): Promise<void> {
  const random = seededRandom(seed);
  const client = await NbdClient.connect(served.address);
  const agreement = new Agreement();
  const noZeroes = random.below(2) === 0;
  await client.greet(noZeroes ? 3 : 1);
  let problem = await negotiate(random, client, agreement);
  if (problem === '') {
    const name = pick(random, ['', 'ram']);
    agreement.enter(name);
    if (random.below(3) === 0) await client.exportName(name, noZeroes);
    else await client.go(name);
    const flags = (client.flags & TX.SEND_DF) !== 0;
    if (flags !== agreement.structured || ((client.flags & TX.READ_ONLY) !== 0) !== readOnly || client.sizeBytes !== SIZE)
      problem = `flags ${client.flags}, size ${client.sizeBytes}`;
    else problem = await transmit(random, client, agreement, model, readOnly);
  }
  if (problem !== '') t.fail(`KEELSON_SEED=${seed}: ${problem}`);
  await client.disconnect();
}

for (const readOnly of [false, true]) {
  test(`any order of options and requests is answered as the protocol says (${readOnly ? 'read-only' : 'writable'})`, async (t) => {
    const first = Number(process.env.KEELSON_SEED ?? randomInt(2 ** 31));
    t.log(`KEELSON_SEED=${first}`);
    // Requests complete in the order they come, so that the model knows what each read shows.
    const served = await serve(t, { sizeBytes: SIZE, readOnly, completes: 'now' });
    for (let index = 0; index < CONVERSATIONS; index++) {
      served.volume.bytes.fill(0);
      await converse(t, first + index, served, Buffer.alloc(SIZE), readOnly);
    }
    t.deepEqual(served.faults, []);
    t.deepEqual(served.bugs, []);
    t.true(served.volume instanceof RamVolume && served.volume.payloadsOut === 0);
  });
}
