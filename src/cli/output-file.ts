import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, statSync, writeFileSync } from 'node:fs';
import { EXIT, KeelsonError } from '../base/errors.js';

/** How much of a file is read to see whose it is. */
const HEAD_BYTES = 4096;

/**
 * A file that a flag names for output. It is made, or written over when it is empty or an earlier output of the same kind, which has `mark` near its start: a slip of the finger must
 * not cost a file, still less a device.
 */
export class OutputFile {
  readonly #path: string;
  readonly #mark: string;

  /** Throws OUTPUT_EXISTS (exit 2) at once when the path may not be written: not after the work. */
  constructor(flag: string, path: string, mark: string) {
    this.#path = path;
    this.#mark = mark;
    const found = statSync(path, { throwIfNoEntry: false });
    if (found !== undefined && !(found.isFile() && this.#isOurs())) {
      throw new KeelsonError('OUTPUT_EXISTS', `${flag} ${path} is there and is kept as it is`, {
        found: found.isFile() ? 'a file that is not of this kind' : 'something that is no file',
        expected: 'a new name, or an earlier file of this kind',
        action: 'use another name',
        exit: EXIT.usage,
      });
    }
  }

  #isOurs(): boolean {
    const fd = openSync(this.#path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      return isOurs(fd, this.#mark);
    } finally {
      closeSync(fd);
    }
  }

  /** Throws what the file system says, and for a file that appeared meanwhile. */
  write(text: string): void {
    const fd = this.#open();
    try {
      ftruncateSync(fd, 0);
      writeFileSync(fd, text);
    } finally {
      closeSync(fd);
    }
  }

  #open(): number {
    if (statSync(this.#path, { throwIfNoEntry: false }) === undefined) return openSync(this.#path, 'wx');
    const fd = openSync(this.#path, constants.O_RDWR | constants.O_NONBLOCK);
    if (isOurs(fd, this.#mark)) return fd;
    closeSync(fd);
    throw new Error(`${this.#path} appeared meanwhile`);
  }
}

function isOurs(fd: number, mark: string): boolean {
  const stats = fstatSync(fd);
  if (!stats.isFile()) return false;
  const head = Buffer.alloc(HEAD_BYTES);
  const bytes = readSync(fd, head, 0, HEAD_BYTES, 0);
  return stats.size === 0 || head.subarray(0, bytes).includes(mark);
}
