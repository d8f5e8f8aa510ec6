import { type Socket, connect } from 'node:net';
import {
  CHUNK,
  CMD,
  CMD_FLAG,
  IHAVEOPT,
  INFO,
  NBDMAGIC,
  OPT,
  OPTION_REPLY_MAGIC,
  REP,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
  getU64,
} from '../../src/nbd/protocol.js';
import { ByteReader } from './byte-reader.js';
import { COOKIE_HIGH, type RequestFields, contextData, infoData, optionBytes, requestHeader } from './client-encoding.js';

/** An error reply of the server. */
export class NbdError extends Error {
  constructor(
    readonly errno: number,
    message: string,
  ) {
    super(`NBD error ${errno}${message === '' ? '' : `: ${message}`}`);
  }
}

export interface OptionReply {
  readonly type: number;
  readonly data: Buffer;
}

export interface Chunk {
  readonly type: number;
  readonly flags: number;
  readonly data: Buffer;
}

export interface Reply {
  readonly structured: boolean;
  readonly chunks: Chunk[];
  readonly data: Buffer;
}

export interface Extent {
  readonly length: number;
  readonly flags: number;
}

interface Pending {
  readonly type: number;
  readonly offset: number;
  readonly length: number;
  readonly chunks: Chunk[];
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

const NOTHING = Buffer.alloc(0);

/** "unix:PATH" or "tcp:HOST:PORT", as the server's option; or the NBD URI it gave. */
function openSocket(address: string): Socket {
  const unix = /^unix:(.*)$/.exec(address) ?? /^nbd\+unix:.*[?]socket=(.*)$/.exec(address);
  if (unix !== null) return connect({ path: decodeURIComponent(unix[1] ?? ''), allowHalfOpen: true });
  const tcp = /^(?:tcp:|nbd:\/\/)\[?([^\]/]*?)\]?:(\d+)(?:\/.*)?$/.exec(address);
  if (tcp === null) throw new Error(`not an address: ${address}`);
  return connect({ host: tcp[1] ?? '', port: Number(tcp[2]), allowHalfOpen: true, noDelay: true });
}

/**
 * A small NBD client for tests and benchmarks: options one by one, every command, many requests in flight, and raw bytes for hostility.
 * It checks what it receives strictly: an unknown cookie, a wrong magic or a reply of the wrong kind rejects everything.
 */
export class NbdClient {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  readonly #reader: ByteReader;
  readonly #pending = new Map<number, Pending>();
  #cookie = 0;
  #failure: Error | null = null;
  structured = false;
  sizeBytes = 0;
  flags = 0;
  /** Context id by name, as selected. */
  readonly contexts = new Map<string, number>();
  /** Answers of the last GO or INFO by kind. */
  readonly info = new Map<number, Buffer>();

  private constructor(socket: Socket) {
    this.socket = socket;
    this.#reader = new ByteReader(socket);
    this.closed = new Promise((resolve) => {
      socket.once('close', () => resolve());
    });
    // A caller that does not wait for `closed` must still be able to close.
    socket.on('error', () => undefined);
  }

  /** Connects and nothing else: not a byte has been sent or read. */
  static async connect(address: string): Promise<NbdClient> {
    const socket = openSocket(address);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new NbdClient(socket);
  }

  /** Connects, and negotiates up to the transmission phase. */
  static async open(
    address: string,
    options: { name?: string; structured?: boolean; contexts?: readonly string[] } = {},
  ): Promise<NbdClient> {
    const client = await NbdClient.connect(address);
    await client.greet();
    if (options.structured ?? true) await client.negotiateStructured();
    if (options.contexts !== undefined) await client.selectContexts(options.name ?? '', options.contexts);
    await client.go(options.name ?? '', [INFO.BLOCK_SIZE]);
    return client;
  }

  /** Reads the server's greeting and answers with client flags. Returns the handshake flags. */
  async greet(clientFlags = 3): Promise<number> {
    const greeting = await this.#reader.read(18);
    if (greeting.readUInt32BE(0) !== NBDMAGIC.high || greeting.readUInt32BE(4) !== NBDMAGIC.low) throw new Error('not an NBD server');
    if (greeting.readUInt32BE(8) !== IHAVEOPT.high || greeting.readUInt32BE(12) !== IHAVEOPT.low) throw new Error('not newstyle');
    const flags = Buffer.alloc(4);
    flags.writeUInt32BE(clientFlags, 0);
    this.send(flags);
    return greeting.readUInt16BE(16);
  }

  /** Raw bytes, as they are. */
  send(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Sends an option and reads its replies up to the final one (ACK or an error). */
  async option(option: number, data: Uint8Array = NOTHING): Promise<OptionReply[]> {
    this.send(optionBytes(option, data));
    return await this.optionReplies(option);
  }

  async optionReplies(option: number): Promise<OptionReply[]> {
    const replies: OptionReply[] = [];
    for (;;) {
      const head = await this.#reader.read(20);
      if (head.readUInt32BE(0) !== OPTION_REPLY_MAGIC.high || head.readUInt32BE(4) !== OPTION_REPLY_MAGIC.low)
        throw new Error('not an option reply');
      if (head.readUInt32BE(8) !== option) throw new Error(`a reply to option ${head.readUInt32BE(8)} instead of ${option}`);
      const type = head.readUInt32BE(12);
      replies.push({ type, data: await this.#reader.read(head.readUInt32BE(16)) });
      if (type === REP.ACK || type >= 0x8000_0000) return replies;
    }
  }

  async negotiateStructured(): Promise<void> {
    const [reply] = await this.option(OPT.STRUCTURED_REPLY);
    if (reply?.type !== REP.ACK) throw new Error('no structured replies');
    this.structured = true;
  }

  async selectContexts(name: string, contexts: readonly string[]): Promise<void> {
    const replies = await this.option(OPT.SET_META_CONTEXT, contextData(name, contexts));
    if (replies.at(-1)?.type !== REP.ACK) throw new Error('the contexts were refused');
    this.contexts.clear();
    for (const reply of replies.slice(0, -1)) this.contexts.set(reply.data.toString('utf8', 4), reply.data.readUInt32BE(0));
  }

  async go(name = '', wanted: readonly number[] = [], option: number = OPT.GO): Promise<OptionReply> {
    const replies = await this.option(option, infoData(name, wanted));
    const last = replies.at(-1) as OptionReply;
    if (last.type !== REP.ACK) throw new NbdError(last.type, last.data.toString('utf8'));
    this.info.clear();
    for (const reply of replies.slice(0, -1)) this.info.set(reply.data.readUInt16BE(0), reply.data.subarray(2));
    this.#exportInfo(this.info.get(INFO.EXPORT) ?? NOTHING);
    if (option === OPT.GO) this.startTransmission();
    return last;
  }

  /** The old way into the transmission phase. */
  async exportName(name: string, noZeroes: boolean): Promise<void> {
    this.send(optionBytes(OPT.EXPORT_NAME, Buffer.from(name, 'utf8')));
    this.#exportInfo(await this.#reader.read(10));
    if (!noZeroes) await this.#reader.read(124);
    this.startTransmission();
  }

  #exportInfo(data: Buffer): void {
    this.sizeBytes = Number(data.readBigUInt64BE(0));
    this.flags = data.readUInt16BE(8);
  }

  /** From now on whatever arrives is a reply. */
  startTransmission(): void {
    this.#receive().catch((error: unknown) => {
      this.#failure = error instanceof Error ? error : new Error(String(error));
      for (const pending of this.#pending.values()) pending.reject(this.#failure);
      this.#pending.clear();
    });
  }

  async #receive(): Promise<void> {
    for (;;) {
      const magic = (await this.#reader.read(4)).readUInt32BE(0);
      if (magic === SIMPLE_REPLY_MAGIC) await this.#simple();
      else if (magic === STRUCTURED_REPLY_MAGIC) await this.#structured();
      else throw new Error(`reply magic ${magic.toString(16)}`);
    }
  }

  #pendingOf(head: Buffer, at: number): [number, Pending] {
    const cookie = head.readUInt32BE(at + 4);
    const pending = this.#pending.get(cookie);
    if (pending === undefined || head.readUInt32BE(at) !== COOKIE_HIGH) throw new Error('a reply with a cookie that is not in flight');
    return [cookie, pending];
  }

  async #simple(): Promise<void> {
    const head = await this.#reader.read(12);
    const errno = head.readUInt32BE(0);
    const [cookie, pending] = this.#pendingOf(head, 4);
    if (this.structured && (pending.type === CMD.READ || pending.type === CMD.BLOCK_STATUS))
      throw new Error('a simple reply where a structured one is due');
    const data = errno === 0 && pending.type === CMD.READ ? await this.#reader.read(pending.length) : NOTHING;
    this.#pending.delete(cookie);
    if (errno === 0) pending.resolve({ structured: false, chunks: [], data });
    else pending.reject(new NbdError(errno, ''));
  }

  async #structured(): Promise<void> {
    if (!this.structured) throw new Error('a structured reply that was not negotiated');
    const head = await this.#reader.read(16);
    const flags = head.readUInt16BE(0);
    const type = head.readUInt16BE(2);
    const [cookie, pending] = this.#pendingOf(head, 4);
    pending.chunks.push({ type, flags, data: await this.#reader.read(head.readUInt32BE(12)) });
    if ((flags & 1) === 0) return;
    this.#pending.delete(cookie);
    const error = pending.chunks.find((chunk) => (chunk.type & 0x8000) !== 0);
    if (error !== undefined) pending.reject(new NbdError(error.data.readUInt32BE(0), error.data.toString('utf8', 6)));
    else pending.resolve({ structured: true, chunks: pending.chunks, data: assemble(pending) });
  }

  /** Sends any request and resolves with its reply; rejects with NbdError, or when the connection ends first. */
  request(fields: RequestFields): Promise<Reply> {
    const failure = this.#failure;
    if (failure !== null) return Promise.reject(failure);
    const cookie = ++this.#cookie;
    const header = requestHeader(fields, cookie);
    const reply = new Promise<Reply>((resolve, reject) => {
      this.#pending.set(cookie, {
        type: fields.type,
        offset: Number(fields.offset ?? 0),
        length: header.readUInt32BE(24),
        chunks: [],
        resolve,
        reject,
      });
    });
    this.socket.cork();
    this.socket.write(header);
    if (fields.payload !== undefined) this.socket.write(fields.payload);
    this.socket.uncork();
    return reply;
  }

  async read(offset: number, length: number, flags = 0): Promise<Buffer> {
    return (await this.request({ type: CMD.READ, flags, offset, length })).data;
  }

  async write(offset: number, payload: Uint8Array, flags = 0): Promise<void> {
    await this.request({ type: CMD.WRITE, flags, offset, payload });
  }

  async flush(): Promise<void> {
    await this.request({ type: CMD.FLUSH });
  }

  async trim(offset: number, length: number, flags = 0): Promise<void> {
    await this.request({ type: CMD.TRIM, flags, offset, length });
  }

  async cache(offset: number, length: number): Promise<void> {
    await this.request({ type: CMD.CACHE, offset, length });
  }

  async writeZeroes(offset: number, length: number, flags = 0): Promise<void> {
    await this.request({ type: CMD.WRITE_ZEROES, flags, offset, length });
  }

  /** Extents by context name. */
  async blockStatus(offset: number, length: number, one = false): Promise<Map<string, Extent[]>> {
    const reply = await this.request({ type: CMD.BLOCK_STATUS, flags: one ? CMD_FLAG.REQ_ONE : 0, offset, length });
    const found = new Map<string, Extent[]>();
    for (const chunk of reply.chunks) {
      if (chunk.type !== CHUNK.BLOCK_STATUS) throw new Error(`chunk type ${chunk.type} in a block status reply`);
      const name = [...this.contexts].find(([, id]) => id === chunk.data.readUInt32BE(0))?.[0];
      if (name === undefined || found.has(name)) throw new Error('a context that was not selected, or twice');
      const extents: Extent[] = [];
      for (let at = 4; at < chunk.data.length; at += 8)
        extents.push({ length: chunk.data.readUInt32BE(at), flags: chunk.data.readUInt32BE(at + 4) });
      found.set(name, extents);
    }
    return found;
  }

  /** Sends DISC and waits until the server has closed. */
  async disconnect(): Promise<void> {
    this.send(requestHeader({ type: CMD.DISC }, 0));
    this.socket.resume();
    this.socket.once('end', () => this.socket.end());
    await this.closed;
  }

  /** Drops the connection without a word. */
  destroy(): void {
    this.socket.destroy();
  }

  /** Resolves when the server has closed its side; whatever arrives before is thrown away. */
  async untilClosed(): Promise<void> {
    // The end may have been seen already, even with the socket paused.
    if (this.socket.readableEnded) this.socket.destroy();
    this.socket.once('end', () => this.socket.destroy());
    this.socket.resume();
    await this.closed;
  }
}

/** The bytes of a read reply, put together from its chunks; holes are zeroes. */
function assemble(pending: Pending): Buffer {
  if (pending.type !== CMD.READ) return NOTHING;
  const data = Buffer.alloc(pending.length);
  let covered = 0;
  for (const chunk of pending.chunks) {
    if (chunk.type === CHUNK.NONE) continue;
    const view = new DataView(chunk.data.buffer, chunk.data.byteOffset, chunk.data.length);
    const at = getU64(view, 0) - pending.offset;
    const length = chunk.type === CHUNK.OFFSET_DATA ? chunk.data.length - 8 : view.getUint32(8);
    if (at < 0 || at + length > pending.length) throw new Error('a chunk outside the requested range');
    if (chunk.type === CHUNK.OFFSET_DATA) chunk.data.copy(data, at, 8);
    covered += length;
  }
  if (covered !== pending.length) throw new Error(`a read of ${pending.length} bytes answered with ${covered}`);
  return data;
}
