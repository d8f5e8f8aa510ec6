import type { ArrayEngine } from '../engine/array-engine.js';
import { drainedLsn } from '../engine/backup-attach.js';
import { simulatedRepository } from './backup-checks.js';
import type { SimulatedHost } from './simulated-target.js';
import type { SimulatedProcess } from './simulated-process.js';
import type { Finding } from './volume-history.js';

/** Another process that takes the repository with a newer epoch, and what it found there: from then on the older one drains nothing more (P10). */
export class NewerWriter {
  #epoch = 0;
  #headLsn = 0;

  /** True when it has taken the repository. Connections break for it as well. */
  async take(host: SimulatedHost, writer: SimulatedProcess, engine: ArrayEngine, epochs: number): Promise<boolean> {
    const { state, volumeBytes } = engine;
    const repository = simulatedRepository(host, writer, new Uint8Array(0));
    const epoch = state.epoch + epochs;
    try {
      const found = await repository.open({ arrayUuid: state.shape.arrayUuid, epoch, volumeBytes, create: false });
      this.#epoch = epoch;
      this.#headLsn = found.headLsn;
      // A publish of nothing: the newest segment is its own from now on.
      const header = { firstLsn: found.headLsn + 1, lastLsn: found.headLsn, time: 0, seed: false };
      if (writer.random.below(2) === 0) await repository.publish(header, () => Promise.resolve(null));
      return true;
    } catch {
      return this.#epoch === epoch;
    } finally {
      writer.alive = false;
    }
  }

  /** The engine writes under an older epoch. */
  isNewerThan(engine: ArrayEngine): boolean {
    const epoch = engine.link?.state?.epoch ?? 0;
    return this.#epoch > epoch;
  }

  look(engine: ArrayEngine): Finding | null {
    if (!this.isNewerThan(engine) || engine.link?.state === null || drainedLsn(engine) <= this.#headLsn) return null;
    return {
      promise: 'P10',
      message: `LSN ${drainedLsn(engine)} is said to be drained; the image of a newer writer (epoch ${this.#epoch}) ends at ${this.#headLsn}`,
    };
  }
}
