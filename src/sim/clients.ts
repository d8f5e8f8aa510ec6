import type { KeelsonError } from '../base/errors.js';
import type { BlockVolume } from '../engine/block-volume.js';
import { CELLS_A_BLOCK } from './cell-content.js';
import type { ClientRequest, RequestKind, RequestSource } from './client-requests.js';
import { EVENT } from './scheduler.js';
import type { SimulatedProcess } from './simulated-process.js';
import type { Finding, VolumeHistory } from './volume-history.js';

export interface ClientHost {
  readonly history: VolumeHistory;
  readonly requests: RequestSource;
  /** Microseconds since the first assembly. */
  readonly now_us: () => number;
  /** False: no new requests. */
  readonly open: () => boolean;
  readonly fail: (finding: Finding) => void;
  readonly count: (promise: string) => void;
  readonly began: () => void;
  /** A request that changes something was acknowledged. kind, and when it was asked for. */
  readonly acknowledged: (kind: RequestKind, began_us: number) => void;
  /** An error reply to what was asked for at began_us: may the array answer so? */
  readonly refused: (what: 'read' | 'write' | 'flush', error: KeelsonError | null, began_us: number) => void;
}

/** Block clients of one process: reads, writes, flushes, trims and zeroes, overlapping and in flight together, each reply held against the history. */
export class Clients {
  readonly #host: ClientHost;
  readonly #process: SimulatedProcess;
  readonly #volume: BlockVolume;
  /** Lanes that are between two requests or in one. */
  #running = 0;

  constructor(host: ClientHost, process: SimulatedProcess, volume: BlockVolume) {
    this.#host = host;
    this.#process = process;
    this.#volume = volume;
  }

  get idle(): boolean {
    return this.#running === 0;
  }

  start(): void {
    for (let lane = 0; lane < this.#host.requests.lanes; lane++) {
      this.#running++;
      this.#next(lane);
    }
  }

  #next(lane: number): void {
    const now_us = this.#host.now_us();
    const request = this.#host.requests.next(lane, now_us);
    if (request === null) {
      this.#running--;
      return;
    }
    this.#process.scheduler.after(Math.max(0, request.at_us - now_us), this.#process, EVENT.client, () => {
      if (!this.#host.open()) {
        this.#running--;
        return;
      }
      this.#host.began();
      if (request.kind === 'flush') this.#flush(lane);
      else if (request.kind === 'read') this.#read(request);
      else this.#write(request);
    });
  }

  #answer(): boolean {
    return this.#process.alive;
  }

  #write({ lane, kind, cell, cells, fua, leaves }: ClientRequest): void {
    const { history } = this.#host;
    const offset = history.grid.offsetOf(cell);
    const length = history.grid.bytesOf(cell, cells);
    let first = cell;
    let count = cells;
    if (kind === 'trim') {
      // A trim is advice about parts of blocks.
      const end = Math.floor((first + count) / CELLS_A_BLOCK) * CELLS_A_BLOCK;
      first = Math.ceil(first / CELLS_A_BLOCK) * CELLS_A_BLOCK;
      count = Math.max(0, end - first);
    }
    const record = history.submit(first, count, kind !== 'write');
    const began_us = this.#process.scheduler.now_us;
    const done = (error: KeelsonError | null): void => {
      if (!this.#answer()) return;
      if (!leaves) {
        if (error === null) {
          history.acknowledge(record, fua);
          this.#host.acknowledged(kind, began_us);
        } else {
          history.refuse(record);
          this.#host.refused('write', error, began_us);
        }
      }
      this.#next(lane);
    };
    if (kind === 'write') this.#volume.write(offset, history.payload(record), fua, done);
    else if (kind === 'trim') this.#volume.trim(offset, length, fua, done);
    else this.#volume.writeZeroes(offset, length, kind === 'zeroes-no-hole', fua, done);
  }

  #read({ lane, cell, cells }: ClientRequest): void {
    const { history } = this.#host;
    const length = history.grid.bytesOf(cell, cells);
    const from = history.beginRead();
    const began_us = this.#process.scheduler.now_us;
    this.#volume.read(history.grid.offsetOf(cell), length, (error, payload) => {
      if (!this.#answer()) return;
      if (error !== null || payload === null) this.#host.refused('read', error, began_us);
      else {
        this.#host.count('P5');
        const finding = payload.bytes.length === length ? history.check(payload.bytes, cell, from) : shortRead(payload.bytes);
        payload.release();
        if (finding !== null) this.#host.fail(finding);
      }
      history.endRead(from);
      this.#next(lane);
    });
  }

  #flush(lane: number): void {
    const { history } = this.#host;
    const from = history.moment();
    const began_us = this.#process.scheduler.now_us;
    this.#volume.flush((error) => {
      if (!this.#answer()) return;
      if (error === null) history.flushed(from);
      else this.#host.refused('flush', error, began_us);
      this.#next(lane);
    });
  }
}

function shortRead(bytes: Uint8Array): Finding {
  return { promise: 'P5', message: `a read gave ${bytes.length} bytes, which is not what was asked for` };
}
