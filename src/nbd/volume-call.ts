import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import type { BlockVolume, Done, ReadDone, ReadPayload } from '../engine/block-volume.js';
import { pieceCount, pieceEnd } from './pieces.js';
import { CMD, CMD_FLAG } from './protocol.js';
import { Request } from './request.js';

/** Who is told that the volume is done with a request. */
export interface CompletionOwner {
  /** Of a read that succeeded request.payloads holds the bytes. */
  complete(request: ActiveRequest, error: KeelsonError | null): void;
  /** The volume threw instead of calling back. */
  threw(error: unknown): void;
}

/** A pooled request with its completions bound once, so that a request of one piece costs no closure. */
export class ActiveRequest extends Request {
  readonly onDone: Done;
  readonly onRead: ReadDone;
  /** What a read brought, in the order of its pieces. */
  readonly payloads: ReadPayload[] = [];
  readonly #owner: CompletionOwner;
  #piecesLeft = 0;
  #error: KeelsonError | null = null;

  /** client: its connection's number. */
  constructor(
    owner: CompletionOwner,
    readonly client: number,
  ) {
    super();
    this.#owner = owner;
    this.onDone = (error) => this.#pieceDone(error);
    this.onRead = (error, payload) => this.#read(0, error, payload);
  }

  /** Before its pieces are handed to the volume. */
  expect(pieces: number): void {
    assert(this.#piecesLeft === 0, 'a request is handed over once');
    this.#piecesLeft = pieces;
    this.#error = null;
  }

  onReadOf(index: number): ReadDone {
    return (error, payload) => this.#read(index, error, payload);
  }

  #read(index: number, error: KeelsonError | null, payload: ReadPayload | null): void {
    if (payload !== null) this.payloads[index] = payload;
    this.#pieceDone(error);
  }

  #pieceDone(error: KeelsonError | null): void {
    assert(this.#piecesLeft > 0, 'a request completes once');
    this.#error ??= error;
    if (--this.#piecesLeft === 0) this.#owner.complete(this, this.#error);
  }

  /** Runs a call for one piece; one that throws has failed. */
  attempt(call: () => void): void {
    const before = this.#piecesLeft;
    try {
      call();
    } catch (error) {
      this.#owner.threw(error);
      if (this.#piecesLeft === before) this.#pieceDone(KeelsonError.from(error));
    }
  }

  /** Gives back what a read brought that is not answered with it. */
  releasePayloads(): void {
    // Places of pieces that failed are empty, and skipped.
    this.payloads.forEach((payload) => {
      payload.release();
    });
    this.payloads.length = 0;
  }
}

function read(volume: BlockVolume, request: ActiveRequest): void {
  const { offset, length } = request;
  const count = pieceCount(offset, length);
  request.expect(count);
  if (count === 1) {
    request.attempt(() => volume.read(offset, length, request.onRead));
    return;
  }
  let at = offset;
  for (let index = 0; index < count; index++) {
    const from = at;
    at = pieceEnd(from, offset + length);
    const done = request.onReadOf(index);
    request.attempt(() => volume.read(from, at - from, done));
  }
}

function write(volume: BlockVolume, request: ActiveRequest, fua: boolean): void {
  const { offset, length, staging } = request;
  const count = staging.length;
  request.expect(count);
  let at = offset;
  // Counted, not iterated: the last piece may complete the request, which is then another's.
  for (let index = 0; index < count; index++) {
    const from = at;
    at = count === 1 ? offset + length : pieceEnd(from, offset + length);
    const payload = (staging[index] as { readonly bytes: Buffer }).bytes.subarray(0, at - from);
    request.attempt(() => volume.write(from, payload, fua, request.onDone, request.client));
  }
}

/** Hands a judged request, a write with its whole payload, to the volume. Every command but DISC and BLOCK_STATUS, which completes at once and elsewhere. */
export function callVolume(volume: BlockVolume, request: ActiveRequest, everyWriteFua: boolean): void {
  const fua = everyWriteFua || (request.flags & CMD_FLAG.FUA) !== 0;
  switch (request.type) {
    case CMD.READ:
      read(volume, request);
      return;
    case CMD.WRITE:
      write(volume, request, fua);
      return;
    default:
      request.expect(1);
  }
  switch (request.type) {
    case CMD.FLUSH:
      request.attempt(() => volume.flush(request.onDone));
      break;
    case CMD.TRIM:
      request.attempt(() => volume.trim(request.offset, request.length, fua, request.onDone, request.client));
      break;
    case CMD.WRITE_ZEROES:
      // One ring entry whatever the length, so it is fast by nature and FAST_ZERO never has to be refused.
      request.attempt(() =>
        volume.writeZeroes(request.offset, request.length, (request.flags & CMD_FLAG.NO_HOLE) !== 0, fua, request.onDone, request.client),
      );
      break;
    default:
      assert(request.type === CMD.CACHE, 'a command that the validation lets through');
      // Advice only: the ring's newest blocks are in memory already, and reading ahead would compete with real reads.
      request.onDone(null);
  }
}
