import test from 'ava';
import { GIB, KIB, MIB } from '../../src/base/units.js';
import { systemClock } from '../../src/base/clock.js';
import { createDeviceProvider } from '../../src/device/provider.js';
import { arrayStatus } from '../../src/engine/array-status.js';
import { assembleArray } from '../../src/engine/assemble.js';
import { describeNeed, memoryNeed, requireMemory, requireMemoryNow } from '../../src/engine/memory-need.js';
import { RingIndex, ringIndexBytes } from '../../src/journal/ring-index.js';
import { SegmentTable, segmentTableBytes } from '../../src/journal/segment-table.js';
import { IntegrityTable, integrityTableBytes } from '../../src/member/integrity.js';
import { computeLayout } from '../../src/member/layout.js';
import { ArrayFixture, SILENT } from './array-fixture.js';
import { MEMBER_UUIDS, SHAPE } from '../member/array-fixture.js';

/** Bytes of typed arrays that are there now and were not before. */
function taken<T>(make: () => T): number {
  const before = process.memoryUsage().arrayBuffers;
  const kept = make();
  const after = process.memoryUsage().arrayBuffers;
  return kept === undefined ? 0 : after - before;
}

test.serial('the formula is what the tables take: checksums, ring index, segment table', (t) => {
  const near = (name: string, formula: number, real: number): void => {
    t.true(Math.abs(formula - real) <= 0.01 * real + 64 * KIB, `${name}: ${formula} by the formula, ${real} in fact`);
  };
  const layout = computeLayout({ role: 'data', chunkBytes: 64 * KIB, stripes: 2 ** 18, journalBytes: 0 });
  const identity = { arrayUuid: SHAPE.arrayUuid, memberUuid: MEMBER_UUIDS[0] as string, index: 0 };
  near(
    'checksums',
    integrityTableBytes(layout.dataBytes),
    taken(() => new IntegrityTable(layout, identity)),
  );
  const places = GIB / 4096;
  near(
    'ring index',
    ringIndexBytes(places),
    taken(() => new RingIndex(places)),
  );
  // An array of references is none of typed arrays.
  near(
    'segments',
    segmentTableBytes(1024, 256) - 1024 * 8,
    taken(() => new SegmentTable(1024, 256)),
  );
});

const TIB = 1024 * GIB;
const shape = { dataMembers: 6, chunkBytes: 64 * KIB, stripes: TIB / (64 * KIB), ringBytes: GIB, segmentBytes: 8 * MIB };
const host = (limitBytes: number) => ({ limitBytes, limitedBy: 'all of its memory', availableBytes: limitBytes });

test('a TiB a member costs a GiB of memory a member, and nothing of it while nothing is written', (t) => {
  const full = memoryNeed(shape, 256 * MIB);
  const empty = memoryNeed(shape, 256 * MIB, 0);
  t.true(Math.abs(full.integrityBytes / 6 / GIB - 1) < 0.01);
  t.true(empty.totalBytes < 512 * MIB, `${empty.totalBytes}`);
  t.is(full.slabBytes + full.integrityBytes + full.ringIndexBytes + full.bitmapBytes + full.processBytes, full.totalBytes);
  t.regex(
    describeNeed(full, 6),
    /^6\.5GiB = slab 256MiB \+ checksums of 6 stripe members 6\.1GiB .* \+ ring index \d+MiB \+ bitmaps \d+MiB/,
  );
});

test('an array is refused where the host cannot hold its tables, with what would fit; what is written of it may still be served', (t) => {
  const need = memoryNeed(shape, 256 * MIB);
  t.notThrows(() => requireMemory(need, 6, host(8 * GIB)));
  const error = t.throws(() => requireMemory(need, 6, host(4 * GIB)), { code: 'MEMORY_TOO_SMALL' }) as { action?: string; found?: string };
  t.is(error.found, '4.0GiB, all of its memory');
  const advised = Number(/at most (\d+)GiB/.exec(error.action ?? '')?.[1]) * GIB;
  t.true(advised > 500 * GIB);
  t.notThrows(() => requireMemory(memoryNeed({ ...shape, stripes: advised / shape.chunkBytes }, 256 * MIB), 6, host(4 * GIB)));

  t.notThrows(() => requireMemoryNow(memoryNeed(shape, 256 * MIB, shape.stripes / 2), 6, host(4 * GIB)));
  const now = t.throws(() => requireMemoryNow(memoryNeed(shape, 3 * GIB, shape.stripes / 2), 6, host(4 * GIB)), {
    code: 'MEMORY_TOO_SMALL',
  }) as {
    action?: string;
  };
  const slab = Number(/memory\.slab to (\d+)MiB/.exec(now.action ?? '')?.[1]) * MIB;
  t.notThrows(() => requireMemoryNow(memoryNeed(shape, slab, shape.stripes / 2), 6, host(4 * GIB)));
});

test('serve refuses a slab that the host cannot hold, and says in status what will be too much once all is written', async (t) => {
  const fixture = await ArrayFixture.create(t, { dataMembers: 3, parity: 1, chunkBytes: 64 * KIB, stripes: 2 ** 20, backup: false });
  await fixture.engine.stop();
  const { settings } = fixture;
  const assemble = (limitBytes: number) =>
    assembleArray({ settings, clock: systemClock, log: SILENT, provider: createDeviceProvider, memory: host(limitBytes) });
  await t.throwsAsync(assemble(settings.memory.slabBytes), { code: 'MEMORY_TOO_SMALL' });
  const empty = memoryNeed(
    { ...shape, dataMembers: 3, stripes: 2 ** 20, ringBytes: 8 * MIB, segmentBytes: 256 * KIB },
    settings.memory.slabBytes,
    0,
  );
  const engine = await assemble(empty.totalBytes + MIB);
  const alarm = arrayStatus(engine).alarms.find(({ code }) => code === 'MEMORY_SHORT');
  t.regex(alarm?.message ?? '', /when all of the volume is written the server will take .* checksums of 3 stripe members 19\dMiB/);
  await engine.stop();
});
