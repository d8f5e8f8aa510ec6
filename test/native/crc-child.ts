/** Run with KEELSON_CRC set: prints the checksums of many ranges of a fixed random memory, for the parent to compare. */
import { KeelsonError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { loadAddon } from '../../src/native/load.js';

try {
  const addon = loadAddon();
  const memory = new Uint8Array(40_100);
  seededRandom(11).fill(memory);
  const cases: [number, number, number][] = [];
  const add = (offset: number, length: number): void => {
    cases.push([offset, length, addon.crc32c(memory, offset, length, 0xdeadbeef)]);
  };
  for (let length = 0; length <= 1200; length++) add(length % 67, length);
  for (const length of [4079, 4080, 4081, 4095, 4096, 4104, 8160, 8192, 12_345, 16_384, 32_768, 40_000])
    for (let offset = 0; offset < 9; offset++) add(offset, length);
  process.stdout.write(JSON.stringify({ implementation: addon.cpu().crc, cases }));
} catch (error) {
  process.stdout.write(KeelsonError.from(error).describe());
  process.exitCode = 1;
}
