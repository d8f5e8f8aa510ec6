import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import type { Device, DeviceProvider } from '../device/device.js';
import { syncDevice } from '../device/promise-io.js';
import type { SlabRegion } from '../memory/slab-region.js';
import { type CheckpointTarget, eraseCheckpoints, readNewestCheckpoint, writeCheckpoint } from './checkpoint-io.js';
import type { Checkpoint, Member, MemberState, Superblock } from './member-api.js';
import { readSuperblock, refuseShrunk, writeSuperblock } from './superblock-io.js';

/** Smallest memory for the functions here: both superblock pairs, or a checkpoint header. More makes reading a large checkpoint faster. */
export const MEMBER_REGION_BYTES = 65_536;

/** What is at one configured path. device is null when it cannot be opened; superblock when it is none of ours or damaged; error says why. */
export interface FoundMember {
  readonly path: string;
  readonly device: Device | null;
  readonly superblock: Superblock | null;
  /** Newest whole checkpoint on it; null with a superblock: both slots are unusable, checkpointError says why. */
  readonly checkpoint: Checkpoint | null;
  readonly checkpointError: KeelsonError | null;
  readonly error: KeelsonError | null;
}

/**
 * Opens a device and reads what makes it a member. Never rejects: what is wrong is in the result. The device stays open (and held) unless it could not be opened;
 * whoever does not use it closes it.
 */
export async function openMember(provider: DeviceProvider, path: string, region: SlabRegion, readOnly = false): Promise<FoundMember> {
  let device: Device;
  try {
    device = await provider.open(path, { readOnly });
  } catch (error) {
    return {
      path,
      device: null,
      superblock: null,
      checkpoint: null,
      checkpointError: null,
      error: KeelsonError.from(error, 'DEVICE_OPEN'),
    };
  }
  let superblock: Superblock;
  try {
    // What a process wrote just before it died may be in the device's cache alone. It is read here and built upon, so it must not be gone after a power failure:
    // a superblock that falls back behind epochs that were raised because of it would be stale for good.
    if (!readOnly) await syncDevice(device);
    superblock = await readSuperblock(device, region);
    refuseShrunk(device, superblock);
  } catch (error) {
    return { path, device, superblock: null, checkpoint: null, checkpointError: null, error: KeelsonError.from(error) };
  }
  try {
    const target = { device, layout: superblock.layout };
    const checkpoint = await readNewestCheckpoint(target, superblock.shape, region);
    return { path, device, superblock, checkpoint, checkpointError: null, error: null };
  } catch (error) {
    return { path, device, superblock, checkpoint: null, checkpointError: KeelsonError.from(error), error: null };
  }
}

/**
 * Makes a device a member: checkpoint, both superblock slots at both ends (so that nothing older is left in any place), all durable when it resolves.
 * Instant whatever the size: the zones are not initialised. The superblock given has a generation of 1 or more; the slot of the generation
 * before it gets the same contents. Rejects with DEVICE_WRITE or DEVICE_SYNC.
 */
export async function writeNewMember(device: Device, superblock: Superblock, checkpoint: Checkpoint, region: SlabRegion): Promise<void> {
  assert(superblock.generation >= 1, 'a new superblock has a generation of at least 1');
  const target: CheckpointTarget = { device, layout: superblock.layout };
  await eraseCheckpoints(target, region);
  const [failed] = await writeCheckpoint([target], checkpoint, superblock.shape.arrayUuid, region);
  if (failed) throw failed;
  await writeSuperblock(device, { ...superblock, generation: superblock.generation - 1 }, region);
  await writeSuperblock(device, superblock, region);
}

/** The running array's record of an open member. */
export function makeMember(device: Device, superblock: Superblock, state: MemberState, rebuiltStripes: number): Member {
  return {
    index: superblock.index,
    role: superblock.role,
    device,
    superblock,
    nextSuperblock: null,
    state,
    rebuiltStripes,
    durableStripes: rebuiltStripes,
    readErrors: 0,
    writeErrors: 0,
    checksumErrors: 0,
    openErrors: 0,
    ringDamageSeq: 0,
  };
}

/** A member as assembly found it: its newest whole checkpoint, null when it has none. */
export interface LaggingMember {
  readonly member: Member;
  readonly checkpoint: Checkpoint | null;
}

/**
 * Ends a bump that a crash interrupted, before the next one begins: the newest checkpoint, as it is, and then its epoch, on the members that missed them. Without it the next bump
 * could leave some of these members two epochs behind others, which is stale; and its checkpoint would go over the only whole one of a member whose other slot is torn.
 * results[i] is null, or what failed on members[i].
 */
export async function finishRaise(
  members: readonly LaggingMember[],
  newest: Checkpoint,
  region: SlabRegion,
): Promise<(KeelsonError | null)[]> {
  const results: (KeelsonError | null)[] = members.map(() => null);
  const lagging = members.filter(
    ({ checkpoint }) =>
      checkpoint === null ||
      checkpoint.epoch < newest.epoch ||
      (checkpoint.epoch === newest.epoch && checkpoint.generation < newest.generation),
  );
  if (lagging.length > 0) {
    const written = await writeCheckpoint(
      lagging.map(({ member: { device, superblock } }) => ({ device, layout: superblock.layout })),
      newest,
      (lagging[0] as LaggingMember).member.superblock.shape.arrayUuid,
      region,
    );
    for (const [i, member] of lagging.entries()) results[members.indexOf(member)] = written[i] ?? null;
  }
  for (const [i, { member }] of members.entries()) {
    if (results[i] !== null || member.superblock.epoch >= newest.epoch) continue;
    results[i] = await writeEpoch(member, newest.epoch, region);
  }
  return results;
}

async function writeEpoch(member: Member, epoch: number, region: SlabRegion): Promise<KeelsonError | null> {
  const superblock = { ...member.superblock, epoch, generation: member.superblock.generation + 1 };
  member.nextSuperblock = superblock;
  try {
    await writeSuperblock(member.device, superblock, region);
    member.superblock = superblock;
    return null;
  } catch (error) {
    return KeelsonError.from(error);
  } finally {
    member.nextSuperblock = null;
  }
}

/**
 * Raises the array's epoch on every member given: the checkpoint (which carries the new epoch and the member table) first, then the superblock, both durable.
 * Members that lag behind are brought up before the others are touched, so that after a crash no two of them are ever more than one epoch apart:
 * membership.ts takes a member that is one behind for an interrupted bump. No write may be accepted before this resolves without failures.
 * results[i] is null, or what failed on members[i]; that member is to be left out and the epoch raised again.
 */
export async function raiseEpoch(members: readonly Member[], checkpoint: Checkpoint, region: SlabRegion): Promise<(KeelsonError | null)[]> {
  const results: (KeelsonError | null)[] = members.map(() => null);
  const epochs = [...new Set(members.map((member) => member.superblock.epoch))].sort((a, b) => a - b);
  for (const epoch of epochs) {
    assert(epoch <= checkpoint.epoch, 'epochs only rise');
    const lagging = members.filter((member) => member.superblock.epoch === epoch);
    const written = await writeCheckpoint(
      lagging.map(({ device, superblock }) => ({ device, layout: superblock.layout })),
      checkpoint,
      (lagging[0] as Member).superblock.shape.arrayUuid,
      region,
    );
    for (const [i, member] of lagging.entries()) {
      const at = members.indexOf(member);
      results[at] = written[i] ?? null;
      if (results[at] !== null) continue;
      results[at] = await writeEpoch(member, checkpoint.epoch, region);
    }
  }
  return results;
}

/**
 * Reads the superblock again and throws EPOCH_FENCED when it is no longer what this process wrote: another one has taken the member over.
 * SUPERBLOCK_LOST when it is an older one of ours. Rejects with the read error when it cannot be read.
 */
export async function verifyEpoch(member: Member, region: SlabRegion): Promise<void> {
  const before = member.nextSuperblock;
  const now = await readSuperblock(member.device, region);
  const ours = member.superblock;
  const written = [ours, before, member.nextSuperblock];
  if (
    written.some((one) => one !== null && now.memberUuid === one.memberUuid && now.epoch === one.epoch && now.generation === one.generation)
  )
    return;
  if (now.memberUuid === ours.memberUuid && now.epoch <= ours.epoch && now.generation <= ours.generation) {
    // The device acknowledged our last superblock and lost it: nobody else was here.
    throw new KeelsonError('SUPERBLOCK_LOST', `${member.device.path} lost a superblock that it had taken`, {
      found: `epoch ${now.epoch}, generation ${now.generation}`,
      expected: `epoch ${ours.epoch}, generation ${ours.generation}`,
      action: 'the next change of the membership writes it again; replace the device if it happens more often',
    });
  }
  throw new KeelsonError('EPOCH_FENCED', `${member.device.path} was taken over by another process`, {
    found: `member ${now.memberUuid}, epoch ${now.epoch}, generation ${now.generation}`,
    expected: `member ${ours.memberUuid}, epoch ${ours.epoch}, generation ${ours.generation}`,
    action: 'stop this process; nothing more is written by it',
  });
}
