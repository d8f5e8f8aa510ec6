import { fileURLToPath } from 'node:url';
import test from 'ava';
import { MIB } from '../../src/base/units.js';
import { run } from './rig/command.js';

const CYCLES = 1000;
const SAMPLES = 20;
/** A worker's heap alone is several MiB: a leak of one in a hundred would show. */
const GROWTH_BYTES_MAX = 24 * MIB;

test.serial('1,000 pools started, given work and closed with it in flight: no crash, and the resident size stays flat', async (t) => {
  const script = fileURLToPath(new URL('rig/pool-cycles.js', import.meta.url));
  const printed = await run(process.execPath, ['--expose-gc', script, String(CYCLES), String(SAMPLES)], { timeout_ms: 300_000 });
  const resident = JSON.parse(printed) as number[];
  t.is(resident.length, SAMPLES);
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  // The first quarter fills caches and arenas of the allocator.
  const early = mean(resident.slice(SAMPLES / 4, SAMPLES / 2));
  const late = mean(resident.slice(-SAMPLES / 4));
  const shown = resident.map((bytes) => Math.round(bytes / MIB)).join(' ');
  t.log(`MiB: ${shown}`);
  t.true(late - early < GROWTH_BYTES_MAX, `grew from ${Math.round(early / MIB)} to ${Math.round(late / MIB)} MiB: ${shown}`);
});
