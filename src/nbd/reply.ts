import {
  CHUNK,
  CONTEXT_ALLOCATION,
  REPLY_FLAG_DONE,
  SIMPLE_REPLY_BYTES,
  SIMPLE_REPLY_MAGIC,
  STATE_HOLE,
  STATE_UNDRAINED,
  STATE_ZERO,
  STRUCTURED_REPLY_BYTES,
  STRUCTURED_REPLY_MAGIC,
  putU64,
} from './protocol.js';
import type { StatusExtent } from '../engine/block-volume.js';
import type { ReplyQueue } from './reply-queue.js';
import type { MetaContext } from './negotiation.js';
import type { Request } from './request.js';

/** Longest message of a structured error; the protocol allows 4096. */
const MESSAGE_BYTES_MAX = 256;

function putSimple(view: DataView, at: number, request: Request, errno: number): void {
  view.setUint32(at, SIMPLE_REPLY_MAGIC);
  view.setUint32(at + 4, errno);
  view.setUint32(at + 8, request.cookieHigh);
  view.setUint32(at + 12, request.cookieLow);
}

function putStructured(view: DataView, at: number, request: Request, flags: number, type: number, length: number): void {
  view.setUint32(at, STRUCTURED_REPLY_MAGIC);
  view.setUint16(at + 4, flags);
  view.setUint16(at + 6, type);
  view.setUint32(at + 8, request.cookieHigh);
  view.setUint32(at + 12, request.cookieLow);
  view.setUint32(at + 16, length);
}

/** The answer to a write, flush, trim, cache or write-zeroes that succeeded: always simple, 16 bytes. */
export function replyDone(queue: ReplyQueue, request: Request): void {
  const at = queue.reserve(SIMPLE_REPLY_BYTES);
  putSimple(queue.view, at, request, 0);
}

/** An error: simple, or with a message in words when structured replies were agreed. */
export function replyError(queue: ReplyQueue, request: Request, errno: number, structured: boolean, message: string): void {
  if (!structured) {
    const at = queue.reserve(SIMPLE_REPLY_BYTES);
    putSimple(queue.view, at, request, errno);
    return;
  }
  const text = Buffer.from(message, 'utf8').subarray(0, MESSAGE_BYTES_MAX);
  const at = queue.reserve(STRUCTURED_REPLY_BYTES + 6 + text.length);
  putStructured(queue.view, at, request, REPLY_FLAG_DONE, CHUNK.ERROR, 6 + text.length);
  queue.view.setUint32(at + STRUCTURED_REPLY_BYTES, errno);
  queue.view.setUint16(at + STRUCTURED_REPLY_BYTES + 4, text.length);
  queue.bytes.set(text, at + STRUCTURED_REPLY_BYTES + 6);
}

/** What precedes a read's data: a simple reply, or one OFFSET_DATA chunk with the whole of it (which satisfies DF too). */
export function replyReadHeader(queue: ReplyQueue, request: Request, structured: boolean): void {
  if (!structured) {
    const at = queue.reserve(SIMPLE_REPLY_BYTES);
    putSimple(queue.view, at, request, 0);
    return;
  }
  const at = queue.reserve(STRUCTURED_REPLY_BYTES + 8);
  putStructured(queue.view, at, request, REPLY_FLAG_DONE, CHUNK.OFFSET_DATA, 8 + request.length);
  putU64(queue.view, at + STRUCTURED_REPLY_BYTES, request.offset);
}

function stateOf(extent: StatusExtent, allocation: boolean): number {
  if (!allocation) return extent.undrained ? STATE_UNDRAINED : 0;
  return (extent.hole ? STATE_HOLE : 0) | (extent.zero ? STATE_ZERO : 0);
}

/**
 * One BLOCK_STATUS chunk for each selected context; neighbours of equal state are one extent, of which at most `limit` are sent.
 * Every chunk covers a prefix of the request, which the protocol allows to be shorter than the request.
 */
export function replyBlockStatus(
  queue: ReplyQueue,
  request: Request,
  contexts: readonly MetaContext[],
  extents: readonly StatusExtent[],
  limit: number,
): void {
  for (const [index, context] of contexts.entries()) {
    const merged = mergeStates(extents, context.name === CONTEXT_ALLOCATION, limit);
    const length = 4 + merged.length * 4;
    const at = queue.reserve(STRUCTURED_REPLY_BYTES + length);
    const flags = index === contexts.length - 1 ? REPLY_FLAG_DONE : 0;
    putStructured(queue.view, at, request, flags, CHUNK.BLOCK_STATUS, length);
    queue.view.setUint32(at + STRUCTURED_REPLY_BYTES, context.id);
    let field = at + STRUCTURED_REPLY_BYTES + 4;
    for (const value of merged) {
      queue.view.setUint32(field, value);
      field += 4;
    }
  }
}

/** Pairs of length and state, flat. */
function mergeStates(extents: readonly StatusExtent[], allocation: boolean, limit: number): number[] {
  const merged: number[] = [];
  for (const extent of extents) {
    const state = stateOf(extent, allocation);
    const last = merged.length - 2;
    if (last >= 0 && merged[last + 1] === state) merged[last] = (merged[last] ?? 0) + extent.length;
    else if (merged.length === limit * 2) break;
    else merged.push(extent.length, state);
  }
  return merged;
}
