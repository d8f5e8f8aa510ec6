import test from 'ava';
import { renderChart } from '../../bench/parity/chart.js';
import type { Figure } from '../../bench/parity/figure.js';
import { Memcpy } from '../../bench/parity/memcpy.js';
import { operationsOf, OwnFigures } from '../../bench/parity/own.js';
import { memcpyKey, renderTable, type Report } from '../../bench/parity/table.js';
import { Slab } from '../../src/memory/slab.js';

function figure(given: Partial<Figure>): Figure {
  return {
    ...{ op: 'encode', k: 4, m: 2, lost: 0, shardBytes: 65_536, set: 'hot', isa: 'avx2', threads: 1, via: 'codec' },
    ...{ gbPerSecond: 50, memcpyRatio: 1.25, peer: null },
    ...given,
  };
}

const REPORT: Report = {
  cpu: 'Some <CPU> & more',
  isa: 'avx2',
  results: [
    figure({}),
    figure({ via: 'native', gbPerSecond: 51.26 }),
    figure({ k: 8, m: 3, via: 'native' }),
    figure({ k: 8, m: 3, op: 'reconstruct', lost: 3, gbPerSecond: 33.3 }),
    figure({ via: 'pool', threads: 2, gbPerSecond: 91, speedup: 1.816 }),
    figure({ peer: '@ronomon/reed-solomon 6.0.0', gbPerSecond: 8.7, memcpyRatio: 0.22, isa: 'none', via: 'native' }),
    figure({ op: 'crc32c', k: 1, m: 0, via: 'native', isa: 'vpclmul', gbPerSecond: 45 }),
  ],
};
const MEMCPY = new Map([[memcpyKey(65_536, 'hot'), 40]]);

test('the table has each figure in the row of its operation and way and the column of its shape, and says what is missing', (t) => {
  const lines = renderTable(REPORT, MEMCPY, ['ISA-L: apt-get install libisal-dev']).split('\n');
  const line = (start: RegExp): string => lines.find((one) => start.test(one)) ?? '';
  t.regex(line(/^64 KiB shards, hot/), /memcpy 40\.0 GB\/s/);
  t.regex(line(/^encode +ErasureCodec/), /50\.0 1\.25x +-$/);
  t.regex(line(/^encode +native avx2/), /51\.3 1\.25x +50\.0 1\.25x$/);
  t.regex(line(/^reconstruct m +ErasureCodec/), /- +33\.3 1\.25x$/);
  t.regex(line(/^encode +pool, 2 threads/), /91\.0/);
  t.regex(line(/^encode +2 threads of the pool to one/), /1\.82x +-$/);
  t.regex(line(/^encode +@ronomon/), /8\.7 0\.22x/);
  t.regex(line(/^vpclmul/), /45\.0/);
  t.true(lines.includes('  ISA-L: apt-get install libisal-dev'));
});

test('the chart is one well-formed SVG that needs nothing else, with every figure that its panels show', (t) => {
  const svg = renderChart(REPORT, MEMCPY);
  t.regex(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="0 0 \d+ \d+"/);
  t.regex(svg, /Some &lt;CPU&gt; &amp; more/);
  for (const value of ['4+2: 50.0 GB/s', '4+2: 91.0 GB/s', '8+3: 33.3 GB/s', '4+2: 8.7 GB/s', '45.0 GB/s'])
    t.true(svg.includes(value), value);
  t.false(/NaN|undefined|Infinity|href=|url\(/.test(svg));
  const open: string[] = [];
  for (const [, closing, name, empty] of svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
    if (closing === '/') t.is(open.pop(), name);
    else if (empty !== '/') open.push(name as string);
  }
  t.deepEqual(open, []);
});

test('every figure of the library and of memcpy is a rate: native, codec and pool do the work that they are said to', async (t) => {
  const { view } = Slab.allocate((256 + 64) << 20);
  const own = new OwnFigures(view, 1);
  const shape = { k: 3, m: 2 };
  const operations = operationsOf(shape);
  t.deepEqual(
    operations.map(({ op, lost }) => `${op} ${lost}`),
    ['encode 0', 'update 0', 'reconstruct 1', 'reconstruct 2'],
  );
  for (const operation of operations) {
    const { native, matrix, codec } = operation;
    t.is(native.length, matrix.rows + matrix.columns);
    t.true(codec.length === native.length || operation.op === 'reconstruct');
    for (const measured of [await own.native(shape, operation, 65_536, 'hot', 'scalar'), await own.codec(shape, operation, 65_536, 'hot')])
      t.true(measured.gbPerSecond > 0, operation.op);
  }
  const pooled = await own.pools(shape, operations.slice(0, 1), 65_536, 'hot', 2, 1);
  t.deepEqual(
    pooled.map(({ via, threads, op, speedup }) => ({ via, threads, op, compared: speedup !== undefined })),
    [
      { via: 'pool', threads: 1, op: 'encode', compared: false },
      { via: 'pool', threads: 2, op: 'encode', compared: true },
    ],
  );
  const memcpy = new Memcpy();
  t.true((await memcpy.rate(65_536, 'hot', 1)) > 0);
  t.true((await memcpy.rate(1 << 20, 'cold', 1)) > 0);
});
