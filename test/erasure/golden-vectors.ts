import { createHash } from 'node:crypto';
import type { ErasureCodec } from '../../src/erasure/index.js';

/** SHA-256 of the m parities of 1,000 bytes each, of data whose byte i is (7 i^2 + 3 i + 13 floor(i / 256)) mod 256, under matrix version 1. */
export const GOLDEN = [
  { k: 4, m: 1, sha256: 'e05233b16e3261e9a4ad9fec18486d37fa753b44771c0eaf505cd9e0146aeebd' },
  { k: 4, m: 2, sha256: 'df0f12764a6b283ef12fc6f52069241904c77c7e81a3bca21eec404d630f78e6' },
  { k: 8, m: 3, sha256: '8a382524e936b64176a58a3d94079fd1d8e9e5be47f18c022958299758820b6b' },
  { k: 10, m: 4, sha256: 'ad056083f4063bc3d0da385570a1a0aae6a326ca9d1f8832e4ca62e3180195d0' },
  { k: 17, m: 3, sha256: '84e2f14828eccd235ca5f7b019fbaf3e69ed46a72bbf2f5cba858ee906b72b73' },
  { k: 247, m: 8, sha256: 'f87c40f3a39bf1c9c75ddff4ce4fd7b6d7a60224fd42d7cdc529606e58a58808' },
] as const;

const LENGTH = 1000;

/** What GOLDEN has for the codec's shape, as this codec gives it. */
export function parityDigest(codec: ErasureCodec): string {
  const memory = Uint8Array.from({ length: codec.n * LENGTH }, (_, i) => i * i * 7 + i * 3 + (i >> 8) * 13);
  codec.encode(
    memory,
    Float64Array.from({ length: codec.n }, (_, i) => i * LENGTH),
    LENGTH,
  );
  return createHash('sha256')
    .update(memory.subarray(codec.k * LENGTH))
    .digest('hex');
}
