import type { NbdLimits } from './limits.js';
import {
  BLOCK_SIZE_MIN,
  BLOCK_SIZE_PREFERRED,
  CLIENT_FIXED_NEWSTYLE,
  CLIENT_FLAGS_BYTES,
  CLIENT_NO_ZEROES,
  CONTEXT_ALLOCATION,
  CONTEXT_UNDRAINED,
  EXPORT_NAME_PADDING_BYTES,
  FLAG_FIXED_NEWSTYLE,
  FLAG_NO_ZEROES,
  IHAVEOPT,
  INFO,
  NBDMAGIC,
  OPT,
  OPTION_BYTES,
  OPTION_REPLY_BYTES,
  OPTION_REPLY_MAGIC,
  PAYLOAD_BYTES_MAX,
  REP,
  STRING_BYTES_MAX,
  TX,
  dataView,
  putU64,
} from './protocol.js';

/** What the negotiation needs to know of the one export. */
export interface ExportDescription {
  readonly name: string;
  readonly description: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
}

/** A metadata context the client selected; its id is what block status replies carry. */
export interface MetaContext {
  readonly id: number;
  readonly name: string;
}

/** What both sides agreed on; fixed for the rest of the connection. */
export interface Session {
  readonly structured: boolean;
  readonly contexts: readonly MetaContext[];
}

/** Where a negotiation stands: still talking, agreed, ended by ABORT, or broken by the peer where the protocol leaves only closing. */
export type NegotiationState = 'open' | 'agreed' | 'aborted' | 'broken';

// Ids are constant and not zero, which LIST_META_CONTEXT reserves for "not selected".
const CONTEXTS: readonly MetaContext[] = [
  { id: 1, name: CONTEXT_ALLOCATION },
  { id: 2, name: CONTEXT_UNDRAINED },
];

export function transmissionFlags(readOnly: boolean, structured: boolean): number {
  const always = TX.HAS_FLAGS | TX.SEND_FLUSH | TX.CAN_MULTI_CONN | TX.SEND_CACHE | (structured ? TX.SEND_DF : 0);
  if (readOnly) return always | TX.READ_ONLY;
  return always | TX.SEND_FUA | TX.SEND_TRIM | TX.SEND_WRITE_ZEROES | TX.SEND_FAST_ZERO;
}

/** What the server says first: NBDMAGIC, IHAVEOPT, handshake flags. */
export function greeting(): Buffer {
  const bytes = Buffer.alloc(18);
  bytes.writeUInt32BE(NBDMAGIC.high, 0);
  bytes.writeUInt32BE(NBDMAGIC.low, 4);
  bytes.writeUInt32BE(IHAVEOPT.high, 8);
  bytes.writeUInt32BE(IHAVEOPT.low, 12);
  bytes.writeUInt16BE(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES, 16);
  return bytes;
}

/** A malformed option: becomes an error reply, never an exception outside this file. */
class OptionRefusal extends Error {
  constructor(
    readonly reply: number,
    message: string,
  ) {
    super(message);
  }
}

/** Fields of one option's data; every read is checked against its end. */
class OptionFields {
  #at = 0;
  constructor(readonly data: Buffer) {}

  #take(length: number): number {
    if (length > this.data.length - this.#at) throw new OptionRefusal(REP.ERR_INVALID, 'the option ends inside a field');
    const at = this.#at;
    this.#at += length;
    return at;
  }

  u16(): number {
    return this.data.readUInt16BE(this.#take(2));
  }

  u32(): number {
    return this.data.readUInt32BE(this.#take(4));
  }

  /** A string preceded by its 32-bit length. */
  string(): string {
    const length = this.u32();
    const at = this.#take(length);
    if (length > STRING_BYTES_MAX) throw new OptionRefusal(REP.ERR_TOO_BIG, `a string longer than ${STRING_BYTES_MAX} bytes`);
    return this.data.toString('utf8', at, at + length);
  }

  end(): void {
    if (this.#at !== this.data.length) throw new OptionRefusal(REP.ERR_INVALID, 'the option has bytes after its last field');
  }
}

type Collecting = 'flags' | 'header' | 'data' | 'skip';

/**
 * The fixed newstyle negotiation of one connection, as a function from bytes to bytes: feed() takes what arrived, in pieces of
 * any size, and answers through `send`. Nothing a peer sends makes it hold more than one option's data.
 */
export class Negotiation {
  readonly #export: ExportDescription;
  readonly #limits: NbdLimits;
  readonly #send: (bytes: Buffer) => void;
  readonly #header = Buffer.alloc(OPTION_BYTES);
  #state: NegotiationState = 'open';
  #collecting: Collecting = 'flags';
  #data = Buffer.alloc(0);
  #fill = 0;
  #skip = 0;
  #option = 0;
  #optionCount = 0;
  #byteCount = 0;
  #noZeroes = false;
  #structured = false;
  #contexts: readonly MetaContext[] = [];
  #contextsFor: string | null = null;

  constructor(description: ExportDescription, limits: NbdLimits, send: (bytes: Buffer) => void) {
    this.#export = description;
    this.#limits = limits;
    this.#send = send;
  }

  get state(): NegotiationState {
    return this.#state;
  }

  /** Valid once the state is 'agreed'. */
  session(): Session {
    return { structured: this.#structured, contexts: this.#contexts };
  }

  /** Takes bytes from `chunk` until they end or the negotiation does. Returns how many it took. */
  feed(chunk: Buffer): number {
    let at = 0;
    while (this.#state === 'open' && at < chunk.length) {
      const taken = this.#step(chunk, at);
      at += taken;
      this.#byteCount += taken;
      if (this.#byteCount > this.#limits.negotiationBytesMax) this.#state = 'broken';
    }
    return at;
  }

  #step(chunk: Buffer, at: number): number {
    if (this.#collecting === 'skip') {
      const taken = Math.min(this.#skip, chunk.length - at);
      this.#skip -= taken;
      if (this.#skip === 0) this.#collecting = 'header';
      return taken;
    }
    const target = this.#collecting === 'data' ? this.#data : this.#header;
    const wanted = this.#collecting === 'flags' ? CLIENT_FLAGS_BYTES : target.length;
    const taken = chunk.copy(target, this.#fill, at, Math.min(chunk.length, at + wanted - this.#fill));
    this.#fill += taken;
    if (this.#fill === wanted) {
      this.#fill = 0;
      if (this.#collecting === 'flags') this.#clientFlags(target.readUInt32BE(0));
      else if (this.#collecting === 'header') this.#optionHeader();
      else this.#answer(this.#data);
    }
    return taken;
  }

  #clientFlags(flags: number): void {
    this.#collecting = 'header';
    this.#noZeroes = (flags & CLIENT_NO_ZEROES) !== 0;
    // A flag we do not know changes the protocol in a way we do not know.
    if ((flags & ~(CLIENT_FIXED_NEWSTYLE | CLIENT_NO_ZEROES)) !== 0) this.#state = 'broken';
  }

  #optionHeader(): void {
    const header = this.#header;
    const length = header.readUInt32BE(12);
    this.#option = header.readUInt32BE(8);
    this.#optionCount++;
    const magic = header.readUInt32BE(0) === IHAVEOPT.high && header.readUInt32BE(4) === IHAVEOPT.low;
    if (!magic || this.#optionCount > this.#limits.optionsMax) {
      this.#state = 'broken';
    } else if (length > this.#limits.optionBytesMax) {
      // EXPORT_NAME has no error reply: the protocol leaves only closing.
      if (this.#option === OPT.EXPORT_NAME) this.#state = 'broken';
      else this.#refuse(REP.ERR_TOO_BIG, `an option of more than ${this.#limits.optionBytesMax} bytes`);
      this.#skip = length;
      this.#collecting = 'skip';
    } else if (length === 0) {
      this.#answer(Buffer.alloc(0));
    } else {
      this.#data = Buffer.allocUnsafe(length);
      this.#collecting = 'data';
    }
  }

  #answer(data: Buffer): void {
    this.#collecting = 'header';
    this.#data = Buffer.alloc(0);
    try {
      this.#dispatch(new OptionFields(data));
    } catch (error) {
      if (!(error instanceof OptionRefusal)) throw error;
      this.#refuse(error.reply, error.message);
    }
  }

  #dispatch(fields: OptionFields): void {
    switch (this.#option) {
      case OPT.EXPORT_NAME:
        this.#exportName(fields.data);
        break;
      case OPT.ABORT:
        this.#reply(REP.ACK);
        this.#state = 'aborted';
        break;
      case OPT.LIST:
        fields.end();
        this.#list();
        break;
      case OPT.INFO:
      case OPT.GO:
        this.#info(fields);
        break;
      case OPT.STRUCTURED_REPLY:
        fields.end();
        this.#structured = true;
        this.#reply(REP.ACK);
        break;
      case OPT.LIST_META_CONTEXT:
      case OPT.SET_META_CONTEXT:
        this.#metaContext(fields);
        break;
      default:
        // STARTTLS among them: without TLS the protocol asks for exactly this answer.
        this.#refuse(REP.ERR_UNSUP, 'this server does not know the option');
    }
  }

  #knows(name: string): boolean {
    return name === '' || name === this.#export.name;
  }

  #exportName(data: Buffer): void {
    const name = data.toString('utf8');
    if (data.length > STRING_BYTES_MAX || !this.#knows(name)) {
      this.#state = 'broken';
      return;
    }
    const reply = Buffer.alloc(10 + (this.#noZeroes ? 0 : EXPORT_NAME_PADDING_BYTES));
    putU64(dataView(reply), 0, this.#export.sizeBytes);
    reply.writeUInt16BE(transmissionFlags(this.#export.readOnly, this.#structured), 8);
    this.#send(reply);
    this.#agree(name);
  }

  #list(): void {
    const name = Buffer.from(this.#export.name, 'utf8');
    const entry = Buffer.alloc(4 + name.length);
    entry.writeUInt32BE(name.length, 0);
    name.copy(entry, 4);
    this.#reply(REP.SERVER, Buffer.concat([entry, Buffer.from(this.#export.description, 'utf8')]));
    this.#reply(REP.ACK);
  }

  #info(fields: OptionFields): void {
    const name = fields.string();
    const wanted = new Set<number>();
    for (let left = fields.u16(); left > 0; left--) wanted.add(fields.u16());
    fields.end();
    if (!this.#knows(name)) throw new OptionRefusal(REP.ERR_UNKNOWN, 'there is no export of that name');
    const about = Buffer.alloc(12);
    about.writeUInt16BE(INFO.EXPORT, 0);
    putU64(dataView(about), 2, this.#export.sizeBytes);
    about.writeUInt16BE(transmissionFlags(this.#export.readOnly, this.#structured), 10);
    this.#reply(REP.INFO, about);
    if (wanted.has(INFO.NAME)) this.#infoText(INFO.NAME, this.#export.name);
    if (wanted.has(INFO.DESCRIPTION)) this.#infoText(INFO.DESCRIPTION, this.#export.description);
    if (wanted.has(INFO.BLOCK_SIZE)) {
      const sizes = Buffer.alloc(14);
      sizes.writeUInt16BE(INFO.BLOCK_SIZE, 0);
      sizes.writeUInt32BE(BLOCK_SIZE_MIN, 2);
      sizes.writeUInt32BE(BLOCK_SIZE_PREFERRED, 6);
      sizes.writeUInt32BE(PAYLOAD_BYTES_MAX, 10);
      this.#reply(REP.INFO, sizes);
    }
    this.#reply(REP.ACK);
    if (this.#option === OPT.GO) this.#agree(name);
  }

  #infoText(kind: number, text: string): void {
    const head = Buffer.alloc(2);
    head.writeUInt16BE(kind, 0);
    this.#reply(REP.INFO, Buffer.concat([head, Buffer.from(text, 'utf8')]));
  }

  #metaContext(fields: OptionFields): void {
    const setting = this.#option === OPT.SET_META_CONTEXT;
    if (setting) {
      // Whatever happens next, an earlier selection no longer stands.
      this.#contexts = [];
      this.#contextsFor = null;
      if (!this.#structured) throw new OptionRefusal(REP.ERR_INVALID, 'structured replies must be negotiated first');
    }
    const name = fields.string();
    const queries: string[] = [];
    for (let left = fields.u32(); left > 0; left--) queries.push(fields.string());
    fields.end();
    if (!this.#knows(name)) throw new OptionRefusal(REP.ERR_UNKNOWN, 'there is no export of that name');
    const everything = !setting && queries.length === 0;
    const found = CONTEXTS.filter((context) => everything || queries.some((query) => matches(context.name, query, setting)));
    for (const context of found) {
      const head = Buffer.alloc(4);
      head.writeUInt32BE(setting ? context.id : 0, 0);
      this.#reply(REP.META_CONTEXT, Buffer.concat([head, Buffer.from(context.name, 'utf8')]));
    }
    if (setting) {
      this.#contexts = found;
      this.#contextsFor = name;
    }
    this.#reply(REP.ACK);
  }

  #agree(name: string): void {
    // Contexts were chosen for one export name; taking another one drops them.
    if (this.#contextsFor !== name) this.#contexts = [];
    this.#state = 'agreed';
  }

  #refuse(reply: number, message: string): void {
    this.#reply(reply, Buffer.from(message, 'utf8'));
  }

  #reply(type: number, data: Uint8Array = Buffer.alloc(0)): void {
    const reply = Buffer.alloc(OPTION_REPLY_BYTES + data.length);
    reply.writeUInt32BE(OPTION_REPLY_MAGIC.high, 0);
    reply.writeUInt32BE(OPTION_REPLY_MAGIC.low, 4);
    reply.writeUInt32BE(this.#option, 8);
    reply.writeUInt32BE(type, 12);
    reply.writeUInt32BE(data.length, 16);
    reply.set(data, OPTION_REPLY_BYTES);
    this.#send(reply);
  }
}

/** A listing query may be a namespace with its colon ("base:"); a selection names the context itself. */
function matches(context: string, query: string, setting: boolean): boolean {
  return context === query || (!setting && query.endsWith(':') && context.startsWith(query));
}
