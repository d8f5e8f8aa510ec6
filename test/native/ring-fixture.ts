import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadAddon } from '../../src/native/load.js';

/** One operation: opcode, fd, memory offset, device offset, length, tag. */
export type Op = readonly [number, number, number, number, number, number];

export function operations(list: readonly Op[]): Float64Array {
  return Float64Array.from(list.flat());
}

export function alignedMemory(bytes: number): Buffer {
  const shared = new SharedArrayBuffer(bytes + 4096);
  return Buffer.from(shared, loadAddon().alignedOffset(new Uint8Array(shared), 4096), bytes);
}

export function scratchFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'keelson-native-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export function makeFile(path: string, bytes: number, fill = 0): string {
  const fd = openSync(path, 'w');
  writeSync(fd, Buffer.alloc(bytes, fill));
  closeSync(fd);
  return path;
}

/** Opens for direct I/O where the file system has it. */
export function openDirect(path: string, exclusive = false): number {
  const addon = loadAddon();
  try {
    return addon.openDevice(path, true, exclusive, false);
  } catch (error) {
    if ((error as { code?: string }).code !== 'EINVAL') throw error;
    return addon.openDevice(path, false, exclusive, false);
  }
}
