import { seededRandom, type Random } from '../base/random.js';
import { CELLS_A_BLOCK, type CellCuts, SECTOR_CUTS } from './cell-content.js';

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

export const REQUEST_KINDS = ['write', 'trim', 'zeroes', 'zeroes-no-hole', 'read', 'flush'] as const;
export type RequestKind = (typeof REQUEST_KINDS)[number];

/** One request of a block client. */
export interface ClientRequest {
  /** One request of a lane at a time. */
  readonly lane: number;
  /** Not before this moment after the first assembly, microseconds. */
  readonly at_us: number;
  readonly kind: RequestKind;
  /** Of a flush both are 0. */
  readonly cell: number;
  readonly cells: number;
  readonly fua: boolean;
  /** The client goes away before the reply: what it asked for may be done or not. */
  readonly leaves: boolean;
}

/** Where the requests of the clients come from. null: the lane has no more of them. */
export interface RequestSource {
  readonly lanes: number;
  /** Every lane is empty. */
  readonly exhausted: boolean;
  next(lane: number, now_us: number): ClientRequest | null;
}

const HOT_BLOCKS = 12;
const LEAVES_ONE_IN = 60;
/** So that requests differ from what else follows from a seed. */
const SALT = 0xc11e47;

/** Requests that follow from the seed. */
export class GeneratedRequests implements RequestSource {
  readonly exhausted = false;
  readonly #random: Random;
  readonly #mix: ClientMix;
  readonly #blocks: number;
  readonly #cutOneIn: number;

  /** cutOneIn: one request in so many does not begin or end with a block. */
  constructor(seed: number, mix: ClientMix, blocks: number, cutOneIn: number) {
    this.#random = seededRandom(seed ^ SALT);
    this.#mix = mix;
    this.#blocks = blocks;
    this.#cutOneIn = cutOneIn;
  }

  get lanes(): number {
    return this.#mix.lanes;
  }

  next(lane: number, now_us: number): ClientRequest {
    const random = this.#random;
    const at_us = now_us + random.below(this.#mix.pause_us + 1);
    const lot = random.below(32);
    const kind = lot < 14 ? 'write' : lot < 16 ? 'trim' : lot < 18 ? zeroes(random) : lot < 29 ? 'read' : 'flush';
    const { cell, cells } = kind === 'flush' ? { cell: 0, cells: 0 } : this.#range();
    const changes = kind !== 'read' && kind !== 'flush';
    return {
      lane,
      at_us,
      kind,
      cell,
      cells,
      fua: changes && random.below(8) === 0,
      leaves: changes && random.below(LEAVES_ONE_IN) === 0,
    };
  }

  #range(): { readonly cell: number; readonly cells: number } {
    const random = this.#random;
    const { blocksMax, hot } = this.#mix;
    const long = random.below(24) === 0;
    const blocks = Math.min(this.#blocks, 1 + random.below(long ? blocksMax * 6 : blocksMax));
    const reach = random.below(16) < hot ? Math.min(this.#blocks, HOT_BLOCKS + blocks) : this.#blocks;
    const cell = random.below(reach - blocks + 1) * CELLS_A_BLOCK;
    const cells = blocks * CELLS_A_BLOCK;
    if (random.below(this.#cutOneIn) > 0) return { cell, cells };
    const skip = random.below(CELLS_A_BLOCK);
    return { cell: cell + skip, cells: Math.max(1, cells - skip - random.below(CELLS_A_BLOCK)) };
  }
}

function zeroes(random: Random): RequestKind {
  return random.below(2) === 0 ? 'zeroes-no-hole' : 'zeroes';
}

/** Requests of a script: each lane makes its own in their order, over all processes of the run. */
class ScriptedRequests implements RequestSource {
  readonly lanes: number;
  readonly #left: ClientRequest[][];

  constructor(requests: readonly ClientRequest[]) {
    this.lanes = requests.reduce((most, { lane }) => Math.max(most, lane + 1), 0);
    this.#left = Array.from({ length: this.lanes }, (_, lane) => requests.filter((request) => request.lane === lane));
  }

  get exhausted(): boolean {
    return this.#left.every((left) => left.length === 0);
  }

  next(lane: number): ClientRequest | null {
    return this.#left[lane]?.shift() ?? null;
  }
}

/** What the clients of a run ask for. requests: of a script; null: it follows from the seed. watcher: hears of each request before it is made. */
export function requestsOf(
  run: { readonly seed: number; readonly mix: ClientMix; readonly cuts: CellCuts; readonly requests: readonly ClientRequest[] | null },
  blocks: number,
  watcher: { request(request: ClientRequest): void } | null,
): RequestSource {
  const { seed, mix, cuts, requests } = run;
  // By their values: those of a script are not the same array.
  const sectors = cuts.every((cut, i) => cut === SECTOR_CUTS[i]);
  const source = requests === null ? new GeneratedRequests(seed, mix, blocks, sectors ? 5 : 2) : new ScriptedRequests(requests);
  return watcher === null ? source : observed(source, watcher);
}

/** Tells each request before it is made. */
function observed(source: RequestSource, told: { request(request: ClientRequest): void }): RequestSource {
  return {
    lanes: source.lanes,
    get exhausted() {
      return source.exhausted;
    },
    next(lane, now_us) {
      const request = source.next(lane, now_us);
      if (request !== null) told.request(request);
      return request;
    },
  };
}
