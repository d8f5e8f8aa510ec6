import { multiply } from './field.js';
import type { Matrix } from './matrix.js';

/** What locate says of a set whose data and parity agree. */
export const LOCATED_NOTHING = -1;
/** What locate says when no single shard explains what disagrees. */
export const LOCATED_SEVERAL = -2;

/** The syndrome of one column of bytes: byte(shard) for each of the n shards; entry r is parity r recomputed plus parity r stored. */
export function columnSyndrome(parity: Matrix, byte: (shard: number) => number): Uint8Array {
  const k = parity.columns;
  const syndrome = new Uint8Array(parity.rows);
  for (let row = 0; row < parity.rows; row++) {
    let sum = byte(k + row);
    for (let column = 0; column < k; column++) sum ^= multiply(parity.values[row * k + column] as number, byte(column));
    syndrome[row] = sum;
  }
  return syndrome;
}

/**
 * The one shard whose error alone can have this syndrome (not all zero), or LOCATED_SEVERAL. An error e in data shard j gives the column j of M times e, and
 * row 0 of M is ones, so e is entry 0; in parity p it gives e at p alone. No two such columns are multiples of each other when m >= 2, since every
 * 2 x 2 submatrix of M is invertible: so there is at most one.
 */
export function shardOfSyndrome(parity: Matrix, syndrome: Uint8Array): number {
  const k = parity.columns;
  const rows = [...syndrome.keys()].filter((row) => syndrome[row] !== 0);
  if (rows.length === 1) return k + (rows[0] as number);
  const error = syndrome[0] as number;
  for (let shard = 0; shard < k && error !== 0; shard++) {
    if (syndrome.every((value, row) => value === multiply(parity.values[row * k + shard] as number, error))) return shard;
  }
  return LOCATED_SEVERAL;
}
