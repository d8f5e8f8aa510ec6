import { EXIT, KeelsonError } from '../base/errors.js';
import type { ArrayShape, Checkpoint, MemberRecord, Superblock } from './member-api.js';
import type { FoundMember } from './member.js';

/**
 * What assembly does with a device:
 * usable     it takes part; online, or rebuilding from record.rebuiltStripes on
 * spare      a spare of this array
 * stale      it was away while writes went on: nothing is read from it, and it is rebuilt when it is taken again
 * replaced   its place in the member table is another device's now
 * foreign    a member of another array, or of another shape
 * duplicate  another device claims to be the same member
 * unreadable no usable superblock, or it cannot be opened
 */
export type Verdict = 'usable' | 'spare' | 'stale' | 'replaced' | 'foreign' | 'duplicate' | 'unreadable';

export interface MemberVerdict {
  readonly found: FoundMember;
  readonly verdict: Verdict;
  /** Its row of the newest member table; null when it has none. */
  readonly record: MemberRecord | null;
  /** null when usable or spare; else why not. */
  readonly problem: KeelsonError | null;
}

export interface Membership {
  readonly shape: ArrayShape;
  /** Highest epoch found; assembly raises it by one. */
  readonly epoch: number;
  /** The newest checkpoint: highest epoch, then highest generation. */
  readonly checkpoint: Checkpoint;
  /** One for each device given, in their order. */
  readonly verdicts: readonly MemberVerdict[];
  /** Rows of the member table of which no usable, spare or stale device was found, failed ones included. */
  readonly missing: readonly MemberRecord[];
}

/**
 * Decides which of the devices found make up the array. Pure. arrayUuid: the array wanted; left out, the one most devices belong to.
 * Throws KeelsonError ARRAY_NOT_FOUND (no superblock of it anywhere), ARRAY_AMBIGUOUS (as many devices of one array as of another),
 * ARRAY_NO_CHECKPOINT (members, but not one whole checkpoint).
 *
 * Epochs: a bump is written to every online member before any write is accepted under it. So a member one epoch behind that the newest table calls online or
 * rebuilding only missed the end of an interrupted bump, and has missed no write: unless a later checkpoint says that the bump was completed (epochSettled), which one is
 * written before any write is accepted. Then it is an old copy of the device. Any other member that is behind is stale.
 */
export function assessMembership(found: readonly FoundMember[], arrayUuid?: string): Membership {
  const uuid = arrayUuid ?? commonestArray(found);
  const bearers = found.filter(({ superblock }) => superblock?.shape.arrayUuid === uuid);
  if (bearers.length === 0) {
    throw new KeelsonError('ARRAY_NOT_FOUND', 'none of the devices is a member of the array', {
      found: found.map((member) => `${member.path}: ${member.error?.message ?? `array ${member.superblock?.shape.arrayUuid}`}`).join('; '),
      expected: arrayUuid === undefined ? 'Keelson members' : `members of array ${arrayUuid}`,
      action: 'correct the paths in the configuration; if there is no array yet: keelson create',
      exit: 5,
    });
  }
  const shapeText = newestShape(bearers);
  const ours = bearers.filter(({ superblock }) => JSON.stringify(superblock?.shape) === shapeText);
  const { shape } = (ours[0] as FoundMember).superblock as Superblock;
  const checkpoint = newestCheckpoint(ours);
  const epoch = Math.max(...ours.map(ownEpoch));
  const verdicts = found.map((member): MemberVerdict => {
    const record = checkpoint.members.find(({ uuid: id }) => id === member.superblock?.memberUuid) ?? null;
    const verdict = (kind: Verdict, problem: KeelsonError | null): MemberVerdict => ({ found: member, verdict: kind, record, problem });
    const { superblock, path } = member;
    if (superblock === null) return verdict('unreadable', member.error);
    if (superblock.shape.arrayUuid !== uuid) {
      return verdict('foreign', refusal('MEMBER_FOREIGN', `${path} belongs to another array`, superblock.shape.arrayUuid, uuid));
    }
    if (JSON.stringify(superblock.shape) !== shapeText) {
      return verdict(
        'foreign',
        refusal('MEMBER_SHAPE', `${path} has another idea of the array`, JSON.stringify(superblock.shape), shapeText),
      );
    }
    const twin = ours.find((other) => other !== member && other.superblock?.memberUuid === superblock.memberUuid);
    if (twin !== undefined) {
      return verdict(
        'duplicate',
        refusal('MEMBER_DUPLICATE', `${path} and ${twin.path} hold the same member`, superblock.memberUuid, 'one device a member'),
      );
    }
    if (record === null || record.index !== superblock.index) {
      return verdict(
        'replaced',
        refusal('MEMBER_REPLACED', `${path} is no longer a member`, `member ${superblock.memberUuid}`, 'a member that the table lists'),
      );
    }
    return epochVerdict(member, record, checkpoint, epoch, verdict);
  });
  const there = new Set(
    verdicts.filter(({ verdict }) => verdict === 'usable' || verdict === 'spare' || verdict === 'stale').map(({ record }) => record?.uuid),
  );
  return { shape, epoch, checkpoint, verdicts, missing: checkpoint.members.filter(({ uuid: id }) => !there.has(id)) };
}

/**
 * Throws where nobody can say which device is the member, before anything is written: MEMBER_DUPLICATE (two devices bear one member: a copy, or one device by two names) and
 * ARRAY_SPLIT (two parts of the array were each served without the other, so that each may have writes which the other does not know).
 */
export function refuseDoubtful({ verdicts, checkpoint }: Membership): void {
  const twins = verdicts.filter(({ verdict }) => verdict === 'duplicate');
  if (twins.length > 0) {
    throw new KeelsonError('MEMBER_DUPLICATE', `${twins.map(({ found }) => found.path).join(' and ')} hold the same member`, {
      found: twins
        .map(({ found, record }) => `${found.path}: member ${record?.index ?? found.superblock?.index}, ${found.superblock?.memberUuid}`)
        .join('; '),
      expected: 'one device a member',
      action:
        'if one is a copy of the other (a clone, a snapshot, the old disk after ddrescue), write the path of the member that belongs there in the place of the one that is not to be used; if they are one device by two names, do so for one of the names. Nothing was written',
      exit: EXIT.refused,
    });
  }
  const apart = verdicts.filter(({ found, verdict }) => verdict === 'stale' && servedApart(found.checkpoint, checkpoint));
  if (apart.length === 0) return;
  const others = verdicts.filter(({ verdict }) => verdict === 'usable');
  throw new KeelsonError('ARRAY_SPLIT', 'two parts of this array were each served without the other', {
    found: `${apart.map(({ found }) => found.path).join(', ')} went on without members that ${others.map(({ found }) => found.path).join(', ')} went on with`,
    expected: 'members with one history',
    action:
      'find out which part has the writes that count; take the devices of the other part out of this host (keep them), start, and replace those members with new devices. Nothing was written',
    exit: EXIT.refused,
  });
}

/**
 * What is failed or missing never becomes a member again under the same UUID. So a table that calls a member lost which the newest one calls there is of another history; unless it
 * is of a bump of the epoch that was never completed, under which nothing was written.
 */
function servedApart(own: Checkpoint | null, newest: Checkpoint): boolean {
  if (own === null || own.epochSettled !== true) return false;
  const there = new Set(newest.members.filter(({ state }) => isThere(state)).map(({ uuid }) => uuid));
  return own.members.some(({ uuid, state }) => (state === 'failed' || state === 'missing') && there.has(uuid));
}

function isThere(state: MemberRecord['state']): boolean {
  return state === 'online' || state === 'rebuilding';
}

function epochVerdict(
  member: FoundMember,
  record: MemberRecord,
  checkpoint: Checkpoint,
  epoch: number,
  verdict: (kind: Verdict, problem: KeelsonError | null) => MemberVerdict,
): MemberVerdict {
  if (record.state === 'spare') return verdict('spare', null);
  const own = ownEpoch(member);
  const stale = (found: string, expected: string): MemberVerdict =>
    verdict(
      'stale',
      refusal(
        'MEMBER_STALE',
        `${member.path} was away while the array went on`,
        found,
        expected,
        `keelson replace ${record.index} ${member.path}: it is rebuilt as a whole`,
      ),
    );
  if (record.state === 'failed' || record.state === 'missing') return stale(`state ${record.state} at epoch ${checkpoint.epoch}`, 'online');
  if (own === epoch) return verdict('usable', null);
  // Without the table of the newest epoch nobody knows who was left out of it.
  if (checkpoint.epoch === epoch && own === epoch - 1 && checkpoint.epochSettled !== true) return verdict('usable', null);
  return stale(`epoch ${own}`, `epoch ${epoch}`);
}

/** A bump writes the checkpoint first: either of the two may be ahead. */
function ownEpoch({ superblock, checkpoint }: FoundMember): number {
  return Math.max(superblock?.epoch ?? 0, checkpoint?.epoch ?? 0);
}

function refusal(code: string, message: string, found: string, expected: string, action?: string): KeelsonError {
  return new KeelsonError(code, message, action === undefined ? { found, expected } : { found, expected, action });
}

function commonestArray(found: readonly FoundMember[]): string {
  const counts = new Map<string, number>();
  for (const { superblock } of found) {
    if (superblock !== null) counts.set(superblock.shape.arrayUuid, (counts.get(superblock.shape.arrayUuid) ?? 0) + 1);
  }
  const ranked = [...counts].sort(([, a], [, b]) => b - a);
  const [first, second] = ranked;
  if (first !== undefined && second !== undefined && first[1] === second[1]) {
    throw new KeelsonError('ARRAY_AMBIGUOUS', 'the devices belong to different arrays', {
      found: ranked.map(([uuid, count]) => `${count} of array ${uuid}`).join(', '),
      expected: 'members of one array',
      action: 'take the other array out of the configuration',
      exit: EXIT.refused,
    });
  }
  return first?.[0] ?? '';
}

/**
 * Highest epoch, then highest generation. Two different ones can tie: a bump that reached only devices which were then away at the next assembly, so that the others
 * took the same numbers again. The one that more devices hold wins, then the one that calls fewer of them online: the others are stale rather than trusted.
 */
function newestCheckpoint(ours: readonly FoundMember[]): Checkpoint {
  let newest: Checkpoint | null = null;
  for (const { checkpoint } of ours) {
    if (checkpoint === null) continue;
    if (newest === null || compareCheckpoints(checkpoint, newest, ours) > 0) newest = checkpoint;
  }
  if (newest !== null) return newest;
  throw new KeelsonError('ARRAY_NO_CHECKPOINT', 'not one of the members holds a whole checkpoint', {
    found: ours.map(({ path, checkpointError }) => `${path}: ${checkpointError?.describe() ?? 'none'}`).join('; '),
    action: 'keelson inspect DEVICE shows what a member still holds',
    exit: 5,
  });
}

function compareCheckpoints(a: Checkpoint, b: Checkpoint, ours: readonly FoundMember[]): number {
  if (a.epoch !== b.epoch) return a.epoch - b.epoch;
  if (a.generation !== b.generation) return a.generation - b.generation;
  const table = (checkpoint: Checkpoint): string => JSON.stringify(checkpoint.members);
  const holders = (checkpoint: Checkpoint): number =>
    ours.filter(
      ({ checkpoint: other }) =>
        other?.epoch === checkpoint.epoch && other.generation === checkpoint.generation && table(other) === table(checkpoint),
    ).length;
  const online = (checkpoint: Checkpoint): number => checkpoint.members.filter(({ state }) => state === 'online').length;
  return holders(a) - holders(b) || online(b) - online(a);
}

/**
 * The shape, as text, of the devices with the highest epoch; of several the one that most have. A restore keeps the array's UUID and makes another shape (createdAt), with
 * an epoch beyond all that its former members can have: whichever of these are found with the new ones, and however many, none of them has a say.
 */
function newestShape(bearers: readonly FoundMember[]): string {
  const shapes = new Map<string, { epoch: number; count: number }>();
  for (const member of bearers) {
    const text = JSON.stringify(member.superblock?.shape);
    const { epoch, count } = shapes.get(text) ?? { epoch: 0, count: 0 };
    shapes.set(text, { epoch: Math.max(epoch, ownEpoch(member)), count: count + 1 });
  }
  const [newest] = [...shapes].sort(([, a], [, b]) => b.epoch - a.epoch || b.count - a.count);
  return newest?.[0] ?? '';
}
