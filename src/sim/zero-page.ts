import { BLOCK_BYTES } from '../base/units.js';

const ZEROES = Buffer.alloc(BLOCK_BYTES);

/** Pages of zeroes are not kept. */
export function isZeroPage(bytes: Uint8Array): boolean {
  return bytes[0] === 0 && ZEROES.equals(bytes);
}
