import { isUtf8 } from 'node:buffer';
import { assert } from './assert.js';

/**
 * Little-endian record writer and reader over a fixed range of bytes. Every 64-bit field is an unsigned integer below 2^53,
 * written as two 32-bit halves (setBigUint64 costs five times as much). The reader never reads outside its range.
 */
export class RecordWriter {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get position(): number {
    return this.#at;
  }

  seek(position: number): this {
    assert(position >= 0 && position <= this.#bytes.length, 'record position inside its range');
    this.#at = position;
    return this;
  }

  u8(value: number): this {
    this.#view.setUint8(this.#at, value);
    this.#at += 1;
    return this;
  }

  u16(value: number): this {
    this.#view.setUint16(this.#at, value, true);
    this.#at += 2;
    return this;
  }

  u32(value: number): this {
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
    return this;
  }

  u64(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, 'a 64-bit field is an integer from 0 to 2^53 - 1');
    this.#view.setUint32(this.#at, value >>> 0, true);
    this.#view.setUint32(this.#at + 4, Math.floor(value / 0x1_0000_0000), true);
    this.#at += 8;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  /** A string of at most length bytes of UTF-8, padded with zeroes. */
  text(value: string, length: number): this {
    const encoded = Buffer.from(value, 'utf8');
    assert(encoded.length <= length, `text of at most ${length} bytes`);
    this.#bytes.fill(0, this.#at, this.#at + length);
    this.#bytes.set(encoded, this.#at);
    this.#at += length;
    return this;
  }
}

/** Thrown by RecordReader when a field would lie outside the range: callers turn it into their own refusal. */
export class RecordRangeError extends RangeError {}

export class RecordReader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get position(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  seek(position: number): this {
    if (position < 0 || position > this.#bytes.length) throw new RecordRangeError(`position ${position} of ${this.#bytes.length}`);
    this.#at = position;
    return this;
  }

  #take(length: number): number {
    if (length < 0 || this.#at + length > this.#bytes.length)
      throw new RecordRangeError(`${length} bytes at ${this.#at} of ${this.#bytes.length}`);
    const at = this.#at;
    this.#at += length;
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** Throws RecordRangeError for a value of 2^53 or more. */
  u64(): number {
    const at = this.#take(8);
    const high = this.#view.getUint32(at + 4, true);
    if (high >= 0x20_0000) throw new RecordRangeError('a 64-bit field of 2^53 or more');
    return high * 0x1_0000_0000 + this.#view.getUint32(at, true);
  }

  bytes(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** A string of at most length bytes that RecordWriter.text would write again. Throws RecordRangeError when it is not UTF-8. */
  text(length: number): string {
    const raw = this.bytes(length);
    const end = raw.indexOf(0);
    const encoded = Buffer.from(end < 0 ? raw : raw.subarray(0, end));
    if (!isUtf8(encoded)) throw new RecordRangeError('a text that is not UTF-8');
    return encoded.toString('utf8');
  }
}
