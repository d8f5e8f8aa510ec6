/**
 * `npm run bench:parity [-- --json]`: figures of the parity library on this machine. Each row is the median of tinybench's samples; GB is 10^9 bytes of data (k shards),
 * also for reconstruct; the ratio is to memcpy of one shard's bytes in the same run. "hot" = one stripe again and again, "cold" = cycling over 256 MiB.
 */
import { Bench } from 'tinybench';
import { ErasureCodec, ErasurePool } from '../src/erasure/index.js';
import { Slab } from '../src/memory/slab.js';
import { loadAddon } from '../src/native/load.js';

const SHAPES: readonly (readonly [number, number])[] = [
  [4, 1],
  [4, 2],
  [8, 2],
  [8, 3],
  [10, 4],
  [17, 3],
];
const SHARD_BYTES = [4096, 65_536, 1 << 20];
const COLD_BYTES = 256 << 20;
const TIME_MS = 150;

interface Row {
  op: 'encode' | 'update' | 'reconstruct' | 'crc32c';
  k: number;
  m: number;
  lost: number;
  shardBytes: number;
  set: 'hot' | 'cold';
  isa: string;
  threads: number;
  via: 'native' | 'codec' | 'pool';
  gbPerSecond: number;
  memcpyRatio: number;
  peer: null;
}

const slab = Slab.allocate(COLD_BYTES + (64 << 20));
slab.view.fill(0x5a);
const { isa } = loadAddon().cpu();
const rows: Row[] = [];

/** Median GB/s of work() that handles `bytes`. */
async function rate(bytes: number, work: () => void | Promise<void>): Promise<number> {
  const bench = new Bench({ time: TIME_MS, warmupTime: 30, iterations: 8 });
  bench.add('work', work);
  await bench.run();
  const [task] = bench.tasks;
  const result = task?.result as { latency?: { p50: number } } | undefined;
  const median_ms = result?.latency?.p50 ?? Number.NaN;
  return bytes / (median_ms * 1e6);
}

/** Offsets of `groups` stripes: one after the other for the cold set, the first one alone for the hot set. */
function stripes(k: number, m: number, shardBytes: number, cold: boolean): { offsets: Float64Array; count: number } {
  const count = cold ? Math.max(1, Math.floor(COLD_BYTES / ((k + m) * shardBytes))) : 1;
  const offsets = new Float64Array(count * (k + m));
  for (let i = 0; i < offsets.length; i++) offsets[i] = i * shardBytes;
  return { offsets, count };
}

/** Work is repeated until it is long against the timer. */
function repeats(bytes: number): number {
  return Math.max(1, Math.ceil(262_144 / bytes));
}

async function memcpyRate(shardBytes: number, cold: boolean): Promise<number> {
  const span = cold ? COLD_BYTES / 2 : 4 * shardBytes;
  const step = Math.min(shardBytes, span / 2);
  let at = 0;
  const times = repeats(step);
  return rate(step * times, () => {
    for (let i = 0; i < times; i++) {
      slab.view.copyWithin(span + at, at, at + step);
      at = (at + step) % span;
    }
  });
}

async function measure(k: number, m: number, shardBytes: number, set: 'hot' | 'cold', memcpy: number): Promise<void> {
  const codec = new ErasureCodec({ k, m });
  const { offsets, count } = stripes(k, m, shardBytes, set === 'cold');
  const n = k + m;
  const data = k * shardBytes;
  const nonTemporal = set === 'cold';
  let at = 0;
  const next = (): Float64Array => {
    at = (at + 1) % count;
    return offsets.subarray(at * n, (at + 1) * n);
  };
  const times = repeats(data);
  const add = (op: Row['op'], lost: number, gbPerSecond: number): void => {
    rows.push({
      op,
      k,
      m,
      lost,
      shardBytes,
      set,
      isa,
      threads: 1,
      via: 'codec',
      gbPerSecond,
      memcpyRatio: gbPerSecond / memcpy,
      peer: null,
    });
  };
  const loop = (work: () => void) => () => {
    for (let i = 0; i < times; i++) work();
  };
  add(
    'encode',
    0,
    await rate(
      data * times,
      loop(() => codec.encodeGroups(slab.view, next(), 1, shardBytes, { nonTemporal })),
    ),
  );
  const changed = [0];
  add(
    'update',
    0,
    await rate(
      shardBytes * times,
      loop(() => {
        const shards = next();
        codec.updateGroups(slab.view, changed, Float64Array.of(shards[0] as number, ...shards.subarray(k)), 1, shardBytes);
      }),
    ),
  );
  for (const lost of m > 1 ? [1, m] : [1]) {
    const present = new Uint8Array(n).fill(1).fill(0, 0, lost);
    const wanted = Array.from({ length: lost }, (_, i) => i);
    add(
      'reconstruct',
      lost,
      await rate(
        data * times,
        loop(() => codec.reconstruct(slab.view, next(), shardBytes, present, wanted)),
      ),
    );
  }
}

async function measurePool(memcpy: number): Promise<void> {
  const [k, m, shardBytes, groups] = [4, 2, 65_536, 64];
  const pool = new ErasurePool(slab.view, { k, m, inlineBytesMax: 0 });
  const { offsets } = stripes(k, m, shardBytes, true);
  const gbPerSecond = await rate(groups * k * shardBytes, () =>
    pool.encodeGroups(offsets.subarray(0, groups * (k + m)), groups, shardBytes),
  );
  rows.push({
    op: 'encode',
    k,
    m,
    lost: 0,
    shardBytes,
    set: 'cold',
    isa,
    threads: pool.threads,
    via: 'pool',
    gbPerSecond,
    memcpyRatio: gbPerSecond / memcpy,
    peer: null,
  });
  await pool.close();
}

async function main(json: boolean): Promise<void> {
  for (const shardBytes of SHARD_BYTES) {
    const sets: ('hot' | 'cold')[] = shardBytes === 1 << 20 ? ['hot', 'cold'] : ['hot'];
    for (const set of sets) {
      const memcpy = await memcpyRate(shardBytes, set === 'cold');
      for (const [k, m] of SHAPES) await measure(k, m, shardBytes, set, memcpy);
      const times = repeats(shardBytes);
      const crc = await rate(shardBytes * times, () => {
        for (let i = 0; i < times; i++) loadAddon().crc32c(slab.view, 0, shardBytes, 0);
      });
      if (set === 'hot')
        rows.push({
          op: 'crc32c',
          k: 1,
          m: 0,
          lost: 0,
          shardBytes,
          set,
          isa: loadAddon().cpu().crc,
          threads: 1,
          via: 'native',
          gbPerSecond: crc,
          memcpyRatio: crc / memcpy,
          peer: null,
        });
    }
  }
  await measurePool(await memcpyRate(65_536, true));
  if (json) {
    process.stdout.write(`${JSON.stringify({ cpu: loadAddon().cpu().model, isa, results: rows })}\n`);
    return;
  }
  process.stdout.write(`${loadAddon().cpu().model}, kernels ${isa}\n`);
  process.stdout.write('op           shape  lost      shard  set   via     GB/s  x memcpy\n');
  for (const row of rows) {
    const shape = row.op === 'crc32c' ? '' : `${row.k}+${row.m}`;
    const cells = [
      row.op.padEnd(12),
      shape.padStart(5),
      String(row.lost).padStart(5),
      String(row.shardBytes).padStart(10),
      row.set.padStart(5),
      row.via.padStart(6),
    ];
    process.stdout.write(`${cells.join(' ')} ${row.gbPerSecond.toFixed(1).padStart(7)} ${row.memcpyRatio.toFixed(2).padStart(9)}\n`);
  }
}

await main(process.argv.includes('--json'));
