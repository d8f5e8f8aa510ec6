import { known } from '../base/assert.js';
import { generatorRows, invert, type Matrix, multiplyMatrices } from '../erasure/matrix.js';

/** Coefficients that give the parity shards `outputs` their change, from the old and new contents of the data shards `inputs` (a shard may come twice). */
export function deltaCoefficients(parity: Matrix, inputs: readonly number[], outputs: readonly number[]): Uint8Array {
  const values = new Uint8Array(outputs.length * inputs.length);
  outputs.forEach((shard, row) => {
    inputs.forEach((input, column) => {
      values[row * inputs.length + column] = parity.values[(shard - parity.columns) * parity.columns + input] as number;
    });
  });
  return values;
}

/** Coefficients that give the shards `outputs` from k `survivors`, of which only `inputs` are not all zero and get a column. */
export function deriveCoefficients(
  parity: Matrix,
  survivors: readonly number[],
  inputs: readonly number[],
  outputs: readonly number[],
): Uint8Array {
  const inverse = known(invert(generatorRows(parity, survivors)), 'any k rows of the generator are independent');
  const full = multiplyMatrices(generatorRows(parity, outputs), inverse);
  const values = new Uint8Array(outputs.length * inputs.length);
  for (let row = 0; row < outputs.length; row++) {
    inputs.forEach((input, column) => {
      values[row * inputs.length + column] = full.values[row * full.columns + survivors.indexOf(input)] as number;
    });
  }
  return values;
}
