/**
 * Numbers of the NBD protocol, all big-endian on the wire.
 * Source: the NBD project's doc/proto.md (fixed newstyle negotiation, simple and structured replies, metadata contexts).
 */

/** "NBDMAGIC" and "IHAVEOPT", each as its two 32-bit halves. */
export const NBDMAGIC = { high: 0x4e42444d, low: 0x41474943 } as const;
export const IHAVEOPT = { high: 0x49484156, low: 0x454f5054 } as const;
/** First field of every option reply, as its two halves. */
export const OPTION_REPLY_MAGIC = { high: 0x0003e889, low: 0x045565a9 } as const;
export const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;

/** Handshake flags of the server. */
export const FLAG_FIXED_NEWSTYLE = 1;
export const FLAG_NO_ZEROES = 2;
/** Handshake flags of the client. */
export const CLIENT_FIXED_NEWSTYLE = 1;
export const CLIENT_NO_ZEROES = 2;

export const OPT = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
  EXTENDED_HEADERS: 11,
} as const;

export const REP = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x8000_0001,
  ERR_POLICY: 0x8000_0002,
  ERR_INVALID: 0x8000_0003,
  ERR_PLATFORM: 0x8000_0004,
  ERR_TLS_REQD: 0x8000_0005,
  ERR_UNKNOWN: 0x8000_0006,
  ERR_SHUTDOWN: 0x8000_0007,
  ERR_BLOCK_SIZE_REQD: 0x8000_0008,
  ERR_TOO_BIG: 0x8000_0009,
} as const;

export const INFO = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

/** Transmission flags. */
export const TX = {
  HAS_FLAGS: 1 << 0,
  READ_ONLY: 1 << 1,
  SEND_FLUSH: 1 << 2,
  SEND_FUA: 1 << 3,
  ROTATIONAL: 1 << 4,
  SEND_TRIM: 1 << 5,
  SEND_WRITE_ZEROES: 1 << 6,
  SEND_DF: 1 << 7,
  CAN_MULTI_CONN: 1 << 8,
  SEND_RESIZE: 1 << 9,
  SEND_CACHE: 1 << 10,
  SEND_FAST_ZERO: 1 << 11,
} as const;

export const CMD = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const;

export const CMD_FLAG = {
  FUA: 1 << 0,
  NO_HOLE: 1 << 1,
  DF: 1 << 2,
  REQ_ONE: 1 << 3,
  FAST_ZERO: 1 << 4,
} as const;

export const REPLY_FLAG_DONE = 1;

export const CHUNK = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
} as const;

/** Error numbers that may appear in a reply; Linux's, whatever the host. */
export const ERRNO = {
  OK: 0,
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;

/** base:allocation flags of an extent. */
export const STATE_HOLE = 1;
export const STATE_ZERO = 2;
/** x-keelson:undrained flag of an extent. */
export const STATE_UNDRAINED = 1;

export const CONTEXT_ALLOCATION = 'base:allocation';
export const CONTEXT_UNDRAINED = 'x-keelson:undrained';

export const REQUEST_BYTES = 28;
export const SIMPLE_REPLY_BYTES = 16;
export const STRUCTURED_REPLY_BYTES = 20;
export const OPTION_BYTES = 16;
export const OPTION_REPLY_BYTES = 20;
export const CLIENT_FLAGS_BYTES = 4;
/** Zeroes after an EXPORT_NAME answer, unless both sides agreed on NO_ZEROES. */
export const EXPORT_NAME_PADDING_BYTES = 124;

/** Longest string the protocol allows (export names, descriptions, context queries). */
export const STRING_BYTES_MAX = 4096;

/** Block sizes announced by NBD_INFO_BLOCK_SIZE. Any byte range is served; whole blocks are served without read-modify-write. */
export const BLOCK_SIZE_MIN = 1;
export const BLOCK_SIZE_PREFERRED = 4096;
/** Largest payload of one read or write: what the protocol assumes of every server when nothing is negotiated. */
export const PAYLOAD_BYTES_MAX = 32 * 1024 * 1024;

/** Writes a 64-bit field of at most 2^53 - 1. */
export function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 0x1_0000_0000));
  view.setUint32(at + 4, value >>> 0);
}

/** Reads a 64-bit field; anything above 2^53 - 1 comes back as 2^53 - 1, which lies outside every volume. */
export function getU64(view: DataView, at: number): number {
  const high = view.getUint32(at);
  return high >= 0x20_0000 ? Number.MAX_SAFE_INTEGER : high * 0x1_0000_0000 + view.getUint32(at + 4);
}

export function dataView(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
