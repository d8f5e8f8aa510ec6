// Splits a file into k + m shard files, any k of which give it back.
//
//   node split-file.mjs split FILE FOLDER [--data 4] [--parity 2]
//   rm FOLDER/shard-1 FOLDER/shard-4
//   node split-file.mjs check FOLDER            what is missing, what is corrupt
//   node split-file.mjs join FOLDER RESTORED    the file, from whichever shards are left
//
// A shard file is a header of 4 KiB (JSON, padded with spaces) and then one chunk of each stripe. The file goes through one stripe at a time, so that it may be
// larger than the memory.
import { createHash } from 'node:crypto';
import { closeSync, existsSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ErasureCodec, LOCATED_NOTHING, MATRIX_VERSION } from 'keelson';

const HEADER_BYTES = 4096;
const CHUNK_BYTES = 256 * 1024;

/** The memory of one stripe: shard i lies at offsets[i]. A SharedArrayBuffer or an ordinary Buffer will do. */
function stripeOf({ k, m }) {
  const memory = Buffer.alloc((k + m) * CHUNK_BYTES);
  const offsets = Float64Array.from({ length: k + m }, (_, shard) => shard * CHUNK_BYTES);
  return { memory, offsets, chunk: (shard) => memory.subarray(shard * CHUNK_BYTES, (shard + 1) * CHUNK_BYTES) };
}

const shardFile = (folder, shard) => join(folder, `shard-${shard}`);

function split(file, folder, k, m) {
  const codec = new ErasureCodec({ k, m });
  const { memory, offsets, chunk } = stripeOf(codec);
  mkdirSync(folder, { recursive: true });
  const source = openSync(file, 'r');
  const shards = Array.from(offsets, (_, shard) => openSync(shardFile(folder, shard), 'w'));
  const hash = createHash('sha256');
  const bytes = fstatSync(source).size;
  const data = memory.subarray(0, k * CHUNK_BYTES);
  for (let stripe = 0; stripe * data.length < bytes; stripe++) {
    // The end of the last stripe is zeroes; the header says where the file ends.
    const read = readSync(source, data, 0, data.length, stripe * data.length);
    hash.update(data.subarray(0, read));
    data.fill(0, read);
    codec.encode(memory, offsets, CHUNK_BYTES);
    shards.forEach((shard, i) => {
      writeSync(shard, chunk(i), 0, CHUNK_BYTES, HEADER_BYTES + stripe * CHUNK_BYTES);
    });
  }
  const set = { format: 'keelson-split-file-1', matrixVersion: MATRIX_VERSION, k, m, bytes, sha256: hash.digest('hex') };
  shards.forEach((shard, i) => {
    writeSync(shard, Buffer.from(JSON.stringify({ ...set, shard: i }).padEnd(HEADER_BYTES)), 0, HEADER_BYTES, 0);
    closeSync(shard);
  });
  closeSync(source);
  console.log(`${file}: ${bytes} bytes in ${k} + ${m} shards`);
}

/** What is left: the header that all have, and a descriptor for each shard that is there. */
function openSet(folder) {
  const header = Buffer.alloc(HEADER_BYTES);
  let set;
  const found = new Map();
  for (let i = 0; i < 255; i++) {
    if (!existsSync(shardFile(folder, i))) continue;
    const descriptor = openSync(shardFile(folder, i), 'r');
    readSync(descriptor, header, 0, HEADER_BYTES, 0);
    const { shard, ...own } = JSON.parse(header.toString());
    set ??= own;
    if (shard !== i || JSON.stringify(own) !== JSON.stringify(set)) throw new Error(`${shardFile(folder, i)} is of another set`);
    found.set(i, descriptor);
  }
  if (set === undefined) throw new Error(`there are no shards in ${folder}`);
  if (set.format !== 'keelson-split-file-1' || set.matrixVersion !== MATRIX_VERSION) throw new Error('another version made these shards');
  const codec = new ErasureCodec(set);
  const present = Uint8Array.from({ length: codec.n }, (_, shard) => (found.has(shard) ? 1 : 0));
  const missing = [...present.keys()].filter((shard) => present[shard] === 0);
  return { ...set, codec, found, present, missing, stripes: Math.ceil(set.bytes / (set.k * CHUNK_BYTES)) };
}

function readStripe({ found }, stripe, chunk) {
  for (const [shard, descriptor] of found) readSync(descriptor, chunk(shard), 0, CHUNK_BYTES, HEADER_BYTES + stripe * CHUNK_BYTES);
}

function restore(folder, file) {
  const set = openSet(folder);
  const { codec, present, missing, k, bytes } = set;
  const { memory, offsets, chunk } = stripeOf(codec);
  // Lost parity need not be computed to read the file.
  const wanted = missing.filter((shard) => shard < k);
  const target = openSync(file, 'w');
  const hash = createHash('sha256');
  for (let stripe = 0; stripe < set.stripes; stripe++) {
    readStripe(set, stripe, chunk);
    if (wanted.length > 0) codec.reconstruct(memory, offsets, CHUNK_BYTES, present, wanted);
    const start = stripe * k * CHUNK_BYTES;
    const data = memory.subarray(0, Math.min(k * CHUNK_BYTES, bytes - start));
    hash.update(data);
    writeSync(target, data, 0, data.length, start);
  }
  ftruncateSync(target, bytes);
  closeSync(target);
  if (hash.digest('hex') !== set.sha256) throw new Error(`${file} is not what was split: a shard is corrupt (check says which)`);
  console.log(`${file}: ${bytes} bytes restored, ${missing.length} shards lost${missing.length > 0 ? `: ${missing.join(', ')}` : ''}`);
}

function check(folder) {
  const set = openSet(folder);
  const { codec, missing, m } = set;
  const { memory, offsets, chunk } = stripeOf(codec);
  const corrupt = new Set();
  // With every shard there, two parities tell which one is wrong.
  if (missing.length === 0 && m >= 2) {
    for (let stripe = 0; stripe < set.stripes; stripe++) {
      readStripe(set, stripe, chunk);
      const shard = codec.locate(memory, offsets, CHUNK_BYTES);
      if (shard !== LOCATED_NOTHING) corrupt.add(shard < 0 ? `several, in stripe ${stripe}` : shard);
    }
  }
  console.log(`missing: ${missing.join(', ') || 'none'}; corrupt: ${[...corrupt].join(', ') || 'none found'}`);
  if (missing.length > m) throw new Error(`${missing.length} shards are missing, ${m} may be`);
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { data: { type: 'string', default: '4' }, parity: { type: 'string', default: '2' } },
});
const [verb, first, second] = positionals;
try {
  if (verb === 'split' && second !== undefined) split(first, second, Number(values.data), Number(values.parity));
  else if (verb === 'join' && second !== undefined) restore(first, second);
  else if (verb === 'check' && first !== undefined) check(first);
  else throw new Error('usage: split FILE FOLDER [--data k] [--parity m] | check FOLDER | join FOLDER FILE');
} catch (error) {
  console.error(error.describe?.() ?? error.message);
  process.exitCode = 1;
}
