import test from 'ava';
import { type Random, seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { CONFIG_NAME } from '../../src/repository/format/names.js';
import { decodeConfig, encodeConfig } from '../../src/repository/format/repository-config.js';
import { RepositoryKey, scryptCostIsSane, type SegmentCipher } from '../../src/repository/format/repository-key.js';
import { seal } from '../../src/repository/format/sealed-file.js';
import { HEADER_BYTES } from '../../src/repository/format/segment-header.js';
import { loadSegment } from '../../src/repository/segment-reader.js';
import { decodeSegmentTrailer, segmentHash, TRAILER_BYTES, TRAILER_COVERED_BYTES } from '../../src/repository/format/segment-trailer.js';
import { MemoryTarget } from '../target/memory-target.js';
import { ARRAY, memory, pieces, randomChanges, READER, repositoryOn, VARIANTS, type Variant, writer } from '../repository/rig.js';
import { decodeBetweenGuards, fuzz, fuzzInTurn, mutant, verdictOf } from './mutation.js';

const CHEAP = { logN: 10, r: 1, p: 1 };
const SEALED = VARIANTS.filter(({ passphrase }) => passphrase !== '');

interface Published {
  readonly target: MemoryTarget;
  readonly variant: Variant;
  readonly name: string;
  readonly file: Buffer;
  readonly key: RepositoryKey;
  /** What a read of the whole image gives: bytes, and which blocks have any. */
  readonly image: Buffer;
  readonly blocks: Float64Array;
}

async function publish(seed: number, variant: Variant): Promise<Published> {
  const target = new MemoryTarget();
  const repository = repositoryOn(target, variant);
  await repository.open(writer(1));
  await repository.publish({ firstLsn: 1, lastLsn: 1, time: 0, seed: false }, pieces(randomChanges(seededRandom(seed), 30)));
  const pairs = await repository.allocated(0, 10_000);
  const all: number[] = [];
  for (let i = 0; i < pairs.length; i += 2)
    for (let b = 0; b < (pairs[i + 1] as number); b++) if (all.length < 500) all.push((pairs[i] as number) + b);
  const blocks = Float64Array.from(all);
  await repository.read(blocks, 0, new Uint32Array(blocks.length));
  await repository.close();
  const name = [...target.files.keys()].find((each) => each.startsWith('segment-')) as string;
  const bytes = (each: string): Buffer => Buffer.from((target.files.get(each) as { bytes: Buffer }).bytes);
  const { key } = decodeConfig(bytes(CONFIG_NAME), variant.passphrase);
  const image = Buffer.from(memory.subarray(0, blocks.length * BLOCK_BYTES));
  return { target, variant, name, file: bytes(name), key: key as RepositoryKey, image, blocks };
}

/** One after the other: they share their memory. */
async function publishEach(seeds: readonly number[]): Promise<Published[]> {
  const all: Published[] = [];
  for (const seed of seeds) all.push(await publish(seed, SEALED[seed % SEALED.length] as Variant));
  return all;
}

/** The file with another index, trailer fields and hash to fit. */
function rebuilt(file: Buffer, index: Buffer, change: (trailer: Buffer) => void): Buffer {
  const tail = Buffer.from(file.subarray(-TRAILER_BYTES));
  const { indexOffset } = decodeSegmentTrailer('segment', tail, file.length);
  tail.writeUInt32LE(index.length, 16);
  change(tail);
  segmentHash(file.subarray(0, HEADER_BYTES), index, tail).copy(tail, TRAILER_COVERED_BYTES);
  return Buffer.concat([file.subarray(0, indexOffset), index, tail]);
}

function put({ target, name }: Published, bytes: Buffer): void {
  (target.files.get(name) as { bytes: Buffer }).bytes = bytes;
}

test.serial('an encrypted segment whose header, index or trailer was changed is refused, also when the hash over them fits', async (t) => {
  const samples = await publishEach([1, 2, 3]);
  const others = samples.map(({ file }) => file);
  await fuzzInTurn(t, 250, async (random) => {
    const sample = samples[random.below(samples.length)] as Published;
    const { indexOffset, indexBytes } = decodeSegmentTrailer('segment', sample.file.subarray(-TRAILER_BYTES), sample.file.length);
    const head =
      random.below(2) === 0 ? sample.file.subarray(0, HEADER_BYTES) : mutant(random, sample.file.subarray(0, HEADER_BYTES), others, true);
    const stored = sample.file.subarray(indexOffset, indexOffset + indexBytes);
    const index = random.below(2) === 0 ? stored : mutant(random, stored, others);
    const whole = Buffer.concat([head, sample.file.subarray(HEADER_BYTES, indexOffset), stored, sample.file.subarray(-TRAILER_BYTES)]);
    const file = rebuilt(whole, Buffer.from(index), (trailer) => {
      if (random.below(3) === 0) mutant(random, trailer.subarray(0, TRAILER_COVERED_BYTES), [], true).copy(trailer);
    });
    put(sample, file);
    const found = await verdictOf(() => loadSegment(sample.target, sample.name, sample.key));
    if ('value' in found && !file.equals(sample.file)) throw new Error('a changed segment was taken');
    if ('code' in found && found.code !== 'BACKUP_CORRUPT' && found.code !== 'BACKUP_VERSION') throw new Error(found.code);
  });
  t.pass();
});

/** An index of entries that lie, for whoever has the key: as many entries as the trailer says, or not. */
function lyingIndex(random: Random): { bytes: Buffer; entries: number; dataBlocks: number; holeBlocks: number } {
  const entries = random.below(6);
  const extremes = [0, 1, 15, 16, 64, 65, 2499, 2500, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];
  const pick = (): number => (random.below(3) === 0 ? (extremes[random.below(extremes.length)] as number) : random.below(40));
  const rows = Buffer.alloc(entries * 16);
  let dataBlocks = 0;
  let holeBlocks = 0;
  for (let i = 0; i < entries; i++) {
    const [first, high, count, stored] = [pick(), random.below(8) === 0 ? pick() : 0, pick(), random.below(2) === 0 ? 0 : pick() * 100];
    rows.writeUInt32LE(first, i * 16);
    rows.writeUInt32LE(high, i * 16 + 4);
    rows.writeUInt32LE(count, i * 16 + 8);
    rows.writeUInt32LE(stored % 2 ** 32, i * 16 + 12);
    if (stored === 0) holeBlocks += count;
    else dataBlocks += count;
  }
  const crcs = Buffer.alloc(Math.min(dataBlocks, 500) * 4);
  return { bytes: Buffer.concat([rows, crcs]), entries, dataBlocks: random.below(4) === 0 ? pick() : dataBlocks, holeBlocks };
}

test.serial(
  'an index that lies, sealed with the right key, leads nowhere outside the volume or the file, and takes memory for what was read alone',
  async (t) => {
    const sample = await publish(4, SEALED[0] as Variant);
    const cipher: SegmentCipher = sample.key.segmentCipher(sample.file.subarray(112, 144));
    let accepted = 0;
    await fuzzInTurn(t, 400, async (random) => {
      const { bytes, entries, dataBlocks, holeBlocks } = lyingIndex(random);
      const header = sample.file.subarray(0, HEADER_BYTES);
      const tail = Buffer.from(sample.file.subarray(-TRAILER_BYTES));
      // Without frames the index follows the header at once.
      tail.writeUInt32LE(HEADER_BYTES, 8);
      tail.writeUInt32LE(bytes.length + 16, 16);
      tail.writeUInt32LE(entries, 24);
      tail.writeUIntLE(dataBlocks, 32, 6);
      tail.writeUIntLE(holeBlocks, 40, 6);
      const sealed = Buffer.from(cipher.sealIndex(bytes, Buffer.concat([header, tail.subarray(0, TRAILER_COVERED_BYTES)])));
      segmentHash(header, sealed, tail).copy(tail, TRAILER_COVERED_BYTES);
      put(sample, Buffer.concat([header, sealed, tail]));
      const found = await verdictOf(() => loadSegment(sample.target, sample.name, sample.key));
      if ('code' in found) {
        if (found.code !== 'BACKUP_CORRUPT') throw new Error(found.code);
        return;
      }
      accepted++;
      const { index } = found.value;
      for (let i = 0; i < index.entries; i++)
        if ((index.first[i] as number) + (index.count[i] as number) > 2500 || (index.offset[i] as number) > HEADER_BYTES)
          throw new Error('outside');
    });
    t.true(accepted > 0, 'some have to come through for this to test anything');
  },
);

test.serial('P5: no change of encrypted or compressed frames is ever served: what was written, or an error', async (t) => {
  const samples = await publishEach([5, 6]);
  let refused = 0;
  await fuzzInTurn(t, 80, async (random) => {
    const sample = samples[random.below(samples.length)] as Published;
    const { indexOffset } = decodeSegmentTrailer('segment', sample.file.subarray(-TRAILER_BYTES), sample.file.length);
    const frames = mutant(random, sample.file.subarray(HEADER_BYTES, indexOffset), [], true);
    put(sample, Buffer.concat([sample.file.subarray(0, HEADER_BYTES), frames, sample.file.subarray(indexOffset)]));
    const repository = repositoryOn(sample.target, sample.variant);
    await repository.open(READER);
    memory.fill(0x33, 0, sample.image.length);
    const found = await verdictOf(() => repository.read(sample.blocks, 0, new Uint32Array(sample.blocks.length)));
    await repository.close();
    if ('code' in found) {
      refused++;
      if (found.code !== 'BACKUP_CORRUPT') throw new Error(found.code);
    } else if (!memory.subarray(0, sample.image.length).equals(sample.image)) throw new Error('changed bytes were served');
  });
  t.true(refused > 10, `${refused} of the changes were met`);
});

test.serial(
  'wrapped key: no change of it or of its salt opens the repository, whatever the digest says, and no cost takes more than 512 MiB',
  (t) => {
    const key = RepositoryKey.generate();
    const file = Buffer.from(encodeConfig(ARRAY, 5, key, 'secret', CHEAP));
    const body = file.subarray(16, -64);
    t.not(decodeConfig(file, 'secret').key, null);
    t.throws(() => decodeConfig(file, 'Secret'), { code: 'BACKUP_PASSPHRASE' });
    // Behind array, time, the flag and the cost.
    const saltAt = 40 + 8 + 1 + 3;
    fuzz(t, 60, (random) => {
      const changed = Buffer.concat([body.subarray(0, saltAt), mutant(random, body.subarray(saltAt), [body])]);
      const forged = seal('KLSNREPO', Uint8Array.from(changed), key);
      const found = decodeBetweenGuards(forged, (range) => decodeConfig(range, 'secret').arrayUuid);
      if ('value' in found && !changed.equals(body)) throw new Error('another key opened the repository');
    });
    const random = seededRandom(9);
    for (let i = 0; i < 20_000; i++) {
      const cost = { logN: random.below(256), r: random.below(256), p: random.below(256) };
      if (scryptCostIsSane(cost) && (128 * 2 ** cost.logN * cost.r > 2 ** 29 || cost.p > 4 || cost.r === 0)) t.fail(JSON.stringify(cost));
    }
  },
);
