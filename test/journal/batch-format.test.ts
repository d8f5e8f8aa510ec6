import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import {
  batchHasRoom,
  batchPayloadRoom,
  type BatchHeader,
  decodeBatch,
  ENTRY_WRITE,
  ENTRY_ZERO,
  entryBlock,
  entryCount,
  entryType,
  payloadCrc,
  putEntry,
  sealBatch,
} from '../../src/journal/batch-format.js';
import { seedOf } from './ring-fixture.js';

const TAG = 0xfeed_beef;
const SEGMENT_BLOCKS = 2048;

interface Entry {
  readonly type: number;
  readonly block: number;
  readonly count: number;
}

function seal(memory: Uint8Array, base: number, entries: readonly Entry[], change: Partial<BatchHeader> = {}): BatchHeader {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const payloadBlocks = entries.reduce((sum, { type, count }) => sum + (type === ENTRY_WRITE ? count : 0), 0);
  const crcs = Uint32Array.from({ length: payloadBlocks }, (_, i) => i * 2_654_435_761);
  for (const [i, { type, block, count }] of entries.entries()) putEntry(view, base, i, type, 0, block, count);
  const header = {
    arrayTag: TAG,
    epoch: 2 ** 33 + 5,
    seq: 2 ** 40 + 1,
    at: 7,
    firstLsn: 2 ** 45 + 9,
    flushedLsn: 2 ** 45 + 2,
    chain: 0xdead_beef,
    entries: entries.length,
    payloadBlocks,
    remade: null,
    ...change,
  };
  sealBatch(view, memory, base, header, crcs, 0);
  return header;
}

function decode(memory: Uint8Array, base: number, tag = TAG): ReturnType<typeof decodeBatch> {
  return decodeBatch(new DataView(memory.buffer, memory.byteOffset, memory.byteLength), memory, base, tag, SEGMENT_BLOCKS);
}

const MIXED: readonly Entry[] = [
  { type: ENTRY_WRITE, block: 2 ** 47 + 3, count: 5 },
  { type: ENTRY_ZERO, block: 12, count: 0xffff_ffff },
  { type: ENTRY_WRITE, block: 0, count: 1 },
];

test('a batch header says again what was put in, 48-bit blocks and 53-bit numbers included', (t) => {
  const memory = new Uint8Array(3 * BLOCK_BYTES).fill(0xa5);
  const header = seal(memory, BLOCK_BYTES, MIXED);
  const { crc, lastLsn, chainAfter, ...rest } = decode(memory, BLOCK_BYTES) ?? t.fail('refused');
  t.deepEqual(rest, header);
  t.is(lastLsn, header.firstLsn + 2);
  t.is(chainAfter, crc);
  t.true(crc !== 0);
  const view = new DataView(memory.buffer);
  const decoded = MIXED.map((_, i) => ({
    type: entryType(view, BLOCK_BYTES, i),
    block: entryBlock(view, BLOCK_BYTES, i),
    count: entryCount(view, BLOCK_BYTES, i),
  }));
  t.deepEqual(decoded, MIXED as Entry[]);
  for (let i = 0; i < 6; i++) t.is(payloadCrc(view, BLOCK_BYTES, 3, i), (i * 2_654_435_761) >>> 0);
  t.true(memory.subarray(0, BLOCK_BYTES).every((byte) => byte === 0xa5) && memory.subarray(2 * BLOCK_BYTES).every((byte) => byte === 0xa5));
});

test('the last header of a segment that was made again says what it stands for, and is refused when that cannot be', (t) => {
  const memory = new Uint8Array(BLOCK_BYTES);
  const { seq, firstLsn } = seal(memory, 0, MIXED);
  const end = { chainAfter: 0xfeed_f00d, lastLsn: firstLsn + 40, reachSeq: seq + 5 };
  const decoded = (remade: typeof end): ReturnType<typeof decode> => {
    seal(memory, 0, MIXED, { remade });
    return decode(memory, 0);
  };
  const found = decoded(end) ?? t.fail('refused');
  t.deepEqual(found.remade, end);
  t.is(found.lastLsn, end.lastLsn);
  t.is(found.chainAfter, end.chainAfter);
  // All before it was flushed.
  t.is(found.flushedLsn, firstLsn - 1);
  t.is(decoded({ ...end, reachSeq: seq }), null);
  t.not(decoded({ ...end, lastLsn: firstLsn + 2 }), null);
  t.is(decoded({ ...end, lastLsn: firstLsn + 1 }), null);
});

test('every flipped bit of a batch header makes it refused', (t) => {
  const memory = new Uint8Array(BLOCK_BYTES);
  seal(memory, 0, MIXED);
  const accepted: number[] = [];
  for (let bit = 0; bit < BLOCK_BYTES * 8; bit++) {
    const byte = bit >>> 3;
    memory[byte] = (memory[byte] as number) ^ (1 << (bit & 7));
    if (decode(memory, 0) !== null) accepted.push(bit);
    memory[byte] = (memory[byte] as number) ^ (1 << (bit & 7));
  }
  t.deepEqual(accepted, []);
  t.not(decode(memory, 0), null);
});

test('headers of another array, without entries, past the segment, or at odds with their entries are refused', (t) => {
  const memory = new Uint8Array(BLOCK_BYTES);
  seal(memory, 0, MIXED);
  t.is(decode(memory, 0, TAG + 1), null);
  seal(memory, 0, []);
  t.is(decode(memory, 0), null);
  seal(memory, 0, MIXED, { at: SEGMENT_BLOCKS - 6 });
  t.is(decode(memory, 0), null);
  seal(memory, 0, MIXED, { at: SEGMENT_BLOCKS - 7 });
  t.not(decode(memory, 0), null);
  seal(memory, 0, MIXED, { payloadBlocks: 5 });
  t.is(decode(memory, 0), null);
  seal(memory, 0, [{ type: 3, block: 1, count: 1 }], { payloadBlocks: 0 });
  t.is(decode(memory, 0), null);
  seal(memory, 0, [{ type: ENTRY_ZERO, block: 1, count: 0 }]);
  t.is(decode(memory, 0), null);
});

test('random blocks, also with a right start, are refused without a crash', (t) => {
  const random = seededRandom(seedOf(t));
  const memory = new Uint8Array(BLOCK_BYTES);
  for (let round = 0; round < 3000; round++) {
    if (round % 3 === 0) random.fill(memory);
    else {
      seal(memory, 0, MIXED);
      const from = random.below(BLOCK_BYTES);
      random.fill(memory.subarray(from, from + 1 + random.below(BLOCK_BYTES - from)));
    }
    t.is(decode(memory, 0), null);
  }
});

test('a header is filled to its last byte and not beyond', (t) => {
  for (let entries = 0; entries <= 250; entries++) {
    const room = batchPayloadRoom(entries, 0);
    if (room > 0) t.true(batchHasRoom(entries + 1, room));
    t.false(batchHasRoom(entries + 1, room + 1));
  }
  const count = batchPayloadRoom(0, 0);
  const memory = new Uint8Array(BLOCK_BYTES);
  seal(memory, 0, [{ type: ENTRY_WRITE, block: 1, count }]);
  t.is(decode(memory, 0)?.payloadBlocks, count);
});
