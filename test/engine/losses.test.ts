import test from 'ava';
import { combinations } from './loss-scenario.js';
import { AMONG, loseEach } from './loss-ways.js';

/** Every way is tried by test/system/loss-matrix.test.ts; here a part of them, another one each time. */
const STRIDE = 4;

test.serial(
  'P4, P5, P8: ways to lose 4 of 8 members (4+2, two journal members) while writes go on lose no acknowledged write',
  async (t) => {
    await loseEach(t, combinations(8, 4), {}, 4, STRIDE);
  },
);

test.serial('P9: ways to lose 5 of 8 members lose exactly the undrained blocks without a copy, and read nothing stale', async (t) => {
  await loseEach(t, combinations(8, 5), {}, 4, STRIDE);
});

test.serial(
  'P8: six members with three journal copies among them: ways to lose 1 or 2 lose nothing, and status names a tolerance of 2',
  async (t) => {
    await loseEach(t, [...combinations(6, 1), ...combinations(6, 2)], AMONG, 2, STRIDE);
  },
);

test.serial('P9: six members with three journal copies among them: ways to lose 3 or 4 survive or lose as placement says', async (t) => {
  await loseEach(t, [...combinations(6, 3), ...combinations(6, 4)], AMONG, 2, STRIDE);
});
