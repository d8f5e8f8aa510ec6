import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, KIB, MIB } from '../../src/base/units.js';
import { writeDevice } from '../../src/device/promise-io.js';
import { SegmentCheck } from '../../src/journal/segment-check.js';
import { encodeCheckpoint } from '../../src/member/checkpoint.js';
import { inspectDevice } from '../../src/member/inspect.js';
import { SUPERBLOCK_BYTES } from '../../src/member/layout.js';
import { writeNewMember } from '../../src/member/member.js';
import { recogniseEnds, SIGNATURE_HEAD_BYTES, SIGNATURE_TAIL_BYTES } from '../../src/member/signatures.js';
import { encodeSuperblock } from '../../src/member/superblock.js';
import { regionView } from '../../src/memory/slab-region.js';
import { loadAddon } from '../../src/native/load.js';
import { Ring, SMALL } from '../journal/ring-fixture.js';
import { checkpointOf, memberBench, SHAPE, superblockOf } from '../member/array-fixture.js';
import { fuzz, fuzzInTurn, mutant, verdictOf } from './mutation.js';

const { crc32c } = loadAddon();

const MAGICS = [
  '4c554b53babe',
  '58465342',
  '5f42485266535f4d',
  '53ef',
  'fc4e2ba9',
  'a92b4efc',
  '0cb1ba0000000000',
  '55aa',
  '4546492050415254',
  '8374026b',
];
const PLACES = [0, 3, 54, 82, 446, 510, 512, 1024, 1080, 4086, 4096, 32 * KIB, 64 * KIB, 64 * KIB + 64, 128 * KIB, 255 * KIB];

test('what a device holds is told in words or not at all, whatever its ends say and however small it is', (t) => {
  const random = seededRandom(3);
  const full = Buffer.alloc(SIGNATURE_TAIL_BYTES);
  random.fill(full);
  let recognised = 0;
  fuzz(t, 400, (each) => {
    const sizeBytes = [0, 512, 4096, 8192, 12_288, 128 * KIB, 300 * KIB, MIB, 2 ** 40][each.below(9)] as number;
    const headBytes = Math.min(SIGNATURE_HEAD_BYTES, sizeBytes);
    const tailBytes = Math.min(SIGNATURE_TAIL_BYTES, sizeBytes);
    const noise = each.below(3) === 0 ? full : Buffer.alloc(SIGNATURE_TAIL_BYTES);
    const head = Buffer.from(noise.subarray(0, headBytes));
    const tail = Buffer.from(noise.subarray(0, tailBytes));
    const magic = Buffer.from(MAGICS[each.below(MAGICS.length)] as string, 'hex');
    for (const end of [head, tail]) {
      const at = PLACES[each.below(PLACES.length)] as number;
      const from = end === head ? at : end.length - at;
      if (from >= 0 && from + magic.length <= end.length) (each.below(2) === 0 ? mutant(each, magic, [], true) : magic).copy(end, from);
    }
    const name = recogniseEnds({ sizeBytes, head, tail });
    if (name !== null) recognised++;
    if (name !== null && !/^[\x20-\x7e]{3,80}$/.test(name)) throw new Error(`not in words: ${name}`);
  });
  t.true(recognised > 0, 'some have to be recognised for this to test anything');
});

test('inspect says something of any device, and takes no memory for zones that the device does not have', async (t) => {
  const bench = memberBench(t);
  const superblock = superblockOf(0);
  const device = await bench.device('member', superblock.layout.totalBytes);
  const samples = [encodeSuperblock(superblock), encodeSuperblock({ ...superblock, generation: 2 })];
  const checkpoint = encodeCheckpoint(checkpointOf({ stripeBitmap: new Uint8Array(25).fill(0x5a) }), SHAPE.arrayUuid);
  const put = async (offset: number, bytes: Uint8Array): Promise<void> => {
    regionView(bench.region, 0, bytes.length).set(bytes);
    await writeDevice(device, bench.region.offset, offset, bytes.length);
  };
  const counts = { superblocks: 0, refused: 0 };
  const before = process.memoryUsage().arrayBuffers;
  await fuzzInTurn(t, 60, async (random) => {
    await writeNewMember(device, superblock, checkpointOf(), bench.region);
    for (const slot of [0, 1]) {
      const forged = Buffer.from(samples[slot] as Uint8Array);
      // Where the geometry lies, more than elsewhere.
      const from = random.below(2) === 0 ? 88 : 24;
      if (random.below(3) > 0) mutant(random, forged.subarray(from, 216), samples, true).copy(forged, from);
      if (random.below(8) > 0) forged.writeUInt32LE(crc32c(forged, 0, SUPERBLOCK_BYTES - 4, 0), SUPERBLOCK_BYTES - 4);
      for (const end of [0, device.sizeBytes - 2 * SUPERBLOCK_BYTES]) await put(end + slot * SUPERBLOCK_BYTES, forged);
      const body = mutant(random, checkpoint, samples, true);
      body.writeUInt32LE(crc32c(body, 0, 4088, 0), 4088);
      body.writeUInt32LE(crc32c(body, 4096, body.length - 4096, crc32c(body, 0, 4092, 0)), 4092);
      await put(superblock.layout.checkpointOffset[slot as 0 | 1], body);
    }
    const found = await verdictOf(() => inspectDevice(device, bench.region));
    if ('code' in found) throw new Error(`inspect itself failed: ${found.code}`);
    const { error, zones, superblock: taken, checkpoints } = found.value;
    if (taken !== null) counts.superblocks++;
    if (error !== null) counts.refused++;
    if (JSON.stringify([error, checkpoints]).includes('INTERNAL')) throw new Error(`no stable code: ${JSON.stringify(found.value)}`);
    for (const { offset, bytes } of zones)
      if (error === null && offset + bytes > device.sizeBytes) throw new Error(`a zone of ${bytes} bytes at ${offset}`);
  });
  t.true(counts.superblocks > 0 && counts.refused > 0, JSON.stringify(counts));
  t.true(process.memoryUsage().arrayBuffers - before < 256 * MIB, 'memory for what was there alone');
});

test('a block of a ring segment is good exactly when it is as it was written: payload by its checksum, a header by its own and its place', async (t) => {
  const ring = new Ring(SMALL, seededRandom(5));
  for (let i = 0; i < 4; i++) {
    ring.write(10 * i, 1 + (i % 3), i + 1);
    await ring.during(ring.committed(ring.journal.nextLsn - 1));
  }
  const slot = ring.journal.table.slotOf(1);
  const used = ring.journal.table.used[slot] as number;
  const at = ring.journal.table.memory[slot] as number;
  const whole = Buffer.from(ring.slab.view.subarray(at, at + used * BLOCK_BYTES));
  const check = new SegmentCheck(ring.journal, ring.slab);
  t.true(used >= 8);
  t.deepEqual(check.bad(slot, at), []);
  fuzz(t, 300, (random) => {
    const changed = mutant(random, whole, [whole], true);
    // A header with its checksum made to fit, of another place or segment: still not this block.
    const forges = random.below(3) === 0;
    if (forges) {
      changed.writeUInt32LE(random.below(2) === 0 ? 77 : 5, random.below(2) === 0 ? 24 : 32);
      changed.writeUInt32LE(0, 8);
      changed.writeUInt32LE(crc32c(changed, 0, BLOCK_BYTES, 0), 8);
    }
    ring.slab.view.set(changed, at);
    const differing: number[] = [];
    for (let block = 0; block < used; block++)
      if (changed.compare(whole, block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES, block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES) !== 0)
        differing.push(block);
    const bad = check.bad(slot, at);
    if (bad.join() !== differing.join()) throw new Error(`bad ${bad}, while ${differing} differ`);
  });
  ring.slab.view.set(whole, at);
  t.deepEqual(check.bad(slot, at), []);
});
