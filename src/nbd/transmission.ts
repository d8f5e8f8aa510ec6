import { AssertionFailure, assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import { Admission } from './admission.js';
import type { Session } from './negotiation.js';
import { PayloadAssembly } from './payload-assembly.js';
import { CMD, CMD_FLAG, ERRNO, REQUEST_BYTES, dataView } from './protocol.js';
import type { ReplyQueue } from './reply-queue.js';
import { replyBlockStatus, replyDone, replyError, replyReadHeader } from './reply.js';
import { type RequestRules, errnoOf, refusal } from './request.js';
import type { ServerShare } from './server-share.js';
import type { TransmissionHost } from './transmission-host.js';
import { ActiveRequest, type CompletionOwner, callVolume } from './volume-call.js';

// Where the parser stands in the stream. Plain numbers: it is compared several times for each request.
const PHASE_HEADER = 0;
const PHASE_ADMIT = 1;
const PHASE_PAYLOAD = 2;
const PHASE_SKIP = 3;
const PHASE_ENDED = 4;

/**
 * The transmission phase of one connection: bytes in, volume calls, replies out. Parsing stops, and with it the reading of the socket, at each of
 * the limits, and goes on in the turn after a completion. Completions only queue: replies and parsing run once at the end of a turn.
 */
export class Transmission implements CompletionOwner {
  readonly #share: ServerShare;
  readonly #session: Session;
  readonly #client: number;
  readonly #host: TransmissionHost;
  readonly #replies: ReplyQueue;
  readonly #rules: RequestRules;
  readonly #idle: ActiveRequest[] = [];
  readonly #header = Buffer.alloc(REQUEST_BYTES);
  readonly #headerView = dataView(this.#header);
  readonly #admission: Admission;
  readonly #payload: PayloadAssembly;
  readonly #held: Buffer[] = [];
  readonly #runTurn = (): void => this.#turn();
  #heldAt = 0;
  #phase = PHASE_HEADER;
  #current: ActiveRequest;
  #headerFill = 0;
  /** Since when a begun header, or a refused payload, has been incomplete; -1: neither. */
  #partSince_ms = -1;
  #statusPending = false;
  #skip = 0;
  #blocked = false;
  #turnScheduled = false;
  #shuttingDown = false;
  #inputEnded = false;
  #finished = false;
  #closed = false;

  constructor(share: ServerShare, session: Session, replies: ReplyQueue, host: TransmissionHost) {
    this.#share = share;
    this.#session = session;
    this.#client = share.nextClient();
    this.#replies = replies;
    this.#host = host;
    this.#rules = {
      sizeBytes: share.volume.sizeBytes,
      readOnly: share.volume.readOnly,
      structured: session.structured,
      contextCount: session.contexts.length,
    };
    this.#admission = new Admission(share, replies, () => this.#schedule());
    this.#payload = new PayloadAssembly(share.staging, this.#admission.payloads, share.clock);
    this.#current = new ActiveRequest(this, this.#client);
  }

  /** Requests handed to the volume, or being received, and not completed. */
  get inFlight(): number {
    return this.#admission.inFlight;
  }

  /** Milliseconds on the clock since when a begun payload has waited for its peer, or -1. */
  get payloadSince_ms(): number {
    return this.#blocked ? -1 : this.#payload.since_ms;
  }

  /** It holds memory that others could have: of payloads, of replies. */
  get payloadsBeyondOwn(): boolean {
    return this.#admission.payloads.beyondOwn;
  }

  get repliesBeyondOwn(): boolean {
    return this.#admission.reads.beyondOwn;
  }

  /** The same for a begun header, or for a refused payload that is being skipped. */
  get partSince_ms(): number {
    return this.#partSince_ms;
  }

  /** Bytes of write payloads that have arrived. */
  get payloadBytes(): number {
    return this.#payload.receivedBytes;
  }

  /** Takes a chunk. What a limit keeps from being parsed is held: the chunk then stays as it is until the host is told to resume its input. */
  receive(chunk: Buffer): void {
    if (this.#phase === PHASE_ENDED) return;
    this.#held.push(chunk);
    if (!this.#blocked) this.#parseHeld();
  }

  /** Memory in which the next bytes of the stream are wanted; null: anywhere. */
  landing(): Uint8Array | null {
    return this.#phase === PHASE_PAYLOAD && this.#held.length === 0 ? this.#payload.lend(this.#current) : null;
  }

  /** `length` bytes arrived in `buffer`; false when it was not lent for the payload that is arriving: then they are an ordinary chunk. */
  landed(buffer: Uint8Array, length: number): boolean {
    if (this.#phase !== PHASE_PAYLOAD || !this.#payload.landed(this.#current, buffer, length)) return false;
    this.#executeComplete();
    return true;
  }

  /** The peer will send no more; what it has asked is still answered. */
  endInput(): void {
    this.#inputEnded = true;
    this.#schedule();
  }

  /** From now on every request is answered ESHUTDOWN; those in flight finish first. */
  shutDown(): void {
    this.#shuttingDown = true;
    if (this.#phase === PHASE_PAYLOAD) {
      const request = this.#current;
      const rest = request.length - this.#payload.filled;
      this.#settle(request, false);
      this.#payload.reset();
      this.#admission.forget();
      this.#refuse(request, ERRNO.ESHUTDOWN, 'the server is shutting down', rest);
    }
    this.#schedule();
  }

  /** The socket is gone. Requests at the volume still complete, unanswered. */
  close(): void {
    if (this.#closed) return;
    if (this.#phase === PHASE_PAYLOAD) this.#settle(this.#current, false);
    this.#payload.reset();
    this.#closed = true;
    this.#phase = PHASE_ENDED;
    this.#held.length = 0;
    this.#unblock();
    this.#admission.forget();
  }

  /** The socket has taken, or lost, replies of reads that held so much: parsing may go on. */
  repliesLeft(heldBytes: number): void {
    this.#admission.replied(heldBytes);
    if (this.#blocked) this.#schedule();
  }

  #schedule(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    process.nextTick(this.#runTurn);
  }

  #turn(): void {
    this.#turnScheduled = false;
    if (this.#closed) return;
    this.#replies.flush();
    if (this.#blocked) {
      this.#unblock();
      this.#parseHeld();
      if (!this.#blocked && !this.#closed) this.#host.resumeInput();
      // What parsing has answered at once leaves with this turn.
      this.#replies.flush();
    }
    this.#finishIfDone();
  }

  #finishIfDone(): void {
    const over = this.#phase === PHASE_ENDED || this.#shuttingDown || this.#inputEnded;
    // With input ended, a half-received request never completes: it is in flight only in our books.
    const open = this.#inputEnded && this.#phase === PHASE_PAYLOAD ? this.#admission.inFlight - 1 : this.#admission.inFlight;
    if (!over || open > 0 || this.#blocked || this.#finished || this.#closed) return;
    this.#finished = true;
    this.#host.finished();
  }

  #block(): void {
    this.#blocked = true;
    this.#share.counters.pausedConnections++;
    this.#share.counters.pausesTotal++;
    this.#host.pauseInput();
  }

  #unblock(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#payload.restartClock();
    this.#share.counters.pausedConnections--;
  }

  #parseHeld(): void {
    while (this.#held.length > 0) {
      const at = this.#parse(this.#held[0] as Buffer, this.#heldAt);
      if (this.#phase === PHASE_ENDED) {
        this.#held.length = 0;
        return;
      }
      if (this.#blocked) {
        this.#heldAt = at;
        return;
      }
      this.#held.shift();
      this.#heldAt = 0;
    }
  }

  /** Consumes the chunk from `start` until it ends, a limit is met or the stream is over. Returns where it stopped. */
  #parse(chunk: Buffer, start: number): number {
    let at = start;
    let view: DataView | null = null;
    for (;;) {
      switch (this.#phase) {
        case PHASE_HEADER: {
          const left = chunk.length - at;
          if (left === 0) return at;
          if (this.#admission.repliesFull) {
            this.#block();
            return at;
          }
          const request = this.#idle.pop() ?? new ActiveRequest(this, this.#client);
          this.#current = request;
          let valid: boolean;
          if (this.#headerFill === 0 && left >= REQUEST_BYTES) {
            view ??= dataView(chunk);
            valid = request.decode(view, at);
            at += REQUEST_BYTES;
          } else {
            const taken = chunk.copy(this.#header, this.#headerFill, at, at + REQUEST_BYTES - this.#headerFill);
            at += taken;
            this.#headerFill += taken;
            if (this.#headerFill < REQUEST_BYTES) {
              if (this.#partSince_ms < 0) this.#partSince_ms = this.#share.clock.now();
              this.#idle.push(request);
              return at;
            }
            this.#headerFill = 0;
            this.#partSince_ms = -1;
            valid = request.decode(this.#headerView, 0);
          }
          if (valid) this.#judge(request);
          else this.#fault('a request without the request magic');
          break;
        }
        case PHASE_ADMIT:
          if (!this.#admit(this.#current)) {
            this.#block();
            return at;
          }
          break;
        case PHASE_PAYLOAD: {
          at += this.#payload.take(this.#current, chunk, at);
          if (this.#executeComplete()) break;
          if (at < chunk.length) this.#block();
          return at;
        }
        case PHASE_SKIP: {
          const taken = Math.min(this.#skip, chunk.length - at);
          at += taken;
          this.#skip -= taken;
          if (this.#skip > 0) return at;
          this.#partSince_ms = -1;
          this.#phase = PHASE_HEADER;
          break;
        }
        default:
          return at;
      }
    }
  }

  /** Hands the write over when its payload is complete. */
  #executeComplete(): boolean {
    if (!this.#payload.complete) return false;
    this.#payload.complete = false;
    this.#phase = PHASE_HEADER;
    this.#execute(this.#current);
    return true;
  }

  #fault(reason: string): void {
    this.#phase = PHASE_ENDED;
    this.#host.fault(reason);
  }

  #judge(request: ActiveRequest): void {
    this.#share.counters.requestsTotal++;
    if (request.type === CMD.DISC) {
      this.#phase = PHASE_ENDED;
      this.#idle.push(request);
      this.#schedule();
      return;
    }
    const errno = this.#shuttingDown ? ERRNO.ESHUTDOWN : refusal(request, this.#rules);
    if (errno === ERRNO.OK) this.#phase = PHASE_ADMIT;
    else this.#refuse(request, errno, this.#shuttingDown ? 'the server is shutting down' : 'the request is not valid for this export');
  }

  /** Answers with an error; of a write the `payloadLeft` bytes still to come are skipped. */
  #refuse(request: ActiveRequest, errno: number, message: string, payloadLeft = request.length): void {
    this.#share.counters.requestErrorsTotal++;
    this.#phase = PHASE_HEADER;
    if (request.type === CMD.WRITE) {
      if (payloadLeft > this.#share.limits.skipBytesMax) {
        this.#idle.push(request);
        this.#fault('a refused write too long to skip');
        return;
      }
      this.#skip = payloadLeft;
      this.#phase = PHASE_SKIP;
      this.#partSince_ms = this.#share.clock.now();
    }
    replyError(this.#replies, request, errno, this.#session.structured, message);
    this.#idle.push(request);
    this.#schedule();
  }

  /** Starts the request, or begins its payload. False: a limit is met and nothing has happened. */
  #admit(request: ActiveRequest): boolean {
    if (this.#shuttingDown) {
      this.#admission.forget();
      this.#refuse(request, ERRNO.ESHUTDOWN, 'the server is shutting down');
      return true;
    }
    if (request.type === CMD.BLOCK_STATUS && this.#statusPending) return false;
    if (!this.#admission.admit(request)) return false;
    const writes = request.type === CMD.WRITE;
    this.#phase = writes ? PHASE_PAYLOAD : PHASE_HEADER;
    if (!writes) this.#execute(request);
    return true;
  }

  #execute(request: ActiveRequest): void {
    const { volume, everyWriteFua, counters } = this.#share;
    if (request.type === CMD.FLUSH) counters.flushesTotal++;
    if (request.type === CMD.BLOCK_STATUS) {
      this.#statusPending = true;
      this.#share.statusTurns.add(() => this.#statusTurn(request));
    } else callVolume(volume, request, everyWriteFua);
  }

  /** The volume threw instead of calling back. */
  threw(error: unknown): void {
    if (!(error instanceof KeelsonError) || error instanceof AssertionFailure) this.#share.onBug(error);
  }

  #statusTurn(request: ActiveRequest): void {
    this.#statusPending = false;
    if (this.#closed) {
      this.complete(request, null);
      return;
    }
    try {
      this.#blockStatus(request);
    } catch (error) {
      this.threw(error);
      if (request.inFlight) this.complete(request, KeelsonError.from(error));
    }
  }

  #blockStatus(request: ActiveRequest): void {
    const one = (request.flags & CMD_FLAG.REQ_ONE) !== 0;
    const { volume, limits } = this.#share;
    const extents = volume.blockStatus(request.offset, request.length, limits.statusExtentsMax);
    assert(extents.length > 0, 'block status covers a beginning of its range');
    this.#settle(request, true);
    replyBlockStatus(this.#replies, request, this.#session.contexts, extents, one ? 1 : limits.statusExtentsMax);
    this.#idle.push(request);
    this.#schedule();
  }

  /** The volume is done with the request. Called through the request's own bound callbacks, and by #statusTurn. */
  complete(request: ActiveRequest, error: KeelsonError | null): void {
    const { counters } = this.#share;
    const answers = request.type === CMD.READ && !this.#closed && error === null && this.#isWhole(request);
    this.#settle(request, answers);
    if (this.#closed) {
      request.releasePayloads();
      this.#idle.push(request);
      if (this.inFlight === 0) this.#host.finished();
      return;
    }
    if (error !== null) {
      counters.requestErrorsTotal++;
      request.releasePayloads();
      replyError(this.#replies, request, errnoOf(error.code), this.#session.structured, error.message);
    } else if (request.type === CMD.READ) {
      if (answers) this.#replyRead(request);
      else this.#replyWrongLength(request);
    } else {
      if (request.type === CMD.WRITE) counters.writtenBytesTotal += request.length;
      replyDone(this.#replies, request);
    }
    this.#idle.push(request);
    this.#schedule();
  }

  #isWhole(request: ActiveRequest): boolean {
    let bytes = 0;
    for (const payload of request.payloads) bytes += payload.bytes.length;
    return bytes === request.length;
  }

  #replyRead(request: ActiveRequest): void {
    this.#share.counters.readBytesTotal += request.length;
    replyReadHeader(this.#replies, request, this.#session.structured);
    this.#replies.read(request.payloads, request.heldBytes);
    request.payloads.length = 0;
    request.heldBytes = 0;
  }

  /** A reply of another length would shift the client's stream for good: an error instead, and a report. */
  #replyWrongLength(request: ActiveRequest): void {
    this.#share.counters.requestErrorsTotal++;
    request.releasePayloads();
    replyError(this.#replies, request, ERRNO.EIO, this.#session.structured, 'the read came back with a wrong length');
    this.#share.onBug(new AssertionFailure('a read returns as many bytes as asked'));
  }

  /** Takes the request out of the books and gives back what it held; what a read that is answered holds goes with its reply. */
  #settle(request: ActiveRequest, answered: boolean): void {
    this.#admission.settle(request, answered);
    for (const buffer of request.staging) if (!this.#payload.isLent(buffer)) this.#share.staging.give(buffer);
    request.staging.length = 0;
  }
}
