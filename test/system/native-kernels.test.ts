import { cpSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { loadAddon } from '../../src/native/load.js';
import { scratchFolder } from '../device/scratch-files.js';
import { ROOT } from '../house/source-files.js';
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

/** e_machine of an ELF header. */
const EM_AARCH64 = 183;

test.serial('the whole addon is built for aarch64 by the same binding.gyp', async (t) => {
  const folder = scratchFolder(t);
  for (const name of ['native', 'binding.gyp', 'package.json']) cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const cross = 'aarch64-linux-gnu-g++';
  const nodedir = /"nodedir": "([^"]+)"/.exec(readFileSync(join(ROOT, 'build', 'config.gypi'), 'utf8'))?.[1] ?? '';
  await run(
    process.execPath,
    [join(ROOT, 'node_modules/node-gyp/bin/node-gyp.js'), 'configure', 'build', '--arch=arm64', `--nodedir=${nodedir}`, '--silent'],
    { cwd: folder, env: { ...process.env, CC: 'aarch64-linux-gnu-gcc', CXX: cross, LINK: cross, AR: 'aarch64-linux-gnu-ar', JOBS: 'max' } },
  );
  t.is(readFileSync(join(folder, 'build', 'Release', 'keelson.node')).readUInt16LE(18), EM_AARCH64);
});
