import type { Random } from '../base/random.js';
import { BLOCK_BYTES } from '../base/units.js';
import type { BlockVolume } from '../engine/block-volume.js';
import { CELL_BYTES } from './cell-content.js';
import { EVENT } from './scheduler.js';
import type { SimulatedProcess } from './simulated-process.js';
import { CELLS_A_BLOCK, type Finding, type VolumeHistory } from './volume-history.js';

/** How the clients of one run behave. */
export interface ClientMix {
  /** Requests in flight at a time. */
  readonly lanes: number;
  /** Longest pause between two requests of a lane, microseconds. */
  readonly pause_us: number;
  /** Blocks of the longest common request. */
  readonly blocksMax: number;
  /** Of 16 requests, how many go to a small part of the volume, where they meet each other. */
  readonly hot: number;
}

export interface ClientHost {
  readonly history: VolumeHistory;
  readonly random: Random;
  readonly mix: ClientMix;
  /** False: no new requests. */
  readonly open: () => boolean;
  readonly fail: (finding: Finding) => void;
  readonly count: (promise: string) => void;
  readonly began: () => void;
  /** A write was acknowledged. */
  readonly acknowledged: () => void;
  /** An error reply: may the array answer so now? */
  readonly refused: (what: 'read' | 'write' | 'flush', code: string) => void;
}

const HOT_BLOCKS = 12;
/** Now and then a client goes away before its reply: what it asked for may be done or not. */
const LEAVES_ONE_IN = 60;

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
    for (let lane = 0; lane < this.#host.mix.lanes; lane++) {
      this.#running++;
      this.#next();
    }
  }

  #next(): void {
    const { random, mix } = this.#host;
    this.#process.scheduler.after(random.below(mix.pause_us + 1), this.#process, EVENT.client, () => {
      if (!this.#host.open()) {
        this.#running--;
        return;
      }
      this.#host.began();
      this.#request();
    });
  }

  #request(): void {
    const { random } = this.#host;
    const kind = random.below(32);
    if (kind < 14) this.#write('data', random.below(8) === 0);
    else if (kind < 16) this.#write('trim', random.below(8) === 0);
    else if (kind < 18) this.#write('zeroes', random.below(8) === 0);
    else if (kind < 29) this.#read();
    else this.#flush();
  }

  #range(): { first: number; count: number } {
    const { random, mix, history } = this.#host;
    const long = random.below(24) === 0;
    const blocks = Math.min(history.blocks, 1 + random.below(long ? mix.blocksMax * 6 : mix.blocksMax));
    const reach = random.below(16) < mix.hot ? Math.min(history.blocks, HOT_BLOCKS + blocks) : history.blocks;
    const block = random.below(reach - blocks + 1);
    let first = block * CELLS_A_BLOCK;
    let count = blocks * CELLS_A_BLOCK;
    if (random.below(5) === 0) {
      const skip = random.below(CELLS_A_BLOCK);
      first += skip;
      count = Math.max(1, count - skip - random.below(CELLS_A_BLOCK));
    }
    return { first, count };
  }

  #answer(): boolean {
    return this.#process.alive;
  }

  #write(how: 'data' | 'trim' | 'zeroes', fua: boolean): void {
    const { history, random } = this.#host;
    let { first, count } = this.#range();
    const offset = first * CELL_BYTES;
    const length = count * CELL_BYTES;
    if (how === 'trim') {
      // A trim is advice about parts of blocks.
      const end = Math.floor((first + count) / CELLS_A_BLOCK) * CELLS_A_BLOCK;
      first = Math.ceil(first / CELLS_A_BLOCK) * CELLS_A_BLOCK;
      count = Math.max(0, end - first);
    }
    const record = history.submit(first, count, how !== 'data');
    const leaves = random.below(LEAVES_ONE_IN) === 0;
    const done = (error: { code: string } | null): void => {
      if (!this.#answer()) return;
      if (!leaves) {
        if (error === null) {
          history.acknowledge(record, fua);
          this.#host.acknowledged();
        } else {
          history.refuse(record);
          this.#host.refused('write', error.code);
        }
      }
      this.#next();
    };
    if (how === 'data') this.#volume.write(offset, history.payload(record), fua, done);
    else if (how === 'trim') this.#volume.trim(offset, length, fua, done);
    else this.#volume.writeZeroes(offset, length, random.below(2) === 0, fua, done);
  }

  #read(): void {
    const { history } = this.#host;
    const { first, count } = this.#range();
    const from = history.beginRead();
    this.#volume.read(first * CELL_BYTES, count * CELL_BYTES, (error, payload) => {
      if (!this.#answer()) return;
      if (error !== null || payload === null) this.#host.refused('read', error?.code ?? 'INTERNAL');
      else {
        this.#host.count('P5');
        const finding = payload.bytes.length === count * CELL_BYTES ? history.check(payload.bytes, first, from) : shortRead(payload.bytes);
        payload.release();
        if (finding !== null) this.#host.fail(finding);
      }
      history.endRead(from);
      this.#next();
    });
  }

  #flush(): void {
    const { history } = this.#host;
    const from = history.moment();
    this.#volume.flush((error) => {
      if (!this.#answer()) return;
      if (error === null) history.flushed(from);
      else this.#host.refused('flush', error.code);
      this.#next();
    });
  }
}

function shortRead(bytes: Uint8Array): Finding {
  return { promise: 'P5', message: `a read gave ${bytes.length} bytes, which is not what was asked for` };
}

/** Reads of a check are this long. */
export const CHECK_BLOCKS = 16;
export const CHECK_BYTES = CHECK_BLOCKS * BLOCK_BYTES;
