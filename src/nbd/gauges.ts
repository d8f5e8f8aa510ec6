/** Running totals and levels of one server, over all its connections; plain fields, because every request touches them. */
export class NbdCounters {
  connectionsTotal = 0;
  connectionsRefusedTotal = 0;
  connectionsFaultedTotal = 0;
  requestsTotal = 0;
  requestErrorsTotal = 0;
  readBytesTotal = 0;
  writtenBytesTotal = 0;
  flushesTotal = 0;
  requestsInFlight = 0;
  bytesInFlight = 0;
  pausedConnections = 0;
  pausesTotal = 0;
}

/** What server.gauges() returns. Fields without Total are levels of this moment, each beside the bound it is held under. */
export interface NbdGauges extends Readonly<NbdCounters> {
  readonly connections: number;
  readonly connectionsMax: number;
  readonly requestsInFlightMaxPerConnection: number;
  readonly bytesInFlightMaxPerConnection: number;
  readonly payloadBytes: number;
  readonly payloadBytesMax: number;
  readonly payloadWaiters: number;
  /** Memory of reads until the socket has their replies, and connections that wait for some. */
  readonly replyBytes: number;
  readonly replyBytesMax: number;
  readonly replyWaiters: number;
  readonly stagingCacheBytes: number;
  readonly stagingCacheBytesMax: number;
  readonly replyBytesQueued: number;
}
