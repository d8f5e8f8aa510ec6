import test from 'ava';
import { MemberErrors } from '../../src/engine/member-errors.js';
import type { ArrayState } from '../../src/engine/array-state.js';
import type { Journal } from '../../src/journal/journal.js';
import type { Member } from '../../src/member/member-api.js';
import { ManualClock } from '../nbd/manual-clock.js';
import { LogLines } from './log-lines.js';

const HOUR_MS = 3_600_000;

/** One member, of which the test says what errors it gave. */
class OneMember {
  readonly clock = new ManualClock();
  readonly log = new LogLines();
  readonly failed: string[] = [];
  spare = true;
  readonly member = {
    index: 0,
    state: 'online',
    device: { path: 'disk' },
    readErrors: 0,
    checksumErrors: 0,
    openErrors: 0,
    ringDamageSeq: 0,
  } as unknown as Member;
  readonly errors: MemberErrors;
  readonly #state: ArrayState;

  constructor() {
    const state = { present: () => [this.member], integrity: [{ lost: { count: 0 } }] } as unknown as ArrayState;
    const fail = async (member: Member, error: Error): Promise<void> => {
      this.failed.push(error.message);
      member.state = 'failed';
      Object.assign(state, { present: () => [] });
    };
    this.#state = state;
    this.errors = new MemberErrors(state, { tailSeq: 5 } as Journal, this.clock, this.log, { fail, maySpare: () => this.spare });
    this.errors.look();
  }

  /** A stripe task meets blocks that do not fit their checksums. */
  meets(checksums: number, torn: boolean): void {
    Object.assign(this.#state, { shape: { dataMembers: 1 }, members: [this.member] });
    const none = Uint32Array.of(0);
    const met = { readErrors: none, writeErrors: none, writeErrno: Int32Array.of(0), repairs: none };
    this.errors.account({ ...met, checksumErrors: Uint32Array.of(checksums) }, torn);
    this.errors.look();
  }

  gives(checksums: number, open: number): void {
    this.member.checksumErrors += checksums;
    this.member.openErrors += open;
    this.errors.look();
  }

  get counted(): boolean {
    return this.errors.whyDoubted(this.member) === null;
  }
}

test('a few errors that were repaired are in the log, and the member still counts; ten within the hour end that for good', (t) => {
  const one = new OneMember();
  one.gives(9, 0);
  t.true(one.counted);
  t.is(one.log.lines.length, 1);
  one.gives(1, 0);
  t.false(one.counted);
  t.regex(one.errors.whyDoubted(one.member) ?? '', /^10 checksum errors and 0 read errors$/);
  one.clock.advance(1000 * HOUR_MS);
  one.errors.look();
  t.false(one.counted, 'nobody has looked at the rest of it');
});

test('repaired errors that come slowly never cost a member its place, nor its credit', (t) => {
  const one = new OneMember();
  for (let hours = 0; hours < 400; hours += 4) {
    one.gives(5, 0);
    one.clock.advance(4 * HOUR_MS);
  }
  t.is(one.member.checksumErrors, 500);
  t.true(one.counted);
  t.deepEqual(one.failed, []);
});

test('one error that could not be repaired is enough not to count on the member', (t) => {
  const one = new OneMember();
  one.gives(1, 1);
  t.regex(one.errors.whyDoubted(one.member) ?? '', /1 checksum error and 0 read errors, 1 of them not repaired/);
  t.deepEqual([...one.errors.doubted()], [0]);
});

test('more wrong blocks within the hour than decay brings fail the member; spread over days they do not', (t) => {
  const fast = new OneMember();
  fast.gives(255, 255);
  t.deepEqual(fast.failed, []);
  fast.gives(1, 1);
  t.deepEqual(fast.failed, ['256 checksum errors and 0 read errors, 256 of them not repaired']);
  const slow = new OneMember();
  for (let hours = 0; hours < 100; hours += 2) {
    slow.gives(150, 150);
    slow.clock.advance(2 * HOUR_MS);
  }
  t.deepEqual(slow.failed, []);
  const repaired = new OneMember();
  repaired.gives(1023, 0);
  t.deepEqual(repaired.failed, [], 'repaired errors weigh a quarter');
  repaired.gives(1, 0);
  t.is(repaired.failed.length, 1);
});

test('a member that the array cannot do without is not failed for its errors, until it can', (t) => {
  const one = new OneMember();
  one.spare = false;
  one.gives(1000, 1000);
  t.deepEqual(one.failed, []);
  t.true(one.errors.stays(one.member));
  one.spare = true;
  one.errors.look();
  t.is(one.failed.length, 1);
});

test('errors are in the log at the first one and at each power of ten', (t) => {
  const one = new OneMember();
  one.spare = false;
  for (let i = 0; i < 1000; i++) one.gives(1, 0);
  t.deepEqual(
    one.log.lines.map((line) => line.match(/(\d+) checksum/)?.[1]),
    ['1', '10', '100', '1000'],
  );
});

test('a copy of the ring with damage does not count until its segment has left the ring', (t) => {
  const one = new OneMember();
  one.member.ringDamageSeq = 5;
  one.gives(1, 0);
  t.regex(one.errors.whyDoubted(one.member) ?? '', /copy of the ring/);
  one.member.ringDamageSeq = 4;
  t.true(one.counted);
});

test('blocks of rows that a crash may have torn are no errors of a member when they do not fit their checksums; others are', (t) => {
  const one = new OneMember();
  one.meets(300, true);
  t.true(one.counted);
  t.is(one.member.checksumErrors, 0);
  t.deepEqual(one.log.lines, []);
  one.meets(1, false);
  t.false(one.counted);
  t.is(one.member.checksumErrors, 1);
});
