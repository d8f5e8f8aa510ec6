import { fileURLToPath } from 'node:url';
import { attempt, run } from './command.js';
import type { Scratch } from './scratch.js';

/** The compiler does not copy it: it lies in the source tree, four folders above the compiled file. */
const SOURCE = fileURLToPath(new URL('../../../../test/system/rig/file-exerciser.c', import.meta.url));

/** '' or what went wrong. 'check': compares the file with what an earlier run with these arguments left. */
export type Exerciser = (file: string, seed: number, operations: number, bytesMax: number, check?: 'check') => Promise<string>;

/** Compiles the exerciser of files. */
export async function exerciser(scratch: Scratch): Promise<Exerciser> {
  const program = scratch.path('file-exerciser');
  await run('cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', program, SOURCE]);
  return async (file, seed, operations, bytesMax, check) => {
    const args = [file, String(seed), String(operations), String(bytesMax), ...(check === undefined ? [] : [check])];
    const { status, stdout, stderr } = await attempt(program, args);
    return status === 0 ? '' : `${stdout}${stderr}status ${status}`;
  };
}
