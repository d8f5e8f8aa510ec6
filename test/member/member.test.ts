import { truncateSync } from 'node:fs';
import test from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import type { Device, DeviceProvider } from '../../src/device/device.js';
import { faultyProvider } from '../../src/device/fault-device.js';
import { readNewestCheckpoint, writeCheckpoint } from '../../src/member/checkpoint-io.js';
import { inspectDevice } from '../../src/member/inspect.js';
import { IntegrityTable } from '../../src/member/integrity.js';
import { finishRaise, makeMember, openMember, raiseEpoch, verifyEpoch, writeNewMember } from '../../src/member/member.js';
import type { Checkpoint, Member } from '../../src/member/member-api.js';
import { assessMembership } from '../../src/member/membership.js';
import { setStripeWritten } from '../../src/member/stripe-bitmap.js';
import { readSuperblock, readSuperblockCopies, writeSuperblock } from '../../src/member/superblock-io.js';
import { newUuid } from '../../src/member/uuid.js';
import { checkpointOf, type MemberBench, memberBench, SHAPE, superblockOf } from './array-fixture.js';

async function newMember(bench: MemberBench, index: number, checkpoint: Checkpoint = checkpointOf()): Promise<Member> {
  const superblock = superblockOf(index);
  const device = await bench.device(`member${index}`, superblock.layout.totalBytes);
  await writeNewMember(device, superblock, checkpoint, bench.region);
  return makeMember(device, superblock, 'online', 0);
}

test('a new member is opened with its superblock and its checkpoint', async (t) => {
  const bench = memberBench(t);
  const { device, superblock } = await newMember(bench, 2);
  await device.close();
  const found = await openMember(bench.provider, device.path, bench.region);
  t.is(found.error, null);
  t.deepEqual(found.superblock, superblock);
  t.deepEqual(found.checkpoint, checkpointOf());
});

test('P10: what is on a member is made durable before it is read: what the next epoch is built on must not fall back behind it', async (t) => {
  const bench = memberBench(t);
  const { device } = await newMember(bench, 2);
  await device.close();
  const asked: string[] = [];
  const provider: DeviceProvider = {
    ...bench.provider,
    kind: 'fs',
    close: () => Promise.resolve(),
    open: async (path, options) => {
      const opened = await bench.provider.open(path, options);
      const { read, sync } = opened;
      return Object.assign(opened, {
        read: (...args: Parameters<Device['read']>) => {
          asked.push('read');
          read.apply(opened, args);
        },
        sync: (...args: Parameters<Device['sync']>) => {
          asked.push('sync');
          sync.apply(opened, args);
        },
      });
    },
  };
  const found = await openMember(provider, device.path, bench.region);
  t.is(found.error, null);
  t.is(asked.indexOf('sync'), 0);
  t.true(asked.includes('read'));
  await found.device?.close();
});

test('a new member holds nothing in any place of what the device held before', async (t) => {
  const bench = memberBench(t);
  const before = superblockOf(2, {
    shape: { ...SHAPE, arrayUuid: newUuid(seededRandom(50)) },
    memberUuid: newUuid(seededRandom(51)),
    generation: 90,
  });
  const device = await bench.device('member', before.layout.totalBytes);
  await writeNewMember(device, before, checkpointOf({ generation: 91 }), bench.region);
  await writeNewMember(device, superblockOf(2), checkpointOf(), bench.region);
  t.deepEqual(
    (await readSuperblockCopies(device, bench.region)).map((copy) => copy.superblock?.memberUuid),
    Array.from({ length: 4 }, () => superblockOf(2).memberUuid),
  );
  t.deepEqual(await readNewestCheckpoint({ device, layout: before.layout }, SHAPE, bench.region), checkpointOf());
});

test('what is missing, empty, damaged or cut short is told in the result, not thrown', async (t) => {
  const bench = memberBench(t);
  const open = async (path: string) => openMember(bench.provider, path, bench.region);
  t.is((await open(`${bench.folder}/nothing`)).error?.code, 'DEVICE_MISSING');
  const empty = await bench.device('empty', 1 << 20);
  await empty.close();
  t.is((await open(empty.path)).error?.code, 'SUPERBLOCK_ABSENT');

  const { device, superblock } = await newMember(bench, 1);
  const far = superblockOf(1, { layout: { ...superblock.layout, totalBytes: superblock.layout.totalBytes + (1 << 20) } });
  await t.throwsAsync(writeSuperblock(device, far, bench.region), { code: 'ASSERTION' });
  truncateSync(device.path, superblock.layout.totalBytes - 4096);
  await device.close();
  t.is((await open(device.path)).error?.code, 'MEMBER_SHRUNK');
});

test('a member whose checkpoints are both damaged is still a member', async (t) => {
  const bench = memberBench(t);
  const { device, superblock } = await newMember(bench, 1);
  const { layout } = superblock;
  bench.slab.view.fill(0xee, 0, 4096);
  for (const offset of layout.checkpointOffset) await new Promise((resolve) => device.write(0, offset, 4096, resolve, 0));
  await device.close();
  const found = await openMember(bench.provider, device.path, bench.region);
  t.deepEqual(found.superblock, superblock);
  t.is(found.checkpoint, null);
  t.is(found.checkpointError?.code, 'CHECKPOINT_ABSENT');
});

test('raising the epoch reaches checkpoint and superblock of every member, and says which could not be written', async (t) => {
  const bench = memberBench(t);
  const provider = faultyProvider(bench.provider, bench.slab);
  const members: Member[] = [];
  for (const index of [0, 1, 2]) {
    const { device, superblock } = await newMember(bench, index);
    await device.close();
    members.push(makeMember(await provider.open(device.path), superblock, 'online', 0));
  }
  provider.faults((members[1] as Member).device.path).kill();
  const results = await raiseEpoch(members, checkpointOf({ epoch: 2, generation: 2 }), bench.region);
  t.deepEqual(
    results.map((error) => error?.code ?? null),
    [null, 'DEVICE_WRITE', null],
  );
  for (const index of [0, 2]) {
    const { device, superblock } = members[index] as Member;
    t.is(superblock.epoch, 2);
    t.deepEqual(await readSuperblock(device, bench.region), superblock);
    t.is((await readNewestCheckpoint({ device, layout: superblock.layout }, SHAPE, bench.region)).epoch, 2);
  }
});

test('P10: a crash at any request while the epoch is raised leaves no member stale, members that lag included', async (t) => {
  const bench = memberBench(t);
  const indices = [0, 1, 2, 3];
  for (let steps = 0; ; steps++) {
    const members: Member[] = [];
    for (const index of indices) members.push(await newMember(bench, index, checkpointOf({ epoch: 1, generation: 1 })));
    // Member 3 missed the bump before this one, which a crash interrupted.
    await raiseEpoch(members.slice(0, 3), checkpointOf({ epoch: 2, generation: 2 }), bench.region);
    const budget = { left: steps };
    const crashing = members.map((member) => ({ ...member, device: dying(member.device, budget) }));
    const results = await raiseEpoch(crashing, checkpointOf({ epoch: 3, generation: 3 }), bench.region);
    await Promise.all(members.map(({ device }) => device.close()));
    const found = [];
    for (const { device } of members) found.push(await openMember(bench.provider, device.path, bench.region));
    t.deepEqual(
      assessMembership(found).verdicts.map(({ verdict }) => verdict),
      indices.map(() => 'usable' as const),
      `after ${steps} requests`,
    );
    await Promise.all(found.map(({ device }) => device?.close()));
    if (results.every((error) => error === null)) break;
  }
});

test('P10: a crash at any request while an interrupted bump is finished and the next one made leaves no member stale', async (t) => {
  const bench = memberBench(t);
  const indices = [0, 1, 2, 3];
  const newest = checkpointOf({ epoch: 2, generation: 2 });
  for (let steps = 0; ; steps++) {
    const members: Member[] = [];
    for (const index of indices) members.push(await newMember(bench, index, checkpointOf({ epoch: 1, generation: 1 })));
    // Of the bump before this one only member 0 has the checkpoint, and none the superblock.
    const { device, superblock } = members[0] as Member;
    await writeCheckpoint([{ device, layout: superblock.layout }], newest, SHAPE.arrayUuid, bench.region);
    const budget = { left: steps };
    const crashing = members.map((member) => ({ ...member, device: dying(member.device, budget) }));
    const lagging = crashing.map((member, i) => ({ member, checkpoint: i === 0 ? newest : checkpointOf({ epoch: 1, generation: 1 }) }));
    let results = await finishRaise(lagging, newest, bench.region);
    if (results.every((error) => error === null))
      results = await raiseEpoch(crashing, checkpointOf({ epoch: 3, generation: 3 }), bench.region);
    await Promise.all(members.map(({ device: open }) => open.close()));
    const found = [];
    for (const { device: closed } of members) found.push(await openMember(bench.provider, closed.path, bench.region));
    t.deepEqual(
      assessMembership(found).verdicts.map(({ verdict }) => verdict),
      indices.map(() => 'usable' as const),
      `after ${steps} requests`,
    );
    await Promise.all(found.map(({ device: open }) => open?.close()));
    if (results.every((error) => error === null)) break;
  }
});

test('P10: a process whose member another one has taken over finds out', async (t) => {
  const bench = memberBench(t);
  const member = await newMember(bench, 0);
  await verifyEpoch(member, bench.region);
  const other = { ...member };
  await raiseEpoch([other], checkpointOf({ epoch: 2, generation: 2 }), bench.region);
  const error = await t.throwsAsync(verifyEpoch(member, bench.region), { instanceOf: KeelsonError });
  t.is(error.code, 'EPOCH_FENCED');
});

test('inspect tells superblock, zones, checkpoints and checksums of a member, and what an empty device is', async (t) => {
  const bench = memberBench(t);
  const stripeBitmap = checkpointOf().stripeBitmap.slice();
  setStripeWritten(stripeBitmap, 5);
  const { device, superblock } = await newMember(bench, 3, checkpointOf({ stripeBitmap }));
  const { layout, memberUuid } = superblock;
  const table = new IntegrityTable(layout, { arrayUuid: SHAPE.arrayUuid, memberUuid, index: 3 });
  table.entries.fill(77, 80, 90);
  table.entries[90] = 1;
  table.markStripe(5, 16);
  t.is(await table.flush(device, 1, bench.region), null);

  const seen = await inspectDevice(device, bench.region);
  t.is(seen.holds, 'Keelson member');
  t.deepEqual(seen.superblock, superblock);
  t.deepEqual(
    seen.superblockCopies.map(({ generation }) => generation),
    [0, 1, 0, 1],
  );
  t.deepEqual(seen.integrity, { pages: layout.integrityPages, lostPages: [], readErrors: 0, writtenBlocks: 10, lostBlocks: 1 });
  t.is(seen.checkpoints[1]?.checkpoint?.stripesWritten, 1);
  t.is(seen.checkpoints[0]?.error?.code, 'CHECKPOINT_ABSENT');
  t.deepEqual(
    seen.zones.map(({ offset }) => offset),
    [...layout.checkpointOffset, layout.integrityOffset, layout.journalOffset, layout.dataOffset],
  );
  t.notThrows(() => JSON.stringify(seen));

  const empty = await inspectDevice(await bench.device('empty', 1 << 20), bench.region);
  t.is(empty.holds, null);
  t.is(empty.superblock, null);
  t.is(empty.error?.code, 'SUPERBLOCK_ABSENT');
});

/** A device of a process that dies: after `left` more writes and syncs, on all of them together, everything fails. */
function dying(device: Device, budget: { left: number }): Device {
  const gone = (): boolean => {
    budget.left -= 1;
    return budget.left < 0;
  };
  return {
    path: device.path,
    sizeBytes: device.sizeBytes,
    alignBytes: device.alignBytes,
    isBlockDevice: device.isBlockDevice,
    handle: device.handle,
    inFlight: 0,
    read: device.read.bind(device),
    write: (memory, offset, length, done, tag) =>
      gone() ? queueMicrotask(() => done(-5, tag)) : device.write(memory, offset, length, done, tag),
    sync: (done, tag) => (gone() ? queueMicrotask(() => done(-5, tag)) : device.sync(done, tag)),
    close: () => device.close(),
  };
}
