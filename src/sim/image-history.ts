/** Of a write, what an image of the volume is held against. */
export interface ImageWrite {
  readonly version: number;
  /** When it was asked for. */
  readonly from: number;
  /** When it was acknowledged; Infinity while it is not. */
  readonly acknowledged: number;
  /** When it could take effect no more. */
  readonly end: number;
  /** It is there for sure. */
  readonly sure: boolean;
}

/**
 * Every write of every cell, for images of the past: from the beginning of a volume on. A restore begins another one; who looks at an image of the volume before goes on with
 * the history of that.
 */
export class ImageHistory {
  readonly #writes: readonly ImageWrite[][];

  /** What each cell shows at the beginning. */
  constructor(beginning: readonly ImageWrite[]) {
    this.#writes = beginning.map((write) => [write]);
  }

  add(write: ImageWrite, first: number, count: number): void {
    for (let cell = first; cell < first + count; cell++) this.#writes[cell]?.push(write);
  }

  /**
   * What an image of some moment shows of a cell: when that was asked for at the earliest, and the acknowledgement of the oldest write that it does not have. null: nothing
   * that was ever written there.
   */
  imageOf(cell: number, shown: number): { readonly from: number; readonly missing: number } | null {
    const writes = this.#writes[cell] as ImageWrite[];
    const candidates = writes.filter((write) => write.version === shown);
    if (shown < 0 || candidates.length === 0) return null;
    const end = Math.max(...candidates.map((write) => write.end));
    let missing = Number.POSITIVE_INFINITY;
    for (const write of writes) if (write.sure && write.from > end && write.acknowledged < missing) missing = write.acknowledged;
    return { from: Math.min(...candidates.map((write) => write.from)), missing };
  }
}
