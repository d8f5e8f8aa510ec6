import { readFileSync } from 'node:fs';
import test from 'ava';
import { placeOf } from '../../src/sim/code-coverage.js';
import { CODE_STATES } from '../../src/sim/code-states.js';
import { MUTATIONS } from './mutations.js';
import { TESTED_MUTATIONS } from './mutations-by-test.js';

/** dist/test/sim -> dist/src. */
const compiled = (file: string): string => readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8');

test('every state that the simulator counts is found in the compiled code, once', (t) => {
  for (const state of CODE_STATES) t.notThrows(() => placeOf(state, compiled(state.file)), state.name);
});

test('every planted bug has the code that it changes, once', (t) => {
  const wrong = [...MUTATIONS, ...TESTED_MUTATIONS]
    .map(({ name, file, find }) => ({ name, places: compiled(file).split(find).length - 1 }))
    .filter(({ places }) => places !== 1);
  t.deepEqual(wrong, []);
});
