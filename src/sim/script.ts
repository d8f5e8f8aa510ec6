import * as v from 'valibot';
import { EXIT, KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, KIB } from '../base/units.js';
import { CELL_BYTES_MIN, CELLS_A_BLOCK } from './cell-content.js';
import { REQUEST_KINDS } from './client-requests.js';
import type { Outcome } from './run-outcome.js';
import { FAULT_KINDS, type Scenario } from './scenario.js';

const FORMAT = 'keelson stress script, version 1';
/** Bounds of what a simulated array may be, so that a wrong file does not take all memory. */
const STRIPES_MAX = 4096;
const REQUESTS_MAX = 100_000;

const whole = (from: number, to: number) => {
  const allowed = `a whole number from ${from} to ${to}`;
  return v.pipe(v.number(allowed), v.safeInteger(allowed), v.minValue(from, allowed), v.maxValue(to, allowed));
};
const flag = v.boolean('true or false');
const one = <const T extends readonly string[]>(words: T) => v.picklist(words, words.join(', '));
const list = <T extends v.GenericSchema>(item: T, most: number) =>
  v.pipe(v.array(item, 'a list'), v.maxLength(most, `at most ${most} of them`));
const TIME_MAX = Number.MAX_SAFE_INTEGER;

const shape = v.pipe(
  v.strictObject({
    dataMembers: whole(2, 64),
    parity: whole(1, 32),
    journalMembers: whole(0, 16),
    copies: whole(1, 16),
    chunkBytes: v.pipe(
      whole(BLOCK_BYTES, 1024 * KIB),
      v.check((bytes) => Number.isInteger(Math.log2(bytes)), 'a power of two'),
    ),
    stripes: whole(1, STRIPES_MAX),
    segmentBytes: v.pipe(whole(64 * KIB, 1024 * KIB), v.multipleOf(BLOCK_BYTES, 'a multiple of 4096')),
    segments: whole(4, 1024),
    buffers: whole(2, 64),
    backup: flag,
    sync: flag,
  }),
  v.check(({ dataMembers, parity }) => parity < dataMembers, 'fewer parity shards than members'),
  v.check(
    ({ dataMembers, journalMembers, copies }) => copies <= (journalMembers === 0 ? dataMembers : journalMembers),
    'no more copies than members of the ring',
  ),
);

const cuts = v.pipe(
  v.array(whole(0, BLOCK_BYTES), 'a list'),
  v.length(CELLS_A_BLOCK + 1, `${CELLS_A_BLOCK + 1} numbers`),
  v.check((at) => at[0] === 0 && at.at(-1) === BLOCK_BYTES, `from 0 to ${BLOCK_BYTES}`),
  v.check((at) => at.every((cut, i) => i === 0 || cut - (at[i - 1] as number) >= CELL_BYTES_MIN), `each ${CELL_BYTES_MIN} or more apart`),
);

const request = v.strictObject({
  lane: whole(0, 63),
  at_us: whole(0, TIME_MAX),
  kind: one(REQUEST_KINDS),
  cell: v.optional(whole(0, TIME_MAX), 0),
  cells: v.optional(whole(0, TIME_MAX), 0),
  fua: v.optional(flag, false),
  leaves: v.optional(flag, false),
});

const scenario: v.GenericSchema<unknown, Scenario> = v.pipe(
  v.strictObject({
    seed: whole(0, 0xffff_ffff),
    shape,
    mix: v.strictObject({ lanes: whole(0, 64), pause_us: whole(0, TIME_MAX), blocksMax: whole(1, 1024), hot: whole(0, 16) }),
    cuts,
    unit: one(['steps', 'microseconds']),
    steps: whole(0, 10_000_000),
    repair_ms: whole(1, 1_000_000),
    events: list(v.strictObject({ at: whole(0, TIME_MAX), kind: one(FAULT_KINDS), lot: whole(0, 0xffff_ffff) }), REQUESTS_MAX),
    requests: v.nullable(list(request, REQUESTS_MAX)),
  }),
  v.check(({ steps, requests }) => steps > 0 || requests !== null, 'steps from 1 on, when no requests are listed'),
  v.check(
    (all) => (all.requests ?? []).every((one) => one.kind === 'flush' || one.cells > 0),
    'cells from 1 on in every request but flushes',
  ),
  v.check(
    (all) => (all.requests ?? []).every(({ cell, cells }) => cell + cells <= cellsOf(all)),
    'requests inside the volume: stripes x data shards x chunk',
  ),
);

const file = v.strictObject({
  format: v.literal(FORMAT, `"${FORMAT}"`),
  expected: v.strictObject({
    promise: v.nullable(v.string('a promise')),
    message: v.string('text'),
    step: whole(0, TIME_MAX),
    traceHash: v.pipe(v.string('text'), v.regex(/^[0-9a-f]{16}$/, '16 hexadecimal digits')),
  }),
  scenario,
});

/** One run that can be repeated exactly, and what came of it. */
export type Script = v.InferOutput<typeof file>;

/** Cells of the volume of a simulated array. */
export function cellsOf({ shape }: Pick<Scenario, 'shape'>): number {
  return ((shape.stripes * (shape.dataMembers - shape.parity) * shape.chunkBytes) / BLOCK_BYTES) * CELLS_A_BLOCK;
}

export function scriptFor(scenario: Scenario, { failure, traceHash }: Outcome): Script {
  const { promise, message, step } = failure ?? { promise: null, message: '', step: 0 };
  return { format: FORMAT, expected: { promise, message: message.split('\n')[0] ?? '', step, traceHash }, scenario };
}

/** As a file: each event and each request is one line. */
export function scriptText({ format, expected, scenario: { events, requests, ...rest } }: Script): string {
  const lines = (items: readonly object[]): string =>
    items.length === 0 ? '[]' : `[\n${items.map((item) => `  ${JSON.stringify(item)}`).join(',\n')}\n ]`;
  const brief = (requests ?? []).map(({ lane, at_us, kind, cell, cells, fua, leaves }) => ({
    lane,
    at_us,
    kind,
    ...(cells > 0 && { cell, cells }),
    ...(fua && { fua }),
    ...(leaves && { leaves }),
  }));
  return [
    `{"format": ${JSON.stringify(format)},`,
    ` "expected": ${JSON.stringify(expected)},`,
    ' "scenario": {',
    ...Object.entries(rest).map(([key, value]) => ` ${JSON.stringify(key)}: ${JSON.stringify(value)},`),
    ` "events": ${lines(events)},`,
    ` "requests": ${requests === null ? 'null' : lines(brief)}`,
    '}}',
    '',
  ].join('\n');
}

/** Throws SCRIPT with everything that is wrong. name: for messages. */
export function parseScript(text: string, name: string): Script {
  const refuse = (found: string, expected: string): KeelsonError =>
    new KeelsonError('SCRIPT', `${name} is no script of keelson stress`, {
      found,
      expected,
      action: 'use a file that `keelson stress` has printed or saved',
      exit: EXIT.usage,
    });
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw refuse(error instanceof Error ? error.message : String(error), 'JSON');
  }
  const result = v.safeParse(file, document);
  if (result.success) return result.output;
  const wrong = result.issues.slice(0, 5).map((issue) => {
    const path = v.getDotPath(issue) ?? 'the file';
    return { found: `${path}: ${issue.received}`, expected: `${path}: ${issue.expected === 'never' ? 'no such key' : issue.message}` };
  });
  throw refuse(wrong.map(({ found }) => found).join('; '), wrong.map(({ expected }) => expected).join('; '));
}
