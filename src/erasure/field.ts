/**
 * Arithmetic in GF(2^8) with polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11D), for building matrices. Block math is the native kernels' work.
 * 2 generates the multiplicative group, so products are sums of logarithms.
 */
export const FIELD_POLYNOMIAL = 0x11d;

const EXP = new Uint8Array(510);
const LOG = new Uint8Array(256);

let power = 1;
for (let i = 0; i < 255; i++) {
  EXP[i] = power;
  EXP[i + 255] = power;
  LOG[power] = i;
  power <<= 1;
  if (power & 0x100) power ^= FIELD_POLYNOMIAL;
}

/** a * b for bytes a and b. */
export function multiply(a: number, b: number): number {
  if (a === 0 || b === 0) return 0;
  return EXP[(LOG[a] as number) + (LOG[b] as number)] as number;
}

/** a / b for bytes a and b, b not zero. */
export function divide(a: number, b: number): number {
  if (a === 0) return 0;
  return EXP[(LOG[a] as number) + 255 - (LOG[b] as number)] as number;
}
