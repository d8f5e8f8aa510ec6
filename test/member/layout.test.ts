import test from 'ava';
import fc from 'fast-check';
import { BLOCK_BYTES, GIB, KIB, MIB } from '../../src/base/units.js';
import {
  computeLayout,
  INTEGRITY_ENTRIES,
  INTEGRITY_PAGE_BYTES,
  integrityCopyOffset,
  layoutProblem,
  memberBytesFor,
  stripesFor,
  superblockOffsets,
} from '../../src/member/layout.js';
import type { MemberRole } from '../../src/member/member-api.js';

const input = fc.record({
  role: fc.constantFrom<MemberRole>('data', 'journal', 'both', 'spare'),
  chunkBytes: fc.constantFrom(4 * KIB, 16 * KIB, 64 * KIB, 1 * MIB),
  stripes: fc.integer({ min: 1, max: 50_000_000 }),
  journalBytes: fc.integer({ min: 0, max: 4096 }).map((blocks) => blocks * MIB),
  spareBytes: fc.integer({ min: 0, max: 3 * MIB }),
});

test('zones never overlap, start on whole MiB, and lie between the superblocks of both ends', (t) => {
  fc.assert(
    fc.property(input, ({ spareBytes, ...shape }) => {
      const least = computeLayout(shape).totalBytes;
      const layout = computeLayout({ ...shape, memberBytes: least + spareBytes });
      t.is(layoutProblem(layout), '');
      for (const offset of [...layout.checkpointOffset, layout.integrityOffset, layout.journalOffset, layout.dataOffset])
        t.is(offset % MIB, 0);
      const zones = [
        [0, 2 * BLOCK_BYTES],
        [layout.checkpointOffset[0], layout.checkpointBytes],
        [layout.checkpointOffset[1], layout.checkpointBytes],
        [
          layout.integrityOffset,
          layout.integrityPages === 0
            ? 0
            : integrityCopyOffset(layout, layout.integrityPages - 1, 1) + INTEGRITY_PAGE_BYTES - layout.integrityOffset,
        ],
        [layout.journalOffset, layout.journalBytes],
        [layout.dataOffset, layout.dataBytes],
        [superblockOffsets(layout.totalBytes, 0)[1], 2 * BLOCK_BYTES],
      ] as const;
      let end = 0;
      for (const [offset, bytes] of zones) {
        t.true(offset >= end);
        end = offset + bytes;
      }
      t.is(end, layout.totalBytes);
      t.true(layout.totalBytes <= least + spareBytes);
      t.true(layout.integrityPages * INTEGRITY_ENTRIES * BLOCK_BYTES >= layout.dataBytes);
      t.is(layout.dataBytes, shape.role === 'journal' ? 0 : shape.stripes * shape.chunkBytes);
    }),
    { seed: 4711, numRuns: 300 },
  );
});

test('no two copies of integrity pages share a place', (t) => {
  const layout = computeLayout({ role: 'data', chunkBytes: 64 * KIB, stripes: 20_000, journalBytes: 0 });
  const seen = new Set<number>();
  for (let page = 0; page < layout.integrityPages; page++) {
    for (const copy of [0, 1]) seen.add(integrityCopyOffset(layout, page, copy));
  }
  t.is(seen.size, 2 * layout.integrityPages);
  t.true(Math.max(...seen) + INTEGRITY_PAGE_BYTES <= layout.journalOffset);
});

test('stripesFor gives the most stripes that fit, and 0 when none does', (t) => {
  for (const memberBytes of [5 * MIB, 16 * MIB, 64 * MIB + 12_345, 1 * GIB, 18_000 * GIB]) {
    for (const journalBytes of [0, 8 * MIB]) {
      const stripes = stripesFor(memberBytes, 64 * KIB, journalBytes);
      if (stripes > 0) t.true(memberBytesFor('data', 64 * KIB, stripes, journalBytes) <= memberBytes);
      t.true(memberBytesFor('data', 64 * KIB, stripes + 1, journalBytes) > memberBytes - BLOCK_BYTES);
    }
  }
  t.is(stripesFor(0, 64 * KIB, 0), 0);
  t.is(stripesFor(3 * MIB, 64 * KIB, 0), 0);
});

test('metadata take less than a hundredth of a member of ordinary size', (t) => {
  const bytes = 4000 * GIB;
  t.true(stripesFor(bytes, 64 * KIB, 0) * 64 * KIB > bytes * 0.99);
});
