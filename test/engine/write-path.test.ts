import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../src/base/clock.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import type { ReadDone } from '../../src/engine/block-volume.js';
import { WritePath } from '../../src/engine/write-path.js';
import { NOT_IN_RING, ZEROED } from '../../src/journal/ring-index.js';
import { Ring, SMALL, seedOf, turn } from '../journal/ring-fixture.js';

const UNIT_BYTES = 256;
const UNITS_PER_BLOCK = BLOCK_BYTES / UNIT_BYTES;
const BLOCKS = 6;

interface Operation {
  /** Byte value of the range; 0 = zeroes. */
  readonly value: number;
  readonly from: number;
  readonly to: number;
  readonly begun: number;
  ended: number;
}

/** Write path over a small ring; the stripes are a plain image that takes over what is removed from the ring. Reads take a random while. */
class Bench {
  readonly ring: Ring;
  readonly writes: WritePath;
  readonly stripes = new Uint8Array(BLOCKS * BLOCK_BYTES);
  readonly reads: (() => void)[] = [];
  readonly random: Random;
  stalls = 0;

  constructor(random: Random) {
    this.random = random;
    this.ring = new Ring({ ...SMALL, slots: 6 }, random);
    this.writes = new WritePath(this.ring.journal, (offset, length, done) => this.#read(offset, length, done), systemClock, false);
    this.writes.onStall = () => {
      this.stalls++;
    };
  }

  content(block: number): Uint8Array {
    const place = this.ring.journal.index.lookup(block);
    if (place === ZEROED) return new Uint8Array(BLOCK_BYTES);
    if (place === NOT_IN_RING) return this.stripes.slice(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
    const memory = this.ring.journal.table.memoryOf(place);
    return Uint8Array.from(this.ring.slab.view.subarray(memory, memory + BLOCK_BYTES));
  }

  #read(offset: number, length: number, done: ReadDone): void {
    const finish = (bytes: Uint8Array) => (): void => done(null, { bytes: Buffer.from(bytes.subarray(0, length)), release: () => {} });
    // What a read gives is what was there when it began, or when it ended.
    const early = finish(this.content(offset / BLOCK_BYTES));
    if (this.random.below(3) === 0) early();
    else this.reads.push(this.random.below(2) === 0 ? early : () => finish(this.content(offset / BLOCK_BYTES))());
  }

  async step(): Promise<void> {
    if (this.random.below(2) === 0 && this.reads.length > 0) this.reads.splice(this.random.below(this.reads.length), 1)[0]?.();
    else this.ring.step();
    await turn();
  }

  /** Everything in the ring goes to the stripes, as destaging and draining would do. */
  async makeRoom(): Promise<void> {
    await this.ring.settle();
    for (let block = 0; block < BLOCKS; block++) this.stripes.set(this.content(block), block * BLOCK_BYTES);
    this.ring.removeClosed();
    this.writes.pump();
  }
}

/** Each unit must hold the value of an operation after which, as the client saw it, no other one was begun. */
function explain(t: ExecutionContext, bench: Bench, operations: readonly Operation[], where: string): void {
  for (let unit = 0; unit < BLOCKS * UNITS_PER_BLOCK; unit++) {
    const block = bench.content(Math.floor(unit / UNITS_PER_BLOCK));
    const at = (unit % UNITS_PER_BLOCK) * UNIT_BYTES;
    const bytes = block.subarray(at, at + UNIT_BYTES);
    if (!bytes.every((byte) => byte === bytes[0])) t.fail(`${where}: unit ${unit} is torn`);
    const over = operations.filter(({ from, to }) => from <= unit && unit < to);
    const allowed = over.filter((one) => !over.some((other) => other.begun > one.ended)).map(({ value }) => value);
    if (over.length === 0) allowed.push(0);
    if (!allowed.includes(bytes[0] as number)) t.fail(`${where}: unit ${unit} is ${bytes[0]}, not one of ${allowed.join(' ')}`);
  }
}

test('P5: writes of any alignment that overlap in time lose nothing of each other, through stalls and a wrapping ring', async (t) => {
  const seed = seedOf(t);
  let stalls = 0;
  for (let round = 0; round < 12; round++) {
    const random = seededRandom(seed + round);
    const bench = new Bench(random);
    const operations: Operation[] = [];
    let clock = 0;
    let open = 0;
    for (let n = 0; n < 250; n++) {
      const from = random.below(BLOCKS * UNITS_PER_BLOCK - 1);
      const length = 1 + random.below(Math.min(random.below(3) === 0 ? 48 : 12, BLOCKS * UNITS_PER_BLOCK - from));
      const kind = random.below(10);
      const operation: Operation = {
        value: kind < 8 ? 1 + (n % 255) : 0,
        from,
        to: from + length,
        begun: ++clock,
        ended: Number.POSITIVE_INFINITY,
      };
      // A trim touches whole blocks alone.
      const trimmed = {
        from: Math.ceil(from / UNITS_PER_BLOCK) * UNITS_PER_BLOCK,
        to: Math.floor((from + length) / UNITS_PER_BLOCK) * UNITS_PER_BLOCK,
      };
      const recorded = kind === 9 ? { ...operation, ...trimmed } : operation;
      operations.push(recorded);
      open++;
      const done = (error: unknown): void => {
        if (error !== null) t.fail(String(error));
        recorded.ended = ++clock;
        open--;
      };
      const fua = random.below(10) === 0;
      if (kind < 8) bench.writes.write(from * UNIT_BYTES, new Uint8Array(length * UNIT_BYTES).fill(operation.value), fua, done);
      else if (kind === 8) bench.writes.zero(from * UNIT_BYTES, length * UNIT_BYTES, fua, done);
      else bench.writes.trim(from * UNIT_BYTES, length * UNIT_BYTES, fua, done);
      while (open > 6) {
        await bench.step();
        if (bench.writes.waiting > 0 && random.below(4) === 0) await bench.makeRoom();
      }
    }
    for (let guard = 0; open > 0 && guard < 10_000; guard++) {
      await bench.step();
      if (bench.writes.waiting > 0) await bench.makeRoom();
    }
    t.is(open, 0);
    explain(t, bench, operations, `seed ${seed + round}`);
    stalls += bench.stalls;
  }
  t.log(`${stalls} times a writer had to wait`);
  t.true(stalls > 0);
});

test('writers that wait for room say so again when the room that appeared was not enough', async (t) => {
  const bench = new Bench(seededRandom(1));
  let done = 0;
  for (let n = 0; n < 120; n++) bench.writes.write(0, new Uint8Array(BLOCK_BYTES), false, () => done++);
  await bench.ring.settle();
  t.true(bench.writes.waiting > 0);
  t.is(bench.stalls, 1);
  bench.writes.pump();
  t.is(bench.stalls, 2);
  while (bench.writes.waiting > 0) await bench.makeRoom();
  await bench.ring.settle();
  t.is(done, 120);
  t.true(bench.writes.counters.stalled_ms > 0);
});

test('a write larger than a segment goes on in the next one and is acknowledged once, as a whole', async (t) => {
  const bench = new Bench(seededRandom(2));
  const payload = new Uint8Array(6 * BLOCK_BYTES);
  seededRandom(3).fill(payload);
  let acknowledged = 0;
  for (let n = 0; n < 5; n++) bench.writes.write(0, payload, true, () => acknowledged++);
  await bench.ring.settle();
  t.is(acknowledged, 5);
  t.is(bench.ring.journal.flushedLsn, bench.ring.journal.nextLsn - 1);
  t.true(bench.ring.journal.headSeq > 1);
  for (let block = 0; block < 6; block++)
    t.is(Buffer.compare(bench.content(block), payload.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)), 0);
});
