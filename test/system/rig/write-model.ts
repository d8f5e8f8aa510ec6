import { assert } from '../../../src/base/assert.js';
import type { Random } from '../../../src/base/random.js';

/** The unit of the model: the smallest write of the tests. Eight of them make a block of the volume. */
export const SECTOR_BYTES = 512;
const SECTOR_WORDS = SECTOR_BYTES / 4;
const SECTORS_PER_BLOCK = 8;
const MAGIC = 0x6b65656c;

export type Operation = 'write' | 'trim' | 'zeroes';

interface Request {
  readonly sequence: number;
  readonly first: number;
  readonly count: number;
  readonly zero: boolean;
  readonly submitted: number;
  /** Model time of the acknowledgement; Infinity while there is none. */
  acknowledged: number;
}

/**
 * What each sector may hold after a crash. Every sector that is written says of itself which request wrote it. A request that was
 * acknowledged before another one was submitted is superseded by that other one once that is acknowledged too; requests in
 * flight at the same time have no order; a request that was never acknowledged may have happened or not.
 */
export class WriteModel {
  readonly sectors: number;
  /** Requests that were acknowledged. */
  acknowledgements = 0;
  readonly #requests = new Map<number, Request>();
  /** The one request whose value a sector holds for certain; 0 = as created, zeroes. */
  readonly #settled: Float64Array;
  /** Sectors with more than one possible value: the sequence numbers of those. */
  readonly #candidates = new Map<number, number[]>();
  #sequence = 0;
  #time = 0;

  constructor(sectors: number) {
    assert(sectors % SECTORS_PER_BLOCK === 0, 'whole blocks');
    this.sectors = sectors;
    this.#settled = new Float64Array(sectors);
  }

  /** Call before the request is sent. Returns its sequence number. */
  submit(operation: Operation, first: number, count: number): number {
    const sequence = ++this.#sequence;
    this.#requests.set(sequence, { sequence, first, count, zero: operation !== 'write', submitted: ++this.#time, acknowledged: Infinity });
    for (let sector = first; sector < first + count; sector++) {
      const values = this.#candidates.get(sector);
      if (values === undefined) this.#candidates.set(sector, [this.#settled[sector] ?? 0, sequence]);
      else values.push(sequence);
    }
    return sequence;
  }

  acknowledge(sequence: number): void {
    const request = this.#requests.get(sequence);
    assert(request !== undefined, 'a request is acknowledged once');
    request.acknowledged = ++this.#time;
    this.acknowledgements++;
    for (let sector = request.first; sector < request.first + request.count; sector++) {
      const values = this.#candidates.get(sector) ?? [];
      const left = values.filter((value) => value === sequence || !((this.#requests.get(value)?.acknowledged ?? 0) < request.submitted));
      if (left.length === 1) this.#settle(sector, sequence);
      else this.#candidates.set(sector, left);
    }
  }

  /** The bytes of a write. */
  fill(sequence: number, first: number, bytes: Uint8Array): void {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    for (let at = 0, sector = first; at < words.length; at += SECTOR_WORDS, sector++) fillSector(words, at, sector, sequence);
  }

  /**
   * Compares what is read back, starting at sector `first`, with what is permitted, and settles on it: from here on it must not change by itself.
   * Returns descriptions of what is wrong.
   */
  verify(first: number, bytes: Uint8Array): string[] {
    assert(first % SECTORS_PER_BLOCK === 0 && bytes.byteLength % (SECTOR_BYTES * SECTORS_PER_BLOCK) === 0, 'whole blocks');
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    const wrong: string[] = [];
    const found = new Array<number>(SECTORS_PER_BLOCK).fill(0);
    for (let sector = first, at = 0; at < words.length; sector++, at += SECTOR_WORDS) {
      const value = readSector(words, at, sector);
      found[sector % SECTORS_PER_BLOCK] = this.#check(sector, value, wrong);
      if (sector % SECTORS_PER_BLOCK === SECTORS_PER_BLOCK - 1) this.#checkBlock(sector - SECTORS_PER_BLOCK + 1, found, wrong);
    }
    return wrong;
  }

  /** Forgets requests that no sector depends on any more. Call when nothing is in flight and everything was verified. */
  compact(): void {
    assert(this.#candidates.size === 0, 'everything is settled');
    const live = new Set(this.#settled);
    for (const sequence of this.#requests.keys()) if (!live.has(sequence)) this.#requests.delete(sequence);
  }

  /** Settles the sector and returns the request it shows, or -1. */
  #check(sector: number, value: number, wrong: string[]): number {
    const allowed = this.#candidates.get(sector) ?? [this.#settled[sector] ?? 0];
    // Zeroes do not say which request wrote them: any permitted one that writes zeroes will do.
    const match =
      value === 0
        ? allowed.findLast((sequence) => sequence === 0 || this.#requests.get(sequence)?.zero === true)
        : allowed.find((sequence) => sequence === value && this.#requests.get(sequence)?.zero === false);
    if (match === undefined) {
      const shown = value < 0 ? 'bytes that no request wrote there' : value === 0 ? 'zeroes' : `request ${value}`;
      wrong.push(`sector ${sector} holds ${shown}; permitted: ${allowed.map((sequence) => this.#name(sequence)).join(', ')}`);
      return -1;
    }
    const request = this.#requests.get(match);
    // It happened, whether it was acknowledged or not: what comes later supersedes it.
    if (request !== undefined && request.acknowledged === Infinity) request.acknowledged = ++this.#time;
    this.#settle(sector, match);
    return match;
  }

  /** A block is atomic: of two requests that both cover two sectors of it, one must be the later one on both. */
  #checkBlock(first: number, found: readonly number[], wrong: string[]): void {
    for (let i = 0; i < found.length; i++) {
      for (let j = i + 1; j < found.length; j++) {
        const a = this.#requests.get(found[i] ?? 0);
        const b = this.#requests.get(found[j] ?? 0);
        if (a === undefined || b === undefined || a === b || a.zero || b.zero) continue;
        if (covers(a, first + j) && covers(b, first + i)) {
          wrong.push(
            `block ${first / SECTORS_PER_BLOCK} is torn between requests ${a.sequence} and ${b.sequence}, which both cover its sectors ${i} and ${j}`,
          );
          return;
        }
      }
    }
  }

  #settle(sector: number, sequence: number): void {
    this.#settled[sector] = sequence;
    this.#candidates.delete(sector);
  }

  #name(sequence: number): string {
    const request = this.#requests.get(sequence);
    if (request === undefined) return 'zeroes as created';
    return `${request.zero ? 'zeroes of ' : ''}request ${sequence}${request.acknowledged === Infinity ? ' (not acknowledged)' : ''}`;
  }
}

function covers(request: Request, sector: number): boolean {
  return sector >= request.first && sector < request.first + request.count;
}

function mix(sector: number, sequence: number): number {
  let z = Math.imul(sector ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(sequence | 0, 0xc2b2ae35);
  z = Math.imul(z ^ (z >>> 15), 0x2c1b3c6d);
  return (z ^ (z >>> 13)) >>> 0;
}

/** Word 0 a magic number, 1 the sector, 2 the request, the rest a sequence that the two of them determine: a checksum of itself. */
function fillSector(words: Uint32Array, at: number, sector: number, sequence: number): void {
  words[at] = MAGIC;
  words[at + 1] = sector;
  words[at + 2] = sequence;
  let state = mix(sector, sequence);
  for (let i = 3; i < SECTOR_WORDS; i++) {
    words[at + i] = state;
    state = (state + 0x9e3779b9) | 0;
  }
}

/** The request that wrote this sector, 0 for zeroes, -1 for anything else. */
function readSector(words: Uint32Array, at: number, sector: number): number {
  if (words[at] === 0) {
    for (let i = 1; i < SECTOR_WORDS; i++) if (words[at + i] !== 0) return -1;
    return 0;
  }
  if (words[at] !== MAGIC || words[at + 1] !== sector) return -1;
  const sequence = words[at + 2] ?? 0;
  let state = mix(sector, sequence);
  for (let i = 3; i < SECTOR_WORDS; i++) {
    if (words[at + i] !== state >>> 0) return -1;
    state = (state + 0x9e3779b9) | 0;
  }
  return sequence;
}

/** One random request: mostly whole blocks, some that begin or end inside one, crowded so that they overlap. */
export function randomRequest(random: Random, sectors: number): { operation: Operation; first: number; count: number; fua: boolean } {
  const dice = random.below(100);
  const operation: Operation = dice < 80 ? 'write' : dice < 90 ? 'trim' : 'zeroes';
  // A tenth of the volume gets half of the requests.
  const room = random.below(2) === 0 ? Math.floor(sectors / 10) : sectors;
  // A trim of a part of a block is only a hint, so its result is not known.
  const aligned = operation === 'trim' || random.below(5) !== 0;
  const blocks = 1 << random.below(7);
  const count = aligned ? blocks * SECTORS_PER_BLOCK : 1 + random.below(4 * SECTORS_PER_BLOCK);
  let first = random.below(Math.max(1, room - count));
  if (aligned) first -= first % SECTORS_PER_BLOCK;
  return { operation, first, count, fua: random.below(10) === 0 };
}
