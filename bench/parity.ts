/**
 * `keelson bench parity`, `npm run bench:parity [-- --json] [--chart FILE] [--quick]`: figures of the parity library on this machine, as a table, as JSON
 * (docs/operations.md) and as a chart. What each figure is: bench/parity/figure.ts.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Slab } from '../src/memory/slab.js';
import { loadAddon } from '../src/native/load.js';
import { renderChart } from './parity/chart.js';
import { checksumFigures } from './parity/crc.js';
import { COLD_BYTES, type Figure, FULL, QUICK, type Scope, shapeName } from './parity/figure.js';
import { Memcpy } from './parity/memcpy.js';
import { allThreads, type Measured, operationsOf, OwnFigures } from './parity/own.js';
import { peerFigures } from './parity/peers.js';
import { renderTable } from './parity/table.js';

/** Room for the hot stripes of every thread beside the cold set. */
const HOT_BYTES = 64 << 20;

const { values: options } = parseArgs({
  options: { json: { type: 'boolean' }, quick: { type: 'boolean' }, chart: { type: 'string' } },
});
const scope = options.quick === true ? QUICK : FULL;
const cpu = loadAddon().cpu();

function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

async function ownFigures({ shapes, shardBytes, sets, sampling_ms, poolRounds, otherKernels }: Scope): Promise<Measured[]> {
  const { view } = Slab.allocate(COLD_BYTES + HOT_BYTES);
  view.fill(0x5a);
  const own = new OwnFigures(view, sampling_ms);
  const kernels = otherKernels ? cpu.available.filter((name) => name !== cpu.isa) : [];
  const figures: Measured[] = [];
  for (const shape of shapes) {
    const operations = operationsOf(shape);
    for (const length of shardBytes) {
      for (const set of sets) {
        progress(`${shapeName(shape)}, ${length / 1024} KiB, ${set}`);
        for (const operation of operations) {
          figures.push(await own.native(shape, operation, length, set, cpu.isa));
          figures.push(await own.codec(shape, operation, length, set));
          // Of the others encoding alone: what they differ in is the same in every operation.
          if (operation.op !== 'encode' || (set === 'cold' && length < 1 << 20)) continue;
          for (const isa of kernels) figures.push(await own.native(shape, operation, length, set, isa));
        }
        figures.push(...(await own.pools(shape, operations, length, set, allThreads(), poolRounds)));
      }
    }
  }
  return figures;
}

const memcpy = new Memcpy();
const rates = new Map<string, number>();
for (const length of scope.shardBytes) {
  for (const set of scope.sets) rates.set(`${length} ${set}`, await memcpy.rate(length, set, 2 * scope.sampling_ms));
}
const measured = await ownFigures(scope);
progress('checksums');
measured.push(...checksumFigures(scope));
progress('other libraries');
const peers = scope.peers ? await peerFigures(scope) : { figures: [], missing: [] };
measured.push(...peers.figures);
progress('');
const results: Figure[] = measured.map((figure) => {
  const { gbPerSecond, peer, ...what } = figure;
  return { ...what, gbPerSecond, memcpyRatio: gbPerSecond / (rates.get(`${figure.shardBytes} ${figure.set}`) ?? Number.NaN), peer };
});
const report = { cpu: cpu.model, isa: cpu.isa, results };
if (options.json === true) process.stdout.write(`${JSON.stringify(report)}\n`);
else process.stdout.write(renderTable(report, rates, peers.missing));
if (options.chart !== undefined) {
  const file = resolve(options.chart);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, renderChart(report, rates));
  process.stderr.write(`chart: ${file}\n`);
}
