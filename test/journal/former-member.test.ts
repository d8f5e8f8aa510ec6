import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { decodeBatch } from '../../src/journal/batch-format.js';
import { forgetFormerRing } from '../../src/journal/former-member.js';
import { slabRegion } from '../../src/memory/slab-region.js';
import { ARRAY_TAG, Ring, seedOf, SMALL } from './ring-fixture.js';

const PLACE = { journalOffset: BLOCK_BYTES, slots: SMALL.slots, segmentBlocks: SMALL.segmentBlocks, arrayTag: ARRAY_TAG };

/** A ring with some segments of several batches each, all flushed. */
async function filled(seed: number): Promise<Ring> {
  const ring = new Ring(SMALL, seededRandom(seed));
  for (let i = 0; i < 20; i++) {
    ring.write(i, 1, 1);
    await ring.during(ring.flush());
  }
  await ring.settle();
  return ring;
}

/** Less memory than a segment, so that pieces of it are looked at one after the other. */
function forget(ring: Ring): Promise<void> {
  const region = slabRegion(ring.slab, SMALL.buffers * SMALL.segmentBlocks * BLOCK_BYTES, 5 * BLOCK_BYTES);
  return ring.during(forgetFormerRing(ring.devices[0] as Ring['devices'][number], PLACE, region));
}

function batches(image: Uint8Array): number {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  let found = 0;
  for (let at = BLOCK_BYTES; at < image.length; at += BLOCK_BYTES)
    if (decodeBatch(view, image, at, ARRAY_TAG, SMALL.segmentBlocks) !== null) found++;
  return found;
}

test('P8: a log that began anew with a former member in it is not taken for damaged: no batch of its former life is left, the later ones of a segment included', async (t) => {
  const ring = await filled(seedOf(t));
  const { medium } = ring.devices[0] as Ring['devices'][number];
  t.true(batches(medium) > ring.journal.headSeq, 'some segment has more batches than its first');
  await forget(ring);
  const anew = new Ring(SMALL, ring.random, [Uint8Array.from(medium)], 2);
  t.is((await anew.recover()).batches, 0);
  t.is(batches(medium), 0);
});

test('what cannot be read of a former ring is written over: it may be readable one day', async (t) => {
  const ring = await filled(seedOf(t));
  const device = ring.devices[0] as Ring['devices'][number];
  device.failing.read = 1;
  await forget(ring);
  t.is(device.failing.read, 0);
  t.is(batches(device.medium), 0);
});
