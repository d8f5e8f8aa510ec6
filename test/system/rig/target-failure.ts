import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from '../../../src/base/random.js';
import { BLOCK_BYTES } from '../../../src/base/units.js';
import type { Kept } from './power-failure.js';
import type { DirectoryChange, RecordedFile, TargetLog } from './target-recorder.js';

/**
 * What a backup host that loses its power at `moment` may have afterwards: of each file what was synced, and of the rest some length, with pages that were never written; of the changes of
 * the directory since it was last synced any, each for itself.
 */
export function directoryLeft(log: TargetLog, moment: number, kept: Kept, random: Random): Map<string, Buffer> {
  const durable = Math.max(0, ...log.syncs.filter(({ completed }) => completed <= moment).map(({ submitted }) => submitted));
  const names = new Map(log.before);
  const loose = log.changes.filter(({ submitted, completed }) => submitted <= moment && completed > durable);
  const chosen = random.below(Math.max(1, loose.length));
  for (const change of log.changes) {
    if (change.submitted > moment) break;
    if (loose.includes(change) && !stays(change, loose.indexOf(change))) continue;
    if (change.from !== '') names.delete(change.from);
    if (change.to !== '' && change.file !== null) names.set(change.to, change.file);
  }
  return new Map([...names].map(([name, file]) => [name, contentLeft(file, moment, kept, random)]));

  function stays(change: DirectoryChange, i: number): boolean {
    if (kept === 'durable') return false;
    if (kept === 'complete') return change.completed <= moment || random.below(2) === 0;
    if (kept === 'prefix') return i <= chosen;
    if (kept === 'one-alone') return i === chosen;
    if (kept === 'all-but-one') return i !== chosen;
    return random.below(2) === 0;
  }
}

function contentLeft(file: RecordedFile, moment: number, kept: Kept, random: Random): Buffer {
  const synced = Math.max(0, ...file.syncs.filter(({ completed }) => completed <= moment).map(({ submitted }) => submitted));
  const written = file.pieces.filter(({ submitted }) => submitted <= moment);
  const content = Buffer.concat(written.map(({ bytes }) => bytes));
  const safe = written.filter(({ submitted }) => submitted <= synced).reduce((sum, { bytes }) => sum + bytes.length, 0);
  if (kept === 'complete') return content;
  if (kept === 'durable') return content.subarray(0, safe);
  const left = content.subarray(0, safe + random.below(content.length - safe + 1));
  // A file may have its length before it has its bytes.
  for (let at = safe; at < left.length; at += BLOCK_BYTES)
    if (random.below(4) === 0) left.fill(0, at, Math.min(at + BLOCK_BYTES, left.length));
  return left;
}

export function layDownDirectory(folder: string, files: ReadonlyMap<string, Buffer>): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes);
}

/** A log that begins with what lies in the folder, durable. */
export function logOfDirectory(folder: string): TargetLog {
  mkdirSync(folder, { recursive: true });
  const before = readdirSync(folder).map((name): [string, RecordedFile] => [
    name,
    { pieces: [{ submitted: 0, bytes: readFileSync(join(folder, name)) }], syncs: [{ submitted: 0, completed: 0 }] },
  ]);
  return { before: new Map(before), changes: [], syncs: [] };
}
