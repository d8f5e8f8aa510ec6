import { readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import test from 'ava';
import { systemClock } from '../../src/base/clock.js';
import { GIB, KIB, MIB, type Bytes } from '../../src/base/units.js';
import type { Settings } from '../../src/config/settings.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import { planArray } from '../../src/engine/array-plan.js';
import { assembleArray } from '../../src/engine/assemble.js';
import { createArray, planNewArray } from '../../src/engine/create.js';
import { fitRing } from '../../src/engine/ring-size.js';
import { scratchFolder } from '../device/scratch-files.js';
import { SILENT, settingsOf } from './array-fixture.js';

/** Six members of one size, the ring on them and left to be fitted, no backup. */
function fitted(folder: string, memberBytes: Bytes | null, change: Partial<Settings> = {}): Settings {
  const settings = settingsOf(folder, { journalMembers: 0, backup: false });
  return {
    ...settings,
    stripe: { ...settings.stripe, memberBytes, chunkBytes: 64 * KIB },
    journal: { ...settings.journal, ringBytes: null, segmentBytes: null },
    memory: { slabBytes: 256 * MIB },
    ...change,
  };
}

const plan = (memberBytes: Bytes) => planArray(fitted('/nowhere', memberBytes), { stripe: Array(6).fill(null), journal: [] }, 1);

test('a ring that is left out takes an eighth of the stripe members, at least 8 segments and at most 1 GiB; the rest is volume', (t) => {
  for (const [memberBytes, ringBytes, segmentBytes, volumeShareMin] of [
    [16 * MIB, 8 * MIB, MIB, 0.08],
    [64 * MIB, 8 * MIB, MIB, 0.5],
    [128 * MIB, 16 * MIB, MIB, 0.54],
    [512 * MIB, 64 * MIB, 4 * MIB, 0.57],
    [GIB, 128 * MIB, 8 * MIB, 0.57],
    [8 * GIB, GIB, 8 * MIB, 0.58],
    [1024 * GIB, GIB, 8 * MIB, 0.66],
  ] as const) {
    const { volumeShare, ...rest } = plan(memberBytes);
    t.like(rest, { ringBytes, segmentBytes, ringFitted: true }, `members of ${memberBytes} bytes`);
    t.true(volumeShare >= volumeShareMin, `members of ${memberBytes / MIB} MiB: a volume of ${volumeShare}`);
  }
});

test('what is configured of a ring is kept, and what is left out of it is fitted to that', (t) => {
  t.deepEqual(fitRing({ ringBytes: 48 * MIB, segmentBytes: null }, GIB), { ringBytes: 48 * MIB, segmentBytes: 2 * MIB });
  t.deepEqual(fitRing({ ringBytes: 17 * MIB, segmentBytes: null }, GIB), { ringBytes: 17 * MIB, segmentBytes: MIB });
  t.deepEqual(fitRing({ ringBytes: null, segmentBytes: 32 * MIB }, GIB), { ringBytes: GIB, segmentBytes: 32 * MIB });
  t.deepEqual(fitRing({ ringBytes: null, segmentBytes: 3 * MIB }, 100 * MIB), { ringBytes: 99 * MIB, segmentBytes: 3 * MIB });
});

test('on journal members of its own a ring that is left out is as large as the smallest of them holds, up to 1 GiB', (t) => {
  const settings = fitted('/nowhere', 256 * MIB);
  const own = { ...settings, journal: { ...settings.journal, members: ['/nowhere/j0', '/nowhere/j1'] } };
  const sizes = (...journal: (number | null)[]) => planArray(own, { stripe: Array(6).fill(null), journal }, 1);
  t.is(sizes(null, null).ringBytes, GIB);
  t.is(sizes(null, 64 * GIB).ringBytes, GIB);
  const small = sizes(64 * MIB, null);
  t.true(small.ringBytes > 56 * MIB && small.ringBytes < 64 * MIB, `${small.ringBytes}`);
  t.throws(() => sizes(8 * MIB, null), { code: 'MEMBER_SIZE', message: /too small for the journal/ });
});

test('the zones of a plan are the whole member, and what is created has just these sizes', async (t) => {
  const folder = scratchFolder(t);
  const settings = fitted(folder, 64 * MIB);
  const before = await planNewArray({ settings, provider: createDeviceProvider });
  t.deepEqual(readdirSync(folder), [], 'a plan makes no files');
  for (const { bytes, zones } of before.members) {
    t.is(
      Object.values(zones).reduce((sum, zone) => sum + zone, 0),
      bytes,
    );
    t.true(Object.values(zones).every((zone) => zone >= 0));
  }
  const { plan: made } = await createArray({ settings, force: false, clock: systemClock, provider: createDeviceProvider });
  t.deepEqual(made, before);
  t.deepEqual(await planNewArray({ settings, provider: createDeviceProvider }), before, 'of members that exist it is the same');
  for (const { path, bytes } of made.members) t.is(statSync(path).size, bytes);

  const options = { clock: systemClock, log: SILENT, provider: createDeviceProvider };
  const engine = await assembleArray({ ...options, settings });
  t.like(engine.state.shape, { ringBytes: made.ringBytes, segmentBytes: made.segmentBytes, stripes: made.stripes });
  t.is(engine.volumeBytes, made.volumeBytes);
  await engine.stop();
  const wrong = { ...settings, journal: { ...settings.journal, ringBytes: made.ringBytes * 2 } };
  await t.throwsAsync(assembleArray({ ...options, settings: wrong }), { code: 'CONFIG_MISMATCH', message: /journal\.size/ });
});

test('a restored array has a ring that fits beside its volume, however that was made', (t) => {
  const settings = fitted('/nowhere', 64 * MIB);
  const explicit = { ...settings, journal: { ...settings.journal, ringBytes: 8 * MIB, segmentBytes: MIB } };
  const sizes = { stripe: Array(6).fill(null), journal: [] };
  const { volumeBytes } = planArray(explicit, sizes, 1);
  // With an eighth of 512 MiB for the ring a volume of nearly all of it would not fit.
  const large = { ...settings, stripe: { ...settings.stripe, memberBytes: 512 * MIB } };
  const most = planArray({ ...explicit, stripe: large.stripe }, sizes, 1).volumeBytes;
  t.is(planArray(settings, sizes, 1, volumeBytes).volumeBytes, volumeBytes);
  const restored = planArray(large, sizes, 1, most);
  t.is(restored.volumeBytes, most);
  t.true(restored.ringBytes >= 8 * MIB && restored.ringBytes < 64 * MIB);
  t.throws(() => planArray(settings, sizes, 1, most), { code: 'MEMBER_SIZE', message: /too small/ });
});

test('members that no server could hold the checksums of are refused before anything is made', async (t) => {
  const folder = scratchFolder(t);
  const settings = fitted(folder, null);
  for (const path of settings.stripe.members) {
    writeFileSync(path, '');
    truncateSync(path, 15 * 1024 * GIB);
  }
  const host = { limitBytes: 8 * GIB, limitedBy: 'all of its memory', availableBytes: 4 * GIB };
  const options = { settings, force: false, clock: systemClock, provider: createDeviceProvider };
  await t.throwsAsync(createArray({ ...options, memory: host }), { code: 'MEMORY_TOO_SMALL' });
  for (const path of settings.stripe.members) t.is(statSync(path).blocks, 0, 'nothing was written');
  t.throws(() => plan(17 * 1024 * GIB), { code: 'MEMBER_SIZE', message: /too large/ });
});
