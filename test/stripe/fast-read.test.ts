import test from 'ava';
import { loadAddon } from '../../src/native/load.js';
import { CRC_LOST } from '../../src/stripe/geometry.js';
import {
  planRead,
  readRunsMax,
  RUN_ALL_ZERO,
  RUN_BLOCKS,
  RUN_DEVICE_OFFSET,
  RUN_FIRST,
  RUN_HAS_DATA,
  RUN_HAS_LOST,
  RUN_MEMBER,
  RUN_SLAB_OFFSET,
  RUN_WORDS,
  runContent,
  RunVerifier,
} from '../../src/stripe/fast-read.js';
import { BLOCK, StripeBench } from './stripe-bench.js';
import { content, filled } from './stripe-content.js';

test('every extent is covered by runs that lie where the geometry says, each in one chunk', async (t) => {
  const bench = await filled(3, 2, 4, 4);
  const { volumeBlocks } = bench.geometry;
  const view = bench.slab.view;
  for (let first = 0; first < volumeBlocks; first++) {
    for (let count = 1; count <= volumeBlocks - first; count += 1 + (count % 5)) {
      const out = new Float64Array(readRunsMax(bench.geometry, count) * RUN_WORDS);
      const slabOffset = bench.scratchBytes;
      const runs = planRead(bench.geometry, bench.context.dataOffset, first, count, slabOffset, out);
      let next = first;
      for (let r = 0; r < runs; r++) {
        const run = out.subarray(r * RUN_WORDS);
        const bytes = (run[RUN_BLOCKS] as number) * BLOCK;
        const device = bench.io.devices[run[RUN_MEMBER] as number] as Uint8Array;
        const offset = run[RUN_DEVICE_OFFSET] as number;
        view.set(device.subarray(offset, offset + bytes), run[RUN_SLAB_OFFSET] as number);
        t.is(run[RUN_FIRST], next);
        next += run[RUN_BLOCKS] as number;
      }
      t.is(next, first + count);
      for (let block = first; block < next; block++) {
        const at = slabOffset + (block - first) * BLOCK;
        if (Buffer.compare(view.subarray(at, at + BLOCK), bench.model[block] as Uint8Array) !== 0)
          t.fail(`block ${block} of ${first}+${count}`);
      }
    }
  }
});

test('a landed run is verified block by block: wrong and lost blocks are named, unwritten ones become zeroes', (t) => {
  const bench = new StripeBench({ k: 2, m: 1, rows: 8, stripes: 2 });
  const verifier = new RunVerifier(bench.geometry, bench.slab.view, loadAddon());
  const first = bench.blockOf(1, 1, 2);
  const table = bench.tables[bench.geometry.memberOf(1, 1)] as Uint32Array;
  const base = bench.geometry.memberBlock(1, 2);
  for (let i = 0; i < 5; i++) {
    bench.page(10 + i).set(content());
    table[base + i] = bench.crc(10 + i, first + i);
  }
  const bad = new Float64Array(10);
  t.is(verifier.verifyRun(table, first, 5, 10 * BLOCK, bad, 3), 0);
  t.is(runContent(bench.geometry, table, first, 5), RUN_HAS_DATA);
  const flipped = bench.page(11);
  flipped[77] = (flipped[77] as number) ^ 1;
  table[base + 3] = CRC_LOST;
  table[base + 4] = 0;
  t.is(verifier.verifyRun(table, first, 5, 10 * BLOCK, bad, 3), 2);
  t.deepEqual([...bad.subarray(3, 5)], [first + 1, first + 3]);
  t.true(bench.page(14).every((byte) => byte === 0));
  t.is(runContent(bench.geometry, table, first, 5), RUN_HAS_LOST);
  t.is(runContent(bench.geometry, table, first + 4, 1), RUN_ALL_ZERO);
});
