import { type Figure, type MemorySet, shapeName } from './figure.js';

export interface Report {
  readonly cpu: string;
  readonly isa: string;
  readonly results: readonly Figure[];
}

/** memcpy in GB/s, by `${shardBytes} ${set}`. */
export type MemcpyRates = ReadonlyMap<string, number>;

const LABEL_WIDTH = 52;
const CELL_WIDTH = 12;

/** One block for each shard size and set: operations and ways down, shapes across, GB/s and the ratio to memcpy in each cell. */
export function renderTable({ cpu, isa, results }: Report, memcpy: MemcpyRates, missing: readonly string[]): string {
  const lines = [`${cpu}, kernels ${isa}; GB/s of data (10^9 bytes) and ratio to memcpy of the same bytes`];
  const coded = results.filter(({ op }) => op !== 'crc32c');
  const shapes = distinct(coded.map(shapeName));
  for (const [key, rate] of memcpy) {
    const [length = '', set = ''] = key.split(' ');
    const block = coded.filter(({ shardBytes, set: own }) => shardBytes === Number(length) && own === set);
    lines.push('', `${sizeText(Number(length))} shards, ${set} (memcpy ${rate.toFixed(1)} GB/s)`);
    lines.push(`${''.padEnd(LABEL_WIDTH)}${shapes.map((shape) => shape.padStart(CELL_WIDTH)).join('')}`);
    for (const label of distinct(block.map(labelOf))) {
      const cells = shapes.map((shape) => cell(block.find((figure) => labelOf(figure) === label && shapeName(figure) === shape)));
      lines.push(`${label.padEnd(LABEL_WIDTH)}${cells.join('')}`.trimEnd());
    }
    lines.push(...speedups(block, shapes));
  }
  lines.push('', 'CRC32C');
  const sums = results.filter(({ op }) => op === 'crc32c');
  const columns = distinct(sums.map(({ shardBytes, set }) => `${sizeText(shardBytes)} ${set}`));
  lines.push(`${''.padEnd(LABEL_WIDTH)}${columns.map((column) => column.padStart(CELL_WIDTH)).join('')}`);
  for (const name of distinct(sums.map((figure) => figure.isa))) {
    const own = sums.filter((figure) => figure.isa === name);
    lines.push(
      `${name.padEnd(LABEL_WIDTH)}${columns.map((column) => cell(own.find(({ shardBytes, set }) => `${sizeText(shardBytes)} ${set}` === column))).join('')}`,
    );
  }
  if (missing.length > 0) lines.push('', 'Not here to compare with:', ...missing.map((line) => `  ${line}`));
  return `${lines.join('\n')}\n`;
}

/** The row that says what the threads of the pool bring, if there are several. */
function speedups(block: readonly Figure[], shapes: readonly string[]): string[] {
  const found = block.filter(({ speedup }) => speedup !== undefined);
  const [first] = found;
  if (first === undefined) return [];
  const cells = shapes.map(
    (shape) =>
      found
        .find((figure) => shapeName(figure) === shape)
        ?.speedup?.toFixed(2)
        .concat('x') ?? '-',
  );
  return [
    `${`${'encode'.padEnd(14)}${first.threads} threads of the pool to one`.padEnd(LABEL_WIDTH)}${cells.map((text) => text.padStart(CELL_WIDTH)).join('')}`,
  ];
}

function labelOf({ op, lost, m, via, isa, threads, peer }: Figure): string {
  const work = op === 'reconstruct' ? `reconstruct ${lost === 1 && m >= 1 ? '1' : 'm'}` : op;
  const way =
    peer ??
    (via === 'native' ? `native ${isa}` : via === 'codec' ? 'ErasureCodec' : `pool, ${threads} ${threads === 1 ? 'thread' : 'threads'}`);
  return `${work.padEnd(14)}${way}`;
}

function cell(figure: Figure | undefined): string {
  return (figure === undefined ? '-' : `${figure.gbPerSecond.toFixed(1)} ${figure.memcpyRatio.toFixed(2)}x`).padStart(CELL_WIDTH);
}

export function sizeText(bytes: number): string {
  return bytes >= 1 << 20 ? `${bytes / (1 << 20)} MiB` : `${bytes / 1024} KiB`;
}

export function distinct(values: readonly string[]): string[] {
  return [...new Set(values)];
}

export const memcpyKey = (shardBytes: number, set: MemorySet): string => `${shardBytes} ${set}`;
