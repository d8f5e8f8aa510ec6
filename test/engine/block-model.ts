import type { KeelsonError } from '../../src/base/errors.js';
import type { Random } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import type { BlockVolume } from '../../src/engine/block-volume.js';

const WORDS = BLOCK_BYTES / 4;

/** The only right content of a block at a version: every word depends on both. Version 0 is zeroes. */
export function fillBlock(into: Buffer, at: number, block: number, version: number): void {
  if (version === 0) {
    into.fill(0, at, at + BLOCK_BYTES);
    return;
  }
  const seed = Math.imul(block, 0x9e3779b9) ^ Math.imul(version, 0x85ebca6b);
  into.writeUInt32LE(block, at);
  into.writeUInt32LE(version, at + 4);
  for (let i = 2; i < WORDS; i++) into.writeUInt32LE((seed + Math.imul(i, 0xc2b2ae35)) >>> 0, at + 4 * i);
}

export interface Verdict {
  /** What must not be: stale, torn, foreign or zeroed content, and errors of blocks that must be had. */
  readonly wrong: string[];
  /** Blocks that gave an error. */
  readonly unreadable: Set<number>;
}

/**
 * What each block of the volume may hold: its last acknowledged version, or one of a write that is in flight or ended with an error. At most one write of a block
 * is in flight at a time.
 */
export class BlockModel {
  readonly blocks: number;
  /** Version of the last acknowledged write of each block. */
  readonly acknowledged: Uint32Array;
  acknowledgements = 0;
  readonly errors: KeelsonError[] = [];
  readonly #volume: () => BlockVolume;
  /** Versions that a block may show besides the acknowledged one. */
  readonly #doubtful = new Map<number, Set<number>>();
  readonly #busy = new Set<number>();
  #version = 0;
  #open = 0;

  constructor(volume: () => BlockVolume, blocks: number) {
    this.#volume = volume;
    this.blocks = blocks;
    this.acknowledged = new Uint32Array(blocks);
  }

  /** Requests that have not been answered. */
  get open(): number {
    return this.#open;
  }

  /** Writes a run of blocks; zeroes: by write-zeroes or trim. Resolves to whether it was acknowledged. */
  write(first: number, count: number, how: 'data' | 'zeroes' | 'trim' = 'data', fua = false): Promise<boolean> {
    const version = how === 'data' ? ++this.#version : 0;
    for (let block = first; block < first + count; block++) {
      this.#busy.add(block);
      const allowed = this.#doubtful.get(block);
      if (allowed === undefined) this.#doubtful.set(block, new Set([version]));
      else allowed.add(version);
    }
    this.#open++;
    return new Promise((resolve) => {
      const done = (error: KeelsonError | null): void => {
        this.#open--;
        for (let block = first; block < first + count; block++) {
          this.#busy.delete(block);
          if (error !== null) continue;
          this.acknowledged[block] = version;
          this.#doubtful.delete(block);
        }
        if (error === null) this.acknowledgements++;
        else this.errors.push(error);
        resolve(error === null);
      };
      if (how === 'trim') return this.#volume().trim(first * BLOCK_BYTES, count * BLOCK_BYTES, fua, done);
      if (how === 'zeroes') return this.#volume().writeZeroes(first * BLOCK_BYTES, count * BLOCK_BYTES, false, fua, done);
      const payload = Buffer.alloc(count * BLOCK_BYTES);
      for (let i = 0; i < count; i++) fillBlock(payload, i * BLOCK_BYTES, first + i, version);
      this.#volume().write(first * BLOCK_BYTES, payload, fua, done);
    });
  }

  isBusy(first: number, count: number): boolean {
    for (let block = first; block < first + count; block++) if (this.#busy.has(block)) return true;
    return false;
  }

  /** One random write of up to `most` blocks, now and then a trim, zeroes, or FUA. Resolves to whether it was acknowledged. */
  async writeSomewhere(random: Random, most = 8): Promise<boolean> {
    for (;;) {
      const count = 1 + random.below(most);
      const first = random.below(this.blocks - count + 1);
      const kind = random.below(16);
      if (!this.isBusy(first, count)) return this.write(first, count, kind === 0 ? 'trim' : kind === 1 ? 'zeroes' : 'data', kind === 2);
      await new Promise<void>((turn) => setImmediate(turn));
    }
  }

  /** Random writes from several lanes until `until` says so; a lane ends at its first error. */
  async load(random: Random, lanes: number, until: () => boolean): Promise<void> {
    const lane = async (): Promise<void> => {
      while (!until() && (await this.writeSomewhere(random)));
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  }

  /** Writes the whole volume once. */
  async fill(run = 32): Promise<void> {
    for (let first = 0; first < this.blocks; first += run) await this.write(first, Math.min(run, this.blocks - first));
  }

  /** Resolves when no request is unanswered. */
  async answered(): Promise<void> {
    while (this.#open > 0) await new Promise<void>((turn) => setImmediate(turn));
  }

  flush(): Promise<void> {
    return new Promise((resolve, reject) => this.#volume().flush((error) => (error === null ? resolve() : reject(error))));
  }

  /** Reads the whole volume in runs; a run that gives an error is read again block by block, to know which ones it is. mayFail: an error of the block is an answer. */
  async verify(mayFail: (block: number) => boolean = () => false, run = 16): Promise<Verdict> {
    const verdict: Verdict = { wrong: [], unreadable: new Set() };
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < this.blocks) {
        const first = next;
        const count = Math.min(run, this.blocks - first);
        next += count;
        const error = await this.#check(first, count, verdict);
        if (error === null) continue;
        for (let block = first; block < first + count; block++) {
          const own = count === 1 ? error : await this.#check(block, 1, verdict);
          if (own === null) continue;
          verdict.unreadable.add(block);
          if (!mayFail(block)) verdict.wrong.push(`block ${block}: ${own.describe()}`);
        }
      }
    };
    await Promise.all(Array.from({ length: 8 }, lane));
    return verdict;
  }

  #check(first: number, count: number, verdict: Verdict): Promise<KeelsonError | null> {
    // What may be shown at any moment of the read may be shown.
    const allowed: Set<number>[] = [];
    for (let block = first; block < first + count; block++) allowed.push(this.#allowed(block));
    return new Promise((resolve) => {
      this.#volume().read(first * BLOCK_BYTES, count * BLOCK_BYTES, (error, payload) => {
        if (error !== null || payload === null) return resolve(error);
        for (let i = 0; i < count; i++) {
          const permitted = new Set([...(allowed[i] as Set<number>), ...this.#allowed(first + i)]);
          const shown = versionShown(payload.bytes, i * BLOCK_BYTES, first + i);
          if (!permitted.has(shown))
            verdict.wrong.push(`block ${first + i} shows version ${shown}, allowed ${[...permitted].join(' or ')}`);
        }
        payload.release();
        resolve(null);
      });
    });
  }

  #allowed(block: number): Set<number> {
    return new Set([this.acknowledged[block] as number, ...(this.#doubtful.get(block) ?? [])]);
  }
}

/** The version that a block shows, 0 for zeroes, -1 when it is no version of this block. */
export function versionShown(bytes: Buffer, at: number, block: number): number {
  const version = bytes.readUInt32LE(at + 4);
  const expected = Buffer.alloc(BLOCK_BYTES);
  fillBlock(expected, 0, block, version);
  return bytes.compare(expected, 0, BLOCK_BYTES, at, at + BLOCK_BYTES) === 0 ? version : -1;
}
