import { IHAVEOPT, REQUEST_MAGIC } from '../../src/nbd/protocol.js';

/** Upper half of every cookie the test client sends: the server must give it back as it is. */
export const COOKIE_HIGH = 0xc0de_f00d;

export interface RequestFields {
  readonly type: number;
  readonly flags?: number;
  readonly offset?: number | bigint;
  readonly length?: number;
  readonly payload?: Uint8Array;
  readonly magic?: number;
}

/** An option as it goes over the wire; the claimed length may lie. */
export function optionBytes(option: number, data: Uint8Array = Buffer.alloc(0), claimedLength = data.length): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32BE(IHAVEOPT.high, 0);
  head.writeUInt32BE(IHAVEOPT.low, 4);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(claimedLength, 12);
  return Buffer.concat([head, data]);
}

/** The option data of INFO and GO. */
export function infoData(name: string, wanted: readonly number[]): Buffer {
  const bytes = Buffer.from(name, 'utf8');
  const data = Buffer.alloc(4 + bytes.length + 2 + wanted.length * 2);
  data.writeUInt32BE(bytes.length, 0);
  bytes.copy(data, 4);
  data.writeUInt16BE(wanted.length, 4 + bytes.length);
  for (const [index, kind] of wanted.entries()) data.writeUInt16BE(kind, 6 + bytes.length + index * 2);
  return data;
}

/** The option data of LIST_META_CONTEXT and SET_META_CONTEXT. */
export function contextData(name: string, queries: readonly string[]): Buffer {
  const parts: Buffer[] = [];
  const text = (value: string): void => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(Buffer.byteLength(value), 0);
    parts.push(head, Buffer.from(value, 'utf8'));
  };
  text(name);
  const count = Buffer.alloc(4);
  count.writeUInt32BE(queries.length, 0);
  parts.push(count);
  for (const query of queries) text(query);
  return Buffer.concat(parts);
}

/** The 28 bytes of a request; the cookie is chosen by the caller. */
export function requestHeader(fields: RequestFields, cookie: number): Buffer {
  const header = Buffer.alloc(28);
  header.writeUInt32BE(fields.magic ?? REQUEST_MAGIC, 0);
  header.writeUInt16BE(fields.flags ?? 0, 4);
  header.writeUInt16BE(fields.type, 6);
  header.writeUInt32BE(COOKIE_HIGH, 8);
  header.writeUInt32BE(cookie, 12);
  header.writeBigUInt64BE(BigInt(fields.offset ?? 0), 16);
  header.writeUInt32BE(fields.length ?? fields.payload?.length ?? 0, 24);
  return header;
}
