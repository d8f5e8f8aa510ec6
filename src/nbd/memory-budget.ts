import { assert } from '../base/assert.js';
import { BLOCK_BYTES, type Bytes, KIB, roundDown } from '../base/units.js';

/** What a connection may always have, if the budget is large enough: some requests of a block or two, or one of this size. */
const OWN_BYTES_MAX = 64 * KIB;

/** One connection's part of a budget. */
export interface BudgetShare {
  /** What it holds. */
  readonly heldBytes: Bytes;
  /** More than what is its own: memory that others could have. */
  readonly beyondOwn: boolean;
  /** True when `bytes` are its now; mine: what this same request holds already. False: onRoom follows, or the connection's own requests have to leave first. */
  take(bytes: Bytes, mine: Bytes): boolean;
  /** The same, for memory that is not needed yet: it takes no turn, and waits for none. */
  takeEarly(bytes: Bytes, mine: Bytes): boolean;
  give(bytes: Bytes): void;
  /** It does not wait any more. */
  forget(): void;
}

/**
 * Memory that all connections share, in three parts, so that peers who keep what they have take nothing from the others:
 * - own: a part for each connection that there may be. A small request of one never waits for what another holds.
 * - shared: whoever then holds no more than what is then left gets more. However many hold on to what they have, something is always left.
 * - the turn: room for one request of the largest size, given to one connection at a time that holds nothing else, first come first served. So the largest is served too.
 */
export class MemoryBudget {
  readonly bytesMax: Bytes;
  readonly ownBytes: Bytes;
  readonly #sharedBytes: Bytes;
  readonly #waiters: Share[] = [];
  #usedBytes = 0;
  #sharedUsed = 0;
  #turnOf: Share | null = null;

  /** turnBytes: what the largest request takes. */
  constructor(bytesMax: Bytes, connectionsMax: number, turnBytes: Bytes) {
    this.bytesMax = bytesMax;
    this.ownBytes = Math.min(OWN_BYTES_MAX, roundDown((bytesMax - turnBytes) / 2 / connectionsMax, BLOCK_BYTES));
    assert(this.ownBytes >= BLOCK_BYTES, 'the budget has a block for every connection beside the largest request');
    this.#sharedBytes = bytesMax - turnBytes - connectionsMax * this.ownBytes;
  }

  get usedBytes(): Bytes {
    return this.#usedBytes;
  }

  /** Connections that wait for room and hold nothing that could give it. */
  get waiting(): number {
    return this.#waiters.length;
  }

  /** onRoom must only schedule: it is called from inside a release. */
  share(onRoom: () => void): BudgetShare {
    return new Share(this, onRoom);
  }

  /** Part of `held` that is not the connection's own. */
  beyond(held: Bytes): Bytes {
    return Math.max(0, held - this.ownBytes);
  }

  take(share: Share, bytes: Bytes, mine: Bytes, early: boolean): boolean {
    const beyond = this.beyond(share.heldBytes + bytes);
    const more = beyond - this.beyond(share.heldBytes);
    if (more > 0) {
      // The turn is for the request that it was given to.
      if (share === this.#turnOf ? share.heldBytes !== mine : !this.#admit(share, beyond, more, mine, early)) return false;
    }
    share.heldBytes += bytes;
    this.#usedBytes += bytes;
    assert(this.#usedBytes <= this.bytesMax, 'a budget is kept');
    return true;
  }

  #admit(share: Share, beyond: Bytes, more: Bytes, mine: Bytes, early: boolean): boolean {
    if (beyond <= this.#sharedBytes - this.#sharedUsed - more) {
      this.#sharedUsed += more;
      this.forget(share);
      return true;
    }
    if (early || share.heldBytes !== mine) return false;
    share.wanted = beyond + more;
    if (this.#turnOf !== null || (this.#waiters.length > 0 && this.#waiters[0] !== share)) {
      if (!this.#waiters.includes(share)) this.#waiters.push(share);
      return false;
    }
    this.#sharedUsed -= beyond - more;
    this.#turnOf = share;
    this.forget(share);
    return true;
  }

  give(share: Share, bytes: Bytes): void {
    const before = this.beyond(share.heldBytes);
    share.heldBytes -= bytes;
    this.#usedBytes -= bytes;
    assert(share.heldBytes >= 0, 'what was taken of a budget is given back once');
    const after = this.beyond(share.heldBytes);
    if (share !== this.#turnOf) this.#sharedUsed -= before - after;
    else if (after === 0) this.#turnOf = null;
    this.#wake();
  }

  forget(share: Share): void {
    const index = this.#waiters.indexOf(share);
    if (index < 0) return;
    this.#waiters.splice(index, 1);
    if (index === 0) this.#wake();
  }

  #wake(): void {
    if (this.#waiters.length === 0) return;
    const free = this.#sharedBytes - this.#sharedUsed;
    for (const [index, share] of this.#waiters.entries())
      if (share.wanted <= free || (index === 0 && this.#turnOf === null)) share.onRoom();
  }
}

class Share implements BudgetShare {
  readonly #budget: MemoryBudget;
  readonly onRoom: () => void;
  heldBytes = 0;
  /** While it waits: what has to be free for it to get more. */
  wanted = 0;

  constructor(budget: MemoryBudget, onRoom: () => void) {
    this.#budget = budget;
    this.onRoom = onRoom;
  }

  get beyondOwn(): boolean {
    return this.#budget.beyond(this.heldBytes) > 0;
  }

  take(bytes: Bytes, mine: Bytes): boolean {
    return this.#budget.take(this, bytes, mine, false);
  }

  takeEarly(bytes: Bytes, mine: Bytes): boolean {
    return this.#budget.take(this, bytes, mine, true);
  }

  give(bytes: Bytes): void {
    if (bytes > 0) this.#budget.give(this, bytes);
  }

  forget(): void {
    this.#budget.forget(this);
  }
}
