export { BufferCodec, type ShardChange } from './buffer-codec.js';
export { ErasureCodec, type WriteOptions } from './codec.js';
export type { CodecOptions } from './kernel-plans.js';
export { MATRIX_VERSION, type Matrix, parityMatrix } from './matrix.js';
