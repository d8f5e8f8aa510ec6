import { Socket } from 'node:net';
import { KIB } from '../base/units.js';
import { loadAddon } from '../native/load.js';

/** What one read of the socket takes at most when it does not land in a payload: many small requests with their payloads. */
export const INTAKE_BYTES = 128 * KIB;

/** Where the bytes of a socket go. */
export interface Intake {
  /** Memory for the next read. Asked for again after each read; the bytes of a read are valid until the next one begins. */
  buffer(): Uint8Array;
  /** The first `length` bytes of `buffer` arrived. */
  take(buffer: Uint8Array, length: number): void;
}

/**
 * Reads an accepted, paused socket into memory of ours, so that a payload can land where it is wanted and no buffer is made for each read: 'data' events cost
 * 64 KiB of new memory each, and their garbage collection a fifth of the machine at 0.6 GB/s (docs/decisions/0043). Node gives accepted sockets no `onread`; so a second
 * descriptor of the same connection gets a socket of its own, which has it. Where the first does not tell its descriptor, it is read by 'data' events.
 */
export function openIntake(accepted: Socket, intake: Intake): Socket {
  const handle = (accepted as { readonly _handle?: { readonly fd?: unknown } | null })._handle;
  const fd = handle?.fd;
  if (typeof fd !== 'number' || fd < 0) {
    accepted.on('data', (chunk: Buffer) => intake.take(chunk, chunk.length));
    accepted.resume();
    return accepted;
  }
  const socket = new Socket({
    fd: loadAddon().duplicate(fd),
    readable: true,
    writable: true,
    allowHalfOpen: true,
    onread: {
      buffer: () => intake.buffer(),
      callback: (length: number, buffer: Uint8Array) => {
        intake.take(buffer, length);
        return true;
      },
    },
  } as ConstructorParameters<typeof Socket>[0]);
  // Its descriptor goes, the connection stays.
  accepted.on('error', () => undefined);
  accepted.destroy();
  return socket;
}
