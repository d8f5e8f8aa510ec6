/** Time is handed in, never imported: the simulator runs the same code on its own clock. */
export interface Clock {
  /** Monotonic milliseconds. */
  now(): number;
  /** Wall clock, milliseconds since 1970; only to describe, never to order. */
  wall(): number;
  /** Calls back once after delay_ms. The timer does not keep the process alive. */
  after(delay_ms: number, callback: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(delay_ms, callback) {
    const handle = setTimeout(callback, delay_ms);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};
