import { webcrypto } from 'node:crypto';
import type { Clock } from '../base/clock.js';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { BLOCK_BYTES, type Bytes, roundDown } from '../base/units.js';
import type { Settings } from '../config/settings.js';
import type { Device, DeviceProvider } from '../device/device.js';
import { syncDevice, writeDevice } from '../device/promise-io.js';
import { MATRIX_VERSION } from '../erasure/matrix.js';
import { computeLayout } from '../member/layout.js';
import { writeNewMember } from '../member/member.js';
import type { ArrayShape, Checkpoint, MemberRecord, MemberRole, Superblock } from '../member/member-api.js';
import { newUuid } from '../member/uuid.js';
import { type SlabRegion, slabRegion } from '../memory/slab-region.js';
import { Slab } from '../memory/slab.js';
import type { HostMemory } from '../memory/host-memory.js';
import { type ArrayPlan, planArray, type PlannedMember } from './array-plan.js';
import { memberSizes } from './member-sizes.js';
import { requireMemory } from './memory-need.js';
import { type Holding, holdsData, NewDevice } from './new-device.js';
import { stripeThreads } from './slab-plan.js';

const CREATE_SLAB_BYTES = 8 * 1024 * 1024;
/**
 * A restored array begins so far beyond the epoch of its repository: more changes of the membership than any server sees between two connections to its backup, each of which
 * says the epoch of that moment. So former members, when they return, are older than it.
 */
export const RESTORE_EPOCHS = 1024;

export interface CreatedArray {
  readonly uuid: string;
  readonly name: string;
  readonly volumeBytes: Bytes;
  readonly members: number;
  readonly plan: ArrayPlan;
}

export interface CreateOptions {
  readonly settings: Settings;
  readonly force: boolean;
  readonly clock: Clock;
  readonly provider: (slab: Slab) => DeviceProvider;
  /** A restore keeps the array's identity and continues its log. */
  readonly identity?: { readonly uuid: string; readonly epoch: number; readonly lsn: number; readonly volumeBytes: Bytes };
  readonly random?: Random;
  /** As AssembleOptions has it. */
  readonly stripeThreads?: number;
  /** Aborted: nothing more is begun, and what was made is taken back. */
  readonly signal?: AbortSignal;
  /** The memory that `serve` will have. Left out: as much as it takes. */
  readonly memory?: HostMemory;
}

/** What `create` would do: nothing is written, made or held. Throws MEMBER_SIZE, SLAB_TOO_SMALL, MEMORY_TOO_SMALL (exit 2), DEVICE_*. */
export async function planNewArray(options: Omit<CreateOptions, 'force' | 'clock'>): Promise<ArrayPlan> {
  const provider = options.provider(Slab.allocate(BLOCK_BYTES));
  try {
    return await planWith(options, provider);
  } finally {
    await provider.close();
  }
}

async function planWith(options: Omit<CreateOptions, 'force' | 'clock'>, provider: DeviceProvider): Promise<ArrayPlan> {
  const { settings, memory, identity } = options;
  const sizes = await memberSizes(settings, provider);
  const plan = planArray(settings, sizes, options.stripeThreads ?? stripeThreads(), identity?.volumeBytes);
  if (memory !== undefined) requireMemory(plan.memory, settings.stripe.members.length, memory);
  return plan;
}

export const systemRandom: Random = {
  u32: () => webcrypto.getRandomValues(new Uint32Array(1))[0] as number,
  below: (bound) => Math.floor(((webcrypto.getRandomValues(new Uint32Array(1))[0] as number) / 0x1_0000_0000) * bound),
  fill: (view) => {
    webcrypto.getRandomValues(view);
  },
};

/**
 * Writes superblocks and first checkpoints on all members: instant whatever their size. Nothing is made before the plan stands, and what
 * was made is taken back when it fails. Throws MEMBER_HOLDS_DATA (exit 3), MEMBER_FILE, what planNewArray throws, or the reason of the signal.
 */
export async function createArray(options: CreateOptions): Promise<CreatedArray> {
  return (await makeArray(options)).created;
}

/** createArray for those who may still have to take it back, by takeAllBack. */
export async function makeArray(
  options: CreateOptions,
): Promise<{ readonly created: CreatedArray; readonly devices: readonly NewDevice[] }> {
  const slab = Slab.allocate(CREATE_SLAB_BYTES);
  const region = slabRegion(slab, 0, CREATE_SLAB_BYTES);
  const provider = options.provider(slab);
  const made: NewDevice[] = [];
  try {
    return { created: await writeArray(options, provider, region, made), devices: made };
  } catch (error) {
    for (const one of made) await one.takeBack(provider, region);
    throw error;
  } finally {
    for (const one of made) await one.close();
    await provider.close();
  }
}

/** What was made for an array that is given up. */
export async function takeAllBack(devices: readonly NewDevice[], makeProvider: CreateOptions['provider']): Promise<void> {
  const slab = Slab.allocate(CREATE_SLAB_BYTES);
  const provider = makeProvider(slab);
  for (const one of devices) await one.takeBack(provider, slabRegion(slab, 0, CREATE_SLAB_BYTES));
  await provider.close();
}

/** made: gets the devices, in the order of the members, as they are looked for. */
async function writeArray(options: CreateOptions, provider: DeviceProvider, region: SlabRegion, made: NewDevice[]): Promise<CreatedArray> {
  const { settings, signal } = options;
  const random = options.random ?? systemRandom;
  const dataRole: MemberRole = settings.journal.members.length === 0 ? 'both' : 'data';
  const plan = await planWith(options, provider);
  const devices: Device[] = [];
  for (const planned of plan.members) {
    signal?.throwIfAborted();
    const one = new NewDevice(provider, planned.path, settings.stripe.memberBytes === null ? null : planned.bytes, settings.file);
    made.push(one);
    const device = await one.open(provider);
    devices.push(device);
    holdToPlan(device, planned);
  }
  if (!options.force) await refuseHolders(made, devices, region, signal);
  const shape = shapeOf(settings, options, plan, random);
  if (options.identity !== undefined) await forgetRings(devices, shape, dataRole, region, signal);
  await writeAll(made, devices, shape, dataRole, options, random, region);
  return { uuid: shape.arrayUuid, name: shape.name, volumeBytes: plan.volumeBytes, members: devices.length, plan };
}

/** What was looked at before is what is there now. */
function holdToPlan(device: Device, planned: PlannedMember): void {
  if (roundDown(device.sizeBytes, BLOCK_BYTES) === roundDown(planned.bytes, BLOCK_BYTES)) return;
  throw new KeelsonError('MEMBER_SIZE', `${device.path} has another size than a moment ago`, {
    found: `${device.sizeBytes} bytes`,
    expected: `${planned.bytes} bytes`,
    action: 'find out what changes it, then create the array again',
    exit: EXIT.usage,
  });
}

async function refuseHolders(
  made: readonly NewDevice[],
  devices: readonly Device[],
  region: SlabRegion,
  signal: AbortSignal | undefined,
): Promise<void> {
  const held: Holding[] = [];
  for (const [index, one] of made.entries()) {
    signal?.throwIfAborted();
    const holding = await one.holds(devices[index] as Device, region);
    if (holding !== null) held.push(holding);
  }
  if (held.length > 0) throw holdsData(held, 'use other devices');
}

function shapeOf(settings: Settings, options: CreateOptions, plan: ArrayPlan, random: Random): ArrayShape {
  return {
    arrayUuid: options.identity?.uuid ?? newUuid(random),
    name: settings.name,
    createdAt: options.clock.wall(),
    dataMembers: settings.stripe.members.length,
    journalMembers: settings.journal.members.length,
    parity: settings.stripe.parity,
    chunkBytes: settings.stripe.chunkBytes,
    stripes: plan.stripes,
    ringBytes: plan.ringBytes,
    segmentBytes: plan.segmentBytes,
    journalCopies: settings.journal.copies,
    matrixVersion: MATRIX_VERSION,
  };
}

async function writeAll(
  made: readonly NewDevice[],
  devices: readonly Device[],
  shape: ArrayShape,
  dataRole: MemberRole,
  options: CreateOptions,
  random: Random,
  region: SlabRegion,
): Promise<void> {
  const roleOf = (index: number): MemberRole => (index < shape.dataMembers ? dataRole : 'journal');
  const records: MemberRecord[] = devices.map((_, index) => ({
    index,
    uuid: newUuid(random),
    role: roleOf(index),
    state: 'online',
    rebuiltStripes: 0,
  }));
  const epoch = options.identity === undefined ? 1 : options.identity.epoch + RESTORE_EPOCHS;
  const lsn = options.identity?.lsn ?? 0;
  const checkpoint: Checkpoint = {
    epoch,
    generation: 1,
    members: records,
    destagedSeq: 1,
    drainedSeq: 1,
    tailSeq: 1,
    destagedLsn: lsn,
    drainedLsn: lsn,
    cleanShutdown: true,
    // A restore that is cut short must not be taken for the whole image: it says so until its last block is written.
    protection: options.identity !== undefined ? 'seeding' : options.settings.backup === null ? 'unprotected' : 'full',
    publishEpoch: options.identity?.epoch ?? epoch,
    stripeBitmap: new Uint8Array(Math.ceil(shape.stripes / 8)),
  };
  for (const [index, device] of devices.entries()) {
    const record = records[index] as MemberRecord;
    const superblock: Superblock = {
      shape,
      memberUuid: record.uuid,
      index,
      role: record.role,
      layout: layoutOf(shape, record.role, device.sizeBytes),
      epoch,
      generation: 1,
    };
    options.signal?.throwIfAborted();
    await (made[index] as NewDevice).take(device, superblock.layout, region);
    await writeNewMember(device, superblock, checkpoint, region);
  }
}

/** A former member of the array that is restored has batches with its tag, of any epoch: the log that begins now must not find one of them beyond its end. */
async function forgetRings(
  devices: readonly Device[],
  shape: ArrayShape,
  dataRole: MemberRole,
  region: SlabRegion,
  signal: AbortSignal | undefined,
): Promise<void> {
  region.slab.view.fill(0, region.offset, region.offset + region.bytes);
  const forget = async (device: Device, index: number): Promise<void> => {
    const role = index < shape.dataMembers ? dataRole : 'journal';
    if (role === 'data') return;
    const { journalOffset } = layoutOf(shape, role, device.sizeBytes);
    for (let at = 0; at < shape.ringBytes; at += region.bytes) {
      signal?.throwIfAborted();
      await writeDevice(device, region.offset, journalOffset + at, Math.min(region.bytes, shape.ringBytes - at));
    }
    await syncDevice(device);
  };
  await Promise.all(devices.map(forget));
}

/** Zones of a member of this array; they follow from the shape, only the place of the last superblocks from the device's size. */
export function layoutOf(shape: ArrayShape, role: MemberRole, memberBytes: Bytes) {
  return computeLayout({
    role,
    chunkBytes: shape.chunkBytes,
    stripes: shape.stripes,
    journalBytes: role === 'data' ? 0 : shape.ringBytes,
    memberBytes,
  });
}
