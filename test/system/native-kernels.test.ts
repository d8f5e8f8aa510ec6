import test from 'ava';
import { loadAddon } from '../../src/native/load.js';
import { scratchFolder } from '../device/scratch-files.js';
import { run } from './rig/command.js';
import { buildProgram, checkSources, kernelSources } from './rig/native-build.js';
import { SYSTEM_SEED } from './rig/seed.js';

const SEED = String(SYSTEM_SEED);
const CHECK = [...checkSources('kernel_check', 'check_gf256', 'check_crc32c', 'guarded_ranges'), ...kernelSources()];

/** Names that the program says it has tried. */
function tried(output: string, what: 'kernel' | 'checksum'): readonly string[] {
  return [...output.matchAll(new RegExp(`^${what} (\\S+):`, 'gm'))].map((match) => match[1] ?? '');
}

test.serial('under sanitizers, between guard pages, every kernel and checksum agrees with the reference', async (t) => {
  t.log(`KEELSON_SYSTEM_SEED=${SEED} repeats it`);
  const program = await buildProgram(scratchFolder(t), 'kernel-check', 'g++', CHECK, [
    '-O1',
    '-g1',
    '-fsanitize=address,undefined',
    '-fno-sanitize-recover=all',
  ]);
  const stdout = await run(program, [SEED]);
  t.deepEqual(tried(stdout, 'kernel'), loadAddon().cpu().available);
  t.true(tried(stdout, 'checksum').includes(loadAddon().cpu().crc));
  t.regex(stdout, /^passed$/m);
});

test.serial('the same holds on aarch64, for NEON and for the CRC instructions of ARMv8', async (t) => {
  t.log(`KEELSON_SYSTEM_SEED=${SEED} repeats it`);
  // An emulated processor has no sanitizer runtime: undefined behaviour traps.
  const program = await buildProgram(scratchFolder(t), 'kernel-check-arm64', 'aarch64-linux-gnu-g++', CHECK, [
    '-static',
    '-fsanitize=undefined',
    '-fsanitize-undefined-trap-on-error',
  ]);
  const stdout = await run('qemu-aarch64', [program, SEED]);
  t.deepEqual(tried(stdout, 'kernel'), ['scalar', 'neon']);
  t.deepEqual(tried(stdout, 'checksum'), ['table', 'armv8']);
  t.regex(stdout, /^passed$/m);
});
