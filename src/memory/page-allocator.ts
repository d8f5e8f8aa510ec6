import { assert } from '../base/assert.js';
import { BLOCK_BYTES, type Bytes, type SlabOffset } from '../base/units.js';

/** Called with the slab offset of the run granted and the tag given with the request. */
export type Granted = (offset: SlabOffset, tag: number) => void;

/** Requests that may wait for memory at once: more than every connection's window together; what comes on top is a caller without a bound. */
export const ALLOCATION_WAITERS_MAX = 65_536;
/** Runs of the request's own size class that are looked at before a larger run is cut. */
const SAME_CLASS_TRIES = 8;
const NONE = -1;

/**
 * Contiguous runs of slab pages. Free runs hang in doubly linked lists by size class (powers of two), their length is noted at both of their ends, so that a
 * page or a power of two is found at once and a freed run grows together with its neighbours at once. All state is typed arrays.
 *
 * Requests are granted strictly in order: while one waits, later ones wait behind it, so that a large request is not starved by small ones.
 * A run may be given back in parts.
 */
export class PageAllocator {
  readonly pages: number;
  readonly #offset: SlabOffset;
  /** 1 = in use. */
  readonly #used: Uint8Array;
  /** At the first and at the last page of a free run: its length. */
  readonly #length: Int32Array;
  /** At the first page of a free run: neighbours in the list of its class. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #heads: Int32Array;
  /** Bit c: class c has a free run. */
  #classes = 0;
  #usedPages = 0;
  /** Ring of waiting requests; grows by doubling up to the bound. */
  #waitPages = new Int32Array(64);
  #waitTags = new Float64Array(64);
  #waitGranted: (Granted | null)[] = new Array<Granted | null>(64).fill(null);
  #waitHead = 0;
  #waiting = 0;
  #granting = false;

  /** The range [offset, offset + bytes) of the slab, both multiples of 4096. */
  constructor(offset: SlabOffset, bytes: Bytes) {
    assert(offset >= 0 && offset % BLOCK_BYTES === 0 && bytes > 0 && bytes % BLOCK_BYTES === 0, 'a range of whole pages');
    this.#offset = offset;
    this.pages = bytes / BLOCK_BYTES;
    assert(this.pages < 2 ** 30, 'fewer than 2^30 pages');
    this.#used = new Uint8Array(this.pages);
    this.#length = new Int32Array(this.pages);
    this.#next = new Int32Array(this.pages).fill(NONE);
    this.#previous = new Int32Array(this.pages).fill(NONE);
    this.#heads = new Int32Array(31).fill(NONE);
    this.#insert(0, this.pages);
  }

  /** Gauges, in pages and requests. */
  get usedPages(): number {
    return this.#usedPages;
  }

  get freePages(): number {
    return this.pages - this.#usedPages;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Longest run that could be granted now, in pages. */
  get longestFreeRun(): number {
    if (this.#classes === 0) return 0;
    let longest = 0;
    for (let run = this.#heads[31 - Math.clz32(this.#classes)] as number; run !== NONE; run = this.#next[run] as number) {
      longest = Math.max(longest, this.#length[run] as number);
    }
    return longest;
  }

  /** Grants a run of this many pages: before it returns when there is one and nobody waits, else when its turn comes and enough was freed. */
  allocate(pages: number, granted: Granted, tag = 0): void {
    const offset = this.tryAllocate(pages);
    if (offset >= 0) {
      granted(offset, tag);
      return;
    }
    assert(this.#waiting < ALLOCATION_WAITERS_MAX, `at most ${ALLOCATION_WAITERS_MAX} requests wait for memory`);
    if (this.#waiting === this.#waitPages.length) this.#growWaiters();
    const at = (this.#waitHead + this.#waiting) % this.#waitPages.length;
    this.#waitPages[at] = pages;
    this.#waitTags[at] = tag;
    this.#waitGranted[at] = granted;
    this.#waiting += 1;
  }

  /** The offset of a run, or -1 when there is none or others wait. */
  tryAllocate(pages: number): SlabOffset {
    assert(Number.isInteger(pages) && pages >= 1 && pages <= this.pages, `from 1 to ${this.pages} pages`);
    if (this.#waiting > 0) return -1;
    const run = this.#take(pages);
    return run === NONE ? -1 : this.#offset + run * BLOCK_BYTES;
  }

  /** Gives back pages that were granted: a whole run or a part of one. Grants waiting requests before it returns. */
  free(offset: SlabOffset, pages: number): void {
    const first = (offset - this.#offset) / BLOCK_BYTES;
    assert(
      Number.isInteger(first) && Number.isInteger(pages) && first >= 0 && pages >= 1 && first + pages <= this.pages,
      'a run of this allocator',
    );
    for (let page = first; page < first + pages; page++) assert(this.#used[page] === 1, `page ${page} is freed once`);
    this.#used.fill(0, first, first + pages);
    this.#usedPages -= pages;
    let start = first;
    let length = pages;
    if (start > 0 && this.#used[start - 1] === 0) {
      const before = this.#length[start - 1] as number;
      start -= before;
      length += before;
      this.#remove(start);
    }
    const after = first + pages;
    if (after < this.pages && this.#used[after] === 0) {
      length += this.#length[after] as number;
      this.#remove(after);
    }
    this.#insert(start, length);
    if (this.#waiting > 0) this.#grantWaiting();
  }

  #grantWaiting(): void {
    // A granted request may free or ask at once; the outermost call goes on with what that leaves.
    if (this.#granting) return;
    this.#granting = true;
    try {
      while (this.#waiting > 0) {
        const at = this.#waitHead;
        const run = this.#take(this.#waitPages[at] as number);
        if (run === NONE) return;
        const granted = this.#waitGranted[at] as Granted;
        this.#waitGranted[at] = null;
        this.#waitHead = (at + 1) % this.#waitPages.length;
        this.#waiting -= 1;
        granted(this.#offset + run * BLOCK_BYTES, this.#waitTags[at] as number);
      }
    } finally {
      this.#granting = false;
    }
  }

  #growWaiters(): void {
    const size = this.#waitPages.length;
    const pages = new Int32Array(size * 2);
    const tags = new Float64Array(size * 2);
    const granted = new Array<Granted | null>(size * 2).fill(null);
    for (let i = 0; i < this.#waiting; i++) {
      const at = (this.#waitHead + i) % size;
      pages[i] = this.#waitPages[at] as number;
      tags[i] = this.#waitTags[at] as number;
      granted[i] = this.#waitGranted[at] as Granted;
    }
    this.#waitPages = pages;
    this.#waitTags = tags;
    this.#waitGranted = granted;
    this.#waitHead = 0;
  }

  /** First page of a run cut out of the free ones, or NONE. */
  #take(pages: number): number {
    const run = this.#find(pages);
    if (run === NONE) return NONE;
    const length = this.#length[run] as number;
    this.#remove(run);
    if (length > pages) this.#insert(run + pages, length - pages);
    this.#used.fill(1, run, run + pages);
    this.#usedPages += pages;
    return run;
  }

  #find(pages: number): number {
    const own = 31 - Math.clz32(pages);
    // Every run of a power of two's own class is long enough; of another size's, some may be too short.
    let tries = 0;
    for (let run = this.#heads[own] as number; run !== NONE && tries < SAME_CLASS_TRIES; run = this.#next[run] as number) {
      if ((this.#length[run] as number) >= pages) return run;
      tries += 1;
    }
    const larger = this.#classes & ~((2 << own) - 1);
    if (larger !== 0) return this.#heads[31 - Math.clz32(larger & -larger)] as number;
    for (let run = this.#heads[own] as number; run !== NONE; run = this.#next[run] as number) {
      if ((this.#length[run] as number) >= pages) return run;
    }
    return NONE;
  }

  #insert(run: number, length: number): void {
    this.#length[run] = length;
    this.#length[run + length - 1] = length;
    const size = 31 - Math.clz32(length);
    const head = this.#heads[size] as number;
    this.#next[run] = head;
    this.#previous[run] = NONE;
    if (head !== NONE) this.#previous[head] = run;
    this.#heads[size] = run;
    this.#classes |= 1 << size;
  }

  #remove(run: number): void {
    const size = 31 - Math.clz32(this.#length[run] as number);
    const next = this.#next[run] as number;
    const previous = this.#previous[run] as number;
    if (next !== NONE) this.#previous[next] = previous;
    if (previous !== NONE) this.#next[previous] = next;
    else this.#heads[size] = next;
    if (this.#heads[size] === NONE) this.#classes &= ~(1 << size);
  }
}
