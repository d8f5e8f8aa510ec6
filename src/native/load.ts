import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KeelsonError } from '../base/errors.js';
import type { Addon } from './addon-api.js';

const require = createRequire(import.meta.url);

let loaded: Addon | undefined;

/**
 * The native addon, loaded and tested once in each thread: the local build first, then the platform package.
 * Throws KeelsonError NATIVE_MISSING, NATIVE_ISA (KEELSON_ISA or KEELSON_CRC names what this processor cannot run) or NATIVE_SELF_TEST.
 */
export function loadAddon(): Addon {
  if (loaded !== undefined) return loaded;
  const addon = open();
  checkForcedKernels(addon);
  const failure = addon.selfTest();
  if (failure !== '') {
    throw new KeelsonError('NATIVE_SELF_TEST', 'the native addon gives wrong results on this processor', {
      found: failure,
      expected: 'every kernel to pass its known answers',
      action: 'do not use this machine for data; KEELSON_ISA=scalar shows whether one kernel is at fault, and report the processor model',
    });
  }
  loaded = addon;
  return addon;
}

function open(): Addon {
  const tried: string[] = [];
  const root = packageRoot(dirname(fileURLToPath(import.meta.url)));
  for (const candidate of [...(root === undefined ? [] : [join(root, 'build', 'Release', 'keelson.node')]), platformPackage()]) {
    try {
      return require(candidate) as Addon;
    } catch (error) {
      tried.push(`${candidate}: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)}`);
    }
  }
  throw new KeelsonError('NATIVE_MISSING', 'the native addon could not be loaded', {
    found: tried.join('; '),
    expected: 'a local build (build/Release/keelson.node), or the package for this platform (Linux with glibc, x64 or arm64)',
    action:
      `run "npm install ${platformPackage()}" (npm leaves it out with --omit=optional), ` +
      `or install a C++ compiler, make and Python 3 and run "npx node-gyp rebuild" in ${root ?? 'the folder of keelson'}`,
  });
}

/** As @napi-rs/cli names it; scripts/pack.mjs makes it. */
function platformPackage(): string {
  return `keelson-linux-${process.arch}-gnu`;
}

/** The nearest folder above whose package.json is ours; compiled output may lie at any depth below it. */
function packageRoot(from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest)) {
      const { name } = JSON.parse(readFileSync(manifest, 'utf8')) as { name?: unknown };
      if (name === 'keelson') return folder;
    }
    if (dirname(folder) === folder) return undefined;
  }
}

function checkForcedKernels(addon: Addon): void {
  try {
    addon.cpu();
  } catch (error) {
    throw new KeelsonError('NATIVE_ISA', error instanceof Error ? error.message : String(error), {
      found: `KEELSON_ISA=${process.env.KEELSON_ISA ?? ''} KEELSON_CRC=${process.env.KEELSON_CRC ?? ''}`,
      expected: 'the name of a kernel that this processor can run, or nothing',
      action: 'unset the variable to let the fastest be chosen',
      cause: error,
    });
  }
}
