import { assert } from '../base/assert.js';
import { RecordWriter } from '../base/codec.js';
import type { SegmentSeq } from '../base/units.js';
import { loadAddon } from '../native/load.js';
import { EPOCHS_MAX, INTEGRITY_ENTRIES, INTEGRITY_HEADER_BYTES, INTEGRITY_PAGE_BYTES } from './layout.js';
import { uuidToBytes } from './uuid.js';

/** "KINT", little-endian. */
export const INTEGRITY_MAGIC = 0x544e_494b;
const CHECKED_FROM = 4;
const CHECKED_BYTES = INTEGRITY_PAGE_BYTES - CHECKED_FROM;
const GENERATIONS_PER_EPOCH = 0x1_0000_0000;
/** Copies of one page that may be written with the same reach before its generations say a higher one. */
const GENERATIONS_PER_REACH = 16;
const REACHES = GENERATIONS_PER_EPOCH / GENERATIONS_PER_REACH;

/** Whose pages these are. A member that is given to the array anew gets a new UUID, so what it held before is refused as foreign. */
export interface IntegrityIdentity {
  readonly arrayUuid: string;
  readonly memberUuid: string;
  readonly index: number;
}

/** Seeds the checksum of a page with its owner and its number: a page of another array, member or place is refused. */
export class IntegritySeed {
  readonly #bytes = new Uint8Array(16 + 16 + 4 + 8);
  readonly #record = new RecordWriter(this.#bytes);
  readonly #crc32c = loadAddon().crc32c;

  constructor(identity: IntegrityIdentity) {
    this.#record.bytes(uuidToBytes(identity.arrayUuid)).bytes(uuidToBytes(identity.memberUuid)).u32(identity.index);
  }

  of(page: number): number {
    this.#record.seek(36).u64(page);
    return this.#crc32c(this.#bytes, 0, this.#bytes.length, 0);
  }
}

/**
 * Generation of the next copy of a page whose newest copy has `generation` (0: none that we know of). It lies in copy generation % 2, so it never overwrites the newest.
 * It starts anew, higher, with each epoch: pages that a crash left behind on stripes of no checkpoint are not loaded, and must not outlive what comes after.
 * reach: ring segments below it may have entries in the page.
 */
export function nextGeneration(generation: number, epoch: number, reach: SegmentSeq = 0): number {
  const floor = epoch * GENERATIONS_PER_EPOCH + (reach % REACHES) * GENERATIONS_PER_REACH + ((generation + 1) % 2);
  assert(Number.isSafeInteger(floor), 'epochs below 2^21');
  return Math.max(generation + 1, floor);
}

/**
 * True when a page of this generation may have entries of ring segments that are not below destagedSeq. True also of some that have none: a page that was written often with one
 * reach. False, as nobody can know, of pages by a version that did not put the reach into their generation.
 */
export function reachesBeyond(generation: number, destagedSeq: SegmentSeq): boolean {
  const reach = Math.floor((generation % GENERATIONS_PER_EPOCH) / GENERATIONS_PER_REACH);
  const ahead = (reach - (destagedSeq % REACHES) + REACHES) % REACHES;
  return ahead > 0 && ahead < REACHES / 2;
}

/** Encodes one page at byte `at` of memory: entries [first, first + 1020) of the table, padded with zeroes. docs/on-disk-format.md, "Integrity zone". */
export function encodeIntegrityPage(
  memory: Buffer,
  at: number,
  entries: Uint32Array,
  page: number,
  generation: number,
  seed: IntegritySeed,
): void {
  const first = page * INTEGRITY_ENTRIES;
  const source = entries.subarray(first, Math.min(first + INTEGRITY_ENTRIES, entries.length));
  const words = new Uint32Array(memory.buffer, memory.byteOffset + at, INTEGRITY_PAGE_BYTES / 4);
  words[1] = INTEGRITY_MAGIC;
  words[2] = generation >>> 0;
  words[3] = Math.floor(generation / 0x1_0000_0000);
  words.fill(0, INTEGRITY_HEADER_BYTES / 4 + source.length);
  words.set(source, INTEGRITY_HEADER_BYTES / 4);
  words[0] = loadAddon().crc32c(memory, at + CHECKED_FROM, CHECKED_BYTES, seed.of(page));
}

/** Generation of the copy (0 = A, 1 = B) at byte `at` of memory, or 0 when it is not a whole page of this place. */
export function integrityPageGeneration(memory: Buffer, at: number, page: number, copy: number, seed: IntegritySeed): number {
  const words = new Uint32Array(memory.buffer, memory.byteOffset + at, INTEGRITY_HEADER_BYTES / 4);
  if (words[1] !== INTEGRITY_MAGIC) return 0;
  if (words[0] !== loadAddon().crc32c(memory, at + CHECKED_FROM, CHECKED_BYTES, seed.of(page))) return 0;
  const generation = (words[2] as number) + (words[3] as number) * 0x1_0000_0000;
  // One of the last epoch could not be counted on from.
  return generation < (EPOCHS_MAX - 1) * GENERATIONS_PER_EPOCH && generation % 2 === copy ? generation : 0;
}
