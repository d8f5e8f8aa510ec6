import { assert } from '../base/assert.js';
import type { StripeIndex } from '../base/units.js';

const NONE = -1;

/** A batch of stripes that is held or waited for. Opaque; give it back with StripeLock.release. */
export interface StripeHold {
  readonly stripes: number;
}

class Hold implements StripeHold {
  /** Stripes of this hold that someone before it has. */
  waiting = 0;
  released = false;
  readonly nodes: Int32Array;
  readonly granted: (hold: StripeHold) => void;

  constructor(stripes: number, granted: (hold: StripeHold) => void) {
    this.nodes = new Int32Array(stripes);
    this.granted = granted;
  }

  get stripes(): number {
    return this.nodes.length;
  }
}

/**
 * Exclusive locks on stripes for the batches of the destager, the rebuild, the scrub and repairs. A batch joins the queues of all its stripes at once and is granted
 * when it heads them all: so batches that share a stripe go in the order they asked, others do not wait for each other, and no deadlock is possible
 * (the order of asking is the same in every queue). Queue nodes are numbers in typed arrays; a batch is one object.
 */
export class StripeLock {
  /** Stripe -> node of the last batch in its queue. */
  readonly #tails = new Map<StripeIndex, number>();
  #stripe = new Float64Array(1024);
  #next = new Int32Array(1024);
  #owner: (Hold | undefined)[] = [];
  #free = NONE;
  #used = 0;
  #holds = 0;
  #waiting = 0;

  #idle: (() => void)[] = [];
  /** What was asked for while work goes on alone; null: none does. */
  #deferred: (() => void)[] | null = null;
  #lastAlone: Promise<unknown> = Promise.resolve();

  /** Runs the work when every batch that was asked for before it is released; those that are asked for meanwhile join the queues after it. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#lastAlone.then(() => this.#alone(work));
    this.#lastAlone = turn.catch(() => undefined);
    return turn;
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const deferred: (() => void)[] = [];
    this.#deferred = deferred;
    try {
      if (this.#holds + this.#waiting > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
      return await work();
    } finally {
      this.#deferred = null;
      for (const ask of deferred) ask();
    }
  }

  /** Batches granted and not released. */
  get held(): number {
    return this.#holds;
  }

  /** Batches not yet granted. */
  get queued(): number {
    return this.#waiting;
  }

  isLocked(stripe: StripeIndex): boolean {
    return this.#tails.has(stripe);
  }

  /**
   * Calls granted with the hold when all the stripes are this batch's: before returning when nobody has any of them, else inside somebody's
   * release. Stripes may come in any order and more than once.
   */
  acquire(stripes: Float64Array | readonly StripeIndex[], granted: (hold: StripeHold) => void): void {
    if (this.#deferred !== null) {
      this.#deferred.push(() => this.acquire(stripes, granted));
      return;
    }
    const hold = new Hold(stripes.length, granted);
    for (let i = 0; i < stripes.length; i++) {
      const stripe = stripes[i] as number;
      const tail = this.#tails.get(stripe);
      if (tail !== undefined && this.#owner[tail] === hold) {
        hold.nodes[i] = NONE;
        continue;
      }
      const node = this.#takeNode(stripe, hold);
      hold.nodes[i] = node;
      if (tail !== undefined) {
        this.#next[tail] = node;
        hold.waiting += 1;
      }
      this.#tails.set(stripe, node);
    }
    this.#waiting += 1;
    if (hold.waiting === 0) this.#grant(hold);
  }

  /** The same for slow paths: acquires, runs, releases. */
  async run<T>(stripes: Float64Array | readonly StripeIndex[], action: () => Promise<T>): Promise<T> {
    const hold = await new Promise<StripeHold>((resolve) => this.acquire(stripes, resolve));
    try {
      return await action();
    } finally {
      this.release(hold);
    }
  }

  release(given: StripeHold): void {
    const hold = given as Hold;
    assert(hold instanceof Hold && !hold.released && hold.waiting === 0, 'a granted hold is released once');
    hold.released = true;
    this.#holds -= 1;
    let ready: Hold[] | undefined;
    for (const node of hold.nodes) {
      if (node === NONE) continue;
      const next = this.#next[node] as number;
      const stripe = this.#stripe[node] as number;
      this.#giveNode(node);
      if (next === NONE) {
        this.#tails.delete(stripe);
        continue;
      }
      const heir = this.#owner[next] as Hold;
      heir.waiting -= 1;
      if (heir.waiting === 0) {
        ready ??= [];
        ready.push(heir);
      }
    }
    if (ready !== undefined) for (const heir of ready) this.#grant(heir);
    if (this.#idle.length > 0 && this.#holds + this.#waiting === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  #grant(hold: Hold): void {
    this.#waiting -= 1;
    this.#holds += 1;
    hold.granted(hold);
  }

  #takeNode(stripe: StripeIndex, hold: Hold): number {
    let node = this.#free;
    if (node !== NONE) this.#free = this.#next[node] as number;
    else {
      node = this.#used++;
      if (node === this.#next.length) this.#grow();
    }
    this.#stripe[node] = stripe;
    this.#next[node] = NONE;
    this.#owner[node] = hold;
    return node;
  }

  #giveNode(node: number): void {
    this.#owner[node] = undefined;
    this.#next[node] = this.#free;
    this.#free = node;
  }

  #grow(): void {
    const stripe = new Float64Array(this.#stripe.length * 2);
    stripe.set(this.#stripe);
    this.#stripe = stripe;
    const next = new Int32Array(this.#next.length * 2);
    next.set(this.#next);
    this.#next = next;
  }
}
