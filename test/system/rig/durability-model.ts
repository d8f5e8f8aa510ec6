import type { Random } from '../../../src/base/random.js';
import { BLOCK_BYTES } from '../../../src/base/units.js';
import type { KeelsonError } from '../../../src/base/errors.js';
import type { BlockVolume } from '../../../src/engine/block-volume.js';
import { fillBlock, versionShown } from '../../engine/block-model.js';
import { NEVER, type WriteRecorder } from './write-recorder.js';

interface BlockWrite {
  readonly version: number;
  readonly submitted: number;
  acknowledged: number;
}

interface Flush {
  readonly submitted: number;
  replied: number;
}

/**
 * What each block may show after a power failure at any moment of a recorded run. At most one write of a block is in flight at a time, so its writes have an order. A flush or
 * a FUA write that was answered makes every write acknowledged before it was asked for the least that is there (P2).
 */
export class DurabilityModel {
  readonly #volume: BlockVolume;
  readonly #recorder: WriteRecorder;
  readonly #history: BlockWrite[][];
  readonly #flushes: Flush[] = [];
  readonly #busy = new Set<number>();
  #version = 0;
  acknowledgements = 0;
  /** First requests that were refused, as text. */
  readonly errors: string[] = [];

  constructor(volume: BlockVolume, recorder: WriteRecorder) {
    this.#volume = volume;
    this.#recorder = recorder;
    this.#history = Array.from({ length: volume.sizeBytes / BLOCK_BYTES }, () => []);
  }

  get blocks(): number {
    return this.#history.length;
  }

  /** Moments at which a flush or a FUA write was answered. */
  get replies(): number[] {
    return this.#flushes.filter(({ replied }) => replied !== NEVER).map(({ replied }) => replied);
  }

  /** One write, trim or zeroing of a run of blocks that nobody else is writing. */
  write(first: number, count: number, how: 'data' | 'trim' | 'zeroes', fua: boolean): Promise<void> {
    const submitted = this.#recorder.tick();
    const version = how === 'data' ? ++this.#version : 0;
    const rows: BlockWrite[] = [];
    for (let block = first; block < first + count; block++) {
      const row = { version, submitted, acknowledged: NEVER };
      this.#history[block]?.push(row);
      rows.push(row);
      this.#busy.add(block);
    }
    const flush: Flush = { submitted, replied: NEVER };
    if (fua) this.#flushes.push(flush);
    return new Promise((resolve) => {
      const done = (error: KeelsonError | null): void => {
        const now = this.#recorder.tick();
        for (let block = first; block < first + count; block++) this.#busy.delete(block);
        if (error === null) {
          this.acknowledgements++;
          for (const row of rows) row.acknowledged = now;
          flush.replied = now;
        } else this.errors.push(error.describe());
        resolve();
      };
      const [offset, length] = [first * BLOCK_BYTES, count * BLOCK_BYTES];
      if (how === 'trim') return this.#volume.trim(offset, length, fua, done);
      if (how === 'zeroes') return this.#volume.writeZeroes(offset, length, false, fua, done);
      const payload = Buffer.alloc(length);
      for (let i = 0; i < count; i++) fillBlock(payload, i * BLOCK_BYTES, first + i, version);
      this.#volume.write(offset, payload, fua, done);
    });
  }

  flush(): Promise<void> {
    const flush: Flush = { submitted: this.#recorder.tick(), replied: NEVER };
    this.#flushes.push(flush);
    return new Promise((resolve) =>
      this.#volume.flush((error) => {
        const now = this.#recorder.tick();
        if (error === null) flush.replied = now;
        else this.errors.push(error.describe());
        resolve();
      }),
    );
  }

  async writeSomewhere(random: Random, most: number): Promise<void> {
    for (;;) {
      const count = 1 + random.below(most);
      // A quarter of the volume gets half of the writes: rows that are updated again and again.
      const room = random.below(2) === 0 ? Math.max(most + 1, this.blocks >> 2) : this.blocks;
      const first = random.below(room - count + 1);
      const kind = random.below(16);
      let free = true;
      for (let block = first; block < first + count; block++) free &&= !this.#busy.has(block);
      if (free) return this.write(first, count, kind === 0 ? 'trim' : kind === 1 ? 'zeroes' : 'data', kind === 2);
      await new Promise<void>((turn) => setImmediate(turn));
    }
  }

  /**
   * Versions that a block may show when the power failed at `moment`. processOnly: the process was killed and the members lost nothing, so that what was acknowledged is the
   * least (P1).
   */
  permitted(moment: number, processOnly: boolean): (block: number) => ReadonlySet<number> {
    let covered = 0;
    for (const { submitted, replied } of this.#flushes) if (replied <= moment) covered = Math.max(covered, submitted);
    const fua = new Set(this.#flushes.filter(({ replied }) => replied <= moment).map(({ submitted }) => submitted));
    return (block) => {
      const rows = this.#history[block] ?? [];
      let least = -1;
      for (const [i, row] of rows.entries()) {
        if (row.acknowledged <= covered || fua.has(row.submitted) || (processOnly && row.acknowledged <= moment)) least = i;
      }
      const allowed = new Set(
        rows
          .slice(Math.max(0, least))
          .filter(({ submitted }) => submitted <= moment)
          .map(({ version }) => version),
      );
      if (least < 0) allowed.add(0);
      return allowed;
    };
  }

  /**
   * Of which moments an image is that shows this version of a block: after `from`, and before `missing`, at which the next write of the block was acknowledged. null when no write
   * made it. Zeroes may be those of several requests: then the widest answer.
   */
  shownBy(block: number, version: number): { readonly from: number; readonly missing: number } | null {
    const rows = this.#history[block] ?? [];
    const first = version === 0 ? -1 : rows.findIndex((row) => row.version === version);
    const last = rows.findLastIndex((row) => row.version === version);
    if (version !== 0 && last < 0) return null;
    return { from: rows[first]?.submitted ?? 0, missing: rows[last + 1]?.acknowledged ?? NEVER };
  }
}

/** Reads the whole volume. wrong: what is shown and not permitted; unreadable: errors; shown: the version of each block. */
export async function readVersions(
  volume: BlockVolume,
  permitted: (block: number) => ReadonlySet<number>,
  run = 16,
): Promise<{ wrong: string[]; unreadable: string[]; shown: Int32Array }> {
  const blocks = volume.sizeBytes / BLOCK_BYTES;
  const shown = new Int32Array(blocks).fill(-1);
  const wrong: string[] = [];
  const unreadable: string[] = [];
  for (let first = 0; first < blocks; first += run) {
    const count = Math.min(run, blocks - first);
    await new Promise<void>((resolve) =>
      volume.read(first * BLOCK_BYTES, count * BLOCK_BYTES, (error, payload) => {
        if (error !== null || payload === null) unreadable.push(`blocks ${first} to ${first + count - 1}: ${error?.describe()}`);
        else {
          for (let i = 0; i < count; i++) {
            const version = versionShown(payload.bytes, i * BLOCK_BYTES, first + i);
            shown[first + i] = version;
            const allowed = permitted(first + i);
            if (!allowed.has(version)) wrong.push(`block ${first + i} shows version ${version}, permitted ${[...allowed].join(', ')}`);
          }
          payload.release();
        }
        resolve();
      }),
    );
  }
  return { wrong, unreadable, shown };
}
