import { assert } from '../base/assert.js';
import type { Bytes } from '../base/units.js';
import type { BudgetShare } from './memory-budget.js';
import { readHeldBytes } from './pieces.js';
import { CMD } from './protocol.js';
import type { ReplyQueue } from './reply-queue.js';
import type { Request } from './request.js';
import type { ServerShare } from './server-share.js';

/** The books of one connection: what its requests hold, and whether the next one may begin. */
export class Admission {
  readonly #share: ServerShare;
  readonly #replies: ReplyQueue;
  /** Its part of the memory of write payloads, taken by the payload as it arrives. */
  readonly payloads: BudgetShare;
  /** Its part of the memory of read replies. */
  readonly reads: BudgetShare;
  #inFlight = 0;
  #bytesInFlight = 0;

  constructor(share: ServerShare, replies: ReplyQueue, onRoom: () => void) {
    this.#share = share;
    this.#replies = replies;
    this.payloads = share.payloadBudget.share(onRoom);
    this.reads = share.replyBudget.share(onRoom);
  }

  /** Requests handed to the volume, or being received, and not completed. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Replies that hold no memory of reads (of writes, of block status, of refusals) have a bound of their own. */
  get repliesFull(): boolean {
    return this.#replies.queuedBytes - this.#replies.readBytesQueued >= this.#share.limits.replyBytesQueuedMax;
  }

  /** False: a limit is met, and nothing has happened. */
  admit(request: Request): boolean {
    const { limits, counters } = this.#share;
    const reads = request.type === CMD.READ;
    const bytes = reads || request.type === CMD.WRITE ? request.length : 0;
    if (this.#inFlight >= limits.requestsInFlightMax) return false;
    // A read's bytes count until the socket has taken them: so long they hold memory.
    const held = this.#bytesInFlight + this.#replies.queuedBytes;
    if ((this.#inFlight > 0 || !this.#replies.empty) && held + bytes > limits.bytesInFlightMax) return false;
    const heldBytes = reads ? readHeldBytes(request.offset, request.length) : 0;
    if (reads && !this.reads.take(heldBytes, 0)) return false;
    request.heldBytes = heldBytes;
    request.chargedBytes = bytes;
    request.inFlight = true;
    this.#inFlight++;
    this.#bytesInFlight += bytes;
    counters.requestsInFlight++;
    counters.bytesInFlight += bytes;
    return true;
  }

  /** Takes the request out of the books, and gives back what it holds of its budget. What a read holds goes with its reply: replied() gives it back. */
  settle(request: Request, answered: boolean): void {
    assert(request.inFlight, 'a request completes once');
    const { counters } = this.#share;
    request.inFlight = false;
    this.#inFlight--;
    this.#bytesInFlight -= request.chargedBytes;
    counters.requestsInFlight--;
    counters.bytesInFlight -= request.chargedBytes;
    if (request.type === CMD.WRITE) this.payloads.give(request.heldBytes);
    else if (!answered) this.reads.give(request.heldBytes);
    if (request.type === CMD.WRITE || !answered) request.heldBytes = 0;
  }

  /** The socket has taken, or lost, replies of reads that held so much. */
  replied(heldBytes: Bytes): void {
    this.reads.give(heldBytes);
  }

  /** It waits for nothing any more. */
  forget(): void {
    this.payloads.forget();
    this.reads.forget();
  }
}
