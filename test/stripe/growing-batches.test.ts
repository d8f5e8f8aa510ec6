import test from 'ava';
import { RING_OP_WORDS, RING_READ } from '../../src/native/addon-api.js';
import { loadAddon } from '../../src/native/load.js';
import { BlockOps } from '../../src/stripe/block-ops.js';
import { CrcBatch } from '../../src/stripe/crc-batch.js';

const MANY = 5000;

test('a batch of more operations than it first has room for keeps all of them in their order, and is used again', (t) => {
  const batch = new BlockOps();
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < MANY; i++) batch.addAlone(RING_READ, i % 7, i + round, i * 8192, i, i % 5);
    t.is(batch.count, MANY);
    t.true(batch.results.length >= MANY);
    for (let i = 0; i < MANY; i++) {
      const [opcode, handle, memory, offset, length, tag] = batch.ops.subarray(i * RING_OP_WORDS, i * RING_OP_WORDS + 6);
      t.deepEqual(
        [opcode, handle, memory, offset, length, tag, batch.slots[i], batch.places[i]],
        [RING_READ, i % 7, (i + round) * 4096, i * 8192, 4096, i, i, i % 5],
      );
    }
    batch.clear();
  }
});

test('checksums of more blocks than the batch first has room for are those of the blocks one by one', (t) => {
  const { crcBlocks, crcRun } = loadAddon();
  const memory = new Uint8Array(8 * 4096);
  for (let i = 0; i < memory.length; i++) memory[i] = (i * 31) ^ (i >>> 8);
  const batch = new CrcBatch(memory, { crcBlocks });
  for (let i = 0; i < MANY; i++) batch.add(MANY - 1 - i, (i % 8) * 4096, i);
  const found = new Uint32Array(MANY);
  t.is(batch.run(found), MANY);
  const one = new Uint32Array(1);
  for (let i = 0; i < MANY; i += 13) {
    crcRun(memory, (i % 8) * 4096, i, 1, one, 0);
    t.is(found[MANY - 1 - i], one[0]);
  }
  t.is(batch.run(found), 0);
});
