import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { ErasureCodec } from '../../src/erasure/index.js';
import { loadAddon } from '../../src/native/load.js';
import { scratchFolder } from '../device/scratch-files.js';
import { run } from './rig/command.js';

/** encode K M LENGTH MATRIX DATA PARITY: files; the parity of the data by ISA-L, with the given matrix. */
const PROGRAM = `
#include <isa-l.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned char *bytes(const char *path, size_t count) {
  unsigned char *memory = malloc(count);
  FILE *file = fopen(path, "rb");
  if (memory == NULL || file == NULL || fread(memory, 1, count, file) != count) exit(2);
  fclose(file);
  return memory;
}

int main(int count, char **arguments) {
  if (count != 7) return 2;
  const int k = atoi(arguments[1]), m = atoi(arguments[2]), length = atoi(arguments[3]);
  unsigned char *matrix = bytes(arguments[4], (size_t)k * m), *data = bytes(arguments[5], (size_t)k * length);
  unsigned char *parity = malloc((size_t)m * length), *tables = malloc((size_t)32 * k * m), *in[255], *out[255];
  for (int i = 0; i < k; i++) in[i] = data + (size_t)i * length;
  for (int i = 0; i < m; i++) out[i] = parity + (size_t)i * length;
  ec_init_tables(k, m, matrix, tables);
  ec_encode_data(length, k, m, tables, in, out);
  FILE *file = fopen(arguments[6], "wb");
  if (file == NULL || fwrite(parity, 1, (size_t)m * length, file) != (size_t)m * length || fclose(file) != 0) return 2;
  return 0;
}
`;

/** ISA-L gives nothing for fewer than 16 bytes. */
const CASES: readonly (readonly [number, number, number])[] = [
  [1, 1, 4096],
  [4, 1, 65_536],
  [4, 2, 65_536],
  [8, 2, 4096],
  [8, 3, 65_537],
  [10, 4, 65_536],
  [17, 3, 12_345],
  [24, 8, 4099],
  [100, 20, 1000],
  [247, 8, 64],
];

test.serial('the parities are those of ISA-L for the same matrix, on every kernel', async (t) => {
  const folder = scratchFolder(t);
  const path = (name: string): string => join(folder, name);
  writeFileSync(path('encode.c'), PROGRAM);
  await run('gcc', ['-O2', '-Wall', path('encode.c'), '-lisal', '-o', path('encode')]);
  const random = seededRandom(20261122);
  for (const [k, m, length] of CASES) {
    const memory = new Uint8Array((k + m) * length);
    const data = memory.subarray(0, k * length);
    random.fill(data);
    writeFileSync(path('data'), data);
    writeFileSync(path('matrix'), new ErasureCodec({ k, m }).matrix.values);
    await run(path('encode'), [String(k), String(m), String(length), path('matrix'), path('data'), path('parity')]);
    const expected = readFileSync(path('parity'));
    const offsets = Float64Array.from({ length: k + m }, (_, shard) => shard * length);
    for (const isa of loadAddon().cpu().available) {
      memory.fill(0, k * length);
      new ErasureCodec({ k, m, isa }).encodeGroups(memory, offsets, 1, length);
      t.true(expected.equals(memory.subarray(k * length)), `${k}+${m}, ${length} bytes, ${isa}`);
    }
  }
});
