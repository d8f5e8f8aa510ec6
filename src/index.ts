/** The parity library: Reed-Solomon over GF(2^8) on shared memory, inline or on a thread pool, usable without an array. docs/erasure-code.md. */
export { KeelsonError } from './base/errors.js';
export * from './erasure/index.js';
