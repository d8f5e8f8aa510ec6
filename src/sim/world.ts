import type { Random } from '../base/random.js';
import { Scheduler } from './scheduler.js';

/** Work in a world beside the one of the run was cut short. */
export const CUT_SHORT = Symbol('cut short');

/** Time of its own, for what is tried beside the run and must leave no trace in it. */
export class World {
  readonly scheduler: Scheduler;

  constructor(random: Random, wallOffset_ms: number) {
    this.scheduler = new Scheduler(random);
    this.scheduler.wallOffset_ms = wallOffset_ms;
  }

  /** What the work comes to, or CUT_SHORT when it has not ended after so many events; nothing happens here while nobody waits for something. */
  async until<T>(work: Promise<T>, events: number): Promise<T | typeof CUT_SHORT> {
    let ended = false;
    const end = (): void => {
      ended = true;
    };
    work.then(end, end);
    const { scheduler } = this;
    for (const last = scheduler.steps + events; ; ) {
      await scheduler.turn();
      if (ended) return work;
      if (scheduler.steps >= last || !scheduler.step()) return CUT_SHORT;
    }
  }
}
