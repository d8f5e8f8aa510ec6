import type { StagingBuffer } from './staging.js';
import { CMD, CMD_FLAG, ERRNO, PAYLOAD_BYTES_MAX, REQUEST_MAGIC, getU64 } from './protocol.js';

/** One transmission request as it came over the wire. Pooled: all fields are written again for each use. */
export class Request {
  flags = 0;
  type = 0;
  /** The client's cookie, never interpreted, as two halves. */
  cookieHigh = 0;
  cookieLow = 0;
  offset = 0;
  length = 0;
  /** Bytes this request counts for in the connection's bytes in flight. */
  chargedBytes = 0;
  /** Bytes this request holds of the budget of payloads or of replies. */
  heldBytes = 0;
  /** Hold a write's payload, piece by piece, until the write is acknowledged. */
  readonly staging: StagingBuffer[] = [];
  inFlight = false;

  /** Reads the header of REQUEST_BYTES at `at`. False: the magic is wrong, the stream is lost. */
  decode(view: DataView, at: number): boolean {
    if (view.getUint32(at) !== REQUEST_MAGIC) return false;
    this.flags = view.getUint16(at + 4);
    this.type = view.getUint16(at + 6);
    this.cookieHigh = view.getUint32(at + 8);
    this.cookieLow = view.getUint32(at + 12);
    this.offset = getU64(view, at + 16);
    this.length = view.getUint32(at + 24);
    return true;
  }
}

/** What a request is judged by: the export and what was negotiated. */
export interface RequestRules {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly structured: boolean;
  readonly contextCount: number;
}

/** Flags each command may carry besides FUA, by command number. */
const FLAGS_ALLOWED: readonly number[] = [CMD_FLAG.DF, 0, 0, 0, 0, 0, CMD_FLAG.NO_HOLE | CMD_FLAG.FAST_ZERO, CMD_FLAG.REQ_ONE];

/**
 * The one place where a request is judged, before any payload is received and before anything reaches the volume.
 * Returns 0 or the error number to answer. Source: NBD proto.md, "Request types" and "Error values".
 */
export function refusal(request: Request, rules: RequestRules): number {
  const { type, flags, length } = request;
  const allowed = FLAGS_ALLOWED[type];
  if (allowed === undefined || type === CMD.DISC) return ERRNO.EINVAL;
  const changes = type === CMD.WRITE || type === CMD.TRIM || type === CMD.WRITE_ZEROES;
  if (changes && rules.readOnly) return ERRNO.EPERM;
  // FUA is valid on every command where it is announced, even where it means nothing; DF only after structured replies.
  const negotiated = (rules.readOnly ? 0 : CMD_FLAG.FUA) | (rules.structured ? allowed : allowed & ~CMD_FLAG.DF);
  if ((flags & ~negotiated) !== 0) return ERRNO.EINVAL;
  if (type === CMD.FLUSH) return request.offset === 0 && length === 0 ? ERRNO.OK : ERRNO.EINVAL;
  if (length === 0) return ERRNO.EINVAL;
  if (type === CMD.BLOCK_STATUS && rules.contextCount === 0) return ERRNO.EINVAL;
  if (type === CMD.READ && length > PAYLOAD_BYTES_MAX) return (flags & CMD_FLAG.DF) !== 0 ? ERRNO.EOVERFLOW : ERRNO.EINVAL;
  if (type === CMD.WRITE && length > PAYLOAD_BYTES_MAX) return ERRNO.EINVAL;
  if (request.offset > rules.sizeBytes - length) return type === CMD.WRITE || type === CMD.WRITE_ZEROES ? ERRNO.ENOSPC : ERRNO.EINVAL;
  return ERRNO.OK;
}

const ERRNO_BY_CODE: ReadonlyMap<string, number> = new Map([
  ['READ_ONLY', ERRNO.EPERM],
  ['NO_SPACE', ERRNO.ENOSPC],
  ['SHUTTING_DOWN', ERRNO.ESHUTDOWN],
]);

/** The error number a client sees for a volume error's code; EIO for every code without one of its own. */
export function errnoOf(code: string): number {
  return ERRNO_BY_CODE.get(code) ?? ERRNO.EIO;
}
