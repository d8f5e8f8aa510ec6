import { EXIT, KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type BlockIndex, type Bytes, type SlabOffset } from '../base/units.js';
import type { Journal } from '../journal/journal.js';
import { NOT_IN_RING, ZEROED } from '../journal/ring-index.js';
import type { IntegrityTable } from '../member/integrity.js';
import type { Member } from '../member/member-api.js';
import type { Slab } from '../memory/slab.js';
import { loadAddon } from '../native/load.js';
import { CRC_LOST, CRC_UNWRITTEN, integrityEntry } from '../stripe/geometry.js';
import type { ArrayState } from './array-state.js';
import type { ReadDone, ReadPayload } from './block-volume.js';
import { heldPages, type ReadPages } from './read-pages.js';

/** Brings blocks that the fast path could not have: blocks[i] to slab page pages[i]. Resolves to one error or null a block. */
export type SlowRead = (blocks: Float64Array, pages: Uint32Array) => Promise<(KeelsonError | null)[]>;

export interface ReadCounters {
  reads: number;
  bytes: number;
  fromRing: number;
  slowBlocks: number;
}

const SCRATCH_CRC = new Uint32Array(64 * 1024);

/** One read in flight: where it lands, what is still awaited, and which blocks need the slow path. */
class ReadRequest implements ReadPayload {
  readonly offset: Bytes;
  readonly length: Bytes;
  readonly first: BlockIndex;
  readonly pages: number;
  readonly done: ReadDone;
  readonly path: ReadPath;
  memory: SlabOffset = -1;
  waiting = 1;
  /** Device reads: first block, blocks and member of each. */
  readonly runs: number[] = [];
  readonly bad: number[] = [];
  readonly onRun: (result: number, tag: number) => void;

  constructor(path: ReadPath, offset: Bytes, length: Bytes, done: ReadDone) {
    this.path = path;
    this.offset = offset;
    this.length = length;
    this.first = Math.floor(offset / BLOCK_BYTES);
    this.pages = Math.floor((offset + length - 1) / BLOCK_BYTES) - this.first + 1;
    this.done = done;
    this.onRun = (result, tag) => path.runDone(this, result, tag);
  }

  get bytes(): Buffer {
    const from = this.memory + (this.offset - this.first * BLOCK_BYTES);
    return this.path.slab.view.subarray(from, from + this.length);
  }

  release(): void {
    this.path.free(this);
  }
}

/**
 * Reads, in the order of DESIGN 3: ring index (slab), else the data chunk with its checksum verified. What that cannot give goes to the slow path: the journal
 * members, reconstruction, the blueprint.
 */
export class ReadPath {
  readonly slab: Slab;
  readonly counters: ReadCounters = { reads: 0, bytes: 0, fromRing: 0, slowBlocks: 0 };
  readonly #state: ArrayState;
  readonly #journal: Journal;
  readonly #pages: ReadPages;
  readonly #slow: SlowRead;
  #inFlight = 0;

  constructor(slab: Slab, state: ArrayState, journal: Journal, pages: ReadPages, slow: SlowRead) {
    this.slab = slab;
    this.#state = state;
    this.#journal = journal;
    this.#pages = pages;
    this.#slow = slow;
  }

  get bytesMax(): Bytes {
    return this.#pages.large.pages * BLOCK_BYTES;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  read(offset: Bytes, length: Bytes, done: ReadDone): void {
    const request = new ReadRequest(this, offset, length, done);
    this.#inFlight++;
    this.counters.reads++;
    this.counters.bytes += length;
    this.#pages.of(length).allocate(heldPages(request), (memory) => {
      request.memory = memory;
      this.#start(request);
    });
  }

  free(request: ReadRequest): void {
    if (request.memory < 0) return;
    this.#pages.of(request.length).free(request.memory, heldPages(request));
    request.memory = -1;
  }

  #start(request: ReadRequest): void {
    const { index, table, destagedSeq } = this.#journal;
    const end = request.first + request.pages;
    let stripesFrom = -1;
    for (let block = request.first; block < end; block++) {
      const place = index.live > 0 || index.zeroExtents > 0 ? index.lookup(block) : NOT_IN_RING;
      const undestaged = place >= 0 ? table.seqOfPlace(place) >= destagedSeq : place === ZEROED && index.zeroSeq(block) >= destagedSeq;
      if (!undestaged) {
        if (stripesFrom < 0) stripesFrom = block;
        continue;
      }
      if (stripesFrom >= 0) this.#fromStripes(request, stripesFrom, block);
      stripesFrom = -1;
      const memory = request.memory + (block - request.first) * BLOCK_BYTES;
      if (place === ZEROED) {
        this.slab.view.fill(0, memory, memory + BLOCK_BYTES);
        continue;
      }
      const resident = table.memoryOf(place);
      if (resident < 0 || (this.#state.damagedInRing.size > 0 && this.#state.damagedInRing.get(place) === table.seqOfPlace(place)))
        request.bad.push(block);
      else {
        this.slab.view.copyWithin(memory, resident, resident + BLOCK_BYTES);
        this.counters.fromRing++;
      }
    }
    if (stripesFrom >= 0) this.#fromStripes(request, stripesFrom, end);
    this.#finishOne(request);
  }

  /** Reads blocks [from, to) from their data chunks: one device read for each run of written blocks in a chunk. */
  #fromStripes(request: ReadRequest, from: BlockIndex, to: BlockIndex): void {
    const state = this.#state;
    const { geometry } = state;
    let block = from;
    while (block < to) {
      const stripe = geometry.stripeOf(block);
      const slot = geometry.slotOf(block);
      const shard = Math.floor(slot / geometry.rows);
      const row = slot - shard * geometry.rows;
      const count = Math.min(to - block, geometry.rows - row);
      const i = geometry.memberOf(stripe, shard);
      if (!state.isWritten(stripe)) this.#zero(request, block, count);
      else if (!state.readable(i, stripe)) for (let b = block; b < block + count; b++) request.bad.push(b);
      else this.#fromChunk(request, block, count, state.members[i] as Member, geometry.memberBlock(stripe, row));
      block += count;
    }
  }

  #zero(request: ReadRequest, block: BlockIndex, count: number): void {
    const memory = request.memory + (block - request.first) * BLOCK_BYTES;
    this.slab.view.fill(0, memory, memory + count * BLOCK_BYTES);
  }

  #fromChunk(request: ReadRequest, block: BlockIndex, count: number, member: Member, memberBlock: number): void {
    const entries = (this.#state.integrity[member.index] as IntegrityTable).entries;
    for (let i = 0; i < count; ) {
      const entry = entries[memberBlock + i] as number;
      let n = 1;
      if (entry === CRC_UNWRITTEN || entry === CRC_LOST) {
        if (entry === CRC_LOST) request.bad.push(block + i);
        else this.#zero(request, block + i, 1);
        i++;
        continue;
      }
      while (i + n < count && (entries[memberBlock + i + n] as number) > CRC_LOST) n++;
      const tag = request.runs.length;
      request.runs.push(block + i, n, member.index);
      request.waiting++;
      const memory = request.memory + (block + i - request.first) * BLOCK_BYTES;
      member.device.read(
        memory,
        member.superblock.layout.dataOffset + (memberBlock + i) * BLOCK_BYTES,
        n * BLOCK_BYTES,
        request.onRun,
        tag,
      );
      i += n;
    }
  }

  runDone(request: ReadRequest, result: number, tag: number): void {
    const block = request.runs[tag] as number;
    const count = request.runs[tag + 1] as number;
    const i = request.runs[tag + 2] as number;
    if (result < 0) {
      const member = this.#state.members[i];
      if (member) member.readErrors++;
      for (let b = block; b < block + count; b++) request.bad.push(b);
    } else this.#verify(request, block, count, i);
    this.#finishOne(request);
  }

  /** A mismatch may also mean that the block was destaged while it was read: the slow path looks again under the stripe lock before it counts. */
  #verify(request: ReadRequest, block: BlockIndex, count: number, i: number): void {
    const { geometry, integrity } = this.#state;
    const entries = (integrity[i] as IntegrityTable).entries;
    const memory = request.memory + (block - request.first) * BLOCK_BYTES;
    const stripe = geometry.stripeOf(block);
    const memberBlock = geometry.memberBlock(stripe, geometry.slotOf(block) % geometry.rows);
    loadAddon().crcRun(this.slab.view, memory, block, count, SCRATCH_CRC, 0);
    for (let b = 0; b < count; b++) if (entries[memberBlock + b] !== integrityEntry(SCRATCH_CRC[b] as number)) request.bad.push(block + b);
  }

  #finishOne(request: ReadRequest): void {
    if (--request.waiting > 0) return;
    if (request.bad.length === 0) {
      this.#finish(request, null);
      return;
    }
    const blocks = Float64Array.from(request.bad).sort();
    const pages = Uint32Array.from(blocks, (block) => request.memory / BLOCK_BYTES + (block - request.first));
    this.counters.slowBlocks += blocks.length;
    this.#slow(blocks, pages).then(
      (errors) => this.#finish(request, errors.find((error) => error !== null) ?? null),
      (error: unknown) => this.#finish(request, KeelsonError.from(error)),
    );
  }

  #finish(request: ReadRequest, error: KeelsonError | null): void {
    this.#inFlight--;
    if (error !== null) {
      this.free(request);
      request.done(error, null);
    } else request.done(null, request);
  }
}

export function dataUnavailable(block: BlockIndex, why: string): KeelsonError {
  return new KeelsonError('DATA_UNAVAILABLE', `block ${block} cannot be had: ${why}`, {
    action: 'keelson status says which members are lost, and what to do about each',
    exit: EXIT.unavailable,
  });
}
