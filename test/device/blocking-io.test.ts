import { truncateSync } from 'node:fs';
import { constants } from 'node:os';
import test, { type ExecutionContext } from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import { openDevice } from '../../src/device/open-device.js';
import { createBlockingIo, type IoKind } from '../../src/device/provider.js';
import { Slab } from '../../src/memory/slab.js';
import { RING_OP_WORDS, RING_READ, RING_SYNC, RING_WRITE } from '../../src/native/addon-api.js';
import { loadAddon } from '../../src/native/load.js';
import { scratchFile, scratchFolder } from './scratch-files.js';

const BYTES = 16 * MIB;

function bench(t: ExecutionContext, kind: IoKind) {
  const slab = Slab.allocate(BYTES);
  const io = createBlockingIo(slab.view, kind);
  const path = scratchFile(scratchFolder(t), 'device', BYTES);
  const { handle } = openDevice(path);
  t.teardown(() => {
    io.close();
    loadAddon().closeDevice(handle);
  });
  return { slab, io, path, handle };
}

const kinds: IoKind[] = loadAddon().ringAvailable() === '' ? ['ring', 'fs'] : ['fs'];
for (const kind of kinds) {
  test(`${kind}: a batch of any size is done when run returns, each operation with its own result`, (t) => {
    const { slab, io, handle } = bench(t, kind);
    const count = 2000;
    seededRandom(3).fill(slab.view.subarray(0, count * BLOCK_BYTES));
    const wanted = Buffer.from(slab.view.subarray(0, count * BLOCK_BYTES));
    const ops = new Float64Array((count + 1) * RING_OP_WORDS);
    for (let i = 0; i < count; i++)
      ops.set([RING_WRITE, handle, i * BLOCK_BYTES, (count - 1 - i) * BLOCK_BYTES, BLOCK_BYTES, 0], i * RING_OP_WORDS);
    ops.set([RING_SYNC, handle, 0, 0, 0, 0], count * RING_OP_WORDS);
    const results = new Int32Array(count + 1);
    io.run(ops, count + 1, results);
    t.true(results.subarray(0, count).every((result) => result === BLOCK_BYTES));
    t.is(results[count], 0);
    slab.view.fill(0);
    ops.set([RING_READ, handle, 0, 0, count * BLOCK_BYTES, 0]);
    io.run(ops, 1, results);
    t.is(results[0], count * BLOCK_BYTES);
    for (let i = 0; i < count; i++) {
      const block = slab.view.subarray((count - 1 - i) * BLOCK_BYTES, (count - i) * BLOCK_BYTES);
      if (!block.equals(wanted.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES))) t.fail(`block ${i}`);
    }
  });

  test(`${kind}: one operation that fails leaves the others of its batch alone`, (t) => {
    const { io, path, handle } = bench(t, kind);
    truncateSync(path, 4 * BLOCK_BYTES);
    const ops = new Float64Array(3 * RING_OP_WORDS);
    ops.set([RING_READ, handle, 0, 0, BLOCK_BYTES, 0], 0);
    ops.set([RING_READ, handle, BLOCK_BYTES, 2 * BLOCK_BYTES, 4 * BLOCK_BYTES, 0], RING_OP_WORDS);
    ops.set([RING_WRITE, 999_999, 0, 0, BLOCK_BYTES, 0], 2 * RING_OP_WORDS);
    const results = new Int32Array(3);
    io.run(ops, 3, results);
    t.deepEqual([...results], [BLOCK_BYTES, -constants.errno.EIO, -constants.errno.EBADF]);
  });
}
