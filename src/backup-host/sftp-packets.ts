/** Packets of SFTP version 3, server side. Source: draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL for the extensions. */
export const REQUEST = {
  init: 1,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  extended: 200,
} as const;

export const RESPONSE = { version: 2, status: 101, handle: 102, data: 103, name: 104, attrs: 105, extended: 201 } as const;

export const STATUS = { ok: 0, eof: 1, noSuchFile: 2, permissionDenied: 3, failure: 4, badMessage: 5, unsupported: 8 } as const;

export const OPEN_FLAG = { read: 1, write: 2, append: 4, create: 8, truncate: 16, exclusive: 32 } as const;

/** OpenSSH's own limit; a longer packet is not SFTP. */
export const PACKET_BYTES_MAX = 256 * 1024;

/** A packet that does not hold what its type says. */
export class MalformedPacket extends Error {}

/** Reads the fields of one packet; never outside it. */
export class PacketReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  /** Throws MalformedPacket for 2^53 or more. */
  u64(): number {
    const at = this.#take(8);
    const high = this.#bytes.readUInt32BE(at);
    if (high >= 0x20_0000) throw new MalformedPacket('a 64-bit field of 2^53 or more');
    return high * 0x1_0000_0000 + this.#bytes.readUInt32BE(at + 4);
  }

  /** A view: valid as long as the packet. */
  blob(): Buffer {
    const length = this.u32();
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  text(): string {
    return this.blob().toString('utf8');
  }

  #take(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) throw new MalformedPacket(`${length} bytes at ${at} of ${this.#bytes.length}`);
    this.#at = at + length;
    return at;
  }
}

/** Builds one packet with its length in front. */
export class PacketWriter {
  readonly #parts: Buffer[] = [];

  constructor(type: number) {
    this.u8(type);
  }

  u8(value: number): this {
    this.#parts.push(Buffer.from([value]));
    return this;
  }

  u32(value: number): this {
    const field = Buffer.alloc(4);
    field.writeUInt32BE(value >>> 0);
    this.#parts.push(field);
    return this;
  }

  u64(value: number): this {
    return this.u32(Math.floor(value / 0x1_0000_0000)).u32(value >>> 0);
  }

  blob(value: Uint8Array): this {
    this.u32(value.length);
    this.#parts.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
    return this;
  }

  text(value: string): this {
    return this.blob(Buffer.from(value, 'utf8'));
  }

  finish(): Buffer {
    const length = this.#parts.reduce((sum, part) => sum + part.length, 0);
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length);
    return Buffer.concat([head, ...this.#parts]);
  }
}

/** Cuts a byte stream into packets (without their length). Throws MalformedPacket on an impossible length. */
export class PacketSplitter {
  #rest: Buffer = Buffer.alloc(0);

  *push(chunk: Buffer): Generator<Buffer> {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= 4) {
      const length = bytes.readUInt32BE(0);
      if (length === 0 || length > PACKET_BYTES_MAX) throw new MalformedPacket(`a packet of ${length} bytes`);
      if (bytes.length < 4 + length) break;
      yield bytes.subarray(4, 4 + length);
      bytes = bytes.subarray(4 + length);
    }
    this.#rest = Buffer.from(bytes);
  }
}
