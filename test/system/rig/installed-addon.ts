/**
 * node installed-addon.js PACKAGE: loads the addon as the package installed at PACKAGE does (its self test runs every kernel and checksum), then compares parities
 * with the golden vectors, checksums with RFC 3720, and what a pool's threads give with what one thread gives. Prints what it ran on, as JSON.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { GOLDEN, parityDigest } from '../../erasure/golden-vectors.js';

const installed = <T>(path: string): Promise<T> =>
  import(pathToFileURL(resolve(process.argv[2] ?? '', 'dist', 'src', path)).href) as Promise<T>;
const { loadAddon } = await installed<typeof import('../../../src/native/load.js')>('native/load.js');
const { ErasureCodec, ErasurePool } = await installed<typeof import('../../../src/erasure/index.js')>('erasure/index.js');

const addon = loadAddon();
const { isa, available, crc } = addon.cpu();
for (const name of available)
  for (const { k, m, sha256 } of GOLDEN) equal(parityDigest(new ErasureCodec({ k, m, isa: name })), sha256, `${name}, ${k}+${m}`);
equal(addon.crc32c(Buffer.from('123456789'), 0, 9, 0), 0xe3069283);
equal(
  addon.crc32c(
    Uint8Array.from({ length: 32 }, (_, i) => i),
    0,
    32,
    0,
  ),
  0x46dd794e,
);

const [k, m, groups, length] = [4, 2, 8, 5001] as const;
const memory = new Uint8Array(new SharedArrayBuffer(groups * (k + m) * length)).map((_, i) => i * 31 + (i >> 8));
const offsets = Float64Array.from({ length: groups * (k + m) }, (_, i) => i * length);
const expected = memory.slice();
new ErasureCodec({ k, m }).encodeGroups(expected, offsets, groups, length);
const shared = new Uint8Array(new SharedArrayBuffer(memory.length));
shared.set(memory);
const pool = new ErasurePool(shared, { k, m, threads: 2, inlineBytesMax: 0 });
await pool.encodeGroups(offsets, groups, length);
await pool.close();
deepEqual(Buffer.from(shared), Buffer.from(expected));

process.stdout.write(`${JSON.stringify({ arch: process.arch, isa, available, crc, pool: 'same' })}\n`);
