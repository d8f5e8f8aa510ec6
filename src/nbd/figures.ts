import { type Figure, counter, gauge } from '../base/figure.js';
import type { NbdGauges } from './gauges.js';

type Named = readonly [make: typeof counter, name: string, help: string];

/** Every field has its series: one that is added and forgotten here does not compile. */
const SERIES: Readonly<Record<keyof NbdGauges, Named>> = {
  connections: [gauge, 'nbd_connections', 'Clients connected.'],
  connectionsMax: [gauge, 'nbd_connections_max', 'Clients that may be connected at once.'],
  connectionsTotal: [counter, 'nbd_connections_total', 'Connections accepted.'],
  connectionsRefusedTotal: [counter, 'nbd_connections_refused_total', 'Connections turned away, mostly because there were too many.'],
  connectionsFaultedTotal: [counter, 'nbd_connections_faulted_total', 'Connections closed because the client broke the protocol.'],
  requestsTotal: [counter, 'nbd_requests_total', 'Requests received.'],
  requestErrorsTotal: [counter, 'nbd_request_errors_total', 'Requests answered with an error.'],
  readBytesTotal: [counter, 'nbd_read_bytes_total', 'Bytes sent to clients.'],
  writtenBytesTotal: [counter, 'nbd_written_bytes_total', 'Bytes received from clients and written.'],
  flushesTotal: [counter, 'nbd_flushes_total', 'Flush requests.'],
  requestsInFlight: [gauge, 'nbd_requests_in_flight', 'Requests taken and not yet answered.'],
  bytesInFlight: [gauge, 'nbd_in_flight_bytes', 'Payload of the requests in flight.'],
  requestsInFlightMaxPerConnection: [gauge, 'nbd_connection_requests_in_flight_max', 'Requests that one client may have in flight.'],
  bytesInFlightMaxPerConnection: [gauge, 'nbd_connection_in_flight_max_bytes', 'Payload that one client may have in flight.'],
  pausedConnections: [gauge, 'nbd_connections_paused', 'Clients that are not read from until their requests are answered.'],
  pausesTotal: [counter, 'nbd_pauses_total', 'Times that a client was paused.'],
  payloadBytes: [gauge, 'nbd_payload_bytes', 'Memory held by write payloads on their way in.'],
  payloadBytesMax: [gauge, 'nbd_payload_max_bytes', 'Memory that write payloads may hold.'],
  payloadWaiters: [gauge, 'nbd_payload_waiters', 'Clients whose write payloads wait for memory.'],
  replyBytes: [gauge, 'nbd_reply_bytes', 'Memory held by reads until clients have taken their replies.'],
  replyBytesMax: [gauge, 'nbd_reply_max_bytes', 'Memory that reads may hold.'],
  replyWaiters: [gauge, 'nbd_reply_waiters', 'Clients whose reads wait for memory.'],
  stagingCacheBytes: [gauge, 'nbd_staging_cache_bytes', 'Payload memory kept for the next writes.'],
  stagingCacheBytesMax: [gauge, 'nbd_staging_cache_max_bytes', 'Payload memory that may be kept.'],
  replyBytesQueued: [gauge, 'nbd_reply_queued_bytes', 'Replies that clients have not taken yet.'],
};

/** The server's totals and levels as series of the metrics endpoint. */
export function nbdFigures(gauges: NbdGauges): Figure[] {
  const fields = Object.keys(SERIES) as (keyof NbdGauges)[];
  return fields.map((field) => {
    const [make, name, help] = SERIES[field];
    return make(name, help, gauges[field]);
  });
}
