/**
 * Block status is computed on the main thread, at once. So that a peer that asks for nothing else does not keep everyone waiting, all connections
 * take turns: one request, then whatever else the process has to do, then the next.
 */
export class StatusTurns {
  readonly #waiting: (() => void)[] = [];
  readonly #runNext = (): void => {
    const run = this.#waiting.shift();
    if (this.#waiting.length > 0) setImmediate(this.#runNext);
    run?.();
  };

  add(run: () => void): void {
    this.#waiting.push(run);
    if (this.#waiting.length === 1) setImmediate(this.#runNext);
  }
}
