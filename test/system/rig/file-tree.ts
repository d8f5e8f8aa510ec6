import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { seededRandom } from '../../../src/base/random.js';

const FILES_PER_FOLDER = 250;
const FILE_BYTES_MAX = 12 * 1024;

/** A tree of many small files that is a function of its seed: what each file must hold can be said without keeping it. */
export class FileTree {
  readonly seed: number;
  readonly files: number;
  readonly #sizes: number[] = [];

  constructor(seed: number, files: number) {
    this.seed = seed;
    this.files = files;
    const random = seededRandom(seed);
    for (let i = 0; i < files; i++) this.#sizes.push(random.below(FILE_BYTES_MAX));
  }

  path(root: string, index: number): string {
    return join(root, `d${Math.floor(index / FILES_PER_FOLDER)}`, `f${index}`);
  }

  /** Writes files [first, end) below root; throws as soon as one write fails. */
  write(root: string, first: number, end: number): void {
    for (let i = first; i < end; i++) {
      if (i % FILES_PER_FOLDER === 0) mkdirSync(join(root, `d${i / FILES_PER_FOLDER}`));
      writeFileSync(this.path(root, i), this.#bytes(i));
    }
  }

  /** Files of [0, end) whose bytes are not what was written, at most ten. */
  wrong(root: string, end: number): string[] {
    const bad: string[] = [];
    for (let i = 0; i < end && bad.length < 10; i++) {
      const path = this.path(root, i);
      try {
        const found = readFileSync(path);
        if (!found.equals(this.#bytes(i)))
          bad.push(
            `${path}: sha256 ${createHash('sha256').update(found).digest('hex')} of ${found.length} bytes, expected ${this.#sizes[i]} bytes`,
          );
      } catch (error) {
        bad.push(`${path}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    return bad;
  }

  #bytes(index: number): Buffer {
    const bytes = Buffer.alloc(this.#sizes[index] ?? 0);
    seededRandom(this.seed ^ (index * 2654435761)).fill(bytes);
    return bytes;
  }
}
