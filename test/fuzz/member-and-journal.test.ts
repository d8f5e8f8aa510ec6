import test from 'ava';
import type { Random } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import {
  BATCH_HEADER_FIXED_BYTES,
  type DecodedBatch,
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
import { decodeCheckpoint, decodeCheckpointHeader, encodeCheckpoint } from '../../src/member/checkpoint.js';
import { encodeIntegrityPage, integrityPageGeneration, IntegritySeed } from '../../src/member/integrity-page.js';
import { CHECKPOINT_HEADER_BYTES, INTEGRITY_PAGE_BYTES, SUPERBLOCK_BYTES } from '../../src/member/layout.js';
import { decodeSuperblock, encodeSuperblock } from '../../src/member/superblock.js';
import { loadAddon } from '../../src/native/load.js';
import { checkpointOf, MEMBER_UUIDS, SHAPE, superblockOf, tableOf } from '../member/array-fixture.js';
import { asText, decodeBetweenGuards, fuzz, mutant } from './mutation.js';

const { crc32c } = loadAddon();

test('superblock: no mutation is taken for a superblock; with its checksum made to fit, only one that can be written again is', (t) => {
  const samples = [0, 3, 7].map((index) => encodeSuperblock(superblockOf(index)));
  let accepted = 0;
  fuzz(t, 800, (random) => {
    const sample = samples[random.below(samples.length)] as Uint8Array;
    const bytes = mutant(random, sample, samples, true);
    const found = decodeBetweenGuards(bytes, (range) => decodeSuperblock(range));
    if ('value' in found && !samples.some((each) => bytes.equals(each))) throw new Error('a damaged superblock was taken');
    // Most of a superblock is padding: changes only where the fields are.
    const forged = Buffer.from(sample);
    mutant(random, sample.subarray(0, 300), samples, true).copy(forged);
    forged.writeUInt32LE(crc32c(forged, 0, SUPERBLOCK_BYTES - 4, 0), SUPERBLOCK_BYTES - 4);
    const again = decodeBetweenGuards(forged, (range) => decodeSuperblock(range));
    if (!('value' in again)) return;
    accepted++;
    if (asText(decodeSuperblock(encodeSuperblock(again.value))) !== asText(again.value))
      throw new Error('what was read is not what is written');
  });
  t.true(accepted > 0, 'some forgeries must come through the checks for this to test anything');
});

test('checkpoint: no mutation is taken for a checkpoint; with both checksums made to fit, only one that can be written again is', (t) => {
  const bitmap = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(0x5a);
  const members = tableOf([{ index: 1, state: 'failed' }]);
  const samples = [
    checkpointOf({ stripeBitmap: bitmap(25) }),
    checkpointOf({ stripeBitmap: bitmap(4097), members, lost: { ranges: [{ first: 9, count: 2 }], more: true }, protection: 'seeding' }),
    checkpointOf({
      stripeBitmap: bitmap(1),
      ring: { headSeq: 9, positions: 7, short: [{ seq: 8, copies: 5 }], more: false },
      cleanShutdown: true,
      tornAsWholeBelow: 5,
    }),
  ].map((checkpoint) => encodeCheckpoint(checkpoint, SHAPE.arrayUuid));
  let accepted = 0;
  fuzz(t, 600, (random) => {
    const sample = samples[random.below(samples.length)] as Uint8Array;
    const bytes = mutant(random, sample, samples);
    const slot = random.below(3) === 0 ? random.below(1_000_000) : 1_000_000;
    if (bytes.length >= CHECKPOINT_HEADER_BYTES) {
      const head = decodeBetweenGuards(bytes, (range) => decodeCheckpointHeader(range, slot));
      // The last four bytes are the checksum of the whole, which the header alone cannot know.
      const covered = CHECKPOINT_HEADER_BYTES - 4;
      if ('value' in head && !samples.some((each) => bytes.subarray(0, covered).equals(each.subarray(0, covered))))
        throw new Error('a damaged header was taken');
      const found = decodeBetweenGuards(bytes, (range) => decodeCheckpoint(range, SHAPE.arrayUuid));
      // What comes after a whole checkpoint is not its own.
      if ('value' in found && !samples.some((each) => bytes.subarray(0, each.length).equals(each)))
        throw new Error('a damaged checkpoint was taken');
    }
    const forged = Buffer.from(sample);
    mutant(random, sample.subarray(0, 1400), samples, true).copy(forged);
    forged.writeUInt32LE(crc32c(forged, 0, CHECKPOINT_HEADER_BYTES - 8, 0), CHECKPOINT_HEADER_BYTES - 8);
    // The second covers what the header says is the whole.
    const header = decodeBetweenGuards(forged, (range) => decodeCheckpointHeader(range, forged.length));
    if (!('value' in header)) return;
    const rest = header.value.totalBytes - CHECKPOINT_HEADER_BYTES;
    forged.writeUInt32LE(
      crc32c(forged, CHECKPOINT_HEADER_BYTES, rest, crc32c(forged, 0, CHECKPOINT_HEADER_BYTES - 4, 0)),
      CHECKPOINT_HEADER_BYTES - 4,
    );
    const again = decodeBetweenGuards(forged, (range) => decodeCheckpoint(range, SHAPE.arrayUuid));
    if (!('value' in again)) return;
    accepted++;
    const written = asText(decodeCheckpoint(encodeCheckpoint(again.value, SHAPE.arrayUuid), SHAPE.arrayUuid));
    if (written !== asText(again.value)) throw new Error(`read: ${asText(again.value)} written: ${written}`);
  });
  t.true(accepted > 0, 'some forgeries must come through the checks for this to test anything');
});

const TAG = 0xfeed_beef;
const SEGMENT_BLOCKS = 2048;

function sampleBatch(random: Random): Buffer {
  const memory = Buffer.alloc(BLOCK_BYTES);
  const view = new DataView(memory.buffer, memory.byteOffset, BLOCK_BYTES);
  const entries = 1 + random.below(6);
  let payloadBlocks = 0;
  for (let index = 0; index < entries; index++) {
    const writes = random.below(3) > 0;
    const count = 1 + random.below(writes ? 20 : 1000);
    if (writes) payloadBlocks += count;
    putEntry(view, 0, index, writes ? ENTRY_WRITE : ENTRY_ZERO, 0, random.below(2 ** 31), count);
  }
  const crcs = Uint32Array.from({ length: payloadBlocks }, () => random.u32());
  const header = {
    arrayTag: TAG,
    epoch: 3,
    seq: 77,
    at: random.below(20),
    firstLsn: 1000,
    flushedLsn: 900,
    chain: random.u32(),
    entries,
    payloadBlocks,
    // One in four ends a segment that was made again from the stripes.
    remade:
      random.below(4) > 0
        ? null
        : { chainAfter: random.u32(), lastLsn: 1000 + entries + random.below(300), reachSeq: 78 + random.below(40) },
  };
  sealBatch(view, memory, 0, header, crcs, 0);
  return memory;
}

interface WholeBatch extends DecodedBatch {
  readonly list: readonly number[][];
  readonly crcs: readonly number[];
}

/** Everything that recovery takes from a header, which it trusts when this is not null. */
function wholeBatch(memory: Buffer, base: number): WholeBatch | null {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const header = decodeBatch(view, memory, base, TAG, SEGMENT_BLOCKS);
  if (header === null) return null;
  return {
    ...header,
    list: Array.from({ length: header.entries }, (_, i) => [
      entryType(view, base, i),
      entryBlock(view, base, i),
      entryCount(view, base, i),
    ]),
    crcs: Array.from({ length: header.payloadBlocks }, (_, i) => payloadCrc(view, base, header.entries, i)),
  };
}

test('batch header: no mutation is taken for a header; with its checksum made to fit, only one whose every number can be', (t) => {
  let accepted = 0;
  fuzz(t, 2500, (random) => {
    const sample = sampleBatch(random);
    const others = [sampleBatch(random)];
    const bytes = mutant(random, sample, others, true);
    const found = decodeBetweenGuards(bytes, (range, memory) => wholeBatch(memory, range.byteOffset - memory.byteOffset));
    if ('value' in found && found.value !== null && !bytes.equals(sample)) throw new Error('a damaged header was taken');
    const forged = Buffer.from(sample);
    mutant(random, sample.subarray(0, BATCH_HEADER_FIXED_BYTES + 160), others, true).copy(forged);
    if (random.below(4) === 0) {
      // One entry over many blocks, all of them told alike: up to more than a header has room for.
      const count = 1 + random.below(SEGMENT_BLOCKS);
      putEntry(new DataView(forged.buffer, forged.byteOffset), 0, 0, ENTRY_WRITE, 0, 7, count);
      forged.writeUInt32LE(1, 56);
      forged.writeUInt32LE(count, 36);
    }
    forged.writeUInt32LE(0, 8);
    forged.writeUInt32LE(crc32c(forged, 0, BLOCK_BYTES, 0), 8);
    const again = decodeBetweenGuards(forged, (range, memory) => wholeBatch(memory, range.byteOffset - memory.byteOffset));
    if (!('value' in again)) throw new Error('a header is refused without a word, not by an error');
    const batch = again.value;
    if (batch === null) return;
    accepted++;
    const { epoch, seq, at, firstLsn, flushedLsn, lastLsn, remade, entries, payloadBlocks, list } = batch;
    if (lastLsn < firstLsn + entries - 1) throw new Error('a batch that ends before its last entry');
    if (remade !== null && remade.reachSeq <= seq) throw new Error('a segment that reaches no further than its start');
    for (const number of [epoch, seq, firstLsn + entries, flushedLsn, lastLsn, remade?.reachSeq ?? 0])
      if (!Number.isSafeInteger(number)) throw new Error(`a number that cannot be told from its neighbours: ${number}`);
    const covered = list.reduce((sum, [type, , count]) => sum + (type === ENTRY_WRITE ? (count as number) : 0), 0);
    if (covered !== payloadBlocks || at + 1 + payloadBlocks > SEGMENT_BLOCKS) throw new Error('a batch that leads outside its segment');
  });
  t.true(accepted > 0, 'some forgeries must come through the checks for this to test anything');
});

test('integrity page: no mutation, no other place and no other member is taken for the page', (t) => {
  const identity = { arrayUuid: SHAPE.arrayUuid, memberUuid: MEMBER_UUIDS[0] as string, index: 0 };
  const seed = new IntegritySeed(identity);
  const foreign = new IntegritySeed({ ...identity, memberUuid: MEMBER_UUIDS[1] as string });
  fuzz(t, 600, (random) => {
    const entries = Uint32Array.from({ length: 3000 }, () => random.u32());
    const page = random.below(3);
    const generation = 1 + random.below(2 ** 31);
    const sample = Buffer.alloc(INTEGRITY_PAGE_BYTES);
    encodeIntegrityPage(sample, 0, entries, page, generation, seed);
    const at = (range: Uint8Array, memory: Buffer): number => range.byteOffset - memory.byteOffset;
    const read = (bytes: Uint8Array, of: number, copy: number, by: IntegritySeed): unknown =>
      decodeBetweenGuards(bytes, (range, memory) => integrityPageGeneration(memory, at(range, memory), of, copy, by));
    const says = (verdict: unknown): number => (verdict as { value: number }).value;
    if (says(read(sample, page, generation % 2, seed)) !== generation) throw new Error('the page itself is refused');
    if (says(read(sample, page, 1 - (generation % 2), seed)) !== 0) throw new Error('taken in the other copy');
    if (says(read(sample, page + 1, generation % 2, seed)) !== 0) throw new Error('taken in another place');
    if (says(read(sample, page, generation % 2, foreign)) !== 0) throw new Error('taken for another member');
    const bytes = mutant(random, sample, [], true);
    if (!bytes.equals(sample) && says(read(bytes, page, generation % 2, seed)) !== 0) throw new Error('a damaged page was taken');
  });
  t.pass();
});
