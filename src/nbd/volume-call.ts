import { assert } from '../base/assert.js';
import type { BlockVolume, Done, ReadDone, ReadPayload } from '../engine/block-volume.js';
import type { KeelsonError } from '../base/errors.js';
import { CMD, CMD_FLAG } from './protocol.js';
import { Request } from './request.js';

/** Who is told that the volume is done with a request. */
export interface CompletionOwner {
  complete(request: ActiveRequest, error: KeelsonError | null, payload: ReadPayload | null): void;
}

/** A pooled request with its two completions bound once, so that a request in flight costs no closure. */
export class ActiveRequest extends Request {
  readonly onDone: Done;
  readonly onRead: ReadDone;

  constructor(owner: CompletionOwner) {
    super();
    this.onDone = (error) => owner.complete(this, error, null);
    this.onRead = (error, payload) => owner.complete(this, error, payload);
  }
}

/** Hands a judged request to the volume. Every command but DISC and BLOCK_STATUS, which completes at once and elsewhere. */
export function callVolume(volume: BlockVolume, request: ActiveRequest, payload: Uint8Array | null, everyWriteFua: boolean): void {
  const fua = everyWriteFua || (request.flags & CMD_FLAG.FUA) !== 0;
  switch (request.type) {
    case CMD.READ:
      volume.read(request.offset, request.length, request.onRead);
      break;
    case CMD.WRITE:
      assert(payload !== null && payload.length === request.length, 'a write has its whole payload');
      volume.write(request.offset, payload, fua, request.onDone);
      break;
    case CMD.FLUSH:
      volume.flush(request.onDone);
      break;
    case CMD.TRIM:
      volume.trim(request.offset, request.length, fua, request.onDone);
      break;
    case CMD.WRITE_ZEROES:
      // One ring entry whatever the length, so it is fast by nature and FAST_ZERO never has to be refused.
      volume.writeZeroes(request.offset, request.length, (request.flags & CMD_FLAG.NO_HOLE) !== 0, fua, request.onDone);
      break;
    default:
      assert(request.type === CMD.CACHE, 'a command that the validation lets through');
      // Advice only: the ring's newest blocks are in memory already, and reading ahead would compete with real reads.
      request.onDone(null);
  }
}
