/** Waiting work of several clients: first come first served for each, and the clients take turns. */
export class FairQueue<T> {
  /** The lanes that are not empty, in the order of their turns. */
  readonly #lanes = new Map<number, T[]>();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(client: number, item: T): void {
    const lane = this.#lanes.get(client);
    if (lane === undefined) this.#lanes.set(client, [item]);
    else lane.push(item);
    this.#length++;
  }

  /** What is next; it stays until shift(). */
  get first(): T | undefined {
    for (const lane of this.#lanes.values()) return lane[0];
    return undefined;
  }

  /** The first leaves, and the next client's turn begins. */
  shift(): void {
    for (const [client, lane] of this.#lanes) {
      lane.shift();
      this.#length--;
      this.#lanes.delete(client);
      if (lane.length > 0) this.#lanes.set(client, lane);
      return;
    }
  }
}
