import type { NbdLimits } from './limits.js';

/** How long a peer has not kept the pace that is asked of it while others wait for the memory that its bytes hold. */
export class Pace {
  readonly #bytesPerSecond: number;
  #kept_ms: number;
  #seen_ms: number;
  #seenBytes = 0;

  constructor(limits: NbdLimits, now_ms: number) {
    this.#bytesPerSecond = limits.paceBytesPerSecond;
    this.#kept_ms = now_ms;
    this.#seen_ms = now_ms;
  }

  /** Asked regularly. idle: nothing is held, so no pace is owed. bytes: moved since the connection began. Returns milliseconds since the pace was last kept. */
  slowFor_ms(now_ms: number, idle: boolean, bytes: number): number {
    const owed = ((now_ms - this.#seen_ms) * this.#bytesPerSecond) / 1000;
    if (idle || bytes - this.#seenBytes >= Math.max(1, owed)) this.#kept_ms = now_ms;
    this.#seen_ms = now_ms;
    this.#seenBytes = bytes;
    return now_ms - this.#kept_ms;
  }
}
