import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import { countAt, placeOf } from '../../src/sim/code-coverage.js';
import { CODE_STATES } from '../../src/sim/code-states.js';
import type { Outcome } from '../../src/sim/run-outcome.js';
import { BACKUP_EVENT_KINDS, FAULT_KINDS, type FaultKind } from '../../src/sim/scenario.js';
import { StressSummary } from '../../src/sim/stress-summary.js';

function summaryOf(runs: number, fired: readonly string[], asked: readonly FaultKind[] = FAULT_KINDS): StressSummary {
  const summary = new StressSummary(asked);
  const faults = Object.fromEntries(fired.map((kind) => [kind, 1]));
  const outcome: Outcome = { seed: 1, operations: 1, steps: 1, simulated_ms: 1, faults, checks: {}, traceHash: '', failure: null };
  for (let i = 0; i < runs; i++) summary.add(outcome);
  return summary;
}

const INJECTED = FAULT_KINDS.filter((kind) => !BACKUP_EVENT_KINDS.some((other) => other === kind));

test('a thousand runs in which a kind of fault never fired have failed; fewer have not, nor has one in which it was not asked for', (t) => {
  for (const kind of INJECTED) {
    const others = INJECTED.filter((other) => other !== kind);
    t.deepEqual(summaryOf(1000, others).gaps().faults, [kind]);
    t.deepEqual(summaryOf(999, others).gaps().faults, []);
    t.deepEqual(summaryOf(1000, others, others).gaps().faults, []);
  }
  t.deepEqual(summaryOf(1000, INJECTED).gaps().faults, []);
  t.deepEqual(
    summaryOf(
      1000,
      INJECTED.map((kind) => (kind === 'bit-rot' ? 'bit-rot-in-data' : kind)),
    ).gaps().faults,
    [],
    'where a fault struck is part of its name',
  );
});

test('a state of the code that was never reached is named, and fails ten thousand runs of all kinds of faults', (t) => {
  const summary = summaryOf(10_000, INJECTED);
  t.deepEqual(summary.gaps().states, [], 'not counted');
  summary.states = new Map([
    ['met', 3],
    ['not met', 0],
  ]);
  t.deepEqual(summary.gaps().states, ['not met']);
  t.regex(summary.text(1), /states of the code: 1 of 2 reached\n +3 {2}met\nnever reached: not met\n/);
  t.deepEqual((JSON.parse(JSON.stringify(summary)) as { states: object }).states, { met: 3, 'not met': 0 });
  const some = summaryOf(10_000, INJECTED, ['bit-rot']);
  some.states = summary.states;
  t.deepEqual(some.gaps().states, [], 'some faults alone do not lead everywhere');
  const few = summaryOf(9999, INJECTED);
  few.states = summary.states;
  t.deepEqual(few.gaps().states, []);
  t.regex(few.text(1), /never reached: not met/);
});

for (const state of CODE_STATES) {
  test(`its code stands exactly once: ${state.name}`, (t) => {
    const text = readFileSync(fileURLToPath(new URL(`../../src/${state.file}`, import.meta.url)), 'utf8');
    t.notThrows(() => placeOf(state, text));
    t.throws(() => placeOf(state, text + text), { message: /stands 2 times/ });
    t.throws(() => placeOf({ ...state, code: 'no such code' }, text), { message: /stands 0 times/ });
  });
}

test('the count of a place is that of the innermost range around it', (t) => {
  const range = (startOffset: number, endOffset: number, count: number) => ({ startOffset, endOffset, count });
  const functions = [
    { functionName: 'f', isBlockCoverage: true, ranges: [range(0, 100, 5), range(10, 50, 0), range(20, 30, 2)] },
    { functionName: 'g', isBlockCoverage: true, ranges: [range(60, 80, 7)] },
  ];
  t.deepEqual(
    [5, 10, 25, 30, 70, 99, 100].map((offset) => countAt(functions, offset)),
    [5, 0, 2, 0, 7, 5, 0],
  );
});

test('keelson stress runs as many seeds as it is asked for, and prints how often states were reached, and which never were', async (t) => {
  const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
  // Undefined, not left out: Node hands it on to every process that does not have it set.
  const env = { ...process.env, NODE_V8_COVERAGE: undefined };
  const { stdout } = await promisify(execFile)(process.execPath, [main, 'stress', '--seed', '7', '--seeds', '2'], { env });
  t.regex(stdout, /^2 runs, /m);
  const [, reached = '0', all = '0'] = /states of the code: (\d+) of (\d+) reached/.exec(stdout) ?? [];
  t.is(Number(all), CODE_STATES.length);
  t.true(Number(reached) > 0 && Number(reached) < Number(all), stdout);
  t.regex(stdout, /\d+ {2}writes: part of a block is merged/);
  t.regex(stdout, /never reached: /);
});
