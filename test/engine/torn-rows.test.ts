import test from 'ava';
import type { ArrayState } from '../../src/engine/array-state.js';
import { lostBeforeCrashFrom } from '../../src/engine/torn-rows.js';
import type { Checkpoint, MemberState } from '../../src/member/member-api.js';

/** Member 0 is lost now. */
const state = { lostDataMembers: () => [0], members: [null] } as unknown as ArrayState;

function checkpointWith(before: MemberState, tornAsWholeBelow = 0): Checkpoint {
  return {
    members: [{ index: 0, state: before, rebuiltStripes: 3 }],
    ...(tornAsWholeBelow > 0 ? { tornAsWholeBelow } : {}),
  } as unknown as Checkpoint;
}

test('P5: rows that a crash tore are reconstructed only without members that were called lost before that crash', (t) => {
  t.is(lostBeforeCrashFrom(state, checkpointWith('failed')), 0);
  t.is(lostBeforeCrashFrom(state, checkpointWith('missing')), 0);
  t.is(lostBeforeCrashFrom(state, checkpointWith('online')), Number.POSITIVE_INFINITY);
  t.is(lostBeforeCrashFrom(state, checkpointWith('rebuilding')), 3);
});

test('P5: a second crash does not make a member that was lost with the first one a member that was lost before it', (t) => {
  t.is(lostBeforeCrashFrom(state, checkpointWith('failed', Number.POSITIVE_INFINITY)), Number.POSITIVE_INFINITY);
  t.is(lostBeforeCrashFrom(state, checkpointWith('missing', Number.POSITIVE_INFINITY)), Number.POSITIVE_INFINITY);
  t.is(lostBeforeCrashFrom({ lostDataMembers: () => [] } as unknown as ArrayState, checkpointWith('online', Number.POSITIVE_INFINITY)), 0);
  // Of stripes from there on the first crash tore nothing that counted on a member that is lost.
  t.is(lostBeforeCrashFrom(state, checkpointWith('missing', 7)), 7);
  t.is(lostBeforeCrashFrom(state, checkpointWith('rebuilding', 7)), 7);
  t.is(lostBeforeCrashFrom(state, checkpointWith('rebuilding', 2)), 3);
  t.is(lostBeforeCrashFrom(state, checkpointWith('online', 7)), Number.POSITIVE_INFINITY);
});
