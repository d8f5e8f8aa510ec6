import type { Random } from '../base/random.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import type { FaultAtlas } from './fault-atlas.js';
import { EVENT, type Scheduler, WORLD } from './scheduler.js';
import type { Page, SimulatedDisk } from './simulated-disk.js';
import type { Finding } from './volume-history.js';

const LOOK_US = 100_000;
const LOOKS_MAX = 60;
/** Changes of the membership that the backup hears nothing of: the former members may have seen more of them than a restored array begins with. */
const RAISES_MAX = 8;

/** The members that an array had before it was restored onto other devices: they may turn up again, and none of them ever takes part (P10). */
export class FormerDevices {
  readonly #disks: readonly SimulatedDisk[];
  readonly #atlas: FaultAtlas;
  #former: (readonly Page[])[] = [];
  /** Members in whose place one of them is. */
  readonly #inPlace = new Set<number>();

  constructor(disks: readonly SimulatedDisk[], atlas: FaultAtlas) {
    this.#disks = disks;
    this.#atlas = atlas;
  }

  /**
   * Soon, when the array has been restored, which the event sees to where it did not happen before. lose: all members at once, for empty ones. ended: nothing is done to it any
   * more. plugged: called when some of them are in their places.
   */
  plugSoon(random: Random, scheduler: Scheduler, run: { lose(): void; ended(): boolean; plugged(): void; spared(): void }): void {
    let raises = random.below(RAISES_MAX);
    const look = (left: number): void => {
      if (left === 0 || run.ended()) {
        run.spared();
        return;
      }
      const { engine } = this.#atlas;
      if (engine !== null && this.#former.length === 0 && this.#atlas.mayLoseEverything()) {
        if (raises-- === 0) run.lose();
        else void engine.checkpointer.fence().catch(() => undefined);
      } else if (engine !== null && this.#plug(random)) {
        run.plugged();
        return;
      }
      scheduler.after(random.below(LOOK_US), WORLD, EVENT.fault, () => look(left - 1));
    };
    look(LOOKS_MAX);
  }

  /** All members are given up, for new ones, or to be made anew themselves: then what they were is nowhere any more. */
  givenUp(forNew: boolean): void {
    if (forNew) this.#former = this.#disks.map((disk) => disk.content());
    this.#inPlace.clear();
  }

  /** Puts some of them into the places of members, as far as the promises cover it. False when there are none, or no member may be lost. */
  #plug(random: Random): boolean {
    let plugged = 0;
    const start = random.below(this.#disks.length);
    for (let left = this.#former.length === 0 ? 0 : 1 + random.below(this.#disks.length), i = 0; left > 0 && i < this.#disks.length; i++) {
      const index = (start + i) % this.#disks.length;
      const disk = this.#disks[index] as SimulatedDisk;
      if (!disk.connected || !this.#atlas.mayHarm(index)) continue;
      this.#atlas.unplugged.add(index);
      disk.touched = true;
      disk.insert(this.#former[index] as readonly Page[], random);
      this.#inPlace.add(index);
      plugged++;
      left--;
    }
    return plugged > 0;
  }

  /** The place gets a device by hand: this one may be it, made anew. */
  replacing(index: number): void {
    this.#inPlace.delete(index);
  }

  judge({ state }: ArrayEngine): Finding | null {
    for (const index of this.#inPlace)
      if (state.members[index]?.state === 'online')
        return { promise: 'P10', message: `member ${index} is a device from before the restore, and takes part` };
    return null;
  }
}
