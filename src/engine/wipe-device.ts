import { EXIT, KeelsonError } from '../base/errors.js';
import { type Bytes, MIB } from '../base/units.js';
import type { Device, DeviceProvider } from '../device/device.js';
import { readDevice } from '../device/promise-io.js';
import { firstData } from '../member/blank.js';
import { CHECKPOINT_MAGIC } from '../member/checkpoint.js';
import { readNewestCheckpoint } from '../member/checkpoint-io.js';
import { CHECKPOINT_HEADER_BYTES } from '../member/layout.js';
import type { MemberRole, MemberState, Superblock } from '../member/member-api.js';
import { KEELSON_MEMBER, recognise, recogniseForeign } from '../member/signatures.js';
import { newestSuperblock, readSuperblockCopies } from '../member/superblock-io.js';
import { wipeMember } from '../member/wipe.js';
import { regionView, type SlabRegion } from '../memory/slab-region.js';
import { pathWords } from './member-file.js';

/** Checkpoints begin on whole MiB; of the largest array the second one begins before this. */
const CHECKPOINTS_BELOW = 1024 * MIB;

/** What of ours is on a device. */
export interface WipeCandidate {
  readonly path: string;
  /** In words: a member, damaged superblocks, what an interrupted command left. */
  readonly holds: string;
  readonly array: string | null;
  readonly uuid: string | null;
  readonly member: number | null;
  readonly role: MemberRole | null;
  /** What the newest checkpoint on it says of it. */
  readonly state: MemberState | null;
  /** The last one that it was there for. */
  readonly epoch: number | null;
}

/**
 * Takes our signature off a device, if approve says so, and leaves it blank as far as create and replace look. null: it is blank already.
 * Throws WIPE_FOREIGN (it holds something else), WIPE_NOT_APPROVED, DEVICE_BUSY (all exit 3), DEVICE_*.
 */
export async function wipeDevice(
  provider: DeviceProvider,
  path: string,
  region: SlabRegion,
  approve: (candidate: WipeCandidate) => Promise<boolean>,
): Promise<WipeCandidate | null> {
  const device = await openAlone(provider, path);
  try {
    const copies = await readSuperblockCopies(device, region);
    const superblocks = copies.flatMap(({ superblock }) => superblock ?? []);
    await refuseForeign(device, path, superblocks.length > 0, region);
    const layouts = superblocks.map(({ layout }) => layout);
    const signed = (await recognise(device, region)) === KEELSON_MEMBER;
    const left = superblocks.length > 0 ? [] : await checkpointsLeft(device, region);
    if (!signed && left.length === 0) {
      const at = await firstData(device, region);
      if (at === null) return null;
      throw foreign(path, `unknown data, the first found at byte ${at}`);
    }
    const candidate = await describe(device, path, copies, signed, region);
    if (!(await approve(candidate))) {
      throw new KeelsonError('WIPE_NOT_APPROVED', `${pathWords(path)} is left as it is`, {
        found: candidate.holds,
        expected: 'yes on a terminal, or --force',
        action: 'if what it holds is not needed, insist with --force',
        exit: EXIT.refused,
      });
    }
    const headers = left.map((offset) => ({ offset, length: CHECKPOINT_HEADER_BYTES }));
    await wipeMember(device, layouts, region, headers);
    await check(device, path, region);
    return candidate;
  } finally {
    await device.close();
  }
}

async function openAlone(provider: DeviceProvider, path: string): Promise<Device> {
  try {
    return await provider.open(path);
  } catch (error) {
    if (!(error instanceof KeelsonError) || error.code !== 'DEVICE_BUSY') throw error;
    throw new KeelsonError('DEVICE_BUSY', `${pathWords(path)} is in use`, {
      found: error.found ?? 'another holder',
      expected: 'a device that nobody else holds',
      action: 'stop the array that it belongs to (keelson stop), or whatever else has it open; no flag insists here',
      exit: EXIT.refused,
      cause: error,
    });
  }
}

/** Nothing of ours lies where these are looked for; with our superblocks whole, the end of the device is ours. */
async function refuseForeign(device: Device, path: string, whole: boolean, region: SlabRegion): Promise<void> {
  const what = await recogniseForeign(device, region, whole);
  if (what !== null) throw foreign(path, what);
}

function foreign(path: string, what: string): KeelsonError {
  return new KeelsonError('WIPE_FOREIGN', `${pathWords(path)} holds something that is not ours`, {
    found: what,
    expected: 'a member of a Keelson array, or what is left of one',
    action: 'use another device; or, if what it holds is not needed, give it to create or replace with --force as it is',
    exit: EXIT.refused,
  });
}

/** Offsets of checkpoints of ours: what a create or replace that was killed leaves before there is a superblock. */
async function checkpointsLeft(device: Device, region: SlabRegion): Promise<Bytes[]> {
  const found: Bytes[] = [];
  const magic = Buffer.from(CHECKPOINT_MAGIC, 'latin1');
  const end = Math.min(CHECKPOINTS_BELOW, device.sizeBytes - CHECKPOINT_HEADER_BYTES);
  for (let offset = MIB; offset <= end; offset += MIB) {
    await readDevice(device, region.offset, offset, CHECKPOINT_HEADER_BYTES);
    if (magic.equals(regionView(region, 0, magic.length))) found.push(offset);
  }
  return found;
}

async function describe(
  device: Device,
  path: string,
  copies: Awaited<ReturnType<typeof readSuperblockCopies>>,
  signed: boolean,
  region: SlabRegion,
): Promise<WipeCandidate> {
  const unknown = { path, array: null, uuid: null, member: null, role: null, state: null, epoch: null };
  if (!signed && copies.every(({ superblock }) => superblock === null))
    return { ...unknown, holds: 'what is left of a member that was never finished' };
  let superblock: Superblock;
  try {
    superblock = newestSuperblock(device.path, copies);
  } catch (error) {
    return { ...unknown, holds: KeelsonError.from(error).message };
  }
  const { shape, index, role, layout } = superblock;
  // A checkpoint that cannot be read keeps nobody from wiping.
  const checkpoint = await readNewestCheckpoint({ device, layout }, shape, region).catch(() => null);
  const record = checkpoint?.members.find((member) => member.index === index && member.uuid === superblock.memberUuid);
  const epoch = Math.max(superblock.epoch, checkpoint?.epoch ?? 0);
  const state = record?.state ?? null;
  const holds = `member ${index} (${role}) of array ${shape.name}, uuid ${shape.arrayUuid}, ${state ?? 'of unknown state'}, last in epoch ${epoch}`;
  return { path, holds, array: shape.name, uuid: shape.arrayUuid, member: index, role, state, epoch };
}

/** A device that takes writes and does not keep them is not called wiped. */
async function check(device: Device, path: string, region: SlabRegion): Promise<void> {
  const left = (await recognise(device, region)) ?? (await firstData(device, region));
  if (left === null) return;
  throw new KeelsonError('WIPE_WITHOUT_EFFECT', `${pathWords(path)} still holds what was overwritten`, {
    found: typeof left === 'number' ? `data at byte ${left}` : left,
    expected: 'zeroes',
    action: 'the device loses writes: use another one',
  });
}
