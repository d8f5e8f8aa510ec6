import test from 'ava';
import { MIB } from '../../src/base/units.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import { recognise } from '../../src/member/signatures.js';
import { Slab } from '../../src/memory/slab.js';
import { slabRegion } from '../../src/memory/slab-region.js';
import { scratchFile, scratchFolder } from '../device/scratch-files.js';
import { run } from './rig/command.js';

/** mkfs.xfs refuses anything smaller than 300 MiB; the file is sparse. */
const BYTES = 304 * MIB;

const MAKERS: readonly (readonly [string, string, readonly string[]])[] = [
  ['ext2, ext3 or ext4 file system', 'mkfs.ext4', ['-q', '-F']],
  ['XFS file system', 'mkfs.xfs', ['-q', '-f']],
  ['Btrfs file system', 'mkfs.btrfs', ['-q', '-f']],
  ['swap space', 'mkswap', []],
];

for (const [name, command, flags] of MAKERS) {
  test.serial(`what ${command} makes is recognised as: ${name}`, async (t) => {
    const slab = Slab.allocate(MIB);
    const provider = createDeviceProvider(slab);
    t.teardown(() => provider.close());
    const path = scratchFile(scratchFolder(t), 'device', BYTES);
    await run(command, [...flags, path]);
    const device = await provider.open(path);
    t.is(await recognise(device, slabRegion(slab, 0, MIB)), name);
  });
}
