import test from 'ava';
import { HEADER_BYTES } from '../../src/repository/format/segment-header.js';
import { KeelsonError } from '../../src/base/errors.js';
import type { Random } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { MemoryTarget } from '../target/memory-target.js';
import {
  applyChanges,
  memory,
  ModelImage,
  pieces,
  repositoryOn,
  seeded,
  type Variant,
  VARIANTS,
  VOLUME_BLOCKS,
  variantName,
  writer,
} from './rig.js';

/** A small repository that uses everything: two segments, raw, compressed and hole extents, metadata. No frame is superseded. */
async function small(variant: Variant, random: Random): Promise<{ target: MemoryTarget; model: ModelImage }> {
  const target = new MemoryTarget();
  const repository = repositoryOn(target, variant);
  await repository.open(writer(1));
  const noise = Buffer.alloc(BLOCK_BYTES);
  random.fill(noise);
  const dull = Buffer.alloc(5 * BLOCK_BYTES, 'dull ');
  const first = [
    { first: 14, count: 5, bytes: dull },
    { first: 100, count: 7, bytes: null },
  ];
  const second = [
    { first: 2000, count: 1, bytes: noise },
    { first: 3, count: 2, bytes: null },
  ];
  const model = new ModelImage();
  for (const [i, changes] of [first, second].entries()) {
    await repository.publish({ firstLsn: i + 1, lastLsn: i + 1, time: 0, seed: false }, pieces(changes));
    applyChanges(model, changes, i + 1, false);
  }
  await repository.putMetadata('shape', Buffer.from('a shape'));
  return { target, model };
}

/** Opens, reads everything and the metadata. Returns the error's code, or '' when all was right; throws when something wrong was served. */
async function outcome(target: MemoryTarget, variant: Variant, model: ModelImage): Promise<string> {
  try {
    const repository = repositoryOn(target, variant);
    const state = await repository.open(writer(1, false));
    const blocks = Float64Array.of(...[3, 4, 14, 15, 16, 17, 18, 100, 106, 2000, VOLUME_BLOCKS - 1]);
    await repository.read(blocks, 0, new Uint32Array(blocks.length));
    blocks.forEach((block, i) => {
      if (
        !memory.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES).equals(model.data.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES))
      ) {
        throw new Error(`block ${block} was served wrong`);
      }
    });
    const metadata = await repository.getMetadata('shape');
    if (state.headLsn !== 2 || metadata === null || Buffer.from(metadata).toString() !== 'a shape') throw new Error('served wrong');
    return '';
  } catch (error) {
    if (error instanceof KeelsonError) return error.code;
    throw error;
  }
}

for (const variant of VARIANTS) {
  test.serial(`P5: no damaged byte of any file is ever served (${variantName(variant)})`, async (t) => {
    const random = seeded(t);
    const { target, model } = await small(variant, random);
    t.is(await outcome(target, variant, model), '');
    let flips = 0;
    for (const [name, file] of target.files) {
      const whole = file.bytes;
      // Raw frames are long and all alike: every byte of the rest, and each 37th of them.
      const step = whole.length > 8192 ? 37 : 1;
      for (let at = 0; at < whole.length; at += at < 300 || at > whole.length - 700 ? 1 : step) {
        file.bytes = Buffer.from(whole);
        file.bytes[at] = (whole[at] as number) ^ (1 << random.below(8));
        const code = await outcome(target, variant, model);
        if (code !== 'BACKUP_CORRUPT') t.fail(`byte ${at} of ${name}: ${code === '' ? 'not noticed' : code}`);
        flips++;
      }
      file.bytes = whole;
    }
    t.log(`${flips} bytes`);
    t.is(await outcome(target, variant, model), '', 'and the undamaged repository is right');
  });
}

test.serial('P5: every bit of the header of a compressed frame is guarded, those that decoders pass over too', async (t) => {
  const variant = { compression: 'zstd', passphrase: '' } as const;
  const { target, model } = await small(variant, seeded(t));
  const file = [...target.files].find(([name]) => name.startsWith('segment-'))?.[1];
  if (file === undefined) return t.fail('a segment');
  const whole = file.bytes;
  for (let bit = 0; bit < 6 * 8; bit++) {
    file.bytes = Buffer.from(whole);
    const at = HEADER_BYTES + (bit >> 3);
    file.bytes[at] = (whole[at] as number) ^ (1 << (bit & 7));
    t.is(await outcome(target, variant, model), 'BACKUP_CORRUPT', `bit ${bit}`);
  }
});

test.serial('P5: a file cut at any length, or with bytes after its end, or gone, is refused', async (t) => {
  const random = seeded(t);
  const variant = { compression: 'zstd', passphrase: '' } as const;
  const { target, model } = await small(variant, random);
  for (const [name, file] of [...target.files]) {
    const whole = file.bytes;
    const step = whole.length > 2000 ? 61 : 1;
    for (let length = 0; length < whole.length; length += step) {
      file.bytes = Buffer.from(whole.subarray(0, length));
      t.is(await outcome(target, variant, model), 'BACKUP_CORRUPT', `${name} cut at ${length}`);
    }
    file.bytes = Buffer.concat([whole, Buffer.from([0])]);
    t.is(await outcome(target, variant, model), 'BACKUP_CORRUPT', `${name} with a byte more`);
    file.bytes = whole;
    // Without its lease a repository is whole: the HEAD's name tells the epoch too.
    if (name === 'lease' || name.startsWith('metadata-')) continue;
    target.files.delete(name);
    const code = await outcome(target, variant, model);
    t.is(code, 'BACKUP_CORRUPT', `${name} gone`);
    target.files.set(name, file);
  }
  t.is(await outcome(target, variant, model), '');
});

test.serial('P5: a segment of another history under the right name is refused', async (t) => {
  const random = seeded(t);
  const variant = { compression: 'zstd', passphrase: '' } as const;
  const one = await small(variant, random);
  const other = await small(variant, random);
  for (const name of ['segment-000000000001-00000001', 'segment-000000000002-00000001']) {
    const mine = one.target.files.get(name);
    const theirs = other.target.files.get(name);
    t.truthy(mine);
    t.truthy(theirs);
    if (mine === undefined || theirs === undefined || mine.bytes.equals(theirs.bytes)) continue;
    one.target.files.set(name, theirs);
    t.is(await outcome(one.target, variant, one.model), 'BACKUP_CORRUPT');
    one.target.files.set(name, mine);
  }
});
