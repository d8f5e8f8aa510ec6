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
  #writer: SimulatedProcess | null = null;
  #wanted = 0;
  #contends = false;

  /** Some writer has tried to take it: also one that heard of no success may have. */
  get wasThere(): boolean {
    return this.#writer !== null;
  }

  /** True when it has taken the repository. Connections break for it as well. */
  async take(host: SimulatedHost, writer: SimulatedProcess, engine: ArrayEngine, epochs: number): Promise<boolean> {
    const { state, volumeBytes } = engine;
    const repository = simulatedRepository(host, writer, new Uint8Array(0));
    const epoch = state.epoch + epochs;
    this.#writer = writer;
    this.#wanted = epoch;
    this.#contends = true;
    try {
      const found = await repository.open({ arrayUuid: state.shape.arrayUuid, epoch, volumeBytes, create: false });
      this.#epoch = epoch;
      this.#headLsn = found.headLsn;
      return true;
    } catch {
      return this.#epoch === epoch;
    } finally {
      writer.alive = false;
    }
  }

  /** Another process wants the repository or has it, and the array's own epoch has not reached its. */
  get contends(): boolean {
    return this.#contends;
  }

  /** The engine writes under an older epoch. */
  isNewerThan(engine: ArrayEngine): boolean {
    const epoch = engine.link?.state?.epoch ?? 0;
    return this.#epoch > epoch;
  }

  look(engine: ArrayEngine): Finding | null {
    // Two writers never have the same epoch: members give each only once.
    if (this.#writer !== null && engine.state.epoch >= this.#wanted) {
      this.#writer.alive = false;
      this.#contends = false;
    }
    if (!this.isNewerThan(engine) || engine.link?.state === null || drainedLsn(engine) <= this.#headLsn) return null;
    return {
      promise: 'P10',
      message: `LSN ${drainedLsn(engine)} is said to be drained; the image of a newer writer (epoch ${this.#epoch}) ends at ${this.#headLsn}`,
    };
  }
}
