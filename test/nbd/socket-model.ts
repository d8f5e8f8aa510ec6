import type { Socket } from 'node:net';
import { INTAKE_BYTES } from '../../src/nbd/intake.js';
import { SMALL_BYTES } from '../../src/nbd/pieces.js';
import { type ReplyBatchPool, ReplyQueue } from '../../src/nbd/reply-queue.js';
import type { ServerShare } from '../../src/nbd/server-share.js';
import type { TransmissionHost } from '../../src/nbd/transmission-host.js';
import { Transmission } from '../../src/nbd/transmission.js';

interface Write {
  readonly bytes: Uint8Array;
  readonly taken: (() => void) | undefined;
}

/**
 * One connection's transmission on a socket that does nothing by itself: the test says when how many bytes arrive and when replies are taken. It asks for memory
 * exactly as Node's sockets with `onread` do: once at the start, then after each read, for the next one, however much later that comes.
 */
export class ModelSocket implements TransmissionHost {
  readonly transmission: Transmission;
  /** Everything that was taken of the replies. */
  replies: Buffer = Buffer.alloc(0);
  paused = false;
  /** The server has ended it, by fault or by finishing. */
  over: 'no' | 'fault' | 'finished' = 'no';
  closed = false;
  readonly #intake = Buffer.allocUnsafeSlow(INTAKE_BYTES);
  readonly #queue: ReplyQueue;
  #offered: Uint8Array;
  #writes: Write[] = [];

  constructor(share: ServerShare, batches: ReplyBatchPool, structured: boolean) {
    const socket = {
      write: (bytes: Uint8Array, taken?: () => void) => {
        this.#writes.push({ bytes, taken });
        return true;
      },
      cork: () => undefined,
      uncork: () => undefined,
    };
    this.#queue = new ReplyQueue(socket as unknown as Socket, batches, SMALL_BYTES, (heldBytes) =>
      this.transmission.repliesLeft(heldBytes),
    );
    this.transmission = new Transmission(share, { structured, contexts: [] }, this.#queue, this);
    this.#offered = this.#buffer();
  }

  /** The memory that the next read will land in. */
  get offered(): Uint8Array {
    return this.#offered;
  }

  #buffer(): Uint8Array {
    return this.transmission.landing() ?? this.#intake;
  }

  /** One read of the socket: takes what fits from the front of `bytes`. Returns how much that was. */
  arrive(bytes: Uint8Array): number {
    if (this.paused || this.closed || bytes.length === 0) return 0;
    const length = Math.min(bytes.length, this.#offered.length);
    const into = this.#offered;
    into.set(bytes.subarray(0, length));
    if (this.over !== 'no') {
      // As a connection that is ending: nobody looks at it, but until the socket is closed it is still read into the memory that was named last.
      this.#offered = this.#buffer();
      return length;
    }
    if (!this.transmission.landed(into, length)) this.transmission.receive(Buffer.from(into.buffer, into.byteOffset, length));
    this.#offered = this.#buffer();
    return length;
  }

  /** The peer reads up to `count` of the server's writes. */
  take(count: number): void {
    const taken = this.#writes.splice(0, count);
    // Copied only now: memory that was given away too early shows as wrong bytes.
    this.replies = Buffer.concat([this.replies, ...taken.map((write) => write.bytes)]);
    for (const write of taken) write.taken?.();
  }

  get untaken(): number {
    return this.#writes.length;
  }

  close(): void {
    this.closed = true;
    this.#writes = [];
    this.transmission.close();
    this.#queue.close();
  }

  pauseInput(): void {
    this.paused = true;
  }

  resumeInput(): void {
    this.paused = false;
  }

  fault(): void {
    this.over = 'fault';
  }

  finished(): void {
    if (!this.closed) this.over = 'finished';
  }
}
