/** Checksum figures of one implementation, which KEELSON_CRC chooses at load: hence a process of its own. Prints one JSON object. */
import { Slab } from '../../src/memory/slab.js';
import { loadAddon } from '../../src/native/load.js';
import { COLD_BYTES, type MemorySet, SAMPLE_BYTES } from './figure.js';
import { medianRate } from './timing.js';

const BLOCK_BYTES = 4096;
const [lengths, sets, sampling_ms] = JSON.parse(process.argv[2] ?? '[]') as [number[], MemorySet[], number];

const addon = loadAddon();
const { view } = Slab.allocate(COLD_BYTES);
view.fill(0x5a);

async function rate(length: number, set: MemorySet): Promise<number> {
  const bytes = set === 'cold' ? COLD_BYTES : Math.max(length, SAMPLE_BYTES);
  const count = bytes / length;
  const at = (i: number): number => (set === 'cold' ? i * length : 0);
  if (length === BLOCK_BYTES) {
    // As the engine does it: many blocks in one call.
    const offsets = Float64Array.from({ length: count }, (_, i) => at(i));
    const [addresses, out] = [new Float64Array(count), new Uint32Array(count)];
    return medianRate(bytes, sampling_ms, () => addon.crcBlocks(view, offsets, addresses, count, out, 0));
  }
  return medianRate(bytes, sampling_ms, () => {
    for (let i = 0; i < count; i++) addon.crc32c(view, at(i), length, 0);
  });
}

const figures = [];
for (const shardBytes of lengths) for (const set of sets) figures.push({ shardBytes, set, gbPerSecond: await rate(shardBytes, set) });
process.stdout.write(JSON.stringify({ crc: addon.cpu().crc, figures }));
