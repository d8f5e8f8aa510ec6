import { closeSync, copyFileSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../src/base/clock.js';
import { KeelsonError } from '../../src/base/errors.js';
import { MIB } from '../../src/base/units.js';
import { faultyProvider } from '../../src/device/fault-device.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import { createArray } from '../../src/engine/create.js';
import { failByHand, replaceMember } from '../../src/engine/membership-change.js';
import { wipeDevice, type WipeCandidate } from '../../src/engine/wipe-device.js';
import { inspectDevice } from '../../src/member/inspect.js';
import { Slab } from '../../src/memory/slab.js';
import { slabRegion } from '../../src/memory/slab-region.js';
import { scratchFolder } from '../device/scratch-files.js';
import { ArrayFixture } from './array-fixture.js';
import { BlockModel } from './block-model.js';

const SMALL = { dataMembers: 3, parity: 1, journalMembers: 2, stripes: 8, chunkBytes: 8192, backup: false };
/** Members beyond the size that is read, and wiped, from end to end. */
const LARGE = { dataMembers: 3, parity: 1, journalMembers: 1, copies: 1, stripes: 1200, chunkBytes: 65_536, backup: false };

async function onSlab<Result>(work: (slab: Slab) => Promise<Result>): Promise<Result> {
  return await work(Slab.allocate(8 * MIB));
}

/** What was on it; null: it is blank. */
function wipe(path: string, approve: (found: WipeCandidate) => boolean = () => true): Promise<WipeCandidate | null> {
  return onSlab(async (slab) => {
    const provider = createDeviceProvider(slab);
    try {
      return await wipeDevice(provider, path, slabRegion(slab, 0, slab.bytes), async (found) => approve(found));
    } finally {
      await provider.close();
    }
  });
}

async function refused(t: ExecutionContext, work: Promise<unknown>, code: string, says: RegExp): Promise<void> {
  const error = (await t.throwsAsync(work, { instanceOf: KeelsonError, code })) as KeelsonError;
  t.is(error.exit, 3);
  t.regex(error.describe(), says);
}

function stamp(path: string, at: number, text: string | Uint8Array): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.from(text), 0, text.length, at);
  closeSync(fd);
}

for (const [size, shape] of [
  ['small', SMALL],
  ['large', LARGE],
] as const) {
  test.serial(
    `MEMBER_HOLDS_DATA says keelson wipe: then inspect finds nothing, and create takes ${size} devices without --force`,
    async (t) => {
      const fixture = await ArrayFixture.create(t, shape);
      const { volumeBlocks } = fixture.engine.state.geometry;
      const model = new BlockModel(() => fixture.engine.volume, volumeBlocks);
      for (let block = 0; block < Math.min(64, volumeBlocks); block += 4) await model.write(block, 4);
      t.true(await fixture.engine.destageLoop.drainAll());
      await fixture.engine.stop();
      const again = () =>
        createArray({ settings: fixture.settings, force: false, clock: systemClock, provider: (slab) => createDeviceProvider(slab) });
      await refused(t, again(), 'MEMBER_HOLDS_DATA', /keelson wipe DEV/);
      for (const [index, path] of fixture.paths.entries()) {
        const found = await wipe(path);
        t.like(found, { array: 'fixture', member: index, state: 'online', uuid: fixture.engine.state.shape.arrayUuid });
        t.true((found?.epoch ?? 0) >= 1);
        t.regex(found?.holds ?? '', new RegExp(`^member ${index} \\(${index < 3 ? 'data' : 'journal'}\\) of array fixture`));
        const report = await onSlab(async (slab) => {
          const provider = createDeviceProvider(slab);
          const device = await provider.open(path);
          return inspectDevice(device, slabRegion(slab, 0, slab.bytes)).finally(() => provider.close());
        });
        t.is(report.holds, null);
        t.is(report.superblock, null);
        for (const { error } of report.superblockCopies) t.is(error?.code, 'SUPERBLOCK_ABSENT');
        t.is(await wipe(path), null, 'a second time there is nothing');
      }
      await again();
      await fixture.start();
      await fixture.close();
    },
  );
}

test.serial('a device of another array is refused by replace; wiped, as the refusal says, it is taken', async (t) => {
  const other = await ArrayFixture.create(t, SMALL);
  await other.engine.stop();
  const fixture = await ArrayFixture.create(t, SMALL);
  await failByHand(fixture.engine, '1', true);
  const path = other.paths[2] as string;
  await refused(t, replaceMember(fixture.engine, '1', path), 'MEMBER_HOLDS_DATA', /Keelson member.*keelson wipe DEV/);
  await wipe(path);
  await replaceMember(fixture.engine, '1', path);
  await fixture.engine.rebuild.wait();
  t.is(fixture.engine.state.members[1]?.state, 'online');
  await fixture.close();
});

test.serial('a member of a running array is not wiped, whatever is approved', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  const path = fixture.paths[0] as string;
  await refused(t, wipe(path), 'DEVICE_BUSY', /in use.*no flag insists/);
  t.is(fixture.engine.state.members[0]?.state, 'online');
  await fixture.close();
});

test.serial('WIPE_NOT_APPROVED: what is not approved is left as it is; insisted on, it is wiped', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  await fixture.engine.stop();
  const path = fixture.paths[0] as string;
  const before = readFileSync(path);
  await refused(
    t,
    wipe(path, () => false),
    'WIPE_NOT_APPROVED',
    /insist with --force/,
  );
  t.true(before.equals(readFileSync(path)));
  t.not(await wipe(path), null);
});

test.serial('what is not ours is named and left as it is, also where a file system was made over a member', async (t) => {
  const path = join(scratchFolder(t), 'disk');
  for (const [make, says] of [
    [() => stamp(path, 1080, Uint8Array.of(0x53, 0xef)), /ext2, ext3 or ext4 file system/],
    [() => stamp(path, 5 * MIB + 17, 'x'), /unknown data, the first found at byte 5242897/],
  ] as const) {
    writeFileSync(path, '');
    truncateSync(path, 32 * MIB);
    make();
    const before = readFileSync(path);
    await refused(t, wipe(path), 'WIPE_FOREIGN', says);
    t.true(before.equals(readFileSync(path)));
  }
  const fixture = await ArrayFixture.create(t, SMALL);
  await fixture.engine.stop();
  const member = fixture.paths[0] as string;
  stamp(member, 0, 'XFSB');
  const before = readFileSync(member);
  await refused(t, wipe(member), 'WIPE_FOREIGN', /XFS file system/);
  t.true(before.equals(readFileSync(member)), 'its last superblocks are ours, and it is an XFS file system now');
});

test.serial(
  'SUPERBLOCK_MIXED: a device with superblocks of two members is wiped as its message says, and so is one with damaged ones',
  async (t) => {
    const fixture = await ArrayFixture.create(t, SMALL);
    await fixture.engine.stop();
    const [mixed, other, damaged] = fixture.paths as [string, string, string];
    stamp(mixed, 0, readFileSync(other).subarray(0, 8192));
    const bytes = fixture.settings.stripe.memberBytes as number;
    for (const at of [100, 4196, bytes - 8092, bytes - 3996]) stamp(damaged, at, 'damage');
    t.regex((await wipe(mixed))?.holds ?? '', /superblocks of different members/);
    t.regex((await wipe(damaged))?.holds ?? '', /superblock/);
    for (const path of [mixed, damaged]) t.is(await wipe(path), null);
  },
);

test.serial('what a create that was killed leaves before there is a superblock is ours, and is wiped', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  await fixture.engine.stop();
  const path = fixture.paths[0] as string;
  const bytes = fixture.settings.stripe.memberBytes as number;
  stamp(path, 0, Buffer.alloc(8192));
  stamp(path, bytes - 8192, Buffer.alloc(8192));
  const large = join(fixture.folder, 'large');
  copyFileSync(path, large);
  truncateSync(large, 80 * MIB);
  for (const each of [path, large]) {
    t.regex((await wipe(each))?.holds ?? '', /never finished/);
    t.is(await wipe(each), null);
  }
});

test.serial('a wipe that does not reach the device is no success', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  await fixture.engine.stop();
  const path = fixture.paths[0] as string;
  const work = onSlab(async (slab) => {
    const provider = faultyProvider(createDeviceProvider(slab), slab);
    provider.faults(path).fail('write');
    return wipeDevice(provider, path, slabRegion(slab, 0, slab.bytes), async () => true).finally(() => provider.close());
  });
  await t.throwsAsync(work, { code: 'DEVICE_WRITE' });
  t.not(await wipe(path), null, 'it can be done again');
});

test.serial('a device that --force took has no signature of what it held: nobody finds two', async (t) => {
  const fixture = await ArrayFixture.create(t, SMALL);
  await failByHand(fixture.engine, '1', true);
  const path = fixture.newPath();
  writeFileSync(path, '');
  truncateSync(path, 80 * MIB);
  stamp(path, 65_536 + 64, '_BHRfS_M');
  await replaceMember(fixture.engine, '1', path, { force: true });
  await fixture.engine.stop();
  t.like(await wipe(path), { member: 1 });
});
