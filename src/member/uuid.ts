import { assert } from '../base/assert.js';
import type { Random } from '../base/random.js';

export const UUID_BYTES = 16;
const UUID_TEXT = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A random (version 4) UUID. Source: RFC 9562, 5.4. */
export function newUuid(random: Random): string {
  const bytes = new Uint8Array(UUID_BYTES);
  random.fill(bytes);
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  return uuidFromBytes(bytes);
}

export function isUuid(text: string): boolean {
  return UUID_TEXT.test(text);
}

/** The 16 bytes of a UUID in text order. */
export function uuidToBytes(uuid: string): Uint8Array {
  assert(isUuid(uuid), 'a UUID in lower-case text form');
  return new Uint8Array(Buffer.from(uuid.replaceAll('-', ''), 'hex'));
}

export function uuidFromBytes(bytes: Uint8Array): string {
  assert(bytes.length === UUID_BYTES, 'a UUID has 16 bytes');
  const hex = Buffer.from(bytes).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
