import { CELLS_A_BLOCK, type CellCuts, CellGrid, SECTOR_CUTS } from './cell-content.js';
import { ImageHistory } from './image-history.js';
import type { Crash } from './simulated-disk.js';

/** One write, or the finding of a check after a crash, which is as good as one. */
export interface WriteRecord {
  /** What its cells show; 0 for zeroes. */
  readonly version: number;
  readonly first: number;
  readonly count: number;
  /** When it was asked for. */
  readonly from: number;
  /** When it was acknowledged; Infinity while it is not. What was acknowledged stays known when a power failure makes it doubtful. */
  acknowledged: number;
  /** When it could take effect no more. */
  end: number;
  /** It is there for sure: acknowledged, and no power failure came before its flush. */
  sure: boolean;
  /** A flush covers it. */
  durable: boolean;
}

export interface Finding {
  readonly promise: string;
  readonly message: string;
}

const OPEN = Number.POSITIVE_INFINITY;

/**
 * What each cell of the volume may show, from the history of the requests alone (the engine is not asked): a register that many write at a time. A write may be seen from
 * when it was asked for until some other, which was asked for after it had ended, is sure. A power failure makes unsure what no flush covers (P2);
 * the death of the process makes unsure nothing that was acknowledged (P1).
 */
export class VolumeHistory {
  readonly grid: CellGrid;
  readonly blocks: number;
  readonly cells: number;
  readonly #live: WriteRecord[][];
  #images: ImageHistory;
  /** Acknowledged, not yet covered by a flush. */
  #volatile: WriteRecord[] = [];
  readonly #open = new Set<WriteRecord>();
  readonly #reads = new Set<number>();
  #tick = 1;
  #version = 0;

  readonly #cuts: CellCuts;

  constructor(blocks: number, cuts: CellCuts = SECTOR_CUTS) {
    this.#cuts = cuts;
    this.grid = new CellGrid(cuts);
    this.blocks = blocks;
    this.cells = blocks * CELLS_A_BLOCK;
    const blank: WriteRecord = {
      version: 0,
      first: 0,
      count: this.cells,
      from: 0,
      acknowledged: 0,
      end: 0,
      sure: true,
      durable: true,
    };
    this.#live = Array.from({ length: this.cells }, () => [blank]);
    this.#images = new ImageHistory(new Array<WriteRecord>(this.cells).fill(blank));
  }

  /** A moment of its own, between what was before and what comes after. */
  moment(): number {
    return this.#tick++;
  }

  get openWrites(): number {
    return this.#open.size;
  }

  /** The same history up to now, which goes on by itself. Without what only images of the past need. */
  fork(): VolumeHistory {
    const fork = new VolumeHistory(this.blocks, this.#cuts);
    const twins = new Map<WriteRecord, WriteRecord>();
    const twin = (record: WriteRecord): WriteRecord => {
      const found = twins.get(record) ?? { ...record };
      twins.set(record, found);
      return found;
    };
    for (const [cell, live] of this.#live.entries()) fork.#live[cell] = live.map(twin);
    fork.#volatile = this.#volatile.map(twin);
    for (const record of this.#open) fork.#open.add(twin(record));
    fork.#tick = this.#tick;
    fork.#version = this.#version;
    return fork;
  }

  /** A write is asked for. */
  submit(first: number, count: number, zeroes: boolean): WriteRecord {
    const version = zeroes ? 0 : ++this.#version;
    const record: WriteRecord = {
      version,
      first,
      count,
      from: this.#tick++,
      acknowledged: OPEN,
      end: OPEN,
      sure: false,
      durable: false,
    };
    this.#open.add(record);
    for (let cell = first; cell < first + count; cell++) (this.#live[cell] as WriteRecord[]).push(record);
    this.#images.add(record, first, count);
    return record;
  }

  payload(record: WriteRecord): Uint8Array {
    return this.grid.content(record.first, record.count, record.version);
  }

  acknowledge(record: WriteRecord, fua: boolean): void {
    record.acknowledged = this.#tick;
    record.end = this.#tick++;
    record.sure = true;
    this.#open.delete(record);
    if (fua) {
      this.#harden(record);
      this.flushed(record.from);
    } else this.#volatile.push(record);
  }

  /** It was answered with an error: it may be there or not. */
  refuse(record: WriteRecord): void {
    record.end = this.#tick++;
    this.#open.delete(record);
  }

  /** A flush that was asked for at `from` has been answered. */
  flushed(from: number): void {
    const left: WriteRecord[] = [];
    for (const record of this.#volatile) {
      if (record.acknowledged <= from) this.#harden(record);
      else left.push(record);
    }
    this.#volatile = left;
  }

  #harden(record: WriteRecord): void {
    record.durable = true;
    const oldestRead = Math.min(...this.#reads, OPEN);
    for (let cell = record.first; cell < record.first + record.count; cell++) {
      const live = this.#live[cell] as WriteRecord[];
      if (live.length === 1) continue;
      // What a read under way may still show stays known.
      const kept = live.filter(
        (other) => !live.some((newer) => newer.durable && newer.from > other.end && newer.acknowledged < oldestRead),
      );
      if (kept.length < live.length) this.#live[cell] = kept;
    }
  }

  crash(how: Crash): void {
    if (how === 'power-failure') this.powerFailure();
    else this.processCrash();
  }

  processCrash(): void {
    this.#endOpen();
  }

  powerFailure(): void {
    this.#endOpen();
    for (const record of this.#volatile) record.sure = false;
    this.#volatile = [];
  }

  #endOpen(): void {
    const tick = this.#tick++;
    for (const record of this.#open) record.end = tick;
    this.#open.clear();
    this.#reads.clear();
  }

  beginRead(): number {
    const from = this.#tick++;
    this.#reads.add(from);
    return from;
  }

  endRead(from: number): void {
    this.#reads.delete(from);
  }

  /** Holds what a read that began at `from` gave against what it may give. null: right. */
  check(bytes: Uint8Array, first: number, from: number): Finding | null {
    const versions = this.grid.shown(bytes, first);
    for (const [i, shown] of versions.entries()) {
      const cell = first + i;
      if (this.#mayShow(cell, shown, from)) continue;
      return { promise: 'P5', message: this.#complaint(cell, shown, from) };
    }
    return this.#torn(versions, first);
  }

  /** Two writes of the whole of a block never share it. */
  #torn(versions: Int32Array, first: number): Finding | null {
    let block = -1;
    let whole: WriteRecord | undefined;
    for (const [i, version] of versions.entries()) {
      const cell = first + i;
      if (Math.floor(cell / CELLS_A_BLOCK) !== block) {
        block = Math.floor(cell / CELLS_A_BLOCK);
        whole = undefined;
      }
      if (version === 0) continue;
      const record = (this.#live[cell] as WriteRecord[]).find((other) => other.version === version);
      if (record === undefined || record.first > block * CELLS_A_BLOCK || record.first + record.count < (block + 1) * CELLS_A_BLOCK)
        continue;
      if (whole !== undefined && whole.version !== version)
        return { promise: 'P5', message: `block ${block} is torn between versions ${whole.version} and ${version}` };
      whole = record;
    }
    return null;
  }

  #mayShow(cell: number, shown: number, from: number): boolean {
    if (shown < 0) return false;
    const live = this.#live[cell] as WriteRecord[];
    if (live.length === 1) return live[0]?.version === shown;
    return live.some((record) => record.version === shown && !this.#superseded(live, record, from));
  }

  #superseded(live: readonly WriteRecord[], record: WriteRecord, from: number): boolean {
    return live.some((newer) => newer.sure && newer.acknowledged <= from && newer.from > record.end);
  }

  #complaint(cell: number, shown: number, from: number): string {
    const live = this.#live[cell] as WriteRecord[];
    const allowed = live.filter((record) => !this.#superseded(live, record, from)).map(({ version }) => version);
    const what = shown < 0 ? 'bytes that were never written there' : shown === 0 ? 'zeroes' : `version ${shown}`;
    return `block ${Math.floor(cell / CELLS_A_BLOCK)}, cell ${cell % CELLS_A_BLOCK} shows ${what}, allowed: ${allowed.join(' or ')}`;
  }

  /**
   * After a crash and recovery, nothing else going on: the cell shows this. It is so from now on, and durable, since recovery flushes what it found.
   * Returns when the write that it shows was asked for, at the earliest, for the order of what a crash left.
   */
  settle(cell: number, shown: number): number {
    const live = this.#live[cell] as WriteRecord[];
    const candidates = live.filter((record) => record.version === shown && !this.#superseded(live, record, OPEN));
    const from = Math.min(...candidates.map((record) => record.from));
    if (live.length > 1) {
      const tick = this.#tick++;
      this.#live[cell] = [{ version: shown, first: cell, count: 1, from, acknowledged: tick, end: tick, sure: true, durable: true }];
    }
    return from;
  }

  /**
   * For what a crash left: the ring is a prefix, so nothing may be seen that was asked for after the acknowledgement of something that is gone.
   * Returns for a cell the acknowledgement of the oldest write that its content does not have; Infinity when it has all. Asked before settle.
   */
  firstMissing(cell: number, shown: number): number {
    const live = this.#live[cell] as WriteRecord[];
    const candidates = live.filter((record) => record.version === shown);
    // The kindest reading: what is shown is the newest that it can be.
    const end = Math.max(...candidates.map((record) => record.end));
    let first = OPEN;
    for (const record of live) if (record.from > end && record.acknowledged < first) first = record.acknowledged;
    return first;
  }

  /** What an image that is taken now is held against, also when the volume is restored while that is looked at. */
  get images(): ImageHistory {
    return this.#images;
  }

  /** Everything but the backup was lost, and what the cells show now came from there: nothing that was before counts any more. */
  restored(shown: readonly number[]): void {
    const at = this.#tick++;
    const beginning = shown.map(
      (version, cell): WriteRecord => ({ version, first: cell, count: 1, from: at, acknowledged: at, end: at, sure: true, durable: true }),
    );
    for (const [cell, record] of beginning.entries()) this.#live[cell] = [record];
    this.#images = new ImageHistory(beginning);
  }
}
