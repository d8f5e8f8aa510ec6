import type { Socket } from 'node:net';
import { assert } from '../base/assert.js';
import { type Clock, type Timer, systemClock } from '../base/clock.js';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { BlockVolume } from '../engine/block-volume.js';
import { parseAddress, uriOf } from './address.js';
import { Connection, type ConnectionHost } from './connection.js';
import { NbdCounters, type NbdGauges } from './gauges.js';
import { DEFAULT_LIMITS, type NbdLimits } from './limits.js';
import { type Listener, listen } from './listener.js';
import { MemoryBudget } from './memory-budget.js';
import type { ExportDescription } from './negotiation.js';
import { REQUEST_HELD_MAX } from './pieces.js';
import { STRING_BYTES_MAX } from './protocol.js';
import { ReplyBatchPool } from './reply-queue.js';
import type { ServerShare } from './server-share.js';
import { Staging } from './staging.js';
import { StatusTurns } from './status-turns.js';

/** How often stalled peers are looked for. */
const SWEEP_MS = 1000;
/** Reply batches kept between connections: 8 MiB. */
const IDLE_BATCHES_MAX = 32;

export interface NbdServerOptions {
  /** Exported under its name and under the default (empty) name. */
  readonly volume: BlockVolume;
  /** "unix:PATH" or "tcp:HOST:PORT", one or more. */
  readonly addresses: readonly string[];
  /** What NBD_INFO_DESCRIPTION and LIST say of the export. Default "keelson volume NAME". */
  readonly description?: string;
  /** Mode of unix sockets. Default 0600. */
  readonly unixMode?: number;
  /** "write-back" (default): acknowledged when in the journal. "sync": every write as if FUA. */
  readonly durability?: 'write-back' | 'sync';
  readonly limits?: Partial<NbdLimits>;
  /** Default: the system's clock. */
  readonly clock?: Clock;
  /** A peer lost its connection by its own doing; to be logged. */
  readonly onFault?: (reason: string) => void;
  /** An exception that is a bug. Default: thrown as an uncaught exception, after the client has got its error. */
  readonly onBug?: (error: unknown) => void;
}

/** The NBD front end of one volume, on any number of addresses. */
export class NbdServer {
  readonly #volumeName: string;
  readonly #limits: NbdLimits;
  readonly #clock: Clock;
  readonly #counters = new NbdCounters();
  readonly #staging: Staging;
  readonly #payloadBudget: MemoryBudget;
  readonly #replyBudget: MemoryBudget;
  readonly #connections = new Set<Connection>();
  readonly #listeners: Listener[] = [];
  readonly #host: ConnectionHost;
  #clients = 0;
  #sweepTimer: Timer | null = null;
  #closing: Promise<void> | null = null;
  #onAllGone: (() => void) | null = null;

  private constructor(options: NbdServerOptions) {
    const { volume } = options;
    const description = options.description ?? `keelson volume ${volume.name}`;
    if (Buffer.byteLength(volume.name) > STRING_BYTES_MAX || Buffer.byteLength(description) > STRING_BYTES_MAX) {
      throw new KeelsonError('NBD_NAME', 'the export name or description is too long', {
        expected: `at most ${STRING_BYTES_MAX} bytes`,
        exit: EXIT.usage,
      });
    }
    this.#volumeName = volume.name;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#clock = options.clock ?? systemClock;
    this.#staging = new Staging(this.#limits.stagingCacheBytesMax);
    const { connectionsMax, payloadBytesMax } = this.#limits;
    this.#payloadBudget = new MemoryBudget(payloadBytesMax, connectionsMax, REQUEST_HELD_MAX);
    this.#replyBudget = new MemoryBudget(volume.readBytesMax, connectionsMax, REQUEST_HELD_MAX);
    const onBug =
      options.onBug ??
      ((error: unknown): void => {
        process.nextTick(() => {
          throw error;
        });
      });
    const share: ServerShare = {
      volume,
      limits: this.#limits,
      clock: this.#clock,
      staging: this.#staging,
      payloadBudget: this.#payloadBudget,
      replyBudget: this.#replyBudget,
      statusTurns: new StatusTurns(),
      counters: this.#counters,
      everyWriteFua: options.durability === 'sync',
      nextClient: () => ++this.#clients,
      onBug,
    };
    const exported: ExportDescription = { name: volume.name, description, sizeBytes: volume.sizeBytes, readOnly: volume.readOnly };
    this.#host = {
      share,
      description: exported,
      batches: new ReplyBatchPool(IDLE_BATCHES_MAX),
      onFault: (reason) => {
        this.#counters.connectionsFaultedTotal++;
        options.onFault?.(reason);
      },
      onGone: (connection) => this.#gone(connection),
    };
  }

  /**
   * Listens on every address, or on none: when one cannot be bound the others are closed again.
   * Throws KeelsonError NBD_ADDRESS, NBD_ADDRESS_IN_USE, NBD_LISTEN or NBD_NAME.
   */
  static async start(options: NbdServerOptions): Promise<NbdServer> {
    const addresses = options.addresses.map(parseAddress);
    if (addresses.length === 0)
      throw new KeelsonError('NBD_ADDRESS', 'no address to listen on', { expected: 'at least one', exit: EXIT.usage });
    const server = new NbdServer(options);
    try {
      for (const address of addresses) {
        server.#listeners.push(await listen(address, options.unixMode ?? 0o600, (socket) => server.#accept(socket)));
      }
    } catch (error) {
      await server.close();
      throw error;
    }
    server.#sweep();
    return server;
  }

  /** One URI for each address, in the order of the options, with the ports the system chose. */
  uris(): string[] {
    return this.#listeners.map((listener) => uriOf(listener.address, this.#volumeName));
  }

  gauges(): NbdGauges {
    let replyBytesQueued = 0;
    for (const connection of this.#connections) replyBytesQueued += connection.replyBytesQueued;
    return {
      ...this.#counters,
      connections: this.#connections.size,
      connectionsMax: this.#limits.connectionsMax,
      requestsInFlightMaxPerConnection: this.#limits.requestsInFlightMax,
      bytesInFlightMaxPerConnection: this.#limits.bytesInFlightMax,
      payloadBytes: this.#payloadBudget.usedBytes,
      payloadBytesMax: this.#payloadBudget.bytesMax,
      payloadWaiters: this.#payloadBudget.waiting,
      replyBytes: this.#replyBudget.usedBytes,
      replyBytesMax: this.#replyBudget.bytesMax,
      replyWaiters: this.#replyBudget.waiting,
      stagingCacheBytes: this.#staging.cachedBytes,
      stagingCacheBytesMax: this.#limits.stagingCacheBytesMax,
      replyBytesQueued,
    };
  }

  /**
   * Stops accepting, answers ESHUTDOWN to new requests, finishes those in flight and closes; what a peer holds up longer than
   * shutdownTimeout_ms is cut off. Resolves when the volume holds no request of this server. Further calls wait for the first.
   */
  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  async #shutDown(): Promise<void> {
    this.#sweepTimer?.cancel();
    const gone =
      this.#connections.size === 0
        ? Promise.resolve()
        : new Promise<void>((resolve) => {
            this.#onAllGone = resolve;
          });
    const closed = this.#listeners.map((listener) => listener.close());
    for (const connection of [...this.#connections]) connection.shutDown();
    const deadline = this.#clock.after(this.#limits.shutdownTimeout_ms, () => {
      for (const connection of [...this.#connections]) connection.cutOff('not finished when the server stopped');
    });
    await gone;
    deadline.cancel();
    await Promise.all(closed);
  }

  #accept(socket: Socket): void {
    if (this.#closing !== null || this.#connections.size >= this.#limits.connectionsMax) {
      this.#refuse(socket);
      return;
    }
    try {
      this.#connections.add(new Connection(socket, this.#host));
      this.#counters.connectionsTotal++;
    } catch {
      // No descriptor left for it (intake.ts takes one more): that costs this client its connection, as a failed accept does.
      this.#refuse(socket);
    }
  }

  #refuse(socket: Socket): void {
    this.#counters.connectionsRefusedTotal++;
    socket.on('error', () => undefined);
    socket.destroy();
  }

  #gone(connection: Connection): void {
    assert(this.#connections.delete(connection), 'a connection goes once');
    if (this.#connections.size === 0) this.#onAllGone?.();
  }

  #sweep(): void {
    this.#sweepTimer = this.#clock.after(SWEEP_MS, () => {
      const now_ms = this.#clock.now();
      for (const connection of [...this.#connections]) connection.sweep(now_ms);
      this.#sweep();
    });
  }
}
