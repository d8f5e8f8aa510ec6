import type { Socket } from 'node:net';
import type { Timer } from '../base/clock.js';
import { INTAKE_BYTES, type Intake, openIntake } from './intake.js';
import { type ExportDescription, Negotiation, greeting } from './negotiation.js';
import { type ReplyBatchPool, ReplyQueue } from './reply-queue.js';
import { Pace } from './pace.js';
import { SMALL_BYTES } from './pieces.js';
import type { ServerShare } from './server-share.js';
import type { TransmissionHost } from './transmission-host.js';
import { Transmission } from './transmission.js';

/** What a connection tells its server. */
export interface ConnectionHost {
  readonly share: ServerShare;
  readonly description: ExportDescription;
  readonly batches: ReplyBatchPool;
  /** A peer broke the protocol, was too slow, or made the parser throw; its connection is being closed. */
  onFault(reason: string): void;
  /** The socket is closed and the volume holds no request of this connection. */
  onGone(connection: Connection): void;
}

/**
 * One client: socket events, the handshake with its deadline, then the transmission phase until DISC, end of input, fault or shutdown.
 * Whatever goes wrong here ends this connection and nothing else.
 */
export class Connection implements TransmissionHost, Intake {
  readonly #socket: Socket;
  readonly #host: ConnectionHost;
  readonly #negotiation: Negotiation;
  #handshakeTimer: Timer | null;
  #transmission: Transmission | null = null;
  #replies: ReplyQueue | null = null;
  #lastProgress_ms: number;
  #takenBytes = 0;
  readonly #payloadPace: Pace;
  readonly #replyPace: Pace;
  #ending = false;
  #socketClosed = false;
  #gone = false;
  readonly #intake = Buffer.allocUnsafeSlow(INTAKE_BYTES);

  /** accepted: a socket that is not read yet. */
  constructor(accepted: Socket, host: ConnectionHost) {
    this.#host = host;
    const { clock, limits } = host.share;
    this.#lastProgress_ms = clock.now();
    this.#payloadPace = new Pace(limits, this.#lastProgress_ms);
    this.#replyPace = new Pace(limits, this.#lastProgress_ms);
    const socket = openIntake(accepted, this);
    this.#socket = socket;
    this.#negotiation = new Negotiation(host.description, limits, (bytes) => socket.write(bytes));
    this.#handshakeTimer = clock.after(limits.handshakeTimeout_ms, () => this.cutOff('the handshake took too long'));
    // A dead socket always closes; why it died does not matter to anyone else.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#onClose());
    socket.on('end', () => this.#onEnd());
    socket.write(greeting());
  }

  get replyBytesQueued(): number {
    return this.#replies?.queuedBytes ?? 0;
  }

  buffer(): Uint8Array {
    return this.#transmission?.landing() ?? this.#intake;
  }

  take(buffer: Uint8Array, length: number): void {
    if (this.#ending) return;
    try {
      if (this.#transmission?.landed(buffer, length) === true) return;
      const chunk = Buffer.from(buffer.buffer, buffer.byteOffset, length);
      if (this.#transmission !== null) this.#transmission.receive(chunk);
      else this.#negotiate(chunk);
    } catch (error) {
      this.#host.share.onBug(error);
      this.fault('an internal error');
    }
  }

  #negotiate(chunk: Buffer): void {
    const taken = this.#negotiation.feed(chunk);
    if (this.#negotiation.state === 'open') return;
    if (this.#negotiation.state !== 'agreed') {
      // The handshake's deadline stays on: it also ends a peer that never reads its last answer.
      if (this.#negotiation.state === 'broken') this.#host.onFault('the negotiation broke the protocol or its limits');
      this.finished();
      return;
    }
    this.#handshakeTimer?.cancel();
    this.#handshakeTimer = null;
    const { share, batches } = this.#host;
    this.#replies = new ReplyQueue(this.#socket, batches, SMALL_BYTES, (heldBytes) => {
      this.#lastProgress_ms = share.clock.now();
      this.#transmission?.repliesLeft(heldBytes);
    });
    this.#transmission = new Transmission(share, this.#negotiation.session(), this.#replies, this);
    if (taken < chunk.length) this.#transmission.receive(chunk.subarray(taken));
  }

  #onEnd(): void {
    if (this.#transmission === null) this.finished();
    else this.#transmission.endInput();
  }

  #onClose(): void {
    this.#socketClosed = true;
    this.#ending = true;
    this.#handshakeTimer?.cancel();
    this.#transmission?.close();
    this.#replies?.close();
    this.#goneIfIdle();
  }

  #goneIfIdle(): void {
    if (!this.#socketClosed || this.#gone || (this.#transmission?.inFlight ?? 0) > 0) return;
    this.#gone = true;
    this.#host.onGone(this);
  }

  pauseInput(): void {
    this.#socket.pause();
  }

  resumeInput(): void {
    if (!this.#socketClosed) this.#socket.resume();
  }

  fault(reason: string): void {
    if (this.#socketClosed || this.#ending) return;
    this.#ending = true;
    this.#host.onFault(reason);
    this.#socket.destroy();
  }

  /** Sends what is queued, then closes. After the socket has gone: the last request at the volume has come back. */
  finished(): void {
    if (this.#socketClosed) {
      this.#goneIfIdle();
      return;
    }
    this.#ending = true;
    this.#socket.resume();
    this.#socket.destroySoon();
  }

  /**
   * Called about once a second: drops a peer that stopped in the middle of a request, or takes no replies; sooner when others wait for the memory that
   * its payload or its replies hold.
   */
  sweep(now_ms: number): void {
    const { limits, payloadBudget, replyBudget } = this.#host.share;
    const transmission = this.#transmission;
    const replies = this.#replies;
    if (transmission === null || replies === null) return;
    const since_ms = transmission.payloadSince_ms;
    const partSince_ms = transmission.partSince_ms;
    const payloadSlow_ms = this.#payloadPace.slowFor_ms(now_ms, since_ms < 0, transmission.payloadBytes);
    const { takenBytes } = replies;
    const repliesSlow_ms = this.#replyPace.slowFor_ms(now_ms, replies.empty, takenBytes);
    if (replies.empty || takenBytes !== this.#takenBytes) this.#lastProgress_ms = now_ms;
    this.#takenBytes = takenBytes;
    if (since_ms >= 0 && now_ms - since_ms > limits.payloadTimeout_ms) this.fault('a write payload stopped arriving');
    else if (partSince_ms >= 0 && now_ms - partSince_ms > limits.headerTimeout_ms) this.fault('a request stopped arriving');
    else if (payloadBudget.waiting > 0 && transmission.payloadsBeyondOwn && payloadSlow_ms > limits.crowdedStall_ms)
      this.fault('a write payload that others wait for is too slow');
    else if (now_ms - this.#lastProgress_ms > limits.replyStall_ms) this.cutOff('the replies are not being read');
    else if (replyBudget.waiting > 0 && transmission.repliesBeyondOwn && repliesSlow_ms > limits.crowdedStall_ms)
      this.cutOff('replies that others wait for are read too slowly');
  }

  /** Stops taking requests; those in flight are finished and answered. */
  shutDown(): void {
    if (this.#transmission === null) this.finished();
    else this.#transmission.shutDown();
  }

  /** Closes at once, whatever is queued. */
  cutOff(reason: string): void {
    if (this.#socketClosed) return;
    if (!this.#ending) this.#host.onFault(reason);
    this.#ending = true;
    this.#socket.destroy();
  }
}
