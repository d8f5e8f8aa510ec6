import { BLOCK_BYTES } from '../base/units.js';

/** Not to be written to. */
export const ZERO_PAGE: Readonly<Buffer> = Buffer.alloc(BLOCK_BYTES);

/** Pages of zeroes are not kept. */
export function isZeroPage(bytes: Uint8Array): boolean {
  return bytes[0] === 0 && ZERO_PAGE.equals(bytes);
}
