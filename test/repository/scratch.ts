import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';

/** A folder that is removed when the test ends. */
export function scratchFolder(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-repository-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
