import test from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import { chooseIo, createDeviceProvider, isDirect } from '../../src/device/provider.js';
import { Slab } from '../../src/memory/slab.js';
import { loadAddon } from '../../src/native/load.js';
import { scratchFile, scratchFolder } from './scratch-files.js';

test.serial('KEELSON_IO forces how devices are reached; without it the ring is taken where io_uring is permitted', (t) => {
  const before = process.env.KEELSON_IO;
  t.teardown(() => {
    if (before === undefined) delete process.env.KEELSON_IO;
    else process.env.KEELSON_IO = before;
  });
  process.env.KEELSON_IO = 'fs';
  t.is(chooseIo(), 'fs');
  t.is(createDeviceProvider(Slab.allocate(4096)).kind, 'fs');
  process.env.KEELSON_IO = 'ring';
  t.is(chooseIo(), 'ring');
  process.env.KEELSON_IO = 'tape';
  t.is(t.throws(() => chooseIo(), { instanceOf: KeelsonError })?.code, 'IO_KIND');
  delete process.env.KEELSON_IO;
  t.is(chooseIo(), loadAddon().ringAvailable() === '' ? 'ring' : 'fs');
});

test.serial('a device says whether it is reached directly', async (t) => {
  const provider = createDeviceProvider(Slab.allocate(4096));
  t.teardown(() => provider.close());
  const device = await provider.open(scratchFile(scratchFolder(t), 'device', 4096));
  t.is(typeof isDirect(device), 'boolean');
  t.is(provider.running, 0);
  t.is(provider.waiting, 0);
});
