import { assert } from '../../base/assert.js';
import type { BlockIndex, Bytes } from '../../base/units.js';

/** Where the frames of the image lie, as columns of typed arrays; row 0 is "no frame". Rows whose last block was superseded are used again. */
export class FrameTable {
  #segment = new Uint32Array(1024);
  #ordinal = new Uint32Array(1024);
  #offset = new Float64Array(1024);
  #stored = new Uint32Array(1024);
  #first = new Float64Array(1024);
  #count = new Uint16Array(1024);
  /** Blocks that still point here. */
  #live = new Uint16Array(1024);
  #rows = 1;
  /** Head of the list of free rows, linked through #segment; 0 = none. */
  #free = 0;

  /** Rows in use and free, without row 0: the table's memory is 31 bytes a row. */
  get rows(): number {
    return this.#rows - 1;
  }

  add(segment: number, ordinal: number, offset: Bytes, stored: Bytes, first: BlockIndex, count: number): number {
    let row = this.#free;
    if (row !== 0) {
      this.#free = this.#segment[row] as number;
    } else {
      if (this.#rows === this.#segment.length) this.#grow();
      row = this.#rows++;
    }
    this.#segment[row] = segment;
    this.#ordinal[row] = ordinal;
    this.#offset[row] = offset;
    this.#stored[row] = stored;
    this.#first[row] = first;
    this.#count[row] = count;
    this.#live[row] = count;
    return row;
  }

  /** One block no longer points to the row. */
  release(row: number): void {
    const live = (this.#live[row] as number) - 1;
    assert(row > 0 && live >= 0, 'a released frame had a block');
    this.#live[row] = live;
    if (live > 0) return;
    this.#segment[row] = this.#free;
    this.#free = row;
  }

  segment(row: number): number {
    return this.#segment[row] as number;
  }
  ordinal(row: number): number {
    return this.#ordinal[row] as number;
  }
  offset(row: number): Bytes {
    return this.#offset[row] as number;
  }
  stored(row: number): Bytes {
    return this.#stored[row] as number;
  }
  first(row: number): BlockIndex {
    return this.#first[row] as number;
  }
  count(row: number): number {
    return this.#count[row] as number;
  }

  #grow(): void {
    const rows = this.#rows * 2;
    this.#segment = enlarged(this.#segment, new Uint32Array(rows));
    this.#ordinal = enlarged(this.#ordinal, new Uint32Array(rows));
    this.#offset = enlarged(this.#offset, new Float64Array(rows));
    this.#stored = enlarged(this.#stored, new Uint32Array(rows));
    this.#first = enlarged(this.#first, new Float64Array(rows));
    this.#count = enlarged(this.#count, new Uint16Array(rows));
    this.#live = enlarged(this.#live, new Uint16Array(rows));
  }
}

function enlarged<T extends Uint16Array | Uint32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
