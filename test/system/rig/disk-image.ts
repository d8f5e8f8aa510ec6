import { existsSync, truncateSync, writeFileSync } from 'node:fs';
import { run } from './command.js';

/** Trees that every Debian machine has, largest first; the first that fits is what the image is made of. */
const SOURCES = ['/usr/lib', '/usr/lib/x86_64-linux-gnu', '/usr/share', '/usr/bin', '/usr/lib/gcc', '/usr/share/doc', '/etc'] as const;
/** Part of the image that ext4's own structures and rounding may take. */
const USABLE = 0.8;

/** Makes `file` a disk image of exactly sizeBytes: an ext4 file system filled with files of this machine. Returns the tree it was made of. */
export async function diskImage(file: string, sizeBytes: number): Promise<string> {
  for (const source of SOURCES) {
    if (!existsSync(source)) continue;
    const used = Number((await run('du', ['-s', '--block-size=4096', source])).split('\t')[0]) * 4096;
    if (used > sizeBytes * USABLE) continue;
    writeFileSync(file, '');
    truncateSync(file, sizeBytes);
    await run('mkfs.ext4', ['-q', '-F', '-d', source, file]);
    return source;
  }
  throw new Error(`no tree of this machine fits into an image of ${sizeBytes} bytes`);
}
