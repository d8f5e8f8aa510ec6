import test from 'ava';
import { KeelsonError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import type { FoundMember } from '../../src/member/member.js';
import type { Checkpoint, MemberRecord } from '../../src/member/member-api.js';
import { assessMembership, type Verdict } from '../../src/member/membership.js';
import { newUuid } from '../../src/member/uuid.js';
import { checkpointOf, MEMBER_UUIDS, SHAPE, superblockOf, tableOf } from './array-fixture.js';

const EVERYONE = [0, 1, 2, 3, 4, 5, 6, 7];

function member(index: number, epoch: number, checkpoint: Checkpoint | null = checkpointOf({ epoch })): FoundMember {
  return {
    path: `/dev/member${index}`,
    device: null,
    superblock: superblockOf(index, { epoch }),
    checkpoint,
    checkpointError: checkpoint === null ? new KeelsonError('CHECKPOINT_CORRUPT', 'damaged') : null,
    error: null,
  };
}

function unreadable(path: string): FoundMember {
  return {
    path,
    device: null,
    superblock: null,
    checkpoint: null,
    checkpointError: null,
    error: new KeelsonError('DEVICE_MISSING', 'gone'),
  };
}

function verdictsOf(found: FoundMember[], arrayUuid?: string): Verdict[] {
  return assessMembership(found, arrayUuid).verdicts.map(({ verdict }) => verdict);
}

function table(epoch: number, change: Partial<MemberRecord>[], generation = 1): Checkpoint {
  return checkpointOf({ epoch, generation, members: tableOf(change) });
}

test('members that agree are all usable, and the newest checkpoint counts', (t) => {
  const found = EVERYONE.map((index) =>
    member(index, 4, checkpointOf({ epoch: 4, generation: index === 5 ? 12 : 11, destagedSeq: index })),
  );
  const { verdicts, checkpoint, epoch, missing, shape } = assessMembership(found);
  t.true(verdicts.every(({ verdict, problem }) => verdict === 'usable' && problem === null));
  t.is(checkpoint.destagedSeq, 5);
  t.is(epoch, 4);
  t.deepEqual(missing, []);
  t.deepEqual(shape, SHAPE);
});

test('P10: a member that was away while writes went on is stale, whether the table says so or the epoch', (t) => {
  const now = table(7, [{ index: 2, state: 'missing' }]);
  const found = EVERYONE.map((index) => (index === 2 ? member(2, 6) : member(index, 7, now)));
  t.is(verdictsOf(found)[2], 'stale');
  t.is(assessMembership(found).verdicts[2]?.problem?.code, 'MEMBER_STALE');
  // It carries the epoch of the array although the table calls it failed.
  found[2] = member(2, 7, table(7, [], 0));
  t.is(verdictsOf(found)[2], 'stale');
  found[2] = member(2, 4);
  t.is(verdictsOf(found)[2], 'stale');
  // Two behind, and yet called online: not what one interrupted bump leaves.
  t.is(verdictsOf([member(0, 7), member(1, 7), member(2, 5)])[2], 'stale');
});

test('an epoch bump that a crash interrupted leaves nobody stale, wherever it stopped', (t) => {
  const next = table(8, [{ index: 3, state: 'rebuilding', rebuiltStripes: 5 }]);
  for (let reached = 0; reached <= EVERYONE.length; reached++) {
    const found = EVERYONE.map((index) =>
      index < reached ? member(index, 8, next) : member(index, 7, table(7, [{ index: 3, state: 'rebuilding' }])),
    );
    t.deepEqual(
      verdictsOf(found),
      EVERYONE.map(() => 'usable' as const),
    );
    t.is(assessMembership(found).verdicts[3]?.record?.rebuiltStripes, reached > 0 ? 5 : 0);
  }
  // Between the two steps on one member: its checkpoint is new, its superblock is not.
  const between = { ...member(0, 7), checkpoint: next };
  t.deepEqual(
    verdictsOf([between, ...EVERYONE.slice(1).map((index) => member(index, 7))]),
    EVERYONE.map(() => 'usable' as const),
  );
});

test('P10: an older copy of a member does not pass for one that missed the end of a bump once the bump was completed', (t) => {
  const settled = { ...checkpointOf({ epoch: 5, generation: 9 }), epochSettled: true };
  const found = [member(0, 5, settled), member(1, 5, settled), member(2, 4, checkpointOf({ epoch: 4 }))];
  t.deepEqual(verdictsOf(found).slice(0, 3), ['usable', 'usable', 'stale']);
});

test('a bump that leaves a member out makes it stale as soon as anyone has it', (t) => {
  const without = table(8, [{ index: 6, state: 'failed' }]);
  for (let reached = 1; reached < 6; reached++) {
    const found = EVERYONE.map((index) => (index < reached ? member(index, 8, without) : member(index, 7)));
    t.deepEqual(
      verdictsOf(found),
      EVERYONE.map((index) => (index === 6 ? ('stale' as const) : ('usable' as const))),
    );
  }
});

test('devices that took the same epoch apart from each other: the few are stale, not trusted', (t) => {
  const alone = member(0, 8, table(8, []));
  const others = EVERYONE.slice(1).map((index) => member(index, 8, table(8, [{ index: 0, state: 'missing' }])));
  t.is(verdictsOf([alone, ...others])[0], 'stale');
  t.is(verdictsOf([...others, alone])[7], 'stale');
});

test('without the table of the newest epoch, whoever is behind it is stale', (t) => {
  const found = [member(0, 8, null), ...EVERYONE.slice(1).map((index) => member(index, 7))];
  t.deepEqual(verdictsOf(found), ['usable', ...EVERYONE.slice(1).map(() => 'stale' as const)]);
});

test('missing members are the rows of the table that no device stands for', (t) => {
  const found = [member(0, 3), unreadable('/dev/member1'), member(2, 3), member(3, 3), member(4, 3), member(5, 3)];
  const { missing, verdicts } = assessMembership(found);
  t.is(verdicts[1]?.verdict, 'unreadable');
  t.is(verdicts[1]?.problem?.code, 'DEVICE_MISSING');
  t.deepEqual(
    missing.map(({ index }) => index),
    [1, 6, 7],
  );
});

test('members of another array, of another shape, duplicates and members whose place was given away are refused each by name', (t) => {
  const random = seededRandom(8);
  const foreign = { ...member(0, 9), superblock: superblockOf(0, { epoch: 9, shape: { ...SHAPE, arrayUuid: newUuid(random) } }) };
  const shape = { ...member(1, 3), superblock: superblockOf(1, { epoch: 3, shape: { ...SHAPE, stripes: SHAPE.stripes - 1 } }) };
  const replaced = { ...member(5, 3), superblock: superblockOf(5, { epoch: 3, memberUuid: newUuid(random) }) };
  const twin = { ...member(4, 3), path: '/dev/copy' };
  const { verdicts, epoch } = assessMembership([foreign, shape, member(2, 3), member(3, 3), member(4, 3), twin, replaced]);
  t.deepEqual(
    verdicts.map(({ verdict, problem }) => `${verdict} ${problem?.code ?? ''}`),
    [
      'foreign MEMBER_FOREIGN',
      'foreign MEMBER_SHAPE',
      'usable ',
      'usable ',
      'duplicate MEMBER_DUPLICATE',
      'duplicate MEMBER_DUPLICATE',
      'replaced MEMBER_REPLACED',
    ],
  );
  t.is(epoch, 3, 'the epoch of a foreign array does not count');
});

test('a spare is a spare, whatever epoch it carries', (t) => {
  const now = table(5, [{ index: 7, role: 'spare', state: 'spare' }]);
  t.is(verdictsOf(EVERYONE.map((index) => member(index, index === 7 ? 2 : 5, index === 7 ? null : now)))[7], 'spare');
});

test('no member at all, two arrays of the same size, and members without a checkpoint are refused', (t) => {
  const code = (found: FoundMember[], uuid?: string): string | undefined =>
    t.throws(() => assessMembership(found, uuid), { instanceOf: KeelsonError })?.code;
  t.is(code([]), 'ARRAY_NOT_FOUND');
  t.is(code([unreadable('/dev/a')]), 'ARRAY_NOT_FOUND');
  const other = { ...member(0, 9), superblock: superblockOf(0, { shape: { ...SHAPE, arrayUuid: MEMBER_UUIDS[0] as string } }) };
  t.is(code([other, member(1, 1)]), 'ARRAY_AMBIGUOUS');
  t.is(code([member(1, 1)], MEMBER_UUIDS[0]), 'ARRAY_NOT_FOUND');
  t.is(code([member(0, 2, null), member(1, 2, null)]), 'ARRAY_NO_CHECKPOINT');
  t.deepEqual(verdictsOf([other, member(1, 1)], SHAPE.arrayUuid), ['foreign', 'usable']);
});
