import test, { type ExecutionContext } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { contentOf, seedOf } from '../journal/ring-fixture.js';
import { blank, DestageBench, GEOMETRY } from './destage-bench.js';

interface Entry {
  readonly block: number;
  readonly count: number;
  readonly version: number;
}

/** User entries by LSN: the destager's own, of lost blocks, change nothing that a reader sees. */
type Entries = Map<number, Entry>;

function image(entries: Entries, lastLsn: number): number[] {
  const versions = new Array<number>(GEOMETRY.volumeBlocks).fill(0);
  for (const [lsn, { block, count, version }] of entries) if (lsn <= lastLsn) versions.fill(version, block, block + count);
  return versions;
}

async function compare(t: ExecutionContext, bench: DestageBench, wanted: readonly number[], where: string): Promise<void> {
  for (let block = 0; block < wanted.length; block++) {
    const version = wanted[block] as number;
    const found = await bench.stored(block);
    const right = version === 0 ? new Uint8Array(BLOCK_BYTES) : contentOf(block, version);
    if (found === null || Buffer.compare(found, right) !== 0)
      t.fail(`${where}: block ${block} ${found === null ? 'cannot be had' : 'is wrong'}, version ${version} wanted`);
  }
}

let versions = 0;

function writeSome(bench: DestageBench, entries: Entries, count: number): void {
  const { random, journal } = bench.ring;
  for (let n = 0; n < count; n++) {
    const block = random.below(GEOMETRY.volumeBlocks - 6);
    const zero = random.below(6) === 0;
    const room = journal.writeRoom(false);
    if (room === 0) return;
    const blocks = zero ? 1 + random.below(6) : Math.min(room, 1 + random.below(4));
    const version = zero ? 0 : ++versions;
    const lsn = zero ? journal.appendZero(block, blocks) : bench.ring.write(block, blocks, version);
    entries.set(lsn, { block, count: blocks, version });
    if (random.below(8) === 0) journal.close();
  }
}

test('everything journaled is in the stripes afterwards, as it was last written, also over two lost members', async (t) => {
  const seed = seedOf(t);
  for (const lost of [[], [1], [0, 3]]) {
    const bench = new DestageBench(seededRandom(seed), blank(), []);
    const entries: Entries = new Map();
    for (let round = 0; round < 12; round++) {
      if (round === 4) for (const member of lost) bench.view.handle[member] = -1;
      writeSome(bench, entries, 20);
      t.true(await bench.destageAll());
      await compare(t, bench, image(entries, Number.POSITIVE_INFINITY), `seed ${seed}, lost ${lost.join(' ')}, round ${round}`);
    }
    t.is(bench.destager.stats.lostJournaled > 0, lost.length > 0);
  }
});

test('superseded blocks are not written to the stripes', async (t) => {
  const bench = new DestageBench(seededRandom(1), blank(), []);
  for (let version = 1; version <= 9; version++) bench.ring.write(3, 2, version);
  t.true(await bench.destageAll());
  t.is(bench.destager.stats.blocks, 2);
});

test('P2: what superseded a block of the group is flushed before the group leaves the ring', async (t) => {
  const bench = new DestageBench(seededRandom(1), blank(), []);
  const { ring } = bench;
  ring.write(3, 1, 1);
  await ring.during(ring.flush());
  ring.journal.close();
  const flushedAt: number[] = [];
  bench.onCheckpoint = () => flushedAt.push(ring.journal.flushedLsn);
  const pass = bench.destager.pass(ring.journal.headSeq, 4);
  // Before the pass has looked which blocks are live.
  const newer = ring.write(3, 1, 2);
  t.is(await ring.during(pass), 1);
  await ring.during(bench.destager.settled());
  t.is(bench.destager.stats.blocks, 0);
  t.true((flushedAt[0] as number) >= newer);
});

for (const lost of [[], [2], [1, 4]]) {
  test(`P6: a crash at any write to the stripes, with members ${lost.join(' and ') || 'all'} ${lost.length > 0 ? 'lost' : 'there'}, leaves no write hole`, async (t) => {
    const seed = seedOf(t);
    let crashes = 0;
    for (let round = 0; round < 25; round++) {
      const random = seededRandom(seed + round);
      const durable = blank();
      const whole = new DestageBench(random, durable, []);
      const entries: Entries = new Map();
      writeSome(whole, entries, 40);
      t.true(await whole.destageAll());
      let bench = whole;
      for (const member of lost) bench.view.handle[member] = -1;
      for (let life = 0; life < 3; life++) {
        const where = `seed ${seed + round}, life ${life}`;
        writeSome(bench, entries, 25);
        bench.io.left = random.below(60);
        try {
          t.true(await bench.destageAll(), where);
        } catch (error) {
          if (!(error instanceof Error && error.message === 'crash')) throw error;
          crashes++;
        }
        await bench.ring.settle();
        const tables = durable.tables.map((table) => Uint32Array.from(table));
        const next = new DestageBench(
          random,
          { ...durable, tables },
          lost,
          bench.ring.devices.map((device) => device.afterPowerFailure(random)),
          life + 2,
        );
        Object.assign(durable, next.durable);
        const report = await next.ring.recover({
          tailSeq: durable.tailSeq,
          destagedSeq: durable.destagedSeq,
          drainedSeq: durable.destagedSeq,
          knownLsn: durable.lsn,
          tailLsn: durable.lsn,
        });
        for (const lsn of entries.keys()) if (lsn > report.lastLsn) entries.delete(lsn);
        next.distrust();
        t.true(await next.destageAll(), `${where}: blocked`);
        next.untrusted.clear();
        Object.assign(durable, next.durable);
        bench = next;
        (bench as { durable: unknown }).durable = durable;
        await compare(t, bench, image(entries, Number.POSITIVE_INFINITY), where);
      }
    }
    t.log(`${crashes} crashes`);
    t.true(crashes > 10);
  });
}
