import { assert } from '../base/assert.js';

/** A set of page numbers below a bound, one bit each. */
export class PageSet {
  readonly bound: number;
  #words: Uint32Array;
  #count = 0;

  constructor(bound: number) {
    this.bound = bound;
    this.#words = new Uint32Array(Math.ceil(bound / 32));
  }

  get count(): number {
    return this.#count;
  }

  has(page: number): boolean {
    return (((this.#words[Math.floor(page / 32)] ?? 0) >>> (page % 32)) & 1) === 1;
  }

  add(page: number): void {
    assert(page >= 0 && page < this.bound, 'page below the bound of its set');
    if (this.has(page)) return;
    const word = Math.floor(page / 32);
    this.#words[word] = (this.#words[word] as number) | (1 << (page % 32));
    this.#count += 1;
  }

  delete(page: number): void {
    if (!this.has(page)) return;
    const word = Math.floor(page / 32);
    this.#words[word] = (this.#words[word] as number) & ~(1 << (page % 32));
    this.#count -= 1;
  }

  /** Smallest member >= from, or -1. */
  next(from: number): number {
    if (this.#count === 0 || from >= this.bound) return -1;
    let word = Math.floor(from / 32);
    let bits = (this.#words[word] as number) & (-1 << (from % 32));
    while (bits === 0) {
      word += 1;
      if (word >= this.#words.length) return -1;
      bits = this.#words[word] as number;
    }
    return word * 32 + (31 - Math.clz32(bits & -bits));
  }

  /** Moves the contents into a new set and leaves this one empty. */
  drain(): PageSet {
    const taken = new PageSet(this.bound);
    [taken.#words, this.#words] = [this.#words, taken.#words];
    [taken.#count, this.#count] = [this.#count, 0];
    return taken;
  }

  toArray(): number[] {
    const pages: number[] = [];
    for (let page = this.next(0); page >= 0; page = this.next(page + 1)) pages.push(page);
    return pages;
  }
}
