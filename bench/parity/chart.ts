import { type Figure, type MemorySet, shapeName } from './figure.js';
import { distinct, type MemcpyRates, memcpyKey, type Report, sizeText } from './table.js';

/**
 * A self-contained SVG: one panel for each question, columns of GB/s grouped by shape, memcpy as a line across. Series keep their colour in every panel.
 */
interface Series {
  readonly name: string;
  readonly colour: string;
  readonly matches: (figure: Figure) => boolean;
}

interface Panel {
  readonly title: string;
  readonly note: string;
  /** undefined: of every size. */
  readonly shardBytes: number | undefined;
  readonly set: MemorySet;
  readonly series: readonly Series[];
  /** What the columns are grouped by; default: the shape. */
  readonly group?: (figure: Figure) => string;
}

const PANEL = { width: 600, height: 312, gap: 24, left: 46, right: 14, top: 92, bottom: 30 };
const PAGE = { margin: 28, head: 74, foot: 34 };
const FONT = `font-family="Inter, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"`;
const INK = { text: '#1b1f24', soft: '#5b6672', grid: '#e6e9ed', axis: '#aab3bd', memcpy: '#c0392b', page: '#ffffff', panel: '#fafbfc' };
/** Told apart in print and by the colour-blind: they differ in lightness too. */
const COLOURS = ['#0b4f8a', '#e08a1e', '#3a9d6e', '#b9a3d6', '#7f8c99', '#5fb0e6', '#8c4a2f'];
/** From the oldest instructions to the newest. */
const KERNEL_COLOURS = ['#c9ced4', '#b5d3ea', '#85b6dd', '#5496cb', '#2a73b0', '#0b4f8a', '#06325a'];

export function renderChart(report: Report, memcpy: MemcpyRates): string {
  const panels = panelsOf(report).filter(({ series, ...panel }) => series.some((one) => figuresOf(report, panel, one).length > 0));
  const columns = 2;
  const rows = Math.ceil(panels.length / columns);
  const width = 2 * PAGE.margin + columns * PANEL.width + (columns - 1) * PANEL.gap;
  const height = PAGE.head + PAGE.foot + rows * (PANEL.height + PANEL.gap);
  const memcpyOf = ({ shardBytes, set }: Panel): number | undefined =>
    shardBytes === undefined ? undefined : memcpy.get(memcpyKey(shardBytes, set));
  const drawn = panels.map((panel, i) => {
    const x = PAGE.margin + (i % columns) * (PANEL.width + PANEL.gap);
    const y = PAGE.head + Math.floor(i / columns) * (PANEL.height + PANEL.gap);
    return `<g transform="translate(${x} ${y})">${drawPanel(report, panel, memcpyOf(panel))}</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ${FONT}>`,
    `<title>Keelson: throughput of the parity library</title>`,
    `<rect width="${width}" height="${height}" fill="${INK.page}"/>`,
    text(PAGE.margin, 36, 'Parity at the speed of memory', { size: 22, weight: 650 }),
    text(
      PAGE.margin,
      58,
      `GB/s of data (10⁹ bytes of the k data shards, for reconstruction too) on ${report.cpu}, kernels ${report.isa}. Taller is faster.`,
      {
        size: 13,
        fill: INK.soft,
      },
    ),
    ...drawn,
    text(
      PAGE.margin,
      height - 18,
      'keelson bench parity --chart FILE. Medians of one run; the dashed line is memcpy of the same bytes in that run.',
      {
        size: 12,
        fill: INK.soft,
      },
    ),
    '</svg>',
    '',
  ].join('\n');
}

function panelsOf({ isa, results }: Report): Panel[] {
  const peers = distinct(results.flatMap(({ peer }) => (peer === null ? [] : [peer])));
  const codec = (name: string, op: Figure['op'], lost: 'any' | 1 | 'm', colour: string): Series => ({
    name,
    colour,
    matches: (figure) =>
      figure.peer === null &&
      figure.via === 'codec' &&
      figure.op === op &&
      (lost === 'any' || figure.lost === (lost === 'm' ? figure.m : 1)),
  });
  const rivals = (op: Figure['op'], lost: 'any' | 'm'): Series[] => [
    codec('Keelson, from JavaScript', op, lost, COLOURS[0] as string),
    ...peers.map((peer, i) => ({
      name: peer.replace('/reed-solomon-erasure.wasm', ' (wasm)').replace('/reed-solomon', ''),
      colour: COLOURS[1 + i] as string,
      matches: (figure: Figure) => figure.peer === peer && figure.op === op && (lost === 'any' || figure.lost === figure.m),
    })),
  ];
  const threads = distinct(results.filter(({ via }) => via === 'pool').map((figure) => String(figure.threads)));
  const kernels = distinct(
    results.filter(({ via, peer, op }) => via === 'native' && peer === null && op === 'encode').map((figure) => figure.isa),
  );
  // The chosen kernel was measured first, the others from slow to fast.
  const bySpeed = [...kernels.filter((name) => name !== isa), ...kernels.filter((name) => name === isa)];
  const native = (name: string, colour: string): Series => ({
    name,
    colour,
    matches: (figure) => figure.peer === null && figure.via === 'native' && figure.op === 'encode' && figure.isa === name,
  });
  const sums = distinct(results.filter(({ op }) => op === 'crc32c').map((figure) => figure.isa)).map(
    (name, i): Series => ({
      name,
      colour: COLOURS[i % COLOURS.length] as string,
      matches: (figure) => figure.op === 'crc32c' && figure.isa === name,
    }),
  );
  const bySize = (figure: Figure): string => sizeText(figure.shardBytes);
  const ladder = KERNEL_COLOURS.slice(-bySpeed.length);
  return [
    {
      title: 'Encode, in the cache',
      note: 'one thread, one stripe again and again',
      shardBytes: 65_536,
      set: 'hot',
      series: rivals('encode', 'any'),
    },
    {
      title: 'Encode, from memory',
      note: 'one thread, cycling over 256 MiB',
      shardBytes: 1 << 20,
      set: 'cold',
      series: rivals('encode', 'any'),
    },
    {
      title: 'Reconstruct m lost shards, in the cache',
      note: 'one thread',
      shardBytes: 65_536,
      set: 'hot',
      series: rivals('reconstruct', 'm'),
    },
    {
      title: 'Operations, in the cache',
      note: 'one thread, from JavaScript; an update counts the one shard that changed',
      shardBytes: 65_536,
      set: 'hot',
      series: [
        codec('encode', 'encode', 'any', COLOURS[0] as string),
        codec('reconstruct 1', 'reconstruct', 1, COLOURS[5] as string),
        codec('reconstruct m', 'reconstruct', 'm', COLOURS[2] as string),
        codec('update', 'update', 'any', COLOURS[1] as string),
      ],
    },
    {
      title: 'Small shards, in the cache',
      note: 'one thread; one stripe a call against many stripes a call',
      shardBytes: 4096,
      set: 'hot',
      series: [codec('ErasureCodec', 'encode', 'any', COLOURS[0] as string), { ...native(isa, COLOURS[5] as string), name: 'native' }],
    },
    {
      title: 'Encode by kernel, in the cache',
      note: 'one thread, native',
      shardBytes: 65_536,
      set: 'hot',
      series: bySpeed.map((name, i) => native(name, ladder[i] as string)),
    },
    {
      title: 'Encode on the pool, in the cache',
      note: 'each thread on a stripe of its own',
      shardBytes: 65_536,
      set: 'hot',
      series: poolSeries(threads),
    },
    {
      title: 'Encode on the pool, from memory',
      note: 'cycling over 256 MiB',
      shardBytes: 1 << 20,
      set: 'cold',
      series: poolSeries(threads),
    },
    {
      title: 'CRC32C, in the cache',
      note: 'one thread; by bytes a checksum',
      shardBytes: undefined,
      set: 'hot',
      series: sums,
      group: bySize,
    },
    {
      title: 'CRC32C, from memory',
      note: 'one thread, cycling over 256 MiB; by bytes a checksum',
      shardBytes: undefined,
      set: 'cold',
      series: sums,
      group: bySize,
    },
  ];
}

function poolSeries(threads: readonly string[]): Series[] {
  return threads.map((count, i) => ({
    name: `${count} ${count === '1' ? 'thread' : 'threads'}`,
    colour: [COLOURS[5], COLOURS[0]][i % 2] as string,
    matches: (figure) => figure.via === 'pool' && figure.op === 'encode' && figure.threads === Number(count),
  }));
}

function figuresOf({ results }: Report, { shardBytes, set }: Pick<Panel, 'shardBytes' | 'set'>, { matches }: Series): Figure[] {
  return results.filter(
    (figure) => (shardBytes === undefined || figure.shardBytes === shardBytes) && figure.set === set && matches(figure),
  );
}

function drawPanel(report: Report, panel: Panel, memcpy: number | undefined): string {
  const { width, height, left, right, top, bottom } = PANEL;
  const series = panel.series
    .map((one) => ({ ...one, figures: figuresOf(report, panel, one) }))
    .filter(({ figures }) => figures.length > 0);
  const group = panel.group ?? shapeName;
  const groups = distinct(series.flatMap(({ figures }) => figures.map(group)));
  const most = Math.max(memcpy ?? 0, ...series.flatMap(({ figures }) => figures.map(({ gbPerSecond }) => gbPerSecond)));
  const step = tick(most);
  const scale = (height - top - bottom) / (Math.ceil((most * 1.04) / step) * step);
  const y = (value: number): number => height - bottom - value * scale;
  const labels: string[] = [];
  const parts = [
    `<rect width="${width}" height="${height}" rx="8" fill="${INK.panel}" stroke="${INK.grid}"/>`,
    text(16, 25, panel.title, { size: 15, weight: 650 }),
    text(16, 45, panel.shardBytes === undefined ? panel.note : `${sizeText(panel.shardBytes)} shards; ${panel.note}`, {
      size: 12,
      fill: INK.soft,
    }),
    drawLegend(series, memcpy),
  ];
  for (let value = 0; y(value) >= top - 0.5; value += step) {
    parts.push(
      `<line x1="${left}" x2="${width - right}" y1="${fixed(y(value))}" y2="${fixed(y(value))}" stroke="${value === 0 ? INK.axis : INK.grid}"/>`,
    );
    parts.push(text(left - 7, y(value) + 4, String(value), { size: 11, fill: INK.soft, anchor: 'end' }));
  }
  const groupWidth = (width - left - right) / groups.length;
  const columnWidth = Math.min(30, (groupWidth * 0.84) / series.length);
  groups.forEach((shape, i) => {
    const middle = left + (i + 0.5) * groupWidth;
    parts.push(text(middle, height - bottom + 18, shape, { size: 12.5, anchor: 'middle', weight: 550 }));
    series.forEach(({ name, colour, figures }, s) => {
      const figure = figures.find((one) => group(one) === shape);
      if (figure === undefined) return;
      const x = middle + (s - series.length / 2) * columnWidth;
      const value = figure.gbPerSecond;
      const label = value >= 9.95 ? value.toFixed(0) : value.toFixed(1);
      parts.push(
        `<rect x="${fixed(x + 0.75)}" y="${fixed(y(value))}" width="${fixed(columnWidth - 1.5)}" height="${fixed(Math.max(0.75, value * scale))}" rx="1.5" fill="${colour}"><title>${escapeXml(`${name}, ${shape}: ${value.toFixed(1)} GB/s, ${figure.memcpyRatio.toFixed(2)} x memcpy`)}</title></rect>`,
      );
      if (columnWidth >= 14)
        labels.push(
          text(x + columnWidth / 2, y(value) - 4, label, {
            size: columnWidth >= 20 ? 10.5 : 9,
            fill: INK.text,
            anchor: 'middle',
            halo: true,
          }),
        );
    });
  });
  if (memcpy !== undefined) {
    parts.push(
      `<line x1="${left}" x2="${width - right}" y1="${fixed(y(memcpy))}" y2="${fixed(y(memcpy))}" stroke="${INK.memcpy}" stroke-width="1.4" stroke-dasharray="5 4"><title>memcpy ${memcpy.toFixed(1)} GB/s</title></line>`,
    );
  }
  return [...parts, ...labels].join('\n');
}

function drawLegend(series: readonly Series[], memcpy: number | undefined): string {
  const parts: string[] = [];
  let x = 16;
  for (const { name, colour } of series) {
    parts.push(
      `<rect x="${fixed(x)}" y="58" width="10" height="10" rx="2" fill="${colour}"/>`,
      text(x + 14, 67, name, { size: 11.5, fill: INK.text }),
    );
    x += 30 + name.length * 6;
  }
  if (memcpy !== undefined) {
    parts.push(
      `<line x1="${fixed(x)}" x2="${fixed(x + 16)}" y1="63" y2="63" stroke="${INK.memcpy}" stroke-width="1.4" stroke-dasharray="5 4"/>`,
    );
    parts.push(text(x + 20, 67, `memcpy ${memcpy.toFixed(0)}`, { size: 11.5, fill: INK.memcpy }));
  }
  return parts.join('\n');
}

/** 1, 2 or 5 times a power of ten, for four to eight lines. */
function tick(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most / 4));
  return ([1, 2, 5].find((factor) => most / (factor * power) <= 7) ?? 10) * power;
}

interface TextStyle {
  readonly size: number;
  readonly fill?: string;
  readonly weight?: number;
  readonly anchor?: 'start' | 'middle' | 'end';
  /** Readable over lines. */
  readonly halo?: boolean;
}

function text(
  x: number,
  y: number,
  content: string,
  { size, fill = INK.text, weight = 400, anchor = 'start', halo = false }: TextStyle,
): string {
  return `<text x="${fixed(x)}" y="${fixed(y)}" font-size="${size}" font-weight="${weight}" fill="${fill}" text-anchor="${anchor}"${halo ? ` stroke="${INK.panel}" stroke-width="3" paint-order="stroke"` : ''}>${escapeXml(content)}</text>`;
}

const fixed = (value: number): string => value.toFixed(1);

function escapeXml(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
