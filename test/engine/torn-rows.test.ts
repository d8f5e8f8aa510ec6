import test from 'ava';
import type { ArrayState } from '../../src/engine/array-state.js';
import { lostBeforeCrashFrom } from '../../src/engine/torn-rows.js';
import type { Checkpoint, MemberState } from '../../src/member/member-api.js';

/** Member 0 is lost now. */
const state = { lostDataMembers: () => [0], members: [null] } as unknown as ArrayState;

function checkpointWith(before: MemberState, tornAsWhole: boolean): Checkpoint {
  return { members: [{ index: 0, state: before, rebuiltStripes: 3 }], ...(tornAsWhole ? { tornAsWhole } : {}) } as unknown as Checkpoint;
}

test('P5: rows that a crash tore are reconstructed only without members that were called lost before that crash', (t) => {
  t.is(lostBeforeCrashFrom(state, checkpointWith('failed', false)), 0);
  t.is(lostBeforeCrashFrom(state, checkpointWith('missing', false)), 0);
  t.is(lostBeforeCrashFrom(state, checkpointWith('online', false)), Number.POSITIVE_INFINITY);
  t.is(lostBeforeCrashFrom(state, checkpointWith('rebuilding', false)), 3);
});

test('P5: a second crash does not make a member that was lost with the first one a member that was lost before it', (t) => {
  t.is(lostBeforeCrashFrom(state, checkpointWith('failed', true)), Number.POSITIVE_INFINITY);
  t.is(lostBeforeCrashFrom(state, checkpointWith('missing', true)), Number.POSITIVE_INFINITY);
  t.is(lostBeforeCrashFrom({ lostDataMembers: () => [] } as unknown as ArrayState, checkpointWith('online', true)), 0);
});
