import { KIB, MIB } from '../base/units.js';

/** Every bound of the front end. What a peer can make the server hold is the sum of these, whatever it sends. */
export interface NbdLimits {
  /** Connections open at once, over all addresses; the next one is closed unanswered. */
  readonly connectionsMax: number;
  /** From accept to the transmission phase. */
  readonly handshakeTimeout_ms: number;
  /** Data bytes of one option; a longer one is skipped and answered ERR_TOO_BIG. */
  readonly optionBytesMax: number;
  /** Options of one negotiation; one more closes the connection. */
  readonly optionsMax: number;
  /** All bytes a client may send before the transmission phase. */
  readonly negotiationBytesMax: number;
  /** Requests of one connection that are not answered yet; then its socket is not read. */
  readonly requestsInFlightMax: number;
  /** Payload bytes of those requests, reads and writes, plus replies the socket has not taken. One request is always admitted. */
  readonly bytesInFlightMax: number;
  /** Reply bytes of one connection waiting for its socket, besides what reads brought; then no more requests are read. */
  readonly replyBytesQueuedMax: number;
  /** Memory of write payloads over all connections, from their arrival to their acknowledgement (memory-budget.ts). At least 33 MiB, and more for more connections. */
  readonly payloadBytesMax: number;
  /** Idle assembly buffers kept for the next fragmented payload. */
  readonly stagingCacheBytesMax: number;
  /** A refused write's payload is skipped up to this length; a longer one closes the connection. */
  readonly skipBytesMax: number;
  /** A write payload that has begun must have arrived by then: it holds part of payloadBytesMax. */
  readonly payloadTimeout_ms: number;
  /** The same for a request's header, and for a refused payload that is being skipped. */
  readonly headerTimeout_ms: number;
  /** Replies waiting this long without any progress close the connection: read replies pin slab memory. */
  readonly replyStall_ms: number;
  /** While others wait for memory: so long may a peer that holds some of it, by a payload that arrives or by read replies, fall below paceBytesPerSecond. */
  readonly crowdedStall_ms: number;
  /** 2 Mbit/s: slower than any network that block devices are used over, fast enough to have 32 MiB through in two minutes. */
  readonly paceBytesPerSecond: number;
  /** After close(): what is not finished by then is cut off. */
  readonly shutdownTimeout_ms: number;
  /** Extents of one block status reply. */
  readonly statusExtentsMax: number;
}

export const DEFAULT_LIMITS: NbdLimits = {
  connectionsMax: 128,
  handshakeTimeout_ms: 10_000,
  optionBytesMax: 64 * KIB,
  optionsMax: 256,
  negotiationBytesMax: MIB,
  requestsInFlightMax: 256,
  // nbdcopy's 64 requests of 256 KiB; a quarter of the smallest area that reads of the volume land in.
  bytesInFlightMax: 16 * MIB,
  replyBytesQueuedMax: 256 * KIB,
  // One of the largest requests, 64 KiB for each connection, and 24 MiB for those that want more.
  payloadBytesMax: 64 * MIB,
  stagingCacheBytesMax: 32 * MIB,
  skipBytesMax: 64 * MIB,
  payloadTimeout_ms: 60_000,
  headerTimeout_ms: 60_000,
  replyStall_ms: 120_000,
  crowdedStall_ms: 5_000,
  paceBytesPerSecond: 256 * KIB,
  shutdownTimeout_ms: 10_000,
  statusExtentsMax: 1024,
};
