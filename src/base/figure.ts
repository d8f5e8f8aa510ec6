/**
 * One figure of the metrics endpoint, in base units (bytes, seconds). A counter never falls while
 * the process lives, and its name ends in _total; a gauge is a level of this moment.
 */
export interface Figure {
  /** Without the prefix "keelson_", which every series gets. */
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly value: number;
  /** Figures of one name differ in these; all of them have the same keys. */
  readonly labels?: Readonly<Record<string, string>>;
}

export function counter(name: string, help: string, value: number): Figure {
  return { name, help, type: 'counter', value };
}

export function gauge(name: string, help: string, value: number): Figure {
  return { name, help, type: 'gauge', value };
}

/** One series for each key of `values`, told apart by the label. */
export function gauges(name: string, help: string, label: string, values: Readonly<Record<string, number>>): Figure[] {
  return Object.entries(values).map(([key, value]) => ({ ...gauge(name, help, value), labels: { [label]: key } }));
}
