import type { Socket } from 'node:net';

/** Reads exact lengths from a socket, one read at a time. The socket flows only while somebody reads. */
export class ByteReader {
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #available = 0;
  #over: Error | null = null;
  #wake: (() => void) | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#available += chunk.length;
      this.#wake?.();
    });
    const over = (error: Error): void => {
      this.#over ??= error;
      this.#wake?.();
    };
    socket.on('error', over);
    socket.on('end', () => over(new Error('the server closed the connection')));
    socket.on('close', () => over(new Error('the connection is closed')));
    socket.pause();
  }

  /** Rejects when the connection ends first. */
  async read(length: number): Promise<Buffer> {
    while (this.#available < length) {
      if (this.#over !== null) throw this.#over;
      this.#socket.resume();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
      this.#socket.pause();
    }
    return this.#take(length);
  }

  #take(length: number): Buffer {
    this.#available -= length;
    const first = this.#chunks[0];
    if (first !== undefined && first.length > length) {
      this.#chunks[0] = first.subarray(length);
      return first.subarray(0, length);
    }
    const parts: Buffer[] = [];
    let left = length;
    while (left > 0) {
      const chunk = this.#chunks[0] as Buffer;
      if (chunk.length > left) {
        parts.push(chunk.subarray(0, left));
        this.#chunks[0] = chunk.subarray(left);
        left = 0;
      } else {
        parts.push(chunk);
        this.#chunks.shift();
        left -= chunk.length;
      }
    }
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts, length);
  }
}
