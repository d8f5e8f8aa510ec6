/** Needs root and loop devices. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import { RING_READ, RING_SYNC, RING_WRITE } from '../../src/native/addon-api.js';
import { loadAddon } from '../../src/native/load.js';
import { alignedMemory, makeFile, operations, scratchFolder } from '../native/ring-fixture.js';

const addon = loadAddon();

function loopDevice(path: string): string {
  return execFileSync('losetup', ['--find', '--show', path], { encoding: 'utf8' }).trim();
}

test('a block device has its geometry, is held by one opener only, and carries ring I/O', (t) => {
  const folder = scratchFolder();
  const device = loopDevice(makeFile(join(folder.path, 'disk'), 1 << 20));
  t.teardown(() => {
    execFileSync('losetup', ['--detach', device]);
    folder.remove();
  });
  const fd = addon.openDevice(device, true, true, false);
  const { sizeBytes, logicalBlockBytes, physicalBlockBytes, isBlockDevice } = addon.geometry(fd);
  t.true(isBlockDevice);
  t.is(sizeBytes, 1 << 20);
  t.true(logicalBlockBytes >= 512 && physicalBlockBytes >= logicalBlockBytes);
  t.throws(() => addon.openDevice(device, true, true, false), { code: 'EBUSY' });
  if (addon.ringAvailable() === '') {
    const memory = alignedMemory(12_288);
    memory.fill(0xab, 0, 4096);
    const ring = new addon.Ring(memory, 4);
    const results = new Int32Array(1);
    for (const [op, expected] of [
      [[RING_WRITE, fd, 0, (1 << 20) - 4096, 4096, 0], 4096],
      [[RING_SYNC, fd, 0, 0, 0, 0], 0],
      [[RING_READ, fd, 4096, (1 << 20) - 4096, 4096, 0], 4096],
      [[RING_READ, fd, 4096, 1 << 20, 4096, 0], -5],
      [[RING_READ, fd, 4096, (1 << 20) - 4096, 8192, 0], -5],
    ] as const) {
      ring.run(operations([op]), 1, results);
      t.is(results[0], expected, op.join());
    }
    t.true(memory.subarray(4096, 8192).every((byte) => byte === 0xab));
    ring.close();
  }
  addon.closeDevice(fd);
  addon.closeDevice(addon.openDevice(device, true, true, false));
});
