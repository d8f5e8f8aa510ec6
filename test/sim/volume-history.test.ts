import test from 'ava';
import { ImageOrder } from '../../src/sim/backup-checks.js';
import { CELLS_A_BLOCK, CellGrid } from '../../src/sim/cell-content.js';
import { GeneratedRequests } from '../../src/sim/client-requests.js';
import { generateScenario } from '../../src/sim/scenario.js';
import { VolumeHistory, type WriteRecord } from '../../src/sim/volume-history.js';

const BLOCKS = 2;

function written(history: VolumeHistory, first: number, count: number, zeroes = false): WriteRecord {
  const record = history.submit(first, count, zeroes);
  history.acknowledge(record, false);
  return record;
}

function content(history: VolumeHistory, record: WriteRecord): Uint8Array {
  return history.payload(record);
}

/** The complaint about a read of what `record` wrote, '' when it is right. */
function readOf(history: VolumeHistory, record: WriteRecord): string {
  const from = history.beginRead();
  const finding = history.check(content(history, record), record.first, from);
  history.endRead(from);
  return finding?.message ?? '';
}

test('P5: the last acknowledged write is right, the one before it is stale, zeroes are loss', (t) => {
  const history = new VolumeHistory(BLOCKS);
  const older = written(history, 0, CELLS_A_BLOCK);
  const newer = written(history, 0, CELLS_A_BLOCK);
  t.is(readOf(history, newer), '');
  t.regex(readOf(history, older), /shows version 1, allowed: 2/);
  t.regex(readOf(history, { ...newer, version: 0 }), /shows zeroes/);
});

test('P5: bytes of another place, or with one bit wrong, are never right', (t) => {
  const history = new VolumeHistory(BLOCKS);
  const record = written(history, 0, 2 * CELLS_A_BLOCK);
  const bytes = content(history, record);
  t.regex(history.check(bytes.subarray(512, 1024), 0, history.moment())?.message ?? '', /never written there/);
  bytes[300] = (bytes[300] as number) ^ 4;
  t.regex(history.check(bytes, 0, history.moment())?.message ?? '', /never written there/);
});

test('of two writes in flight at a time either may be the last', (t) => {
  const history = new VolumeHistory(BLOCKS);
  const a = history.submit(0, 1, false);
  const b = history.submit(0, 1, false);
  history.acknowledge(b, false);
  history.acknowledge(a, false);
  t.is(readOf(history, a), '');
  t.is(readOf(history, b), '');
});

test('P5: a block never shows parts of two writes of the whole of it', (t) => {
  const history = new VolumeHistory(BLOCKS);
  const a = history.submit(0, CELLS_A_BLOCK, false);
  const b = history.submit(0, CELLS_A_BLOCK, false);
  const mixed = Buffer.concat([content(history, a).subarray(0, 2048), content(history, b).subarray(2048)]);
  t.regex(history.check(new Uint8Array(mixed), 0, history.moment())?.message ?? '', /torn/);
});

test('P1 and P2: a killed process loses nothing acknowledged, a power failure nothing flushed', (t) => {
  const history = new VolumeHistory(BLOCKS);
  const flushed = written(history, 0, 1);
  history.flushed(history.moment());
  const after = written(history, 0, 1);
  history.processCrash();
  t.is(readOf(history, after), '');
  t.not(readOf(history, flushed), '');
  history.powerFailure();
  t.is(readOf(history, after), '');
  t.is(readOf(history, flushed), '');
  t.not(readOf(history, { ...flushed, version: 0 }), '');
});

test('a flush covers what was acknowledged before it was asked for, FUA covers itself', (t) => {
  const history = new VolumeHistory(BLOCKS);
  const asked = history.moment();
  const late = written(history, 0, 1);
  history.flushed(asked);
  const fua = history.submit(1, 1, false);
  history.acknowledge(fua, true);
  const own = history.submit(2, 1, false);
  history.powerFailure();
  t.is(readOf(history, late), '', 'FUA covers what was acknowledged before it was asked for');
  t.not(readOf(history, { ...late, version: 0 }), '');
  t.not(readOf(history, { ...fua, version: 0 }), '');
  t.is(readOf(history, { ...own, version: 0 }), '');
});

test('what a crash left is so from then on', (t) => {
  const history = new VolumeHistory(BLOCKS);
  const lost = written(history, 0, 1);
  history.powerFailure();
  history.settle(0, 0);
  t.not(readOf(history, lost), '');
});

test('a write that is there, asked for after the acknowledgement of one that is gone, is seen', (t) => {
  const history = new VolumeHistory(BLOCKS);
  const gone = written(history, 0, 1);
  const there = written(history, 1, 1);
  history.powerFailure();
  t.true(history.firstMissing(0, 0) < history.settle(1, there.version));
  t.is(history.firstMissing(0, gone.version), Number.POSITIVE_INFINITY);
});

test('P7: an image that is looked at while the volume is restored is held to the end against the volume that it is of', (t) => {
  /** What is said of an image without `gone` in block 0 and with `there` in block 1, when the volume is restored to it after block 0 was looked at. */
  const lookedAt = (write: (history: VolumeHistory) => { readonly gone: WriteRecord; readonly there: WriteRecord }): string => {
    const history = new VolumeHistory(BLOCKS);
    const { there } = write(history);
    history.powerFailure();
    const order = new ImageOrder(history, 0);
    const early = order.take(new Uint8Array(4096), 0);
    history.restored([...new Array<number>(CELLS_A_BLOCK).fill(0), ...new Array<number>(CELLS_A_BLOCK).fill(there.version)]);
    return (early ?? order.take(content(history, there), 1) ?? order.end())?.message ?? '';
  };
  const durably = (history: VolumeHistory, block: number): WriteRecord => {
    const record = history.submit(block * CELLS_A_BLOCK, CELLS_A_BLOCK, false);
    history.acknowledge(record, true);
    return record;
  };
  t.is(
    lookedAt((history) => ({ there: durably(history, 1), gone: durably(history, 0) })),
    '',
  );
  t.regex(
    lookedAt((history) => ({ gone: durably(history, 0), there: durably(history, 1) })),
    /holds a write without one/,
  );
});

test('P7: what was not restored is in no image of the volume from then on', (t) => {
  const history = new VolumeHistory(BLOCKS);
  const record = written(history, 0, CELLS_A_BLOCK);
  history.powerFailure();
  history.restored(new Array<number>(history.cells).fill(0));
  t.regex(new ImageOrder(history, 0).take(content(history, record), 0)?.message ?? '', /never written there/);
});

test('cells may begin and end at any byte: each shows its version, and any wrong byte is seen', (t) => {
  const grid = new CellGrid([0, 9, 17, 512, 1027, 2053, 4001, 4088, 4096]);
  for (const version of [0, 1, 70_000]) {
    const bytes = grid.content(6, 12, version);
    t.is(bytes.length, grid.bytesOf(6, 12));
    t.deepEqual([...grid.shown(bytes, 6)], new Array<number>(12).fill(version));
    for (let at = 0; at < bytes.length; at += 7) {
      bytes[at] = (bytes[at] as number) ^ 0x10;
      t.false(
        [...grid.shown(bytes, 6)].every((shown) => shown === version),
        `byte ${at} of version ${version}`,
      );
      bytes[at] = (bytes[at] as number) ^ 0x10;
    }
  }
});

test('requests of simulated clients begin and end at sectors in some runs, at any byte and shorter than a sector in others', (t) => {
  const seen = { sector: 0, odd: 0, short: 0 };
  for (let seed = 0; seed < 40; seed++) {
    const { cuts, mix } = generateScenario(seed);
    const grid = new CellGrid(cuts);
    const requests = new GeneratedRequests(seed, mix, 64, 2);
    for (let i = 0; i < 50; i++) {
      const { kind, cell, cells } = requests.next(0, 0);
      if (kind === 'flush') continue;
      const offset = grid.offsetOf(cell);
      const length = grid.bytesOf(cell, cells);
      t.true(length >= 8 && offset + length <= 64 * 4096);
      if (offset % 4096 !== 0 && offset % 512 === 0) seen.sector++;
      if (offset % 2 === 1 || length % 2 === 1) seen.odd++;
      if (length < 512) seen.short++;
    }
  }
  t.true(seen.sector > 0 && seen.odd > 0 && seen.short > 0, JSON.stringify(seen));
});
