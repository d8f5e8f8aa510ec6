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

/** A call and the bytes of data that it handles. */
export interface Work {
  readonly bytes: number;
  readonly call: () => Promise<void>;
}

const WARM_ROUNDS = 1;

/** A turn: one call for the processors to wake up (a virtual one takes milliseconds), then calls for this long. */
const TURN_MS = 100;

/** Median GB/s of each of two works done in turns, and the median of the ratios of the second to the first, round by round. */
export async function ratesInTurns(rounds: number, works: readonly [Work, Work]): Promise<{ rates: [number, number]; ratio: number }> {
  const samples: [number, number][] = [];
  for (let round = -WARM_ROUNDS; round < rounds; round++) {
    const sample: [number, number] = [await rateOfTurn(works[0]), await rateOfTurn(works[1])];
    if (round >= 0) samples.push(sample);
  }
  return {
    rates: [median(samples.map(([first]) => first)), median(samples.map(([, second]) => second))],
    ratio: median(samples.map(([first, second]) => second / first)),
  };
}

async function rateOfTurn({ bytes, call }: Work): Promise<number> {
  await call();
  const start = performance.now();
  let [done, took_ms] = [0, 0];
  while (took_ms < TURN_MS) {
    await call();
    done += bytes;
    took_ms = performance.now() - start;
  }
  return done / (took_ms * 1e6);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
