import type { KeelsonError } from '../../base/errors.js';
import type { SftpSession } from './sftp-session.js';
import type { TargetWriter } from '../target.js';

/**
 * Payload of one WRITE request. With its headers it fits one 32 KiB SSH packet; a whole 32 KiB would spill into a second, nearly empty
 * one. And ssh2 splits what is longer than 31,952 bytes for servers other than OpenSSH, sending the second part after the reply to
 * the first, from memory that write() has given back by then.
 */
export const WRITE_BYTES = 31 * 1024;
/** Nearly 1 MiB on the way: below the 2 MiB window of an SSH channel, so that ssh2 never has to queue. */
const WRITES_IN_FLIGHT_MAX = 32;
/** The next burst starts when no more than this are in flight: the server stays busy while packets leave several at a time. */
const BURST_AT_MOST = 24;

/** Pipelined writes to one open file. ssh2 copies the bytes into its packet at once, so write() is done when the last packet is handed over. */
export class SftpWriter implements TargetWriter {
  readonly #session: SftpSession;
  readonly #handle: Buffer;
  readonly #fsync: boolean;
  readonly #explain: (error: unknown) => Promise<KeelsonError>;
  #position = 0;
  #inFlight = 0;
  #failed: unknown = null;
  #wake: (() => void) | null = null;

  constructor(session: SftpSession, handle: Buffer, fsync: boolean, explain: (error: unknown) => Promise<KeelsonError>) {
    this.#session = session;
    this.#handle = handle;
    this.#fsync = fsync;
    this.#explain = explain;
  }

  async write(bytes: Uint8Array): Promise<void> {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const most = Math.min(WRITE_BYTES, this.#session.writeBytesMax);
    for (let at = 0; at < buffer.length; ) {
      if (this.#inFlight > BURST_AT_MOST) await this.#below(BURST_AT_MOST + 1);
      if (this.#failed !== null) throw await this.#explain(this.#failed);
      this.#session.burst(() => {
        for (; at < buffer.length && this.#inFlight < WRITES_IN_FLIGHT_MAX; at += most)
          this.#send(buffer, at, Math.min(most, buffer.length - at));
      });
    }
  }

  async sync(): Promise<void> {
    await this.#drain();
    if (!this.#fsync) return;
    try {
      await this.#session.call<void>((done) => this.#session.sftp.ext_openssh_fsync(this.#handle, done));
    } catch (error) {
      this.#failed = error;
      throw await this.#explain(error);
    }
  }

  async close(): Promise<void> {
    await this.#drain();
    try {
      await this.#session.call<void>((done) => this.#session.sftp.close(this.#handle, done));
    } catch (error) {
      throw await this.#explain(error);
    }
  }

  async abandon(): Promise<void> {
    await this.#below(1);
    await this.#session.call<void>((done) => this.#session.sftp.close(this.#handle, done)).catch(() => undefined);
  }

  async #drain(): Promise<void> {
    await this.#below(1);
    if (this.#failed !== null) throw await this.#explain(this.#failed);
  }

  #send(buffer: Buffer, at: number, length: number): void {
    this.#inFlight++;
    const watch = this.#session.watch((error) => this.#settle(error));
    if (watch === null) return;
    const position = this.#position;
    this.#position += length;
    this.#session.sftp.write(this.#handle, buffer, at, length, position, (error) => {
      if (watch()) this.#settle(error ?? null);
    });
  }

  #settle(error: unknown): void {
    this.#inFlight--;
    if (error !== null && this.#failed === null) this.#failed = this.#session.lost ?? error;
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  /** Waits until fewer than `count` writes are in flight. */
  async #below(count: number): Promise<void> {
    while (this.#inFlight >= count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
