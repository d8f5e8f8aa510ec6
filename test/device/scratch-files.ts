import { mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';

const TMPFS_MAGIC = 0x0102_1994;

/** A folder on a file system with real O_DIRECT where there is one: tmpfs takes any alignment and would hide a wrong one. Removed after the test. */
export function scratchFolder(t: ExecutionContext): string {
  const places = [tmpdir(), process.cwd()];
  const place = places.find((folder) => statfsSync(folder).type !== TMPFS_MAGIC) ?? tmpdir();
  const folder = mkdtempSync(join(place, 'keelson-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A sparse file of this size. */
export function scratchFile(folder: string, name: string, bytes: number): string {
  const path = join(folder, name);
  writeFileSync(path, '');
  truncateSync(path, bytes);
  return path;
}
