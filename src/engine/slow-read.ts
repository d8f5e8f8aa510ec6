import type { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES } from '../base/units.js';
import type { Journal } from '../journal/journal.js';
import { ZEROED } from '../journal/ring-index.js';
import type { RingReader } from '../journal/ring-reader.js';
import type { Slab } from '../memory/slab.js';
import { type Backup, BLOCK_LOST } from '../repository/backup.js';
import type { StripeHold } from '../stripe/stripe-lock.js';
import type { RecoverOutcome, StripePool } from '../stripe/stripe-pool.js';
import type { ArrayState } from './array-state.js';
import { dataUnavailable } from './read-path.js';

/** Reads of the backup at the same time: enough to keep its connection busy. */
const BACKUP_READS_MAX = 8;
/** Blocks that the backup's map is asked about at once. */
const LOOKUP_BLOCKS = 4096;

export interface SlowReadHost {
  readonly state: ArrayState;
  readonly journal: Journal;
  readonly reader: RingReader;
  readonly pool: StripePool;
  readonly slab: Slab;
  /** The backup when its image is whole and it can be reached (one attempt is made), else null. */
  backup(): Promise<Backup | null>;
  lock(stripes: Float64Array): Promise<StripeHold>;
  unlock(hold: StripeHold): void;
  account(outcome: Omit<RecoverOutcome, 'status' | 'crcs' | 'repaired'>, torn: boolean): Promise<void>;
}

export interface SlowReadCounters {
  fromStripes: number;
  fromJournal: number;
  fromBackup: number;
  backupBytes: number;
  repaired: number;
  unavailable: number;
}

/** Ways from the ring to the backup for blocks that are written again on the way. */
const ROUNDS_MAX = 4;

/** Where a block was had from. */
export const HAD_NOWHERE = 0;
export const HAD_RING = 1;
export const HAD_STRIPES = 2;
export const HAD_BACKUP = 3;

export interface Recovered {
  /** HAD_* a block. */
  readonly from: Uint8Array;
  /** Address-seeded CRC32C; 0 = reads as zeroes. */
  readonly crcs: Uint32Array;
  readonly errors: (KeelsonError | null)[];
}

/**
 * Blocks that the fast path could not bring, by the order of DESIGN 7: the ring when its entry is the newest, the stripes (reconstructed), the second copy in the
 * journal, the backup. Every way ends with a verified checksum; what none can give is an error for just that block, never something older.
 */
export class BlockRecovery {
  readonly counters: SlowReadCounters = {
    fromStripes: 0,
    fromJournal: 0,
    fromBackup: 0,
    backupBytes: 0,
    repaired: 0,
    unavailable: 0,
  };
  readonly #host: SlowReadHost;

  constructor(host: SlowReadHost) {
    this.#host = host;
  }

  /** For clients' reads. */
  async read(blocks: Float64Array, pages: Uint32Array): Promise<(KeelsonError | null)[]> {
    return (await this.recover(blocks, pages, { trusted: true, locked: false, repair: true, ringFirst: true })).errors;
  }

  /**
   * blocks ascending, block i to slab page pages[i]. trusted: parity may be used. locked: the caller holds the stripes' locks. ringFirst: an undestaged entry
   * in the ring is newer than the stripes (reads); false when the stripes' own content is wanted and the ring's is known to be elsewhere.
   */
  async recover(
    blocks: Float64Array,
    pages: Uint32Array,
    how: { trusted: boolean; locked: boolean; repair: boolean; ringFirst: boolean },
  ): Promise<Recovered> {
    const n = blocks.length;
    const result: Recovered = { from: new Uint8Array(n), crcs: new Uint32Array(n), errors: new Array<KeelsonError | null>(n).fill(null) };
    let open = Array.from({ length: n }, (_, i) => i);
    // Drained, but never in the stripes: what these hold is older than the backup.
    const newestInBackup: number[] = [];
    if (how.ringFirst) open = await this.#fromRing(blocks, pages, open, result, true, newestInBackup);
    if (open.length > 0 && how.trusted) open = await this.#fromStripes(blocks, pages, open, result, how);
    for (let round = 0; round < ROUNDS_MAX && open.length + newestInBackup.length > 0; round++) {
      // What was written meanwhile is not looked for in the backup: it is in the ring again.
      if (round > 0 && !open.some((i) => this.#host.journal.index.lookup(blocks[i] as number) >= 0)) break;
      open = await this.#fromRing(blocks, pages, open, result, false, newestInBackup);
      open.push(...newestInBackup.splice(0));
      open.sort((a, b) => a - b);
      if (open.length > 0) open = await this.#fromBackup(blocks, pages, open, result);
    }
    for (const i of open) {
      result.errors[i] ??= dataUnavailable(blocks[i] as number, 'neither the stripes, nor the journal, nor the backup has it');
      this.counters.unavailable++;
    }
    return result;
  }

  async #fromRing(
    blocks: Float64Array,
    pages: Uint32Array,
    open: number[],
    result: Recovered,
    undestagedOnly: boolean,
    newestInBackup: number[],
  ): Promise<number[]> {
    const { journal, reader, slab, state } = this.#host;
    const queue = [...open];
    const left: number[] = [];
    for (let i = queue.shift(); i !== undefined; i = queue.shift()) {
      const block = blocks[i] as number;
      const place = journal.index.lookup(block);
      const seq = place >= 0 ? journal.table.seqOfPlace(place) : place === ZEROED ? journal.index.zeroSeq(block) : -1;
      if (seq < 0 || (undestagedOnly && seq < journal.destagedSeq)) {
        left.push(i);
        continue;
      }
      const into = (pages[i] as number) * BLOCK_BYTES;
      if (place === ZEROED) {
        slab.view.fill(0, into, into + BLOCK_BYTES);
        result.from[i] = HAD_RING;
        continue;
      }
      const crc = journal.table.crc[place] as number;
      if (state.damagedInRing.get(place) !== seq && (await reader.read(place, 1, into))) {
        result.from[i] = HAD_RING;
        result.crcs[i] = crc;
        this.counters.fromJournal++;
      } else if (journal.index.lookup(block) !== place) {
        // Written again meanwhile: what lies below the ring is older than that too, so the ring is asked once more.
        queue.push(i);
      } else if (seq < journal.destagedSeq) {
        left.push(i);
      } else if (seq < journal.drainedSeq) {
        newestInBackup.push(i);
      } else {
        // Its newest version is this one: anything else that could be found would be stale.
        result.errors[i] = dataUnavailable(block, 'its newest version was in the journal alone, and no copy of that is left');
        result.from[i] = HAD_NOWHERE;
        this.counters.unavailable++;
      }
    }
    // One that was asked for again came last.
    return left.sort((a, b) => a - b);
  }

  async #fromStripes(
    blocks: Float64Array,
    pages: Uint32Array,
    open: number[],
    result: Recovered,
    how: { locked: boolean; repair: boolean },
  ): Promise<number[]> {
    const { state, pool } = this.#host;
    const wanted = Float64Array.from(open, (i) => blocks[i] as number);
    const stripes = Float64Array.from(new Set(Array.from(wanted, (block) => state.geometry.stripeOf(block)))).sort();
    const hold = how.locked ? null : await this.#host.lock(stripes);
    try {
      const had = new Set<number>();
      const fromRows = async (part: number[], strict?: 'fits' | 'spare'): Promise<void> => {
        if (part.length === 0) return;
        const outcome = await pool.recover({
          members: state.memberView(),
          blocks: Float64Array.from(part, (i) => blocks[i] as number),
          pages: Uint32Array.from(part, (i) => pages[i] as number),
          repair: how.repair,
          ...(strict === undefined ? {} : { strict }),
        });
        await this.#host.account(
          outcome,
          part.some((i) => state.isUntrustedRow(blocks[i] as number)),
        );
        this.counters.repaired += outcome.repaired;
        part.forEach((i, at) => {
          const status = outcome.status[at];
          if (status === 0) {
            result.from[i] = HAD_STRIPES;
            result.crcs[i] = outcome.crcs[at] as number;
            this.counters.fromStripes++;
            had.add(i);
          } else if (status === 2) {
            result.errors[i] = dataUnavailable(blocks[i] as number, 'it was lost beyond recovery; writing it again makes it whole');
            had.add(i);
          }
        });
        // A repair may have found out an entry that was lost with its page.
        if (outcome.repaired > 0) for (const stripe of stripes) if (state.isWritten(stripe)) state.markChanged(stripe);
      };
      const torn = open.filter((i) => !state.rowTrusted(blocks[i] as number));
      await fromRows(open.filter((i) => state.rowTrusted(blocks[i] as number)));
      const doubtful = (i: number): boolean => this.#rowTrimmed(blocks[i] as number) || state.rowMayBeMixed(blocks[i] as number);
      await fromRows(
        torn.filter((i) => !doubtful(i)),
        'fits',
      );
      await fromRows(torn.filter(doubtful), 'spare');
      return open.filter((i) => !had.has(i));
    } finally {
      if (hold !== null) this.#host.unlock(hold);
    }
  }

  /** Some block of the row has a trim or zeroes in the ring that are not in the stripes for certain. */
  #rowTrimmed(block: number): boolean {
    const { state, journal } = this.#host;
    const { geometry } = state;
    const first = block - (geometry.slotOf(block) - (geometry.slotOf(block) % geometry.rows));
    for (let shard = 0; shard < geometry.k; shard++)
      if (journal.index.zeroSeq(first + shard * geometry.rows) >= journal.destagedSeq) return true;
    return false;
  }

  async #fromBackup(blocks: Float64Array, pages: Uint32Array, open: number[], result: Recovered): Promise<number[]> {
    const { journal, slab } = this.#host;
    const backup = await this.#host.backup();
    if (backup === null) return open;
    // A block with an entry in the ring may be newer than the backup's.
    const candidates = open.filter((i) => journal.index.lookup(blocks[i] as number) < 0 || this.#drained(blocks[i] as number));
    const fetch = await notLost(backup, candidates, blocks);
    if (fetch.length === 0) return open;
    const area = await this.#scratch(fetch.length);
    try {
      for (let first = 0; first < fetch.length; first += area.pages) {
        const part = fetch.slice(first, first + area.pages);
        const crcs = new Uint32Array(part.length);
        await this.#backupTurn();
        try {
          this.counters.backupBytes += await backup.read(
            Float64Array.from(part, (i) => blocks[i] as number),
            area.offset,
            crcs,
          );
        } finally {
          this.#backupDone();
        }
        part.forEach((i, at) => {
          const from = area.offset + at * BLOCK_BYTES;
          slab.view.copyWithin((pages[i] as number) * BLOCK_BYTES, from, from + BLOCK_BYTES);
          result.from[i] = HAD_BACKUP;
          result.crcs[i] = crcs[at] as number;
          this.counters.fromBackup++;
        });
      }
    } finally {
      area.release();
    }
    const had = new Set(fetch);
    return open.filter((i) => !had.has(i));
  }

  #drained(block: number): boolean {
    const { journal } = this.#host;
    const place = journal.index.lookup(block);
    return place >= 0 && journal.table.seqOfPlace(place) < journal.drainedSeq;
  }

  #backupReads = 0;
  readonly #backupQueue: (() => void)[] = [];

  /** Reads of the backup wait for their turn: the queue is bounded by the reads that clients may have in flight. */
  #backupTurn(): Promise<void> {
    if (this.#backupReads < BACKUP_READS_MAX) {
      this.#backupReads++;
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#backupQueue.push(resolve));
  }

  #backupDone(): void {
    const next = this.#backupQueue.shift();
    if (next !== undefined) next();
    else this.#backupReads--;
  }

  /** Set by the engine: contiguous pages to fetch into. */
  scratch: ((pages: number) => Promise<{ offset: number; pages: number; release: () => void }>) | null = null;

  #scratch(pages: number): Promise<{ offset: number; pages: number; release: () => void }> {
    if (this.scratch === null) throw dataUnavailable(0, 'no memory to fetch into');
    return this.scratch(pages);
  }
}

/** Those of the blocks that the backup does not call lost. */
async function notLost(backup: Backup, open: readonly number[], blocks: Float64Array): Promise<number[]> {
  const left: number[] = [];
  const has = new Uint8Array(LOOKUP_BLOCKS);
  for (let at = 0; at < open.length; ) {
    const first = blocks[open[at] as number] as number;
    let end = at;
    while (end < open.length && (blocks[open[end] as number] as number) - first < LOOKUP_BLOCKS) end++;
    const count = (blocks[open[end - 1] as number] as number) - first + 1;
    await backup.lookup(first, count, has);
    for (; at < end; at++) if (has[(blocks[open[at] as number] as number) - first] !== BLOCK_LOST) left.push(open[at] as number);
  }
  return left;
}
