/** The unit that the model follows: clients write multiples of it, so that a block may hold parts of several writes. */
export const CELL_BYTES = 512;
const WORDS = CELL_BYTES / 4;

/** The only right content of a cell at a version: every word depends on both. Version 0 is zeroes. */
export function fillCell(words: Int32Array, at: number, cell: number, version: number): void {
  if (version === 0) {
    words.fill(0, at, at + WORDS);
    return;
  }
  words[at] = cell;
  words[at + 1] = version;
  const seed = Math.imul(cell, 0x9e3779b9) ^ Math.imul(version, 0x85ebca6b);
  for (let i = 2; i < WORDS; i++) words[at + i] = seed + Math.imul(i, 0xc2b2ae35);
}

/** The version that a cell shows, 0 for zeroes, -1 when it is no version of this cell. */
export function versionShown(words: Int32Array, at: number, cell: number): number {
  const version = words[at + 1] as number;
  if (version === 0) {
    for (let i = 0; i < WORDS; i++) if (words[at + i] !== 0) return -1;
    return 0;
  }
  if (words[at] !== cell) return -1;
  const seed = Math.imul(cell, 0x9e3779b9) ^ Math.imul(version, 0x85ebca6b);
  for (let i = 2; i < WORDS; i++) if (words[at + i] !== ((seed + Math.imul(i, 0xc2b2ae35)) | 0)) return -1;
  return version;
}

/** Words of a buffer, copied when they are not aligned. */
export function wordsOf(bytes: Uint8Array): Int32Array {
  if (bytes.byteOffset % 4 === 0) return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2);
  const copy = Uint8Array.from(bytes);
  return new Int32Array(copy.buffer, 0, copy.byteLength >>> 2);
}

export const CELL_WORDS = WORDS;
