import test from 'ava';
import { SECTOR_CUTS } from '../../src/sim/cell-content.js';
import { KeelsonError } from '../../src/base/errors.js';
import type { ClientRequest } from '../../src/sim/client-requests.js';
import type { Failure, Outcome } from '../../src/sim/run-outcome.js';
import { generateScenario, type Scenario } from '../../src/sim/scenario.js';
import { cellsOf, parseScript, scriptFor, scriptText } from '../../src/sim/script.js';
import { type Run, shrink } from '../../src/sim/shrink.js';
import { simulate } from '../../src/sim/simulator.js';

const LIMITS = { runs: 1000, until: () => false };

function outcomeOf(failure: Failure | null): Outcome {
  return {
    seed: 1,
    operations: 0,
    steps: 0,
    simulated_ms: 0,
    faults: {},
    checks: {},
    traceHash: '0123456789abcdef',
    failure,
  };
}

function writes(cells: readonly number[]): ClientRequest[] {
  return cells.map((cell, i) => ({ lane: i % 3, at_us: i, kind: 'write', cell, cells: 8, fua: i % 2 === 0, leaves: false }));
}

/** Fails when the two events and the two writes are there, in one way or the other. */
function failing(promise: (scenario: Scenario) => string, requests: readonly ClientRequest[]): Run {
  return async (scenario, watcher) => {
    if (watcher !== null) {
      for (const request of requests) watcher.request(request);
      for (const event of scenario.events) watcher.event(event, event.at * 100);
    }
    const present = (scenario.requests ?? requests).map(({ cell }) => cell);
    const kinds = scenario.events.map(({ lot }) => lot);
    const fails = present.includes(40) && present.includes(96) && kinds.includes(7) && kinds.includes(11);
    return outcomeOf(fails ? { promise: promise(scenario), step: 1, message: 'x' } : null);
  };
}

const MANY: Scenario = {
  ...generateScenario(1),
  events: Array.from({ length: 16 }, (_, lot) => ({ at: lot * 10, kind: 'power-failure', lot })),
};

test('a failing run shrinks to the two events and the two requests that it takes, of an array as small as it may be', async (t) => {
  const run = failing(() => 'P2', writes(Array.from({ length: 200 }, (_, i) => i * 8)));
  const shrunk = await shrink(MANY, await run(MANY, null), LIMITS, run);
  t.deepEqual(
    shrunk.scenario.events.map(({ lot }) => lot),
    [7, 11],
  );
  t.deepEqual(
    shrunk.scenario.requests?.map(({ cell }) => cell),
    [40, 96],
  );
  t.deepEqual(shrunk.events, [16, 2]);
  t.deepEqual(shrunk.requests, [200, 2]);
  t.true(shrunk.runs < 300, `${shrunk.runs} runs`);
  t.is(shrunk.scenario.shape.dataMembers + shrunk.scenario.shape.journalMembers, 3);
  t.true(shrunk.scenario.requests?.every(({ fua, lane }) => !fua && lane === 0));
});

test('a candidate that breaks another promise, or ends with another error, is not taken', async (t) => {
  const requests = writes([40, 96, 8, 16]);
  const run = failing(({ events }) => (events.length < 5 ? 'P5' : 'P2'), requests);
  const shrunk = await shrink(MANY, await run(MANY, null), LIMITS, run);
  t.is(shrunk.outcome.failure?.promise, 'P2');
  t.is(shrunk.scenario.events.length, 5);
});

test('shrinking ends at its bounds with the shortest run found until then', async (t) => {
  const run = failing(() => 'P2', writes([40, 96, 8, 16]));
  const few = await shrink(MANY, await run(MANY, null), { ...LIMITS, runs: 5 }, run);
  t.is(few.runs, 5);
  t.is(few.outcome.failure?.promise, 'P2');
  const none = await shrink(MANY, await run(MANY, null), { ...LIMITS, until: () => true }, run);
  t.deepEqual(none.scenario, MANY);
});

test('a script of the requests of a seed goes the way of the seed: the same trace hash', async (t) => {
  const scenario = generateScenario(7);
  const requests: ClientRequest[] = [];
  const outcome = await simulate(scenario, { request: (request) => void requests.push(request), event: () => undefined });
  t.true(requests.length > 10);
  const { scenario: read } = parseScript(scriptText(scriptFor({ ...scenario, requests }, outcome)), 'seed 7');
  t.deepEqual(read, { ...scenario, requests });
  t.deepEqual(await simulate(read), outcome);
});

test('a script that leaves the requests to the seed goes the way of the seed', async (t) => {
  const scenario = generateScenario(7);
  t.is(scenario.cuts, SECTOR_CUTS);
  const outcome = await simulate(scenario);
  t.deepEqual(await simulate(parseScript(scriptText(scriptFor(scenario, outcome)), 'seed 7').scenario), outcome);
});

const GOOD = scriptText(scriptFor({ ...generateScenario(3), requests: writes([0, 8]), steps: 0 }, outcomeOf(null)));

for (const [what, from, to, found, expected] of [
  ['no JSON', '{"format"', '{format', /JSON/, /JSON/],
  ['another format', 'version 1', 'version 9', /format: .*version 9/, /version 1/],
  ['a key that is missing', '"repair_ms"', '"repair"', /repair/, /no such key|repair_ms/],
  ['a fault that is none', /"kind":"[a-z-]+","lot"/, '"kind":"gremlin","lot"', /gremlin/, /power-failure/],
  ['a request that is none', '"kind":"write"', '"kind":"wrote"', /wrote/, /zeroes-no-hole/],
  ['more copies than members', /"copies":\d/, '"copies":9', /shape/, /no more copies than members/],
  ['a request beyond the volume', '"cell":8', `"cell":${cellsOf(generateScenario(3))}`, /scenario/, /inside the volume/],
  ['a volume that takes all memory', /"stripes":\d+/, '"stripes":9000000', /9000000/, /4096/],
] as const) {
  test(`a script is refused with what is wrong in it: ${what}`, (t) => {
    t.notThrows(() => parseScript(GOOD, 'good.json'));
    const wrong = GOOD.replace(from, to);
    t.not(wrong, GOOD);
    const error = t.throws(() => parseScript(wrong, 'wrong.json'), { instanceOf: KeelsonError, code: 'SCRIPT' });
    t.regex(error.message, /wrong\.json/);
    t.regex(error.found ?? '', found);
    t.regex(error.expected ?? '', expected);
    t.is(error.exit, 2);
  });
}
