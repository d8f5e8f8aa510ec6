import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { BlockMap } from '../../src/repository/format/block-map.js';
import { decodeHead, encodeHead, type Head } from '../../src/repository/format/head.js';
import { decodeConfig, encodeConfig } from '../../src/repository/format/repository-config.js';
import { RepositoryKey } from '../../src/repository/format/repository-key.js';
import { seal } from '../../src/repository/format/sealed-file.js';
import { decodeSegmentHeader, HEADER_BYTES } from '../../src/repository/format/segment-header.js';
import { decodeSegmentIndex, type SegmentIndex, STORED_LOST } from '../../src/repository/format/segment-index.js';
import { decodeSegmentTrailer, segmentHash, TRAILER_BYTES, TRAILER_COVERED_BYTES } from '../../src/repository/format/segment-trailer.js';
import { MemoryTarget } from '../target/memory-target.js';
import { pieces, randomChanges, repositoryOn, VARIANTS, writer } from '../repository/rig.js';
import { asText, decodeBetweenGuards, fuzz, mutant } from './mutation.js';

const CHEAP = { logN: 10, r: 1, p: 1 };
const HEAD: Head = {
  arrayUuid: '8e542c6f-5f83-4381-bef5-2cbfad015faa',
  volumeBytes: BLOCK_BYTES * 1000,
  epoch: 7,
  segment: 12,
  segmentEpoch: 6,
  segmentHash: new Uint8Array(32).fill(9),
  headLsn: 2 ** 52 - 1,
  firstSegment: 3,
  storedBytes: 12345,
  time: 1_800_000_000_000,
};

test('HEAD and configuration: no mutation is taken, whether its digest is made to fit (with a key) or not', (t) => {
  const key = RepositoryKey.generate();
  const heads = [encodeHead(HEAD, null), encodeHead({ ...HEAD, segment: 0, firstSegment: 0 }, null)];
  const keyed = encodeHead(HEAD, key);
  const config = encodeConfig('an-array', 5, key, 'secret', CHEAP);
  const open = encodeConfig('an-array', 5, null, '', CHEAP);
  fuzz(t, 800, (random) => {
    const sample = heads[random.below(2)] as Uint8Array;
    const bytes = mutant(random, sample, [...heads, config]);
    const found = decodeBetweenGuards(bytes, (range) => decodeHead('HEAD', range, null));
    if ('value' in found && !heads.some((head) => bytes.equals(head))) throw new Error('a damaged HEAD was taken');
    const withKey = mutant(random, keyed, heads);
    const underKey = decodeBetweenGuards(withKey, (range) => decodeHead('HEAD', range, key));
    if ('value' in underKey && !withKey.equals(keyed)) throw new Error('a damaged HEAD was taken');
    // Whoever can make the digest fit has no key to make the code under it fit.
    const forged = mutant(random, sample.subarray(16, -64), [], random.below(2) === 0);
    const body = Uint8Array.from(forged);
    if ('value' in decodeBetweenGuards(seal('KLSNHEAD', body, null), (range) => decodeHead('HEAD', range, key)))
      throw new Error('a HEAD without a key was taken');
    const again = decodeBetweenGuards(seal('KLSNHEAD', body, null), (range) => decodeHead('HEAD', range, null));
    if ('value' in again && asText(decodeHead('HEAD', encodeHead(again.value, null), null)) !== asText(again.value))
      throw new Error('what was read is not what is written');
    for (const file of [config, open]) {
      const changed = mutant(random, file, [config, open, ...heads]);
      // Without the passphrase, so that no scrypt is paid for.
      const verdict = decodeBetweenGuards(changed, (range) => decodeConfig(range, '').arrayUuid);
      if ('value' in verdict && !changed.equals(open)) throw new Error('a damaged configuration was taken');
      decodeBetweenGuards(
        seal('KLSNREPO', Uint8Array.from(mutant(random, file.subarray(16, -64), [config, open])), random.below(2) === 0 ? key : null),
        (range) => decodeConfig(range, ''),
      );
    }
  });
  t.pass();
});

/** Segment files as they are published, of some shapes. */
async function segmentFiles(): Promise<Buffer[]> {
  const files: Buffer[] = [];
  for (let seed = 1; seed <= 6; seed++) {
    const target = new MemoryTarget();
    const repository = repositoryOn(
      target,
      VARIANTS.find((variant) => variant.passphrase === '') ?? (VARIANTS[0] as (typeof VARIANTS)[number]),
    );
    await repository.open(writer(1));
    await repository.publish({ firstLsn: 1, lastLsn: 1, time: 0, seed: false }, pieces(randomChanges(seededRandom(seed))));
    for (const [name, file] of target.files) if (name.startsWith('segment-')) files.push(Buffer.from(file.bytes));
    await repository.close();
  }
  return files;
}

interface Parsed {
  readonly text: string;
  readonly index: SegmentIndex;
  readonly volumeBlocks: number;
  readonly indexOffset: number;
  readonly indexBytes: number;
}

/** What a reader of a repository in the clear takes from a segment file, in its order (segment-reader.ts). */
function readSegment(file: Uint8Array): Parsed {
  const tail = file.subarray(Math.max(0, file.length - TRAILER_BYTES));
  const trailer = decodeSegmentTrailer('segment', tail, file.length);
  const headerBytes = file.subarray(0, HEADER_BYTES);
  const header = decodeSegmentHeader('segment', headerBytes);
  const volumeBlocks = header.volumeBytes / BLOCK_BYTES;
  const stored = file.subarray(trailer.indexOffset, trailer.indexOffset + trailer.indexBytes);
  const index = decodeSegmentIndex('segment', stored, {
    ...trailer,
    volumeBlocks,
    frameBlocksMax: header.frameBlocksMax,
    encrypted: header.encrypted,
  });
  const hash = segmentHash(headerBytes, stored, tail);
  const fits = hash.equals(tail.subarray(TRAILER_COVERED_BYTES));
  return {
    text: asText([header, trailer, index, fits]),
    index,
    volumeBlocks,
    indexOffset: trailer.indexOffset,
    indexBytes: trailer.indexBytes,
  };
}

/** Makes the segment hash fit whatever header, index and trailer say. */
function forge(file: Buffer): void {
  const tail = file.subarray(-TRAILER_BYTES);
  const [offset, bytes] = [tail.readUInt32LE(8), tail.readUInt32LE(16)];
  segmentHash(file.subarray(0, HEADER_BYTES), file.subarray(offset, offset + bytes), tail).copy(tail, TRAILER_COVERED_BYTES);
}

test('segment file: nothing outside the file is looked at, no mutation fits its hash, and what fits leads nowhere outside the volume or the file', async (t) => {
  const files = await segmentFiles();
  t.true(files.length === 6 && files.every((file) => readSegment(file).text.endsWith('true]')));
  fuzz(t, 800, (random) => {
    const sample = files[random.below(files.length)] as Buffer;
    const indexAt = decodeSegmentTrailer('segment', sample.subarray(-TRAILER_BYTES), sample.length).indexOffset;
    // Header, index and trailer are what is parsed; the data between them are known by their checksums.
    const head = mutant(random, sample.subarray(0, HEADER_BYTES), files, true);
    const tail = mutant(random, sample.subarray(indexAt), files, random.below(2) === 0);
    const which = random.below(4);
    const file = Buffer.concat([
      which % 3 === 0 ? sample.subarray(0, HEADER_BYTES) : head,
      sample.subarray(HEADER_BYTES, indexAt),
      which % 2 === 1 ? sample.subarray(indexAt) : tail,
    ]);
    if (which === 3) {
      // A frame that says it is longer or shorter than it is: everything after it would be looked for elsewhere.
      const entries = decodeSegmentTrailer('segment', sample.subarray(-TRAILER_BYTES), sample.length).entries;
      if (entries > 0) file.writeUInt32LE(1 + random.below(BLOCK_BYTES), indexAt + random.below(entries) * 16 + 12);
    }
    const forged = random.below(2) === 0 && file.length >= HEADER_BYTES + TRAILER_BYTES;
    if (forged) forge(file);
    const found = decodeBetweenGuards(file, (range) => {
      const { index, volumeBlocks, text, indexOffset, indexBytes } = readSegment(range);
      if (indexOffset + indexBytes + TRAILER_BYTES !== range.length) throw new Error('an index outside');
      const sizeBytes = volumeBlocks * BLOCK_BYTES;
      let end = HEADER_BYTES;
      for (let i = 0; i < index.entries; i++) {
        const [first, count, offset] = [index.first[i], index.count[i], index.offset[i]] as [number, number, number];
        const stored = index.stored[i] === STORED_LOST ? 0 : (index.stored[i] as number);
        end += stored;
        if (first + count > volumeBlocks || offset + stored > indexOffset || !Number.isSafeInteger(offset))
          throw new Error('an entry outside');
      }
      if (end !== indexOffset && !text.startsWith('[{"encrypted":true'))
        throw new Error('frames that do not reach from the header to the index');
      // The map is made of any index that was taken.
      if (Number.isInteger(volumeBlocks) && sizeBytes <= 2 ** 30) new BlockMap(volumeBlocks).apply(1, index);
      return text;
    });
    if ('value' in found && found.value.endsWith('true]') && !forged && !file.equals(sample))
      throw new Error('a damaged segment fits its hash');
  });
});
