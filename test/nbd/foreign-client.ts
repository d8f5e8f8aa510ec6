import { execFile } from 'node:child_process';
import { closeSync, openSync, readFileSync, readdirSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BLOCK_BYTES, MIB, roundUp } from '../../src/base/units.js';

const run = promisify(execFile);

/** Runs a program of another project and returns what it printed; throws with its error output when it fails. */
export async function foreign(program: string, ...args: readonly string[]): Promise<string> {
  return (await run(program, args, { maxBuffer: 64 * MIB })).stdout;
}

/** What `nbdinfo --json` says of the one export. */
export interface ForeignExport {
  readonly [property: string]: unknown;
  readonly contexts: readonly string[];
}

export async function nbdinfo(uri: string): Promise<{ protocol: string; structured: boolean; exports: ForeignExport[] }> {
  return JSON.parse(await foreign('nbdinfo', '--json', uri)) as { protocol: string; structured: boolean; exports: ForeignExport[] };
}

/** One extent of `nbdinfo --map --json`. */
export interface ForeignExtent {
  readonly offset: number;
  readonly length: number;
  readonly type: number;
}

export async function nbdmap(uri: string, context: string): Promise<ForeignExtent[]> {
  return JSON.parse(await foreign('nbdinfo', `--map=${context}`, '--json', uri)) as ForeignExtent[];
}

function* filesBelow(directory: string): Generator<string> {
  const entries = readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else if (entry.isFile()) yield path;
  }
}

/**
 * A disk image out of this machine's own program files, each beginning on a block of its own, with a hole after every eighth: `bytes` bytes
 * of them, and a hole up to `sizeBytes`.
 */
export function buildImage(path: string, bytes: number, sizeBytes: number): void {
  const image = openSync(path, 'w');
  let at = 0;
  let count = 0;
  while (at < bytes) {
    const before = at;
    for (const file of filesBelow('/usr/lib')) {
      const content = readFileSync(file);
      writeSync(image, content, 0, Math.min(content.length, bytes - at), at);
      at = roundUp(at + content.length, BLOCK_BYTES);
      if (++count % 8 === 0) at += 16 * BLOCK_BYTES;
      if (at >= bytes) break;
    }
    if (at === before) throw new Error('/usr/lib has no files to build an image from');
  }
  closeSync(image);
  truncateSync(path, sizeBytes);
}
