import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { Ring, SMALL, turn } from './ring-fixture.js';

function ring(members = 2): Ring {
  return new Ring({ ...SMALL, members }, seededRandom(1));
}

async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

/** Completes everything that waits on these devices. */
async function complete(r: Ring, ...positions: number[]): Promise<void> {
  for (const position of positions) while ((r.devices[position]?.waiting.length ?? 0) > 0) r.devices[position]?.complete(0);
  await turns();
}

function watch(promise: Promise<unknown>): { done: boolean } {
  const state = { done: false };
  void promise.then(() => {
    state.done = true;
  });
  return state;
}

test('P1: a write is acknowledged only when its batch is on every healthy copy', async (t) => {
  const r = ring(3);
  const copies = new Ring({ ...SMALL, members: 3, copies: 3 }, seededRandom(1));
  for (const [journal, positions] of [
    [r, [1, 2]],
    [copies, [0, 1, 2]],
  ] as const) {
    const acknowledged = watch(journal.committed(journal.write(3, 2, 1)));
    await turns();
    for (const position of positions) {
      t.false(acknowledged.done);
      t.is(journal.devices[position]?.waiting.length, 1);
      await complete(journal, position);
    }
    t.true(acknowledged.done);
  }
});

test('while one batch is written the next one gathers: ten writes meanwhile are one write to each copy', async (t) => {
  const r = ring();
  r.write(0, 1, 1);
  await turns();
  const later = Array.from({ length: 10 }, (_, i) => watch(r.committed(r.write(i, 1, 2))));
  await turns();
  t.is(r.devices[0]?.writes, 1);
  await complete(r, 0, 1);
  t.is(r.devices[0]?.writes, 2);
  t.true(later.every(({ done }) => !done));
  await complete(r, 0, 1);
  t.true(later.every(({ done }) => done));
  t.true(r.journal.idle);
});

test('batches that fill up while another is written go out as one write to each copy, and across the end of a segment as one for each', async (t) => {
  const r = ring();
  r.write(0, 1, 1);
  await turns();
  // Zeroes have no payload: a batch is one block, full of entries.
  const zeroes = (count: number): number => Array.from({ length: count }, (_, i) => r.journal.appendZero(i, 1)).at(-1) as number;
  const acknowledged = watch(r.committed(zeroes(1000)));
  const full = r.journal.table.used[1] as number;
  r.journal.close();
  const last = zeroes(300);
  const next = watch(r.committed(last));
  await turns();
  const lengths = (): (number | undefined)[] => r.devices.map(({ waiting }) => waiting[0]?.write?.bytes.length);
  const written = async (): Promise<void> => {
    for (const device of r.devices) device.complete(0);
    await turns();
  };
  await written();
  t.true(full > 4, 'several batches were sealed');
  t.deepEqual(lengths(), [(full - 2) * BLOCK_BYTES, (full - 2) * BLOCK_BYTES], 'all that waited of the segment, in one write');
  t.false(acknowledged.done);
  await written();
  t.true(acknowledged.done, 'up to the last entry of the last batch in it');
  t.deepEqual(lengths(), [BLOCK_BYTES, BLOCK_BYTES], 'what was sealed in the next segment is a write of its own');
  await written();
  t.false(next.done);
  t.deepEqual(lengths(), [BLOCK_BYTES, BLOCK_BYTES], 'and so is what gathered meanwhile');
  await written();
  t.true(next.done && r.journal.idle);
  t.deepEqual(
    r.devices.map(({ writes }) => writes),
    [4, 4],
  );
  const again = new Ring(SMALL, seededRandom(1), r.images(), 2);
  t.is((await again.recover()).lastLsn, last);
});

test('P2: a flush syncs what ended after an earlier sync had begun', async (t) => {
  const r = ring();
  r.write(0, 1, 1);
  await turns();
  await complete(r, 0, 1);
  const first = watch(r.flush());
  const lsn = r.write(1, 1, 1);
  await turns();
  // The first sync waits on both devices while the second batch is written and acknowledged.
  for (const device of r.devices) device.complete(device.waiting.findIndex(({ kind }) => kind === 'write'));
  await turns();
  t.is(r.journal.committedLsn, lsn);
  const second = watch(r.flush());
  await r.settle();
  t.true(first.done && second.done);
  t.deepEqual(
    r.devices.map(({ syncs }) => syncs),
    [2, 2],
  );
  t.is(r.journal.flushedLsn, lsn);
  for (const { cache, medium } of r.devices) t.is(Buffer.compare(cache, medium), 0);
});

test('P2: a FUA write is answered only after the fdatasync of every copy, and a flush covers all that was acknowledged before it', async (t) => {
  const r = ring();
  const plain = r.write(0, 1, 1);
  const fua = watch(r.flushed(r.write(1, 1, 1)));
  await turns();
  await complete(r, 0);
  t.false(fua.done);
  for (const device of r.devices) if (device.waiting[0]?.kind === 'write') device.complete(0);
  await turns();
  t.is(r.journal.committedLsn, plain + 1);
  await complete(r, 0);
  t.false(fua.done);
  await complete(r, 1);
  t.true(fua.done);
  t.is(await r.flush(), null);
  t.deepEqual(
    r.devices.map(({ syncs }) => syncs),
    [1, 1],
  );
});

test('P2: a failed fdatasync fails the member, is not tried again, and the flush is answered when that is recorded', async (t) => {
  const r = ring(3);
  let record = (): void => {};
  r.recording = new Promise((resolve) => {
    record = resolve;
  });
  r.write(0, 1, 1);
  await r.settle();
  const failing = r.devices[1] as (typeof r.devices)[number];
  failing.failing.sync = 1;
  const flush = r.flush();
  const state = watch(flush);
  await r.settle();
  t.deepEqual(r.failed, [{ position: 1, doing: 'journal fdatasync' }]);
  t.false(state.done);
  record();
  t.is(await flush, null);
  t.is(await r.during(r.flush()), null);
  t.is(failing.syncs, 1);
  t.is(r.devices[2]?.syncs, 1);
});

test('a write that fails on one copy is acknowledged when the failure is recorded, and the next segment gets a full set', async (t) => {
  const r = ring(3);
  let record = (): void => {};
  r.recording = new Promise((resolve) => {
    record = resolve;
  });
  (r.devices[1] as (typeof r.devices)[number]).failing.write = 1;
  const state = watch(r.committed(r.write(0, 1, 1)));
  const next = watch(r.committed(r.write(1, 1, 1)));
  await r.settle();
  t.false(state.done || next.done);
  record();
  await r.settle();
  t.true(state.done && next.done);
  t.is(r.journal.headSeq, 2);
  t.is(r.journal.table.copies[1], 0b100);
  await r.during(r.committed(r.write(2, 1, 1)));
  t.is(r.journal.table.copies[2], 0b101);
});

test('P10: nothing is acknowledged round a failed member before the others know of it', async (t) => {
  const r = ring(3);
  let fenced = (): void => {};
  const fence = new Promise<void>((resolve) => {
    fenced = resolve;
  });
  r.fencing = fence;
  r.fail(1, 'by hand');
  const state = watch(r.committed(r.write(0, 1, 1)));
  await r.settle();
  t.false(state.done);
  r.fencing = null;
  fenced();
  await r.settle();
  t.true(state.done);
});

test('a member that fails while a batch gathers leaves a closed segment and one with a full set behind', async (t) => {
  const r = ring(4);
  r.write(0, 1, 1);
  r.fail(1, 'by hand');
  r.write(1, 1, 1);
  await r.settle();
  t.is(r.journal.table.copies[1], 0b100);
  t.is(r.journal.table.copies[2], 0b1100);
  t.is(r.journal.committedLsn, 2);
});

test('an open segment that is still empty is given healthy members when one of its own fails', (t) => {
  const r = ring(3);
  t.true(r.journal.writeRoom(false) > 0);
  r.fail(1, 'by hand');
  t.is(r.journal.table.copies[1], 0b101);
});

test('without any member writes are refused, not acknowledged, and no flush ever claims them; a new member takes over', async (t) => {
  const r = ring();
  const lsn = r.write(0, 1, 1);
  await r.during(r.committed(lsn));
  for (const device of r.devices) device.dead = true;
  const flush = await r.during(r.flush());
  t.is(flush?.code, 'JOURNAL_GONE');
  t.is((await r.during(r.flush()))?.code, 'JOURNAL_GONE');
  t.is(r.journal.flushedLsn, 0);
  t.throws(() => r.journal.writeRoom(false), { code: 'JOURNAL_GONE' });
  t.is(r.journal.deadReason?.code, 'JOURNAL_GONE');
  const device = r.devices[0] as (typeof r.devices)[number];
  device.dead = false;
  (r.members[0] as (typeof r.members)[number]).state = 'online';
  r.journal.revive();
  await r.during(r.replicator.run());
  t.is(await r.during(r.flush()), null);
  t.is(r.journal.flushedLsn, lsn);
  t.is(await r.during(r.flushed(r.write(1, 1, 1))), null);
});

test('a write under way when the last member dies is answered with an error', async (t) => {
  const r = ring();
  const answer = r.committed(r.write(0, 1, 1));
  const flushed = r.flushed(1);
  for (const device of r.devices) device.dead = true;
  t.is((await r.during(answer))?.code, 'JOURNAL_GONE');
  t.is((await r.during(flushed))?.code, 'JOURNAL_GONE');
});
