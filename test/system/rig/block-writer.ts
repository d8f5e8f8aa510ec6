import type { KeelsonError } from '../../../src/base/errors.js';
import type { Random } from '../../../src/base/random.js';
import { BLOCK_BYTES } from '../../../src/base/units.js';
import type { BlockVolume } from '../../../src/engine/block-volume.js';

/**
 * Writes blocks of a volume in versions and knows what each must hold: at most one write of a block is in flight at a time, so the newest acknowledged
 * version is the only right answer, or the one in flight when its write failed.
 */
export class BlockWriter {
  readonly blocks: number;
  readonly #volume: BlockVolume;
  readonly #acknowledged: Uint32Array;
  /** Version of a write that ended with an error: it may be there or not. */
  readonly #doubtful = new Map<number, number[]>();
  readonly #busy = new Set<number>();
  #version = 0;
  acknowledgements = 0;
  errors = 0;

  constructor(volume: BlockVolume, blocks: number) {
    this.#volume = volume;
    this.blocks = blocks;
    this.#acknowledged = new Uint32Array(blocks);
  }

  /** Writes one run of blocks; resolves to whether it was acknowledged. */
  write(first: number, count: number): Promise<boolean> {
    const version = ++this.#version;
    const payload = Buffer.alloc(count * BLOCK_BYTES);
    for (let i = 0; i < count; i++) fill(payload, i, first + i, version);
    for (let i = 0; i < count; i++) this.#busy.add(first + i);
    return new Promise((resolve) => {
      this.#volume.write(first * BLOCK_BYTES, payload, false, (error) => {
        for (let i = 0; i < count; i++) {
          this.#busy.delete(first + i);
          if (error === null) {
            this.#acknowledged[first + i] = version;
            this.#doubtful.delete(first + i);
          } else this.#doubtful.set(first + i, [...(this.#doubtful.get(first + i) ?? []), version]);
        }
        if (error === null) this.acknowledgements++;
        else this.errors++;
        resolve(error === null);
      });
    });
  }

  /** Random short runs until `stop` says so; a lane ends at its first error. */
  async load(random: Random, lanes: number, stop: () => boolean): Promise<void> {
    const lane = async (): Promise<void> => {
      while (!stop()) {
        const count = 1 + random.below(8);
        const first = random.below(this.blocks - count);
        if (this.#isBusy(first, count)) await new Promise<void>((turn) => setImmediate(turn));
        else if (!(await this.write(first, count))) return;
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  }

  #isBusy(first: number, count: number): boolean {
    for (let i = 0; i < count; i++) if (this.#busy.has(first + i)) return true;
    return false;
  }

  flush(): Promise<void> {
    return new Promise((resolve, reject) => this.#volume.flush((error) => (error === null ? resolve() : reject(error))));
  }

  /** Reads every block by itself. `mayFail` says of which blocks an error is an answer. Returns what is wrong, and how many blocks could not be read. */
  async verify(mayFail: (block: number) => boolean = () => false): Promise<{ wrong: string[]; unreadable: number }> {
    const wrong: string[] = [];
    let unreadable = 0;
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < this.blocks) {
        const block = next++;
        const { error, shown } = await this.#read(block);
        if (error === null) {
          const allowed = [this.#acknowledged[block] ?? 0, ...(this.#doubtful.get(block) ?? [])];
          if (!allowed.includes(shown)) wrong.push(`block ${block} shows version ${shown}, allowed ${allowed.join(' or ')}`);
          continue;
        }
        unreadable++;
        if (!mayFail(block)) wrong.push(`block ${block} cannot be read: ${error.describe()}`);
      }
    };
    await Promise.all(Array.from({ length: 32 }, lane));
    return { wrong, unreadable };
  }

  #read(block: number): Promise<{ error: KeelsonError | null; shown: number }> {
    return new Promise((resolve) => {
      this.#volume.read(block * BLOCK_BYTES, BLOCK_BYTES, (error, payload) => {
        const shown = payload === null ? -1 : versionOf(payload.bytes, block);
        payload?.release();
        resolve({ error, shown });
      });
    });
  }
}

const WORDS = BLOCK_BYTES / 4;

function fill(payload: Buffer, at: number, block: number, version: number): void {
  const start = at * BLOCK_BYTES;
  payload.writeUInt32LE(block, start);
  payload.writeUInt32LE(version, start + 4);
  for (let i = 2; i < WORDS; i++)
    payload.writeUInt32LE((Math.imul(block ^ (i << 20), 0x9e3779b9) ^ Math.imul(version + i, 0x85ebca6b)) >>> 0, start + i * 4);
}

/** The version that a block shows; 0 for zeroes, -1 for what was never written there. */
function versionOf(bytes: Buffer, block: number): number {
  const version = bytes.readUInt32LE(4);
  if (version === 0) return bytes.every((byte) => byte === 0) ? 0 : -1;
  const expected = Buffer.alloc(BLOCK_BYTES);
  fill(expected, 0, block, version);
  return expected.equals(bytes) ? version : -1;
}
