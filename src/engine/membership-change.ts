import { EXIT, KeelsonError } from '../base/errors.js';
import type { Bytes } from '../base/units.js';
import type { Device } from '../device/device.js';
import { forgetFormerRing } from '../journal/former-member.js';
import { makeMember, writeNewMember } from '../member/member.js';
import type { IntegrityTable } from '../member/integrity.js';
import type { Checkpoint, Member, MemberRecord, MemberRole, Superblock } from '../member/member-api.js';
import { newUuid } from '../member/uuid.js';
import type { ArrayEngine } from './array-engine.js';
import { memberPaths } from './assemble.js';
import { layoutOf } from './create.js';
import { refuseListedMember, refuseOnlyCopy, refuseOtherMember } from './held-content.js';
import { clearMemberAlarms, isAtPath, memberNamed, raiseRebuilding } from './member-names.js';
import { checkNewDevice, NewDevice } from './new-device.js';
import { replaceOnline, type Successor } from './online-replacement.js';
import { computeTolerance } from './tolerance.js';

/** Fails a member by hand. Refuses (exit 3) when that could lose acknowledged data, unless force. */
export async function failByHand(
  engine: ArrayEngine,
  name: string,
  force: boolean,
  reason = new KeelsonError('FAILED_BY_HAND', 'failed by hand'),
): Promise<void> {
  const { state } = engine;
  const index = named(engine, name);
  const member = state.members[index];
  if (!member || member.state === 'failed') return;
  // Its own errors lower the figure already, and it is the one that goes.
  const others = engine.errors.doubted();
  others.delete(index);
  const tolerance = computeTolerance(engine, others);
  if (tolerance.devices === 0 && !force) {
    throw new KeelsonError('WOULD_LOSE_DATA', `failing member ${index} could lose acknowledged writes`, {
      found: tolerance.because,
      expected: 'a tolerance of at least one device',
      action: 'drain and wait for the rebuild first, or insist with --force',
      exit: EXIT.refused,
    });
  }
  await engine.failMember(member, reason);
}

export interface ReplaceOptions {
  /** What the device holds is given up, other than a member of this array. */
  readonly force?: boolean;
  /** Index, UUID or path of the member whose content is given up: the device bears it, or is the member's own. */
  readonly giveUp?: string;
}

/**
 * Puts a new device in a member's place: superblock and checkpoint, then the epoch is raised so that the old device is stale, then its content is
 * rebuilt in the background (engine.rebuild). Refuses devices that hold anything other than this array's own former members, unless force, and whatever the flags those that may
 * be the only copy of a member which is not given up by name (held-content.ts). A device that does not become a member is as it was before, and a file that was made for it is gone.
 * Resolves to the new member. One device is taken in at a time.
 */
export async function replaceMember(engine: ArrayEngine, name: string, path: string, options: ReplaceOptions = {}): Promise<Member> {
  const index = named(engine, name);
  const givenUp = options.giveUp === undefined ? null : named(engine, options.giveUp);
  const admitted = await engine.replacements.inTurn(() => replaceNow(engine, index, path, givenUp, options.force === true));
  return admitted instanceof CopyTarget ? copyWhole(engine, admitted) : admitted;
}

/** A device that was admitted in the place of a member that is online: it is filled from that first. */
class CopyTarget {
  readonly fresh: NewDevice;
  readonly successor: Successor;

  constructor(fresh: NewDevice, successor: Successor) {
    this.fresh = fresh;
    this.successor = successor;
  }
}

/** The target takes the place when it is whole; it is rebuilt like any other device when the member fails meanwhile, and is no member when it fails itself. */
async function copyWhole(engine: ArrayEngine, { fresh, successor }: CopyTarget): Promise<Member> {
  const { state, parts } = engine;
  const { old, device } = successor;
  try {
    const member = await replaceOnline(engine, successor);
    if (member === null) {
      return await engine.replacements.inTurn(async () => {
        await giveUp(engine, old.index, device.path);
        return await install(engine, old.index, fresh, device);
      });
    }
    await retire(engine, old.device);
    engine.afterMembershipChange();
    return member;
  } catch (error) {
    if (!fresh.isDeviceOf(state.members[old.index])) await fresh.takeBack(parts.provider, parts.plan.admission);
    throw error;
  } finally {
    engine.replacements.taking.delete(old.index);
  }
}

async function replaceNow(
  engine: ArrayEngine,
  index: number,
  path: string,
  givenUp: number | null,
  force: boolean,
): Promise<Member | CopyTarget> {
  const { state, parts } = engine;
  const { role } = state.records[index] as MemberRecord;
  refuseWhileCopied(engine, index);
  const sizes = layoutOf(state.shape, role, Number.MAX_SAFE_INTEGER);
  const bytes = sizes.dataOffset + sizes.dataBytes + 8192;
  await refuseOtherMember(engine, index, path, givenUp);
  const fresh = new NewDevice(parts.provider, path, fileBytes(engine, role, bytes), parts.settings.file);
  const old = state.members[index];
  const same = old !== null && old !== undefined && isAtPath(parts.provider, old.device, path);
  // The device is tried before the old one is given up, unless it is the same one.
  try {
    if (same) {
      await refuseOnlyCopy(engine, index, path, givenUp);
      await giveUp(engine, index, path);
    }
    const device = await fresh.open(parts.provider);
    const superblock = await checkNewDevice(fresh, device, { bytes, arrayUuid: state.shape.arrayUuid, force }, parts.plan.admission);
    if (superblock !== null && !same) await refuseListedMember(engine, index, superblock, path, givenUp);
    // It is filled from the member while that stays in use; one that its own command gives up is not worth it.
    if (!same && old?.state === 'online' && givenUp !== index) return await admitCopy(engine, old, fresh, device);
    if (!same) await giveUp(engine, index, path);
    return await install(engine, index, fresh, device);
  } catch (error) {
    if (!fresh.isDeviceOf(state.members[index])) await fresh.takeBack(parts.provider, parts.plan.admission);
    throw error;
  }
}

/** It bears a UUID of this array that no table lists until it is whole: after a crash it is taken again like a former member. */
async function admitCopy(engine: ArrayEngine, old: Member, fresh: NewDevice, device: Device): Promise<CopyTarget> {
  const { index, role } = old;
  const superblock = newSuperblock(engine, index, device);
  const record: MemberRecord = { index, uuid: superblock.memberUuid, role, state: 'online', rebuiltStripes: 0 };
  const checkpoint = (): Checkpoint => firstCheckpoint(engine, record);
  await fresh.take(device, superblock.layout, engine.parts.plan.admission);
  await forgetRing(engine, index, device, superblock);
  await writeNewMember(device, superblock, checkpoint(), engine.parts.plan.admission);
  engine.replacements.taking.set(index, device.path);
  return new CopyTarget(fresh, { old, device, superblock, checkpoint });
}

function refuseWhileCopied(engine: ArrayEngine, index: number): void {
  const path = engine.replacements.taking.get(index);
  if (path === undefined) return;
  throw new KeelsonError('MEMBER_CHANGING', `member ${index} is being copied to ${path} already`, {
    expected: 'one new device for a member at a time',
    action: `wait until it is whole (keelson status); when the old device is not worth waiting for, keelson fail ${index}: then the new one is rebuilt from the others`,
  });
}

function newSuperblock({ state, parts }: ArrayEngine, index: number, device: Device): Superblock {
  const { role } = state.records[index] as MemberRecord;
  return {
    shape: state.shape,
    memberUuid: newUuid(parts.random),
    index,
    role,
    layout: layoutOf(state.shape, role, device.sizeBytes),
    epoch: state.epoch,
    generation: 1,
  };
}

/** The device becomes the member; what it is to hold is copied or rebuilt after that. */
async function install(engine: ArrayEngine, index: number, fresh: NewDevice, device: Device): Promise<Member> {
  const { state, journal, parts } = engine;
  const { role } = state.records[index] as MemberRecord;
  const superblock = newSuperblock(engine, index, device);
  await fresh.take(device, superblock.layout, parts.plan.admission);
  const member = makeMember(device, superblock, role === 'journal' ? 'online' : 'rebuilding', 0);
  const record: MemberRecord = { index, uuid: superblock.memberUuid, role, state: member.state, rebuiltStripes: 0 };
  const position = state.journalPositions().indexOf(index);
  await forgetRing(engine, index, device, superblock);
  await writeNewMember(device, superblock, firstCheckpoint(engine, record), parts.plan.admission);
  // Not before: a device that failed meanwhile is no member, and no table may name it.
  state.records[index] = record;
  state.members[index] = member;
  state.paths[index] = device.path;
  if (index < state.shape.dataMembers)
    (state.integrity[index] as IntegrityTable).moveTo({ arrayUuid: state.shape.arrayUuid, memberUuid: superblock.memberUuid, index });
  await engine.checkpointer.fence();
  // Only now: a journal copy on a device that no member table names yet would be lost in a crash.
  if (position >= 0) {
    journal.members[position] = member;
    journal.revive();
    await engine.checkpointer.recordRing();
  }
  // It may have failed in the same rounds.
  if (role === 'journal' && member.state === 'online') clearMemberAlarms(state, index);
  if (member.state === 'rebuilding') raiseRebuilding(state, index);
  engine.afterMembershipChange();
  return member;
}

async function forgetRing({ state, journal, parts }: ArrayEngine, index: number, device: Device, { layout }: Superblock): Promise<void> {
  if (!state.journalPositions().includes(index)) return;
  const { segmentBlocks, slots, arrayTag } = journal;
  await forgetFormerRing(device, { journalOffset: layout.journalOffset, slots, segmentBlocks, arrayTag }, parts.plan.admission);
}

function named({ state, parts }: ArrayEngine, name: string): number {
  return memberNamed(state, memberPaths(parts.settings), name);
}

/** Size of the file that a member's file would be made with; null where members are devices, or no size is configured: none is made. */
function fileBytes({ state, parts }: ArrayEngine, role: MemberRole, needed: Bytes): Bytes | null {
  const { memberBytes } = parts.settings.stripe;
  if (memberBytes === null || state.members.some((member) => member?.device.isBlockDevice === true)) return null;
  return role === 'journal' ? needed : memberBytes;
}

/** The member that was in the place: failed if it was not, recorded as such, and its device closed. */
async function giveUp(engine: ArrayEngine, index: number, path: string): Promise<void> {
  const old = engine.state.members[index];
  if (!old) return;
  if (old.state !== 'failed')
    await failByHand(engine, String(index), false, new KeelsonError('MEMBER_REPLACED', `its place is given to ${path}`));
  await engine.failureRecorded(old);
  await retire(engine, old.device);
}

/** A checkpoint that no assembly will ever choose: generation 0 of the present epoch. The next round writes the real one. */
function firstCheckpoint(engine: ArrayEngine, record: MemberRecord): Checkpoint {
  const { state, journal } = engine;
  return {
    epoch: Math.max(1, state.epoch - 1),
    generation: 0,
    members: state.records.map((row) => (row.index === record.index ? record : row)),
    destagedSeq: journal.destagedSeq,
    drainedSeq: journal.drainedSeq,
    tailSeq: journal.tailSeq,
    destagedLsn: 0,
    drainedLsn: 0,
    cleanShutdown: false,
    protection: state.protection,
    stripeBitmap: state.bitmap,
  };
}

/** Closes a failed member's device once no stripe thread can still be using it: every task made before the failure has ended then. */
async function retire(engine: ArrayEngine, device: Device): Promise<void> {
  await engine.quiesceStripes();
  await device.close();
}
