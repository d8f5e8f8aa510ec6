import { KeelsonError } from '../base/errors.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import { replaceMember } from '../engine/membership-change.js';
import { scrubStripe } from '../engine/scrub-stripe.js';
import type { FaultAtlas } from './fault-atlas.js';
import type { SimulatedDisk } from './simulated-disk.js';

/** Errors of a repair that mean: not now. Another attempt is made later. */
const LATER = new Set([
  'WOULD_LOSE_DATA',
  'MEMBER_HOLDS_DATA',
  'DEVICE_MISSING',
  'DEVICE_BUSY',
  'DEVICE_READ',
  'DEVICE_WRITE',
  'DEVICE_SYNC',
  'SHUTTING_DOWN',
]);

/** What becomes of a member that is to get a device. */
export interface ReplacementNews {
  replacing(index: number): void;
  replaced(index: number): void;
  refused(index: number): void;
}

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
    return state.records
      .map(({ index }) => index)
      .filter((index) => {
        const now = state.members[index]?.state;
        return now !== 'online' && now !== 'rebuilding';
      });
  }

  /** One round of what there is to do. */
  async look(told: ReplacementNews): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (const index of this.lost()) {
        const disk = this.#disks[index] as SimulatedDisk;
        if (!disk.connected) continue;
        try {
          told.replacing(index);
          // What a member had is had elsewhere (the atlas sees to that), and this device is its own.
          await replaceMember(this.#engine, String(index), disk.path, { giveUp: String(index) });
          told.replaced(index);
        } catch (error) {
          told.refused(index);
          const known = KeelsonError.from(error);
          // A device that does not work is put away for another one.
          // Superblocks of two members, where a crash cut a replacement short, are refused like foreign data.
          const useless = known.code.startsWith('DEVICE_') || known.code === 'MEMBER_HOLDS_DATA';
          if (useless && disk.connected) disk.wipe();
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
  const { state } = engine;
  for (let stripe = 0; stripe < state.geometry.stripes; stripe++) {
    if (!state.isWritten(stripe) || state.isUntrusted(stripe)) continue;
    await scrubStripe(engine, stripe);
  }
}
