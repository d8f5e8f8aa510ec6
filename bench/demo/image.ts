import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readFileSync, readdirSync, writeSync } from 'node:fs';
import { join, relative } from 'node:path';

/** Headers and files of a tar archive start on these. */
const TAR_BLOCK_BYTES = 512;

export interface MadeImage {
  /** What it is, for people. */
  readonly kind: string;
  readonly files: number;
}

/**
 * Makes `file` a disk image of exactly sizeBytes out of the files under `tree`: an ext4 file system where mke2fs is installed, else an archive in tar's form.
 * Files that do not fit any more are left out of the archive.
 */
export function makeImage(file: string, sizeBytes: number, tree: string): MadeImage {
  const files = readdirSync(tree, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  closeSync(emptyFile(file, sizeBytes));
  // It lies in sbin, which is not on everybody's path.
  const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };
  if (spawnSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', tree, file], { env, stdio: 'ignore' }).status === 0) {
    return { kind: 'an ext4 file system', files: files.length };
  }
  const archive = emptyFile(file, sizeBytes);
  let at = 0;
  let packed = 0;
  for (const entry of files) {
    const path = join(entry.parentPath, entry.name);
    const content = readFileSync(path);
    const name = relative(tree, path);
    const next = at + TAR_BLOCK_BYTES * (1 + Math.ceil(content.length / TAR_BLOCK_BYTES));
    if (next > sizeBytes || Buffer.byteLength(name) > 100) continue;
    writeSync(archive, tarHeader(name, content.length), 0, TAR_BLOCK_BYTES, at);
    writeSync(archive, content, 0, content.length, at + TAR_BLOCK_BYTES);
    at = next;
    packed++;
  }
  closeSync(archive);
  return { kind: 'a tar archive', files: packed };
}

function emptyFile(file: string, sizeBytes: number): number {
  const descriptor = openSync(file, 'w');
  ftruncateSync(descriptor, sizeBytes);
  return descriptor;
}

/** POSIX.1-1988 ustar, a regular file. */
function tarHeader(name: string, size: number): Buffer {
  const header = Buffer.alloc(TAR_BLOCK_BYTES);
  header.write(name, 0);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        0', 148);
  header.write('ustar\0', 257);
  header.write('00', 263);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}
