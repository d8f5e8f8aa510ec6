import test from 'ava';
import type { KeelsonError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { recoverJournal } from '../../src/journal/recovery.js';
import { loadAddon } from '../../src/native/load.js';
import { ARRAY_TAG, contentOf, Ring, type RingShape, SMALL } from './ring-fixture.js';

function ring(images: (Uint8Array | null)[] = [], epoch = 1, shape: RingShape = SMALL): Ring {
  return new Ring(shape, seededRandom(3), images, epoch);
}

/** One batch of one block. */
async function batch(r: Ring, block: number, version = 1): Promise<number> {
  const lsn = r.write(block, 1, version);
  await r.during(r.committed(lsn));
  return lsn;
}

function flip(image: Uint8Array, at: number): void {
  image[at] = (image[at] as number) ^ 1;
}

async function content(r: Ring, block: number): Promise<Uint8Array | null> {
  return r.read(r.journal.index.lookup(block));
}

test('segments that were closed before they were full, with flushes after them, are no damage', async (t) => {
  const r = ring();
  for (let i = 0; i < 5; i++) {
    await batch(r, i);
    r.journal.close();
    await r.during(r.flush());
  }
  const again = ring(r.images(), 2);
  const report = await again.recover();
  t.is(report.lastLsn, 5);
  t.is(report.segments, 5);
  t.deepEqual(report.incomplete, []);
  for (let i = 0; i < 5; i++) t.deepEqual(await content(again, i), contentOf(i, 1));
});

test('a torn batch is dropped once and for all: later writes and flushes do not turn it into damage', async (t) => {
  const r = ring();
  await batch(r, 1);
  await batch(r, 2);
  const images = r.images();
  for (const image of images) flip(image, r.offsetOf(1, 3) + 9);
  const second = ring(images, 2);
  t.is((await second.recover()).lastLsn, 1);
  await batch(second, 3);
  await second.during(second.flush());
  await batch(second, 4);
  second.journal.close();
  await batch(second, 5);
  await second.during(second.flush());
  const after = second.images();
  // The torn payload is whole again: it is of no chain any more.
  for (const image of after) flip(image, r.offsetOf(1, 3) + 9);
  const third = ring(after, 3);
  const report = await third.recover();
  t.is(report.lastLsn, 4);
  t.is(third.journal.index.lookup(2), -1);
  for (const block of [1, 3, 4, 5]) t.deepEqual(await content(third, block), contentOf(block, 1));
});

test('batches after a gap are forgotten: a later life of as many writes does not run into them', async (t) => {
  const r = ring();
  await batch(r, 1);
  for (const block of [2, 3, 4]) {
    r.journal.close();
    await batch(r, block);
  }
  const images = r.images();
  // Segment 2 is lost to a power failure; 3 and 4 are there.
  for (const image of images) image.fill(0, r.offsetOf(2, 0), r.offsetOf(2, 2));
  const second = ring(images, 2);
  t.is((await second.recover()).lastLsn, 1);
  await batch(second, 7);
  await batch(second, 8);
  second.journal.close();
  await second.settle();
  second.removeClosed();
  // The tail is at segment 3 now, LSN 4 comes next: just what the old segment 3 or 4 might say.
  for (const [tailSeq, tailLsn] of [
    [3, 3],
    [3, 2],
  ] as const) {
    const third = ring(second.images(), 3);
    const report = await third.recover({ tailSeq, destagedSeq: 3, drainedSeq: 3, knownLsn: tailLsn, tailLsn });
    t.is(report.segments, 0);
    t.is(third.journal.nextLsn, tailLsn + 1);
  }
});

test('a member that was away does not bring back batches that the others never had', async (t) => {
  const r = ring();
  await batch(r, 1);
  const without = r.images();
  await batch(r, 2);
  const withBatch = r.images();
  // Member 0 is lost while only member 1 stays; it goes on in a new segment, and then the old device is among the members again.
  const second = ring([null, without[1] as Uint8Array], 2);
  await second.recover();
  await batch(second, 3);
  const third = ring([withBatch[0] as Uint8Array, second.images()[1] as Uint8Array], 3);
  const report = await third.recover();
  t.is(report.lastLsn, 2);
  t.is(third.journal.index.lookup(2), -1);
  t.deepEqual(await content(third, 3), contentOf(3, 1));
});

test('a damaged header of a flushed batch on all copies is refused, on one copy it is not', async (t) => {
  for (const last of [false, true]) {
    const r = ring();
    for (let i = 1; i <= 3; i++) await batch(r, i);
    await r.during(r.flush());
    await batch(r, 4);
    if (!last) for (let i = 5; i <= 9; i++) await batch(r, i);
    const one = r.images();
    flip(one[1] as Uint8Array, r.offsetOf(1, 2) + 24);
    const lucky = ring(one, 2);
    t.is((await lucky.recover()).lastLsn, last ? 4 : 9);
    t.deepEqual(await content(lucky, 2), contentOf(2, 1));
    flip(one[0] as Uint8Array, r.offsetOf(1, 2) + 99);
    await t.throwsAsync(ring(one, 2).recover(), { code: 'JOURNAL_DAMAGED' });
  }
});

test('a flushed batch whose proof lies deep in the next segment is refused as damage, not dropped', async (t) => {
  const r = ring();
  await batch(r, 1);
  await batch(r, 2);
  r.journal.close();
  await batch(r, 3);
  await r.during(r.flush());
  await batch(r, 4);
  const images = r.images();
  for (const image of images) flip(image, r.offsetOf(1, 2) + 50);
  await t.throwsAsync(ring(images, 2).recover(), { code: 'JOURNAL_DAMAGED' });
});

test('flushed payload damaged on one copy is served from the other; damaged on all it is an error for that block alone, until it is written again', async (t) => {
  const r = ring();
  for (let i = 1; i <= 3; i++) await batch(r, i);
  await batch(r, 3, 2);
  await r.during(r.flush());
  await batch(r, 4);
  const images = r.images();
  flip(images[0] as Uint8Array, r.offsetOf(1, 3) + 5);
  const one = ring(images, 2);
  t.deepEqual((await one.recover()).lostBlocks, []);
  t.deepEqual(await content(one, 2), contentOf(2, 1));
  t.is(one.journal.table.copies[1], 0b11);
  t.deepEqual(one.devices[0]?.medium, one.devices[1]?.medium);

  flip(images[1] as Uint8Array, r.offsetOf(1, 3) + 6);
  // The first version of block 3 is damaged too, but it was superseded.
  for (const image of images) flip(image, r.offsetOf(1, 5) + 7);
  const all = ring(images, 2);
  const report = await all.recover();
  t.deepEqual(report.lostBlocks, [2]);
  t.is(report.lastLsn, 5);
  for (const [block, version] of [
    [1, 1],
    [3, 2],
    [4, 1],
  ] as const)
    t.deepEqual(await content(all, block), contentOf(block, version));
});

test('two half copies make one whole: in memory, and on a member before anything is taken for safe', async (t) => {
  for (const buffers of [8, 4]) {
    const shape = { ...SMALL, buffers };
    const r = ring([], 1, shape);
    const lsn = r.write(0, 5, 1);
    await r.during(r.committed(lsn));
    await batch(r, 9);
    await r.during(r.flush());
    for (let i = 10; i < 14; i++) {
      r.journal.close();
      if (i === 12) {
        r.journal.setDestaged(3);
        r.journal.setDrained(1);
      }
      await batch(r, i);
    }
    const images = r.images();
    const [a, b] = images as [Uint8Array, Uint8Array];
    // Of one batch each copy has a torn block, of the next one copy has no header.
    flip(a, r.offsetOf(1, 2));
    flip(b, r.offsetOf(1, 4));
    flip(b, r.offsetOf(1, 6) + 60);
    const again = ring(images, 2, shape);
    const report = await again.recover(buffers === 8 ? {} : { destagedSeq: 3, drainedSeq: 1, knownLsn: 3, tailLsn: 0 });
    t.deepEqual(report.lostBlocks, []);
    t.deepEqual(report.incomplete, [1]);
    t.is(report.lastLsn, 6);
    for (let block = 0; block < 5; block++) t.deepEqual(await content(again, block), contentOf(block, 1));
    t.deepEqual(await content(again, 9), contentOf(9, 1));
    await again.during(again.replicator.run());
    t.is(again.journal.table.copies[1], 0b11);
    for (const { medium } of again.devices)
      t.deepEqual(medium.slice(r.offsetOf(1, 0), r.offsetOf(1, 8)), r.devices[0]?.cache.slice(r.offsetOf(1, 0), r.offsetOf(1, 8)));
  }
});

test('P8: what a crash left on one member alone is on the others, flushed, before anybody is told that this one failed', async (t) => {
  for (const shape of [SMALL, { ...SMALL, members: 3, copies: 3 }]) {
    const r = ring([], 1, shape);
    await batch(r, 1);
    await batch(r, 2);
    const images = r.images();
    // Nothing of segment 1 was acknowledged for all that the others show.
    for (const image of images.slice(1)) image.fill(0, r.offsetOf(1, 0), r.offsetOf(1, 4));
    const second = ring(images, 2, shape);
    (second.devices[0] as (typeof second.devices)[number]).failing.sync = 1;
    const report = await second.recover();
    t.deepEqual(report.incomplete, [1]);
    t.deepEqual(second.failed, [{ position: 0, doing: 'journal recovery' }]);
    t.is(second.journal.table.copies[1], shape.members === 2 ? 0b10 : 0b110);
    for (const { medium } of second.devices.slice(1)) {
      const alone = ring([null, medium, ...new Array<null>(shape.members - 2).fill(null)], 3, shape);
      t.is((await alone.recover()).lastLsn, 2);
    }
  }
});

test('a copy that is written again ends where the segment ends, whatever the member had behind it', async (t) => {
  const r = ring();
  await batch(r, 1);
  const without = r.images();
  await batch(r, 2);
  const second = ring([without[0] as Uint8Array, r.images()[1] as Uint8Array], 2);
  // Memory for one copy: what the other member has is not looked at.
  const scratch = { offset: SMALL.buffers * SMALL.segmentBlocks * BLOCK_BYTES, bytes: (2 + SMALL.segmentBlocks) * BLOCK_BYTES };
  const start = { tailSeq: 1, destagedSeq: 1, drainedSeq: 1, knownLsn: 0, tailLsn: 0, arrayTag: ARRAY_TAG, volumeBlocks: 1000 };
  t.is((await second.during(recoverJournal(second.journal, second.slab, scratch, start))).lastLsn, 1);
  t.is((await ring(second.images(), 3).recover()).lastLsn, 1);
});

test('P8: a member that does not take its copy back is failed, and another one gets it', async (t) => {
  const shape = { ...SMALL, members: 3 };
  const r = ring([], 1, shape);
  await batch(r, 1);
  const images = r.images();
  t.is(r.journal.table.copies[1], 0b110);
  images[2]?.fill(0, r.offsetOf(1, 0), r.offsetOf(1, 2));
  const second = ring(images, 2, shape);
  (second.devices[2] as (typeof second.devices)[number]).failing.write = 1;
  await second.recover();
  t.deepEqual(second.failed, [{ position: 2, doing: 'journal recovery' }]);
  t.is(second.journal.table.copies[1], 0b011);
});

test('the first header may be whole on one copy and the rest on another that has lost it', async (t) => {
  const r = ring();
  await batch(r, 1);
  await batch(r, 2);
  await r.during(r.flush());
  await batch(r, 3);
  const [a, b] = r.images() as [Uint8Array, Uint8Array];
  flip(a, r.offsetOf(1, 0) + 20);
  flip(b, r.offsetOf(1, 3));
  const again = ring([a, b], 2);
  t.is((await again.recover()).lastLsn, 3);
  for (const block of [1, 2, 3]) t.deepEqual(await content(again, block), contentOf(block, 1));
});

test('a ring that does not reach what the checkpoint knows to be destaged is refused', async (t) => {
  const r = ring();
  for (let i = 1; i <= 4; i++) {
    await batch(r, i);
    await batch(r, i + 10);
    r.journal.close();
  }
  const images = r.images();
  const whole = await ring(images, 2).recover({ destagedSeq: 5, drainedSeq: 1, knownLsn: 8 });
  t.is(whole.lastLsn, 8);
  const cut = images.map((image) => Uint8Array.from(image).fill(0, r.offsetOf(4, 0), r.offsetOf(4, 16)));
  await t.throwsAsync(ring(cut, 2).recover({ destagedSeq: 5, drainedSeq: 1, knownLsn: 8 }), { code: 'JOURNAL_DAMAGED' });
  // Only the end of the last destaged segment is gone.
  const short = images.map((image) => Uint8Array.from(image).fill(0, r.offsetOf(4, 2), r.offsetOf(4, 4)));
  await t.throwsAsync(ring(short, 2).recover({ destagedSeq: 5, drainedSeq: 1, knownLsn: 8 }), { code: 'JOURNAL_DAMAGED' });
});

test('a member that cannot be flushed at recovery is failed; when none can, nothing is taken over', async (t) => {
  const r = ring();
  await batch(r, 1);
  const again = ring(r.images(), 2);
  (again.devices[0] as (typeof again.devices)[number]).failing.sync = 1;
  t.is((await again.recover()).lastLsn, 1);
  t.is(again.failed[0]?.position, 0);
  t.is(again.journal.table.copies[1], 0b10);
  const none = ring(r.images(), 2);
  for (const device of none.devices) device.failing.sync = 1;
  await t.throwsAsync(none.recover(), { code: 'JOURNAL_DAMAGED' });
});

test('a missing member costs a copy, which is made again on the others', async (t) => {
  const shape = { ...SMALL, members: 4 };
  const r = ring([], 1, shape);
  for (let i = 0; i < 6; i++) {
    await batch(r, i);
    r.journal.close();
  }
  await r.settle();
  const images: (Uint8Array | null)[] = r.images();
  images[2] = null;
  const again = ring(images, 2, shape);
  const report = await again.recover();
  t.is(report.lastLsn, 6);
  t.true(report.incomplete.length > 0);
  await again.during(again.replicator.run());
  t.deepEqual(again.replicator.wanting(), []);
  for (let i = 0; i < 6; i++) t.deepEqual(await content(again, i), contentOf(i, 1));
});

test('zeroes and writes of one segment are replayed in their order', async (t) => {
  const r = ring();
  r.write(4, 2, 1);
  r.journal.appendZero(3, 10);
  r.write(5, 1, 2);
  await r.settle();
  const again = ring(r.images(), 2);
  await again.recover();
  t.is(again.journal.index.lookup(4), -2);
  t.deepEqual(await content(again, 5), contentOf(5, 2));
  t.deepEqual(again.journal.table.zeroes[1], r.journal.table.zeroes[1]);
  t.is(again.journal.table.used[1], r.journal.table.used[1]);
});

/** The header at block `at` of segment 1, altered, with its checksum made to fit. */
function forge(r: Ring, image: Uint8Array, at: number, alter: (header: Buffer) => void): void {
  const from = r.offsetOf(1, at);
  const header = Buffer.from(image.buffer, image.byteOffset + from, BLOCK_BYTES);
  alter(header);
  header.writeUInt32LE(0, 8);
  header.writeUInt32LE(loadAddon().crc32c(header, 0, BLOCK_BYTES, 0), 8);
}

test('a batch that leads beyond the volume, to another stream or into a later epoch is never applied, and the log does not end before it either: recovery refuses', async (t) => {
  const ways: [string, RegExp, (header: Buffer) => void][] = [
    ['a write beyond the end', /blocks 200 to 200 of a volume of 200/, (header) => header.writeUInt32LE(200, 72)],
    ['a write far beyond', /of a volume of 200/, (header) => header.writeUInt16LE(0xffff, 76)],
    ['zeroes from inside over the end', /blocks 150 to 249/, (header) => header.writeUInt32LE(100, 72 + 16 + 8)],
    ['zeroes over 2^32 blocks', /of a volume of 200/, (header) => header.writeUInt32LE(0xffff_ffff, 72 + 16 + 8)],
    ['another stream', /stream 7/, (header) => header.writeUInt32LE(7, 84)],
    ['another epoch', /epoch 3, while the newest of the members is 2/, (header) => header.writeUInt32LE(3, 16)],
  ];
  for (const [what, found, alter] of ways) {
    const r = ring();
    await batch(r, 1);
    r.write(5, 1, 1);
    const lsn = r.journal.appendZero(150, 50);
    await r.during(r.committed(lsn));
    const images = r.images();
    for (const image of images) forge(r, image, 2, alter);
    const again = ring(images, 2);
    const error = (await t.throwsAsync(again.recover({ volumeBlocks: 200 }), undefined, what)) as KeelsonError;
    t.is(error.code, 'JOURNAL_DAMAGED', what);
    t.regex(error.found ?? '', found);
    t.is(again.journal.index.lookup(5), -1, `${what}: not applied`);
    t.is(again.journal.index.lookup(150), -1, `${what}: not applied`);
    // One right copy is enough.
    const one = r.images();
    forge(r, one[1] as Uint8Array, 2, alter);
    const whole = ring(one, 2);
    t.is((await whole.recover({ volumeBlocks: 200 })).lastLsn, 3, what);
    t.deepEqual(await content(whole, 5), contentOf(5, 1));
    t.is(whole.journal.index.lookup(199), -2);
  }
});

test('random bytes in the journal zone never crash a recovery', async (t) => {
  for (let seed = 0; seed < 20; seed++) {
    const random = seededRandom(seed);
    const r = ring();
    for (let i = 0; i < 20; i++) {
      await batch(r, i);
      if (random.below(4) === 0) r.journal.close();
    }
    const images = r.images();
    for (const image of images) {
      for (let n = 0; n < 6; n++) {
        const at = BLOCK_BYTES + random.below(image.length - 2 * BLOCK_BYTES);
        random.fill(image.subarray(at, at + random.below(BLOCK_BYTES)));
      }
    }
    const again = ring(images, 2);
    await again.recover().then(
      (report) => t.true(report.lastLsn <= 20),
      (error: { code: string }) => t.is(error.code, 'JOURNAL_DAMAGED'),
    );
  }
});
