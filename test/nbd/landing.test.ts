import { randomInt } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { type Random, seededRandom } from '../../src/base/random.js';
import type { Done } from '../../src/engine/block-volume.js';
import { NbdCounters } from '../../src/nbd/gauges.js';
import { DEFAULT_LIMITS } from '../../src/nbd/limits.js';
import { MemoryBudget } from '../../src/nbd/memory-budget.js';
import { REQUEST_HELD_MAX } from '../../src/nbd/pieces.js';
import { CMD, ERRNO, SIMPLE_REPLY_MAGIC } from '../../src/nbd/protocol.js';
import { ReplyBatchPool } from '../../src/nbd/reply-queue.js';
import type { ServerShare } from '../../src/nbd/server-share.js';
import { Staging } from '../../src/nbd/staging.js';
import { StatusTurns } from '../../src/nbd/status-turns.js';
import { requestHeader } from './client-encoding.js';
import { ManualClock } from './manual-clock.js';
import { RamVolume } from './ram-volume.js';
import { pattern } from './serve.js';
import { ModelSocket } from './socket-model.js';

const MIB = 1024 * 1024;
const REGION_BYTES = 4 * MIB;
const PEERS = 5;
const VOLUME_BYTES = (PEERS + 1) * REGION_BYTES + 40 * MIB;
const SCENARIOS = 10 * Number(process.env.KEELSON_FUZZ ?? 1);
const STEPS = 500;

/** Holds every payload against what was sent, when it is handed over and again, untouched by then, when it is acknowledged. */
class CheckingVolume extends RamVolume {
  /** Writes that were sent and have not come to the volume, by the region they go to. */
  readonly expected = new Map<number, { offset: number; payload: Buffer }[]>();
  /** Memory of payloads that the volume holds. */
  readonly holding = new Set<ArrayBufferLike>();
  wrong = '';
  /** Bytes that have come of the payload that is being handed over. */
  #come = 0;

  override write(offset: number, payload: Uint8Array, fua: boolean, done: Done): void {
    const queue = this.expected.get(Math.floor(offset / REGION_BYTES)) ?? [];
    // A payload comes in pieces, from its beginning to its end.
    const sent = queue[0];
    const from = offset - (sent?.offset ?? 0);
    const right = sent !== undefined && from === this.#come ? sent.payload.subarray(from, from + payload.length) : null;
    this.#come = from + payload.length;
    if (this.#come === sent?.payload.length) {
      queue.shift();
      this.#come = 0;
    }
    const held = (when: string): void => {
      if (right === null || !right.equals(payload)) this.wrong ||= `${payload.length} bytes at ${offset} are not what was sent, ${when}`;
    };
    held('when handed over');
    this.holding.add(payload.buffer);
    super.write(offset, payload, fua, (error) => {
      held('when acknowledged');
      this.holding.delete(payload.buffer);
      done(error);
    });
  }
}

function shareOf(volume: RamVolume, onBug: (error: unknown) => void): ServerShare {
  const limits = {
    ...DEFAULT_LIMITS,
    requestsInFlightMax: 6,
    bytesInFlightMax: 2 * MIB,
    payloadBytesMax: 34 * MIB,
    replyBytesQueuedMax: MIB,
  };
  return {
    volume,
    limits,
    clock: new ManualClock(),
    // Enough idle buffers that one peer's is soon another's.
    staging: new Staging(8 * MIB),
    payloadBudget: new MemoryBudget(limits.payloadBytesMax, PEERS, REQUEST_HELD_MAX),
    replyBudget: new MemoryBudget(volume.readBytesMax, PEERS, REQUEST_HELD_MAX),
    statusTurns: new StatusTurns(),
    counters: new NbdCounters(),
    everyWriteFua: false,
    nextClient: () => 1,
    onBug,
  };
}

interface Asked {
  readonly type: number;
  readonly length: number;
  readonly errno: number;
}

/** One client: what it has sent and not yet delivered, and what it is owed. */
class Peer {
  outbox: Buffer = Buffer.alloc(0);
  readonly asked = new Map<number, Asked>();
  #cookie = 0;
  shuttingDown = false;
  /** It has begun a payload that never ends; what it sends is part of that. */
  parked = false;

  constructor(
    readonly socket: ModelSocket,
    readonly region: number,
    readonly volume: CheckingVolume,
  ) {
    volume.expected.set(region, []);
  }

  #ask(fields: { type: number; offset: number; length: number }, errno: number): void {
    const cookie = ++this.#cookie;
    this.asked.set(cookie, { type: fields.type, length: fields.length, errno });
    this.outbox = Buffer.concat([this.outbox, requestHeader(fields, cookie)]);
  }

  write(random: Random, length: number, sent = length): void {
    const offset = this.region * REGION_BYTES + random.below(8) * 512;
    const payload = pattern(length, random.u32());
    this.#ask({ type: CMD.WRITE, offset, length }, ERRNO.OK);
    this.outbox = Buffer.concat([this.outbox, payload.subarray(0, sent)]);
    if (sent < length) this.parked = true;
    else if (!this.shuttingDown) this.volume.expected.get(this.region)?.push({ offset, payload });
  }

  refusedWrite(random: Random): void {
    const length = 1 + random.below(150_000);
    this.#ask({ type: CMD.WRITE, offset: VOLUME_BYTES - length + 1, length }, ERRNO.ENOSPC);
    this.outbox = Buffer.concat([this.outbox, Buffer.alloc(length, 0xee)]);
  }

  read(random: Random): void {
    this.#ask({ type: CMD.READ, offset: 0, length: 1 + random.below(300_000) }, ERRNO.OK);
  }

  flush(): void {
    this.#ask({ type: CMD.FLUSH, offset: 0, length: 0 }, ERRNO.OK);
  }

  /** From now on nothing new may come to the volume. */
  shutDown(): void {
    this.shuttingDown = true;
    this.volume.expected.set(this.region, []);
    this.socket.transmission.shutDown();
  }

  deliver(count: number): void {
    const taken = this.socket.arrive(this.outbox.subarray(0, count));
    this.outbox = this.outbox.subarray(taken);
  }

  /** Judges whole replies; '' when they are right. */
  judge(): string {
    for (;;) {
      const { replies } = this.socket;
      if (replies.length < 16) return '';
      if (replies.readUInt32BE(0) !== SIMPLE_REPLY_MAGIC) return 'the stream of replies is out of step';
      const errno = replies.readUInt32BE(4);
      const request = this.asked.get(replies.readUInt32BE(12));
      if (request === undefined) return 'an answer to nothing, or a second one';
      const length = request.type === CMD.READ && errno === 0 ? request.length : 0;
      if (replies.length < 16 + length) return '';
      if (errno !== request.errno && !(this.shuttingDown && errno === ERRNO.ESHUTDOWN)) return `${request.errno} expected, ${errno} came`;
      if (length > 0 && !replies.subarray(16, 16 + length).equals(this.volume.bytes.subarray(0, length)))
        return 'a read brought other bytes';
      this.asked.delete(replies.readUInt32BE(12));
      this.socket.replies = replies.subarray(16 + length);
    }
  }
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** Releases a random part of what the volume holds, in a random order. */
function complete(random: Random, volume: CheckingVolume): void {
  volume.release((waiting) => {
    const now: (() => void)[] = [];
    const later: (() => void)[] = [];
    for (const finish of waiting) (random.below(2) === 0 ? now : later).push(finish);
    now.sort(() => random.below(3) - 1);
    queueMicrotask(() => {
      for (const finish of later) volume.hold(finish);
    });
    return now;
  });
}

async function scenario(t: ExecutionContext, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const volume = new CheckingVolume({ sizeBytes: VOLUME_BYTES, completes: 'held' });
  volume.recording = false;
  pattern(MIB, 5).copy(volume.bytes);
  const bugs: unknown[] = [];
  const share = shareOf(volume, (error) => bugs.push(error));
  const batches = new ReplyBatchPool(4);
  const open = (region: number): Peer => new Peer(new ModelSocket(share, batches, false), region, volume);
  const peers = Array.from({ length: PEERS }, (_, index) => open(index + 1));
  for (let step = 0; step < STEPS; step++) {
    const which = random.below(PEERS);
    const peer = peers[which] as Peer;
    const kind = random.below(100);
    if (kind < 20 && peer.outbox.length < 2 * MIB && !peer.parked) {
      const form = random.below(12);
      if (form < 5) peer.write(random, 1 + random.below(300_000));
      else if (form < 7) peer.write(random, 1 + random.below(6000));
      else if (form < 8) peer.write(random, 32 * 1024 - 2 + random.below(5));
      else if (form < 10) peer.read(random);
      else if (form < 11) peer.refusedWrite(random);
      else peer.flush();
    } else if (kind < 75) peer.deliver(1 + random.below(random.below(3) === 0 ? 60 : 200_000));
    else if (kind < 88) peer.socket.take(1 + random.below(4));
    else if (kind < 96) complete(random, volume);
    else if (kind < 97 && peer.outbox.length === 0 && !peer.socket.paused) {
      // It announces more than is left of the budget, sends a little and then nothing: the others wait until it goes.
      peer.write(random, 31 * MIB, random.below(100_000));
    } else {
      if (!peer.shuttingDown && random.below(2) === 0) {
        peer.shutDown();
        await turn();
        continue;
      }
      peer.socket.close();
      peers[which] = open(peer.region);
    }
    await turn();
    const memories = [...peers.map((each) => each.socket.offered.buffer), ...volume.holding];
    if (new Set(memories).size !== memories.length) volume.wrong ||= 'two connections, or a connection and the volume, share memory';
    const problem = volume.wrong || peer.judge() || (peer.socket.over === 'fault' ? 'a right client was thrown out' : '');
    if (problem !== '' || bugs.length > 0) {
      t.fail(`KEELSON_SEED=${seed} step ${step}: ${problem} ${bugs.map(String).join()}`);
      return;
    }
    if (share.payloadBudget.usedBytes > share.limits.payloadBytesMax) t.fail(`KEELSON_SEED=${seed}: the budget is exceeded`);
  }
  // Those that have said all they began get all their answers.
  for (const peer of peers) if (peer.parked || peer.shuttingDown) peer.socket.close();
  for (let round = 0; round < 3000 && peers.some((peer) => !peer.socket.closed && peer.asked.size > 0); round++) {
    for (const peer of peers) {
      peer.deliver(MIB);
      peer.socket.take(8);
    }
    volume.release();
    await turn();
    for (const peer of peers) t.is(peer.judge(), '', `KEELSON_SEED=${seed}`);
  }
  for (const peer of peers) {
    if (!peer.socket.closed) t.is(peer.asked.size, 0, `KEELSON_SEED=${seed}: requests without an answer`);
    peer.socket.close();
  }
  volume.release();
  await turn();
  t.is(volume.wrong, '', `KEELSON_SEED=${seed}`);
  const { counters, staging, payloadBudget, replyBudget } = share;
  t.deepEqual(
    [
      volume.payloadsOut,
      counters.requestsInFlight,
      counters.bytesInFlight,
      counters.pausedConnections,
      payloadBudget.usedBytes,
      payloadBudget.waiting,
      replyBudget.usedBytes,
      replyBudget.waiting,
    ],
    [0, 0, 0, 0, 0, 0, 0, 0],
    `KEELSON_SEED=${seed}: something is left`,
  );
  t.true(staging.cachedBytes <= 8 * MIB);
}

test('payloads that land piece by piece on several connections never touch each other, through pauses, refusals, shutdowns and losses', async (t) => {
  const first = Number(process.env.KEELSON_SEED ?? randomInt(2 ** 31));
  t.log(`KEELSON_SEED=${first}`);
  for (let index = 0; index < SCENARIOS; index++) await scenario(t, first + index);
});

test('a shutdown in the middle of a landing skips exactly what is left of that payload, and nobody gets its memory while the socket has it', async (t) => {
  const random = seededRandom(1);
  const volume = new CheckingVolume({ sizeBytes: VOLUME_BYTES, completes: 'held' });
  const share = shareOf(volume, (error) => t.fail(String(error)));
  const batches = new ReplyBatchPool(4);
  const peer = new Peer(new ModelSocket(share, batches, false), 1, volume);
  peer.write(random, 5000);
  peer.deliver(MIB);
  peer.write(random, 200_000);
  peer.deliver(28 + 50_000);
  const { offered } = peer.socket;
  t.true(offered.length > 4096 && offered.length <= 128 * 1024, 'the rest of the piece is to land in place');
  peer.shutDown();
  t.not(share.staging.take(128 * 1024).bytes.buffer, offered.buffer, 'its memory is still named to the socket');
  peer.flush();
  while (peer.outbox.length > 0) peer.deliver(70_000);
  await turn();
  peer.socket.take(100);
  t.is(peer.judge(), '');
  t.is(peer.asked.size, 1, 'the write and the flush are answered, the write in flight is not');
  volume.release();
  await turn();
  peer.socket.take(100);
  t.is(peer.judge(), '');
  t.is(peer.asked.size, 0);
  t.is(peer.socket.over, 'finished');
  peer.socket.close();
  t.is(volume.wrong, '');
  t.is(share.payloadBudget.usedBytes, 0);
});
