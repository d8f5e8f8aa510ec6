import { fileURLToPath } from 'node:url';
import test from 'ava';
import { MIB } from '../../src/base/units.js';
import { run } from './rig/command.js';

const CYCLES = 1000;
const SAMPLES = 40;
/** Over the second half of the cycles. 1 KiB a cycle in the heap, or hanging on it, is as much. */
const SCRIPT_GROWTH_BYTES_MAX = 512 * 1024;
/** What is resident moves by an MiB or so by itself; 6 KiB a cycle is as much as this. */
const RESIDENT_GROWTH_BYTES_MAX = 3 * MIB;

test.serial('1,000 pools started, given work and closed with it in flight: no crash, and the memory held stays flat', async (t) => {
  const script = fileURLToPath(new URL('rig/pool-cycles.js', import.meta.url));
  const printed = await run(process.execPath, ['--expose-gc', script, String(CYCLES), String(SAMPLES)], {
    // Half a minute where nothing else runs: past this it hangs.
    timeout_ms: 840_000,
    // Each thread has an arena of its own otherwise, and what they keep hides a leak.
    env: { ...process.env, MALLOC_ARENA_MAX: '1' },
  });
  const held = JSON.parse(printed) as { readonly resident: number; readonly script: number }[];
  t.is(held.length, SAMPLES);
  for (const [kind, bound] of [
    ['script', SCRIPT_GROWTH_BYTES_MAX],
    ['resident', RESIDENT_GROWTH_BYTES_MAX],
  ] as const) {
    const bytes = held.map((sample) => sample[kind]);
    // The first quarter fills caches. The least of a quarter is what was really needed.
    const early = Math.min(...bytes.slice(SAMPLES / 4, SAMPLES / 2));
    const late = Math.min(...bytes.slice(-SAMPLES / 4));
    const shown = bytes.map((each) => Math.round(each / 1024)).join(' ');
    t.log(`${kind}, KiB: ${shown}`);
    t.true(late - early < bound, `${kind} grew by ${Math.round((late - early) / 1024)} KiB: ${shown}`);
  }
});
