import { BLOCK_BYTES, type Bytes } from '../base/units.js';

/** The unit that the model follows: clients write whole cells, so that a block may hold parts of several writes. */
export const CELLS_A_BLOCK = 8;
/** A cell shows its place and its version: two words. */
export const CELL_BYTES_MIN = 8;

/** Where the cells of a block begin, and 4096: sectors, or at any byte, so that requests begin and end at any byte. */
export type CellCuts = readonly number[];
export const SECTOR_CUTS: CellCuts = Array.from({ length: CELLS_A_BLOCK + 1 }, (_, i) => (i * BLOCK_BYTES) / CELLS_A_BLOCK);

/** Content of cells: what is right for a version, and which version bytes show. */
export class CellGrid {
  readonly #cuts: CellCuts;
  readonly #even: boolean;
  /** One cell, for cells that do not begin at a word. */
  readonly #scratch = new Int32Array(BLOCK_BYTES / 4 + 1);
  readonly #scratchBytes = new Uint8Array(this.#scratch.buffer);

  constructor(cuts: CellCuts) {
    this.#cuts = cuts;
    this.#even = cuts.every((cut) => cut % 4 === 0);
  }

  /** Where a cell begins in the volume. */
  offsetOf(cell: number): Bytes {
    return Math.floor(cell / CELLS_A_BLOCK) * BLOCK_BYTES + (this.#cuts[cell % CELLS_A_BLOCK] as number);
  }

  /** Bytes of `count` cells from `first` on. */
  bytesOf(first: number, count: number): Bytes {
    return this.offsetOf(first + count) - this.offsetOf(first);
  }

  /** The only right content of cells at a version: every word depends on the cell and on the version. Version 0 is zeroes. */
  content(first: number, count: number, version: number): Uint8Array {
    const bytes = new Uint8Array(this.bytesOf(first, count));
    if (version === 0) return bytes;
    let at = 0;
    for (let cell = first; cell < first + count; cell++) {
      const length = this.bytesOf(cell, 1);
      for (let i = 0; i * 4 < length; i++) this.#scratch[i] = word(cell, version, i);
      bytes.set(this.#scratchBytes.subarray(0, length), at);
      at += length;
    }
    return bytes;
  }

  /** The version that each cell of `bytes` shows, from cell `first` on: 0 for zeroes, -1 when it is no version of this cell. */
  shown(bytes: Uint8Array, first: number): Int32Array {
    const versions = new Int32Array(this.#cellsIn(bytes.length, first));
    const direct = this.#even && bytes.byteOffset % 4 === 0 ? new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2) : null;
    let at = 0;
    for (let i = 0; i < versions.length; i++) {
      const length = this.bytesOf(first + i, 1);
      if (direct !== null) versions[i] = versionShown(direct, at >>> 2, length, first + i);
      else {
        // What lies beyond a cell that ends within a word counts as zeroes.
        this.#scratch[length >>> 2] = 0;
        this.#scratchBytes.set(bytes.subarray(at, at + length));
        versions[i] = versionShown(this.#scratch, 0, length, first + i);
      }
      at += length;
    }
    return versions;
  }

  #cellsIn(bytes: Bytes, first: number): number {
    const end = this.offsetOf(first) + bytes;
    const cut = this.#cuts.indexOf(end % BLOCK_BYTES);
    if (cut < 0) throw new RangeError(`${bytes} bytes from cell ${first} on do not end with a cell`);
    return Math.floor(end / BLOCK_BYTES) * CELLS_A_BLOCK + cut - first;
  }
}

function word(cell: number, version: number, i: number): number {
  if (i === 1) return version;
  if (i === 0) return cell ^ Math.imul(version, 0x27d4eb2f);
  return ((Math.imul(cell, 0x9e3779b9) ^ Math.imul(version, 0x85ebca6b)) + Math.imul(i, 0xc2b2ae35)) | 0;
}

function versionShown(words: Int32Array, at: number, length: Bytes, cell: number): number {
  const version = words[at + 1] as number;
  const whole = length >>> 2;
  const rest = length % 4 === 0 ? 0 : 0xffffffff >>> (32 - 8 * (length % 4));
  if (version === 0) {
    for (let i = 0; i < whole; i++) if (words[at + i] !== 0) return -1;
    return rest === 0 || words[at + whole] === 0 ? 0 : -1;
  }
  if (words[at] !== word(cell, version, 0)) return -1;
  const seed = Math.imul(cell, 0x9e3779b9) ^ Math.imul(version, 0x85ebca6b);
  for (let i = 2; i < whole; i++) if (words[at + i] !== ((seed + Math.imul(i, 0xc2b2ae35)) | 0)) return -1;
  return rest === 0 || words[at + whole] === (word(cell, version, whole) & rest) ? version : -1;
}
