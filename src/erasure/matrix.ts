import { KeelsonError } from '../base/errors.js';
import { divide, multiply } from './field.js';

/** Raised when the code changes in a way that makes old parity unreadable; members record it. */
export const MATRIX_VERSION = 1;
export const SHARDS_MAX = 255;

/** A matrix over GF(2^8), row-major. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Uint8Array;
}

/** Throws ERASURE_SHAPE unless k >= 1, m >= 1 and k + m <= 255. */
export function checkShape(k: number, m: number): void {
  if (Number.isInteger(k) && Number.isInteger(m) && k >= 1 && m >= 1 && k + m <= SHARDS_MAX) return;
  throw new KeelsonError('ERASURE_SHAPE', 'no erasure code has this shape', {
    found: `k = ${k}, m = ${m}`,
    expected: `k >= 1 data shards, m >= 1 parity shards, k + m <= ${SHARDS_MAX}`,
    action: 'choose other numbers of data and parity shards',
  });
}

/**
 * The m x k parity matrix: a Cauchy matrix 1 / (x_i + y_j) with x_i = 255 - i and y_j = j, its columns and then its rows scaled so that
 * the first row and the first column are ones (parity 0 is the plain XOR). Every square submatrix is invertible, so any k of the k + m shards
 * give the data (docs/erasure-code.md has the proof). An entry depends on its row and column alone: every shape is a corner of one matrix.
 * Source: Bloemer et al., "An XOR-based erasure-resilient coding scheme", 1995.
 */
export function parityMatrix(k: number, m: number): Matrix {
  checkShape(k, m);
  const values = new Uint8Array(m * k);
  for (let i = 0; i < m; i++) {
    const x = 255 - i;
    for (let j = 0; j < k; j++) {
      // ((x_i + y_0) (x_0 + y_j)) / ((x_i + y_j) (x_0 + y_0)), with x_0 = 255 and y_0 = 0
      values[i * k + j] = divide(multiply(x, 255 ^ j), multiply(x ^ j, 255));
    }
  }
  return { rows: m, columns: k, values };
}

/** Rows of the (k + m) x k generator: identity over parity matrix. */
export function generatorRows(parity: Matrix, shards: readonly number[]): Matrix {
  const k = parity.columns;
  const values = new Uint8Array(shards.length * k);
  shards.forEach((shard, row) => {
    if (shard < k) values[row * k + shard] = 1;
    else values.set(parity.values.subarray((shard - k) * k, (shard - k + 1) * k), row * k);
  });
  return { rows: shards.length, columns: k, values };
}

export function multiplyMatrices(a: Matrix, b: Matrix): Matrix {
  const values = new Uint8Array(a.rows * b.columns);
  for (let i = 0; i < a.rows; i++) {
    for (let t = 0; t < a.columns; t++) {
      const factor = a.values[i * a.columns + t] as number;
      if (factor === 0) continue;
      addScaledRow(values.subarray(i * b.columns, (i + 1) * b.columns), b.values.subarray(t * b.columns, (t + 1) * b.columns), factor);
    }
  }
  return { rows: a.rows, columns: b.columns, values };
}

/** Gauss-Jordan elimination; undefined when the matrix is singular. */
export function invert(matrix: Matrix): Matrix | undefined {
  const size = matrix.rows;
  const left = Array.from({ length: size }, (_, i) => matrix.values.slice(i * size, (i + 1) * size));
  const right = Array.from({ length: size }, (_, i) => new Uint8Array(size).fill(1, i, i + 1));
  for (let column = 0; column < size; column++) {
    const pivot = left.findIndex((row, i) => i >= column && row[column] !== 0);
    if (pivot < 0) return undefined;
    swap(left, column, pivot);
    swap(right, column, pivot);
    const [leftPivot, rightPivot] = [left[column] as Uint8Array, right[column] as Uint8Array];
    const inverse = divide(1, leftPivot[column] as number);
    scaleRow(leftPivot, inverse);
    scaleRow(rightPivot, inverse);
    for (let row = 0; row < size; row++) {
      const factor = (left[row] as Uint8Array)[column] as number;
      if (row === column || factor === 0) continue;
      addScaledRow(left[row] as Uint8Array, leftPivot, factor);
      addScaledRow(right[row] as Uint8Array, rightPivot, factor);
    }
  }
  const values = new Uint8Array(size * size);
  right.forEach((row, i) => {
    values.set(row, i * size);
  });
  return { rows: size, columns: size, values };
}

function swap<T>(list: T[], a: number, b: number): void {
  const kept = list[a] as T;
  list[a] = list[b] as T;
  list[b] = kept;
}

function scaleRow(row: Uint8Array, factor: number): void {
  for (let i = 0; i < row.length; i++) row[i] = multiply(row[i] as number, factor);
}

function addScaledRow(target: Uint8Array, source: Uint8Array, factor: number): void {
  for (let i = 0; i < target.length; i++) target[i] = (target[i] as number) ^ multiply(source[i] as number, factor);
}
