/** Runs one piece of work after the other. Devices become members so: they share the memory for it, and each rests on the table that the one before it left. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn;
    turn.catch(() => undefined);
    return turn;
  }
}
