import { KeelsonError } from '../base/errors.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import { replaceMember } from '../engine/membership-change.js';
import type { FaultAtlas } from './fault-atlas.js';
import type { SimulatedDisk } from './simulated-disk.js';

/** Errors of a repair that mean: not now. Another attempt is made later. */
const LATER = new Set(['WOULD_LOSE_DATA', 'DEVICE_MISSING', 'DEVICE_BUSY', 'DEVICE_READ', 'DEVICE_WRITE', 'DEVICE_SYNC', 'SHUTTING_DOWN']);

/** Who looks after a simulated array: puts devices that are there into the places of members that are lost, and has what is damaged scrubbed. */
export class Administrator {
  readonly #engine: ArrayEngine;
  readonly #disks: readonly SimulatedDisk[];
  readonly #atlas: FaultAtlas;
  #busy = false;

  constructor(engine: ArrayEngine, disks: readonly SimulatedDisk[], atlas: FaultAtlas) {
    this.#engine = engine;
    this.#disks = disks;
    this.#atlas = atlas;
  }

  get busy(): boolean {
    return this.#busy;
  }

  /** Members that are neither online nor on their way. */
  lost(): number[] {
    const { state } = this.#engine;
    return state.records.map(({ index }) => index).filter((index) => {
      const now = state.members[index]?.state;
      return now !== 'online' && now !== 'rebuilding';
    });
  }

  /** One round of what there is to do. replaced: told of each member that got a device. */
  async look(replaced: (index: number) => void): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (const index of this.lost()) {
        const disk = this.#disks[index] as SimulatedDisk;
        if (!disk.connected) continue;
        try {
          await replaceMember(this.#engine, String(index), disk.path);
          replaced(index);
        } catch (error) {
          const known = KeelsonError.from(error);
          // A device that does not work is put away for another one.
          if (known.code.startsWith('DEVICE_') && disk.connected) disk.wipe();
          if (!LATER.has(known.code)) throw known;
        }
      }
      if (this.#atlas.wantsScrub()) await scrubAll(this.#engine);
    } finally {
      this.#busy = false;
    }
  }
}

/** Reads every written stripe, and writes again what is damaged. */
export async function scrubAll(engine: ArrayEngine): Promise<void> {
  const { state, parts } = engine;
  for (let stripe = 0; stripe < state.geometry.stripes; stripe++) {
    if (!state.isWritten(stripe) || state.isUntrusted(stripe)) continue;
    const one = Float64Array.of(stripe);
    const hold = await engine.lock(one);
    try {
      const outcome = await parts.pool.scrub(state.memberView(), one, true);
      await engine.account(outcome);
      if (outcome.repaired > 0) state.markChanged(stripe);
    } finally {
      engine.locks.release(hold);
    }
  }
}
