import test from 'ava';
import { ErasureCodec } from '../../src/erasure/index.js';
import { loadAddon } from '../../src/native/load.js';
import { GOLDEN, parityDigest } from './golden-vectors.js';

for (const isa of loadAddon().cpu().available) {
  test(`${isa}: parity on disk is what it has always been`, (t) => {
    for (const { k, m, sha256 } of GOLDEN) t.is(parityDigest(new ErasureCodec({ k, m, isa })), sha256, `${k}+${m}`);
  });
}
