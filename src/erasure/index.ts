export { BufferCodec, type ShardChange } from './buffer-codec.js';
export { ErasureCodec, type Verification, type WriteOptions } from './codec.js';
export { LOCATED_NOTHING, LOCATED_SEVERAL } from './locate.js';
export type { CodecOptions } from './kernel-plans.js';
export { ErasurePool, INLINE_BYTES_MAX, type PoolOptions } from './pool.js';
export { MATRIX_VERSION, type Matrix, parityMatrix } from './matrix.js';
