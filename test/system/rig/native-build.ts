import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../../house/source-files.js';
import { run } from './command.js';

const NATIVE = join(ROOT, 'native');

/** What the addon is compiled with (binding.gyp), as far as it concerns the kernels. */
const FLAGS = ['-std=c++17', '-O2', '-fno-tree-ter', '-Wall', '-Wextra', '-pthread', `-I${NATIVE}`];

function sources(folder: string, accept: RegExp): readonly string[] {
  return readdirSync(join(NATIVE, folder))
    .filter((name) => accept.test(name))
    .map((name) => join(NATIVE, folder, name));
}

/** Everything native that knows nothing of JavaScript and of devices. */
export function kernelSources(): readonly string[] {
  return [join(NATIVE, 'cpu.cc'), ...['gf256', 'crc32c'].flatMap((folder) => sources(folder, /^(?!exports|bound_call).*\.cc$/))];
}

/** The entry points that know of JavaScript. */
export function exportSources(): readonly string[] {
  return ['views.cc', 'place_thread.cc', 'gf256/exports.cc', 'gf256/bound_call.cc', 'crc32c/exports.cc', 'io/device.cc'].map((name) =>
    join(NATIVE, name),
  );
}

/** native/check/NAME.cc of each name. */
export function checkSources(...names: readonly string[]): readonly string[] {
  return names.map((name) => join(NATIVE, 'check', `${name}.cc`));
}

/** Compiles and links a program into `folder`, as many files at once as there are processors. Gives its path. */
export async function buildProgram(
  folder: string,
  name: string,
  compiler: string,
  files: readonly string[],
  flags: readonly string[],
  libraries: readonly string[] = [],
): Promise<string> {
  const waiting = [...files];
  const objects: string[] = [];
  const worker = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      // Two folders have a dispatch.cc.
      const object = join(folder, `${name}-${objects.length}.o`);
      objects.push(object);
      await run(compiler, [...FLAGS, ...flags, '-c', file, '-o', object]);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  const program = join(folder, name);
  await run(compiler, [...flags, '-pthread', ...objects, ...libraries, '-o', program]);
  return program;
}
