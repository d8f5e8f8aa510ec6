import { EXIT, KeelsonError } from '../base/errors.js';
import type { Superblock } from '../member/member-api.js';
import { newUuid } from '../member/uuid.js';
import type { ArrayEngine } from './array-engine.js';
import { clearMemberAlarms, describePlace, isAtPath } from './member-names.js';

/*
 * What a device that is to be overwritten may hold. A member that is absent or failed may be the only one that has some block, now or when more members fail: its device is given up
 * only by name (--give-up M), whatever else is insisted on.
 */

/**
 * Throws MEMBER_LISTED (exit 3) when the path is that of another member of the running array, unless that one is not in use and is given up: then its device is closed and its
 * content forgotten.
 */
export async function refuseOtherMember(engine: ArrayEngine, index: number, path: string, givenUp: number | null): Promise<void> {
  for (const member of engine.state.members) {
    if (!member || member.index === index || !isAtPath(engine.parts.provider, member.device, path)) continue;
    if (member.state !== 'failed') {
      throw new KeelsonError('MEMBER_LISTED', `${path} is member ${member.index} of this array, ${member.state}`, {
        expected: 'a device that is no member',
        action: 'use another device',
        exit: EXIT.refused,
      });
    }
    refuseUnlessGivenUp(engine, member.index, path, givenUp);
    await forgetMember(engine, member.index);
  }
}

/** The same for a device by what it bears. Of a former member, which no table lists any more, nobody expects anything. */
export async function refuseListedMember(
  engine: ArrayEngine,
  index: number,
  superblock: Superblock,
  path: string,
  givenUp: number | null,
): Promise<void> {
  const listed = engine.state.records.find(({ uuid }) => uuid === superblock.memberUuid);
  if (listed === undefined) return;
  if (listed.index === index) return refuseOnlyCopy(engine, index, path, givenUp);
  refuseUnlessGivenUp(engine, listed.index, path, givenUp);
  await forgetMember(engine, listed.index);
}

/** Throws WOULD_LOSE_DATA (exit 3) when the member's own device is to be overwritten and may have what nobody else has. */
export async function refuseOnlyCopy(engine: ArrayEngine, index: number, path: string, givenUp: number | null): Promise<void> {
  const { state, rebuild } = engine;
  if (givenUp === index || index >= state.shape.dataMembers) return;
  const healthy = state.members[index]?.state === 'online';
  const others = state.lostDataMembers().filter((lost) => lost !== index).length;
  // The rebuild gets everything from the others.
  if (!healthy && others < state.geometry.m && state.untrustedStripes === 0) return;
  const blocks = healthy ? 0 : await rebuild.blocksLostWithout(index);
  if (!healthy && blocks === 0) return;
  throw new KeelsonError(
    'WOULD_LOSE_DATA',
    `${path} is member ${index} itself, and ${healthy ? 'whole' : 'may have what nobody else has'}`,
    {
      found: healthy
        ? 'a member that is online: rewriting it in place gives a healthy copy up'
        : `${blocks} blocks that neither the other members nor journal and backup have at this moment`,
      expected: 'another device; this one as it is until the new one is whole',
      action: `use another device and keep this one, or insist with --give-up ${index}`,
      exit: EXIT.refused,
    },
  );
}

function refuseUnlessGivenUp({ state }: ArrayEngine, listed: number, path: string, givenUp: number | null): void {
  if (givenUp === listed) return;
  const record = state.records[listed] as (typeof state.records)[number];
  const { uuid, role } = record;
  throw new KeelsonError('MEMBER_LISTED', `${path} holds member ${listed} of this array, perhaps its only copy`, {
    found: `${role} member ${listed} (${describePlace(state.paths[listed] as string, uuid)}), ${state.members[listed]?.state ?? record.state}`,
    expected: 'a device that no member table lists',
    action: `use another device; or, when the content of member ${listed} is not wanted any more, add --give-up ${listed}`,
    exit: EXIT.refused,
  });
}

/** The member's content is given up: no table lists the UUID any more, so that no device that bears it is ever taken for the member. */
async function forgetMember(engine: ArrayEngine, index: number): Promise<void> {
  const { state, parts } = engine;
  const old = state.members[index];
  if (old) {
    await engine.failureRecorded(old);
    await engine.quiesceStripes();
    await old.device.close();
  }
  const record = state.records[index] as (typeof state.records)[number];
  parts.log.warn({ member: index, uuid: record.uuid }, 'the content of a member is given up by hand');
  state.records[index] = { ...record, uuid: newUuid(parts.random), state: 'failed', rebuiltStripes: 0 };
  state.members[index] = null;
  clearMemberAlarms(state, index);
  state.raise(
    `MEMBER_FAILED_${index}`,
    `member ${index} was given up by hand: its device is used for another member`,
    `keelson replace ${index} NEW-DEVICE`,
  );
  await engine.checkpointer.fence();
}
