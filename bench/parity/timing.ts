import { Bench } from 'tinybench';

/** Median GB/s of work that handles `bytes` of data each time. */
export async function medianRate(bytes: number, sampling_ms: number, work: () => void | Promise<void>): Promise<number> {
  const bench = new Bench({ time: sampling_ms, warmupTime: sampling_ms / 5, iterations: 3, warmupIterations: 1 });
  bench.add('work', work);
  await bench.run();
  const result = bench.tasks[0]?.result;
  if (result === undefined || !('latency' in result)) {
    throw new Error('a measurement failed', { cause: result !== undefined && 'error' in result ? result.error : undefined });
  }
  return bytes / (result.latency.p50 * 1e6);
}
