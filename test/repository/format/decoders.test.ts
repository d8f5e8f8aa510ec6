import { createHash } from 'node:crypto';
import test from 'ava';
import { KeelsonError } from '../../../src/base/errors.js';
import type { Random } from '../../../src/base/random.js';
import { decodeHead, encodeHead, type Head } from '../../../src/repository/format/head.js';
import { decodeConfig, encodeConfig } from '../../../src/repository/format/repository-config.js';
import {
  headName,
  isRepositoryName,
  metadataName,
  parseHeadName,
  parseSegmentName,
  segmentName,
} from '../../../src/repository/format/names.js';
import { RepositoryKey } from '../../../src/repository/format/repository-key.js';
import { seal, unseal } from '../../../src/repository/format/sealed-file.js';
import { decodeSegmentHeader, encodeSegmentHeader, type SegmentFileHeader } from '../../../src/repository/format/segment-header.js';
import { decodeSegmentIndex, ENTRY_BYTES, SegmentIndexBuilder } from '../../../src/repository/format/segment-index.js';
import { decodeSegmentTrailer, encodeSegmentTrailer, TRAILER_BYTES } from '../../../src/repository/format/segment-trailer.js';
import { FrameCodec } from '../../../src/repository/format/frame-codec.js';
import { seeded } from '../rig.js';

const ROUNDS = 3000;
const CHEAP = { logN: 10, r: 1, p: 1 };

const head: Head = {
  arrayUuid: 'an-array',
  volumeBytes: 4096 * 1000,
  epoch: 7,
  segment: 12,
  segmentEpoch: 6,
  segmentHash: new Uint8Array(32).fill(9),
  headLsn: 2 ** 52 - 1,
  firstSegment: 3,
  storedBytes: 12345,
  time: 1_800_000_000_000,
};
const header: SegmentFileHeader = {
  encrypted: false,
  seed: true,
  frameBlocksMax: 16,
  segment: 3,
  epoch: 2,
  firstLsn: 5,
  lastLsn: 9,
  time: 1,
  volumeBytes: 4096 * 1000,
  previousEpoch: 1,
  previousLsn: 4,
  previousHash: new Uint8Array(32).fill(1),
  salt: new Uint8Array(32),
  arrayUuid: 'an-array',
};

/** What a decoder says to bytes it was not meant for: a result or a KeelsonError, nothing else. */
function judged(decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    if (!(error instanceof KeelsonError) || error.code === 'ASSERTION') throw error;
  }
}

function mutated(random: Random, bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes.subarray(0, random.below(4) === 0 ? random.below(bytes.length + 1) : bytes.length));
  for (let i = random.below(6); i > 0 && copy.length > 0; i--)
    copy[random.below(copy.length)] = random.below(3) === 0 ? 0xff : random.below(256);
  return copy;
}

test('every record is read back as it was written', (t) => {
  t.deepEqual(decodeHead('HEAD', encodeHead(head, null), null), head);
  t.deepEqual(decodeSegmentHeader('segment', encodeSegmentHeader(header)), header);
  const key = RepositoryKey.generate();
  t.deepEqual(decodeHead('HEAD', encodeHead(head, key), key), head);
  t.like(decodeConfig(encodeConfig('an-array', 5, null, '', CHEAP), ''), { arrayUuid: 'an-array', createdAt: 5, key: null });
  const config = decodeConfig(encodeConfig('an-array', 5, key, 'secret', CHEAP), 'secret');
  t.true(config.key?.authenticate(new Uint8Array(3)).equals(key.authenticate(new Uint8Array(3))));
  const trailer = { indexOffset: 300, indexBytes: 40, entries: 2, dataBlocks: 1, holeBlocks: 4, dataHash: new Uint8Array(32).fill(3) };
  t.deepEqual(decodeSegmentTrailer('segment', encodeSegmentTrailer(trailer), 340 + TRAILER_BYTES), trailer);
});

test('a HEAD of another key, or of none, is refused', (t) => {
  const key = RepositoryKey.generate();
  t.throws(() => decodeHead('HEAD', encodeHead(head, key), RepositoryKey.generate()), { code: 'BACKUP_CORRUPT' });
  t.throws(() => decodeHead('HEAD', encodeHead(head, key), null), { code: 'BACKUP_CORRUPT' });
  t.throws(() => decodeHead('HEAD', encodeHead(head, null), key), { code: 'BACKUP_CORRUPT' });
});

test('a format of another version is BACKUP_VERSION, not damage', (t) => {
  const file = encodeHead(head, null);
  file[8] = 2;
  file.set(
    createHash('sha256')
      .update(file.subarray(0, file.length - 64))
      .digest(),
    file.length - 64,
  );
  t.throws(() => decodeHead('HEAD', file, null), { code: 'BACKUP_VERSION' });
  const bytes = encodeSegmentHeader(header);
  bytes[8] = 2;
  t.throws(() => decodeSegmentHeader('segment', bytes), { code: 'BACKUP_VERSION' });
});

test('no bytes make a decoder of small files do anything but refuse, also when their digest is right', (t) => {
  const random = seeded(t);
  const key = RepositoryKey.generate();
  const bodies = [encodeHead(head, null).subarray(16, -64), encodeConfig('a', 1, key, 'secret', CHEAP).subarray(16, -64)];
  for (let round = 0; round < ROUNDS; round++) {
    judged(() => unseal('KLSNHEAD', 'HEAD', mutated(random, encodeHead(head, null))).authentic(null));
    judged(() => decodeHead('HEAD', seal('KLSNHEAD', mutated(random, bodies[0] as Uint8Array), null), null));
    // Without the passphrase, so that no scrypt is paid for.
    judged(() => decodeConfig(seal('KLSNREPO', mutated(random, bodies[1] as Uint8Array), key), ''));
  }
  t.pass();
});

test('no bytes make a decoder of segments do anything but refuse', (t) => {
  const random = seeded(t);
  const builder = new SegmentIndexBuilder();
  builder.frame(3, 2, 8192, Uint32Array.of(1, 2), 0);
  builder.hole(100, 50);
  builder.frame(200, 16, 77, new Uint32Array(16), 0);
  const index = builder.encode();
  const trailer = encodeSegmentTrailer({
    indexOffset: 256 + 8192 + 77,
    indexBytes: index.length,
    entries: 3,
    dataBlocks: 18,
    holeBlocks: 50,
    dataHash: new Uint8Array(32),
  });
  const frame = {
    entries: 3,
    dataBlocks: 18,
    holeBlocks: 50,
    indexOffset: 256 + 8192 + 77,
    volumeBlocks: 1000,
    frameBlocksMax: 16,
    encrypted: false,
  };
  t.is(decodeSegmentIndex('segment', index, frame).offset[2], 256 + 8192);
  for (let round = 0; round < ROUNDS; round++) {
    judged(() => decodeSegmentHeader('segment', mutated(random, encodeSegmentHeader(header))));
    judged(() => decodeSegmentTrailer('segment', mutated(random, trailer), random.below(20_000)));
    judged(() => decodeSegmentIndex('segment', mutated(random, index), frame));
    const entries = random.below(4);
    judged(() => decodeSegmentIndex('segment', index, { ...frame, entries, dataBlocks: (index.length - entries * ENTRY_BYTES) / 4 }));
  }
});

test('an index that leads outside the volume or the data is refused', (t) => {
  const frame = {
    entries: 1,
    dataBlocks: 2,
    holeBlocks: 0,
    indexOffset: 256 + 8192,
    volumeBlocks: 10,
    frameBlocksMax: 16,
    encrypted: false,
  };
  const indexOf = (first: number, stored: number): Uint8Array => {
    const builder = new SegmentIndexBuilder();
    builder.frame(first, 2, stored, Uint32Array.of(1, 2), 0);
    return builder.encode();
  };
  t.is(decodeSegmentIndex('segment', indexOf(8, 8192), frame).entries, 1);
  t.throws(() => decodeSegmentIndex('segment', indexOf(9, 8192), frame), { code: 'BACKUP_CORRUPT' });
  t.throws(() => decodeSegmentIndex('segment', indexOf(2 ** 52, 8192), frame), { code: 'BACKUP_CORRUPT' });
  t.throws(() => decodeSegmentIndex('segment', indexOf(8, 8191), frame), { code: 'BACKUP_CORRUPT' });
  t.throws(() => decodeSegmentIndex('segment', indexOf(8, 8192), { ...frame, frameBlocksMax: 1 }), { code: 'BACKUP_CORRUPT' });
  t.throws(() => decodeSegmentIndex('segment', indexOf(8, 8192), { ...frame, encrypted: true }), { code: 'BACKUP_CORRUPT' });
});

test('a payload that does not expand to exactly its blocks is refused', (t) => {
  const random = seeded(t);
  const codec = new FrameCodec('zstd');
  const data = Buffer.alloc(16 * 4096, 'words and words ');
  const packed = Uint8Array.from(codec.pack(data));
  t.true(packed.length < data.length);
  t.true(Buffer.from(codec.unpack(packed, 16) ?? []).equals(data));
  for (const blocks of [1, 15, 17, 64]) t.is(codec.unpack(packed, blocks), null);
  for (let round = 0; round < ROUNDS; round++) {
    const found = codec.unpack(mutated(random, packed), 16);
    t.true(found === null || found.length === data.length);
  }
  const noise = new Uint8Array(4096);
  random.fill(noise);
  t.is(codec.pack(noise), noise, 'what does not shrink is stored as it is');
});

test('names: only what was written by us is parsed, and metadata names stay inside the directory', (t) => {
  t.deepEqual(parseSegmentName(segmentName(42, 7)), { segment: 42, epoch: 7 });
  t.is(parseHeadName(headName(123456789)), 123456789);
  for (const name of [
    'segment-1-1',
    'segment-000000000001-000000001',
    'segment-000000000001-00000001x',
    'HEAD',
    'HEAD-1',
    'HEAD-000000001',
  ]) {
    t.is(parseSegmentName(name), null, name);
    t.is(parseHeadName(name), null, name);
  }
  t.true(isRepositoryName('HEAD-00000001.replaced'));
  t.true(isRepositoryName(metadataName('superblock-3')));
  t.false(isRepositoryName('holiday.jpg'));
  for (const name of ['', '.', '..', 'a/b', '../a', 'A', 'a'.repeat(65), 'a\0']) t.throws(() => metadataName(name), { code: 'ASSERTION' });
});
