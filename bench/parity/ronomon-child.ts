/** Figures of @ronomon/reed-solomon, for peers.ts. Prints a JSON array. */
import { createRequire } from 'node:module';
import { COLD_BYTES, SAMPLE_BYTES, type Scope } from './figure.js';
import type { Measured } from './own.js';
import { medianRate } from './timing.js';

interface Ronomon {
  create(k: number, m: number): object;
  /** Sources and targets are sets of bits. The work is done on libuv's thread pool. */
  encode(
    context: object,
    sources: number,
    targets: number,
    buffer: Buffer,
    bufferOffset: number,
    bufferSize: number,
    parity: Buffer,
    parityOffset: number,
    paritySize: number,
    done: (error?: Error) => void,
  ): void;
}

const [folder, scope] = JSON.parse(process.argv[2] ?? '[]') as [string, Scope];
const library = createRequire(import.meta.url)(folder) as Ronomon;
const memory = Buffer.alloc(COLD_BYTES, 0x5a);
const figures: Measured[] = [];

/** A set of bits. */
const bits = (first: number, count: number): number => ((1 << count) - 1) << first;

for (const { k, m } of scope.shapes) {
  const context = library.create(k, m);
  const operations = [
    { op: 'encode' as const, lost: 0, sources: bits(0, k), targets: bits(k, m) },
    ...[...new Set([1, m])].map((lost) => ({ op: 'reconstruct' as const, lost, sources: bits(lost, k), targets: bits(0, lost) })),
  ];
  for (const shardBytes of scope.shardBytes) {
    for (const set of scope.sets) {
      const [data, parity] = [k * shardBytes, m * shardBytes];
      const stripes = set === 'cold' ? Math.floor(COLD_BYTES / (data + parity)) : Math.ceil(SAMPLE_BYTES / data);
      for (const { op, lost, sources, targets } of operations) {
        // All stripes of a sample are in flight at once, so that the thread never waits for this one.
        const sample = (): Promise<void> =>
          new Promise((resolve, reject) => {
            let left = stripes;
            const done = (error?: Error): void => {
              if (error) reject(error);
              if (--left === 0) resolve();
            };
            for (let i = 0; i < stripes; i++) {
              const at = set === 'cold' ? i * (data + parity) : 0;
              library.encode(context, sources, targets, memory, at, data, memory, at + data, parity, done);
            }
          });
        const gbPerSecond = await medianRate(stripes * data, scope.sampling_ms, sample);
        figures.push({ op, k, m, lost, shardBytes, set, isa: 'none', threads: 1, via: 'native', gbPerSecond, peer: null });
      }
    }
  }
}
process.stdout.write(JSON.stringify(figures));
