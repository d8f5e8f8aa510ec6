import test from 'ava';
import { combinations } from '../engine/loss-scenario.js';
import { AMONG, loseEach } from '../engine/loss-ways.js';

/* The array of files with its repository in a directory, every way to lose members one after the other: no root and no package, only time. */

test.serial(
  'P4, P5, P8: each of the 70 ways to lose 4 of 8 members (4+2, two journal members) while writes go on loses no acknowledged write',
  async (t) => {
    await loseEach(t, combinations(8, 4), {}, 4);
  },
);

test.serial(
  'P9: of the 56 ways to lose 5 of 8 members each loses exactly the undrained blocks without a copy, and reads nothing stale',
  async (t) => {
    await loseEach(t, combinations(8, 5), {}, 4);
  },
);

test.serial(
  'P8: six members with three journal copies among them: each way to lose 1 or 2 loses nothing, and status names a tolerance of 2',
  async (t) => {
    await loseEach(t, [...combinations(6, 1), ...combinations(6, 2)], AMONG, 2);
  },
);

test.serial(
  'P9: six members with three journal copies among them: each way to lose 3 or 4 survives or loses as placement says',
  async (t) => {
    await loseEach(t, [...combinations(6, 3), ...combinations(6, 4)], AMONG, 2);
  },
);
