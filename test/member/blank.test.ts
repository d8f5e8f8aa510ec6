import { closeSync, ftruncateSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { KIB, MIB } from '../../src/base/units.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import { firstData, lookedAt, READ_WHOLE_BYTES_MAX } from '../../src/member/blank.js';
import { computeLayout } from '../../src/member/layout.js';
import { recognise } from '../../src/member/signatures.js';
import { wipeMember } from '../../src/member/wipe.js';
import { Slab } from '../../src/memory/slab.js';
import { slabRegion } from '../../src/memory/slab-region.js';
import type { Device } from '../../src/device/device.js';
import type { SlabRegion } from '../../src/memory/slab-region.js';
import { scratchFolder } from '../device/scratch-files.js';

const LARGE_BYTES = 256 * MIB;

/** A sparse file with `text` at each of the offsets. */
function fileWith(t: ExecutionContext, bytes: number, offsets: readonly number[], text = 'x'): string {
  const path = join(scratchFolder(t), 'disk');
  const fd = openSync(path, 'w');
  ftruncateSync(fd, bytes);
  for (const offset of offsets) writeSync(fd, text, offset);
  closeSync(fd);
  return path;
}

async function on<Result>(path: string, work: (device: Device, region: SlabRegion) => Promise<Result>): Promise<Result> {
  const slab = Slab.allocate(MIB);
  const provider = createDeviceProvider(slab);
  try {
    return await work(await provider.open(path), slabRegion(slab, 0, MIB));
  } finally {
    await provider.close();
  }
}

test('a small device is blank only when every byte of it is zero', async (t) => {
  for (const offset of [0, 511, 5 * MIB + 3, READ_WHOLE_BYTES_MAX - 1]) {
    t.is(await on(fileWith(t, READ_WHOLE_BYTES_MAX, [offset]), firstData), offset);
  }
  t.is(await on(fileWith(t, READ_WHOLE_BYTES_MAX, []), firstData), null);
});

test('a large device is not blank with data at its start, middle or end, and the first of them is named', async (t) => {
  for (const offset of [0, MIB - 1, LARGE_BYTES / 2, LARGE_BYTES - MIB, LARGE_BYTES - 1]) {
    t.is(await on(fileWith(t, LARGE_BYTES, [LARGE_BYTES - 1, offset]), firstData), offset);
  }
  t.is(await on(fileWith(t, LARGE_BYTES, []), firstData), null);
});

test('a device that is full of text without any signature is not blank', async (t) => {
  const path = fileWith(t, 0, []);
  writeFileSync(path, 'the quick brown fox\n'.repeat((64 * MIB) / 20));
  t.is(await on(path, recognise), null);
  t.is(await on(path, firstData), 0);
});

test('what is looked at lies inside the device, ascending, without overlaps, and never is more than 8 MiB of a large one', (t) => {
  for (const bytes of [4096, MIB, READ_WHOLE_BYTES_MAX, READ_WHOLE_BYTES_MAX + 4096, LARGE_BYTES + 512, 20 * 2 ** 40]) {
    let end = 0;
    let sum = 0;
    for (const { offset, length } of lookedAt(bytes)) {
      t.true(offset >= end && offset % 4096 === 0 && length > 0 && length % 4096 === 0, `${bytes}: ${offset} + ${length}`);
      end = offset + length;
      sum += length;
    }
    t.true(end <= bytes && end > bytes - 4096);
    if (bytes > READ_WHOLE_BYTES_MAX) t.true(sum <= 8 * MIB);
  }
  t.deepEqual(lookedAt(100), []);
});

test('a wiped device is blank, whatever was on it, and what is not looked at stays', async (t) => {
  const layout = computeLayout({ role: 'data', chunkBytes: 64 * KIB, stripes: 64, journalBytes: 0, memberBytes: LARGE_BYTES });
  const between = 3 * MIB + 512 * KIB;
  const path = fileWith(t, LARGE_BYTES, [0, 4096, MIB, 2 * MIB, LARGE_BYTES / 2, LARGE_BYTES - 8192], 'KEELSON');
  const fd = openSync(path, 'r+');
  writeSync(fd, 'data', between);
  closeSync(fd);
  await on(path, (device, region) => wipeMember(device, [layout], region));
  t.is(await on(path, firstData), null);
  const after = readFileSync(path);
  t.is(after.indexOf('KEELSON'), -1);
  t.is(after.toString('latin1', between, between + 4), 'data');
  // A device that grew since has its last superblocks where the layout says, not at its end.
  truncateSync(path, LARGE_BYTES);
  const grown = fileWith(t, LARGE_BYTES + 64 * MIB, [LARGE_BYTES - 4096], 'KEELSON');
  await on(grown, (device, region) => wipeMember(device, [layout], region));
  t.is(readFileSync(grown).indexOf('KEELSON'), -1);
});
