import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import * as keelson from '../../src/index.js';
import { ROOT } from './source-files.js';

test('the package gives the parity library to its users, without an array', (t) => {
  const codec = new keelson.BufferCodec({ k: 4, m: 2 });
  const random = seededRandom(1);
  const shards = Array.from({ length: 6 }, () => Buffer.alloc(4096));
  for (const shard of shards.slice(0, 4)) random.fill(shard);
  codec.encode(shards);
  t.true(codec.verify(shards));
  const whole = codec.reconstruct(shards.map((shard, index) => (index === 1 || index === 4 ? null : shard)));
  t.deepEqual(
    whole.map((shard) => Buffer.from(shard).toString('hex')),
    shards.map((shard) => shard.toString('hex')),
  );
  t.is(typeof keelson.ErasureCodec, 'function');
  t.is(typeof keelson.KeelsonError, 'function');
});

test('what package.json points to is what is compiled', (t) => {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    bin: { keelson: string };
    exports: { '.': { types: string; default: string } };
    engines: { node: string };
  };
  const source = (compiled: string): string =>
    readFileSync(join(ROOT, compiled.replace(/^(\.\/)?dist\//, '').replace(/(\.d\.ts|\.js)$/, '.ts')), 'utf8');
  t.true(source(manifest.bin.keelson).startsWith('#!/usr/bin/env node\n'));
  t.regex(source(manifest.exports['.'].default), /export/);
  t.regex(source(manifest.exports['.'].types), /export/);
  t.is(manifest.engines.node, '>=20.19');
});
