/**
 * A strict reader of the Prometheus text format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/), and the rules of
 * `promtool check metrics` (client_golang, prometheus/testutil/promlint).
 */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: Sample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: (-?\d+))?$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;
const NUMBER = /^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?Inf|NaN)$/;
const TYPES = ['counter', 'gauge', 'histogram', 'summary', 'untyped'];
const PARTS: Readonly<Record<string, readonly string[]>> = {
  histogram: ['_bucket', '_sum', '_count'],
  summary: ['', '_sum', '_count'],
};

/** Families by name. Throws an Error that quotes the line where the text breaks the format. */
export function readExposition(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let help: { name: string; text: string } | null = null;
  let current: Family | null = null;
  for (const line of text.slice(0, -1).split('\n')) {
    const refuse = (why: string): never => {
      throw new Error(`${why}: ${line}`);
    };
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment !== null) {
      const [, kind = '', name = '', rest = ''] = comment;
      if (!NAME.test(name)) refuse('not a name');
      if (families.has(name)) refuse('a family comes once, in one piece');
      if (kind === 'HELP') {
        help = { name, text: rest };
        continue;
      }
      if (!TYPES.includes(rest)) refuse('not a type');
      current = { name, help: help?.name === name ? help.text : '', type: rest, samples: [] };
      families.set(name, current);
      continue;
    }
    if (line === '' || line.startsWith('#')) continue;
    const sample = readSample(line) ?? refuse('not a sample');
    if (current === null || !belongs(sample, current)) refuse('a sample below another family');
    const key = `${sample.name}${JSON.stringify(Object.entries(sample.labels).sort())}`;
    if (seen.has(key)) refuse('the same series twice');
    seen.add(key);
    current?.samples.push(sample);
  }
  return families;
}

function belongs(sample: Sample, family: Family): boolean {
  return (PARTS[family.type] ?? ['']).some((part) => sample.name === family.name + part);
}

function readSample(line: string): Sample | null {
  const [, name = '', labelText = '', value = ''] = SAMPLE.exec(line) ?? [];
  if (name === '' || !NUMBER.test(value)) return null;
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < labelText.length) {
    const [, key = '', quoted = ''] = LABEL.exec(labelText) ?? [];
    if (key === '' || key in labels) return null;
    labels[key] = quoted.replace(/\\(.)/g, (_, sign: string) => (sign === 'n' ? '\n' : sign));
  }
  return { name, labels, value: Number(value.replace(/Inf$/, 'Infinity')) };
}

/** Units and prefixes that promlint wants as base units, spelled out. */
const NOT_BASE =
  /^(?:(?:milli|micro|nano|kilo|mega|giga|kibi|mebi|gibi)\w+|minutes?|hours?|days?|weeks?|percent|bits?|fahrenheit|kelvins?)$/;
const ABBREVIATED = ['s', 'ms', 'us', 'ns', 'sec', 'b', 'kb', 'mb', 'gb', 'tb', 'pb', 'm', 'h', 'd'];

/** What promtool would object to, and what our own rules add; empty: nothing. */
export function lint(families: ReadonlyMap<string, Family>): string[] {
  const wrong: string[] = [];
  for (const { name, help, type, samples } of families.values()) {
    const object = (why: string): void => void wrong.push(`${name} ${why}`);
    const words = name.split('_');
    if (help === '') object('no help text');
    if (samples.length === 0) object('no sample');
    if (type === 'counter' && !name.endsWith('_total')) object('counter metrics should have "_total" suffix');
    if (type !== 'counter' && name.endsWith('_total')) object('non-counter metrics should not have "_total" suffix');
    if (type === 'untyped') object('untyped');
    if (type !== 'histogram' && /_bucket$/.test(name)) object('non-histogram metrics should not have "_bucket" suffix');
    if (!['histogram', 'summary'].includes(type) && /_(count|sum)$/.test(name)) object('should not have "_count" or "_sum" suffix');
    if (words.some((word) => TYPES.includes(word))) object('metric name should not include type');
    if (name.includes(':')) object('metric names should not contain ":"');
    if (/[a-z][A-Z]/.test(name)) object('metric names should be written in snake_case');
    if (words.some((word) => ABBREVIATED.includes(word))) object('metric names should not contain abbreviated units');
    if (words.some((word) => NOT_BASE.test(word))) object('use base unit');
    if (!name.startsWith('keelson_')) object('is not ours by its prefix');
    for (const { value, labels } of samples) {
      if (type === 'counter' && !(value >= 0)) object('a counter below zero');
      if (Object.keys(labels).some((label) => /[a-z][A-Z]/.test(label))) object('label names should be written in snake_case');
    }
  }
  return wrong;
}
