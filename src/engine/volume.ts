import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes } from '../base/units.js';
import type { Journal } from '../journal/journal.js';
import { ZEROED } from '../journal/ring-index.js';
import { CRC_UNWRITTEN } from '../stripe/geometry.js';
import type { IntegrityTable } from '../member/integrity.js';
import type { ArrayState } from './array-state.js';
import type { BlockVolume, Done, ReadDone, StatusExtent } from './block-volume.js';
import type { ReadPath } from './read-path.js';
import type { WritePath } from './write-path.js';

/** Blocks that one block status request looks at, 256 MiB of the volume: about two milliseconds of the main thread. The answer then covers less. */
const STATUS_BLOCKS_MAX = 64 * 1024;

/** The block volume: reads by read-path.ts, writes by write-path.ts, and the acknowledgement rule (P1, P2) in the journal's waiters. */
export class Volume implements BlockVolume {
  readonly name: string;
  readonly sizeBytes: Bytes;
  readonly readOnly = false;
  readonly #state: ArrayState;
  readonly #journal: Journal;
  readonly #reads: ReadPath;
  readonly #writes: WritePath;
  #inFlight = 0;
  #stopping: (() => void) | null = null;

  constructor(state: ArrayState, journal: Journal, reads: ReadPath, writes: WritePath) {
    this.name = state.shape.name;
    this.sizeBytes = state.geometry.volumeBlocks * BLOCK_BYTES;
    this.#state = state;
    this.#journal = journal;
    this.#reads = reads;
    this.#writes = writes;
  }

  get readBytesMax(): Bytes {
    return this.#reads.bytesMax;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  read(offset: Bytes, length: Bytes, done: ReadDone): void {
    const refusal = this.#refusal();
    if (refusal !== null) {
      done(refusal, null);
      return;
    }
    this.#inFlight++;
    this.#reads.read(offset, length, (error, payload) => {
      this.#left();
      done(error, payload);
    });
  }

  write(offset: Bytes, payload: Uint8Array, fua: boolean, done: Done, client = 0): void {
    const refusal = this.#refusal();
    if (refusal !== null) {
      done(refusal);
      return;
    }
    this.#writes.write(offset, payload, fua, this.#track(done), client);
  }

  flush(done: Done): void {
    const refusal = this.#refusal();
    if (refusal !== null) {
      done(refusal);
      return;
    }
    this.#writes.flush(this.#track(done));
  }

  trim(offset: Bytes, length: Bytes, fua: boolean, done: Done, client = 0): void {
    const refusal = this.#refusal();
    if (refusal !== null) {
      done(refusal);
      return;
    }
    this.#writes.trim(offset, length, fua, this.#track(done), client);
  }

  /** Members are never over-committed, so a hole can always be written again: noHole needs nothing more. */
  writeZeroes(offset: Bytes, length: Bytes, _noHole: boolean, fua: boolean, done: Done, client = 0): void {
    const refusal = this.#refusal();
    if (refusal !== null) {
      done(refusal);
      return;
    }
    this.#writes.zero(offset, length, fua, this.#track(done), client);
  }

  blockStatus(offset: Bytes, length: Bytes, limit: number): StatusExtent[] {
    const first = Math.floor(offset / BLOCK_BYTES);
    const end = Math.ceil((offset + length) / BLOCK_BYTES);
    const extents: { length: number; hole: boolean; zero: boolean; undrained: boolean }[] = [];
    let last: (typeof extents)[number] | undefined;
    let block = first;
    const examinedEnd = Math.min(end, first + STATUS_BLOCKS_MAX);
    while (block < examinedEnd) {
      const kind = this.#kind(block);
      const span = this.#span(block, examinedEnd, kind);
      if (last !== undefined && last.hole === kind.hole && last.undrained === kind.undrained) last.length += span * BLOCK_BYTES;
      else {
        if (extents.length === limit) break;
        last = { length: span * BLOCK_BYTES, hole: kind.hole, zero: kind.hole, undrained: kind.undrained };
        extents.push(last);
      }
      block += span;
    }
    const front = extents[0];
    if (front !== undefined) front.length -= offset - first * BLOCK_BYTES;
    const back = extents[extents.length - 1];
    if (back !== undefined && block === end) back.length -= end * BLOCK_BYTES - (offset + length);
    return extents;
  }

  #kind(block: number): { hole: boolean; undrained: boolean; plain: boolean } {
    const { index, table, destagedSeq, drainedSeq } = this.#journal;
    const covered = this.#state.protection === 'full';
    const place = index.lookup(block);
    if (place >= 0) {
      const seq = table.seqOfPlace(place);
      if (seq >= destagedSeq) return { hole: false, undrained: !covered || seq >= drainedSeq, plain: false };
      return { hole: this.#stripeHole(block), undrained: !covered || seq >= drainedSeq, plain: false };
    }
    if (place === ZEROED) return { hole: true, undrained: covered && index.zeroSeq(block) >= drainedSeq, plain: false };
    const hole = this.#stripeHole(block);
    return { hole, undrained: !covered && !hole, plain: true };
  }

  #stripeHole(block: number): boolean {
    const { geometry, integrity } = this.#state;
    const stripe = geometry.stripeOf(block);
    if (!this.#state.isWritten(stripe)) return true;
    const slot = geometry.slotOf(block);
    const shard = Math.floor(slot / geometry.rows);
    const table = integrity[geometry.memberOf(stripe, shard)] as IntegrityTable;
    const known = this.#state.integrityKnown[geometry.memberOf(stripe, shard)] === 1;
    return known && table.entries[geometry.memberBlock(stripe, slot % geometry.rows)] === CRC_UNWRITTEN;
  }

  /** Blocks from here that are surely alike: a whole stripe that was never written and that the ring knows nothing of. */
  #span(block: number, end: number, kind: { plain: boolean; hole: boolean }): number {
    const { geometry } = this.#state;
    const { index } = this.#journal;
    if (!kind.plain || !kind.hole || index.live > 0 || index.zeroExtents > 0 || this.#state.isWritten(geometry.stripeOf(block))) return 1;
    return Math.min(end - block, geometry.stripeBlocks - geometry.slotOf(block));
  }

  #refusal(): KeelsonError | null {
    if (this.#stopping !== null) return new KeelsonError('SHUTTING_DOWN', 'the server is stopping');
    return this.#state.failure;
  }

  #track(done: Done): Done {
    this.#inFlight++;
    return (error) => {
      this.#left();
      done(error);
    };
  }

  #left(): void {
    this.#inFlight--;
    if (this.#inFlight === 0 && this.#stopping !== null) this.#stopping();
  }

  /** Refuses new requests and resolves when those in flight are answered. */
  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#stopping = resolve;
      if (this.#inFlight === 0) resolve();
    });
  }
}
