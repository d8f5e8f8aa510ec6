import { webcrypto } from 'node:crypto';
import type { Clock } from '../base/clock.js';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import type { Bytes } from '../base/units.js';
import type { Settings } from '../config/settings.js';
import type { Device, DeviceProvider } from '../device/device.js';
import { syncDevice, writeDevice } from '../device/promise-io.js';
import { MATRIX_VERSION } from '../erasure/matrix.js';
import { computeLayout, memberBytesFor, stripesFor } from '../member/layout.js';
import { writeNewMember } from '../member/member.js';
import type { ArrayShape, Checkpoint, MemberRecord, MemberRole, Superblock } from '../member/member-api.js';
import { newUuid } from '../member/uuid.js';
import { type SlabRegion, slabRegion } from '../memory/slab-region.js';
import { Slab } from '../memory/slab.js';
import { type Holding, holdsData, NewDevice } from './new-device.js';
import { requireSlab, stripeThreads } from './slab-plan.js';
import { StripeGeometry } from '../stripe/geometry.js';
import { BLOCK_BYTES } from '../base/units.js';

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
}

export const systemRandom: Random = {
  u32: () => webcrypto.getRandomValues(new Uint32Array(1))[0] as number,
  below: (bound) => Math.floor(((webcrypto.getRandomValues(new Uint32Array(1))[0] as number) / 0x1_0000_0000) * bound),
  fill: (view) => {
    webcrypto.getRandomValues(view);
  },
};

/**
 * Writes superblocks and first checkpoints on all members: instant whatever their size. What was made for it is taken back when it fails.
 * Throws MEMBER_HOLDS_DATA (exit 3), MEMBER_SIZE, MEMBER_FILE, DEVICE_*, or the reason of the signal.
 */
export async function createArray(options: CreateOptions): Promise<CreatedArray> {
  return (await makeArray(options)).created;
}

/** createArray for those who may still have to take it back, by takeAllBack. */
export async function makeArray(
  options: CreateOptions,
): Promise<{ readonly created: CreatedArray; readonly devices: readonly NewDevice[] }> {
  const { settings } = options;
  checkSlab(settings, options.stripeThreads ?? stripeThreads());
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
  const dataJournal = dataRole === 'both' ? settings.journal.ringBytes : 0;
  const { memberBytes: fileBytes, chunkBytes } = settings.stripe;
  const devices: Device[] = [];
  const look = async (path: string, bytes: Bytes | null): Promise<Device> => {
    signal?.throwIfAborted();
    const one = new NewDevice(provider, path, bytes, settings.file);
    made.push(one);
    const device = await one.open(provider);
    devices.push(device);
    return device;
  };
  for (const path of settings.stripe.members) await look(path, fileBytes);
  const stripes = stripesOf(settings, commonSize(settings, devices), dataJournal, options.identity?.volumeBytes);
  const journalBytes = memberBytesFor('journal', chunkBytes, stripes, settings.journal.ringBytes);
  for (const path of settings.journal.members)
    checkJournalSize(settings, await look(path, fileBytes === null ? null : journalBytes), journalBytes);
  if (!options.force) await refuseHolders(made, devices, region, signal);
  const shape = shapeOf(settings, options, stripes, random);
  if (options.identity !== undefined) await forgetRings(devices, shape, dataRole, region, signal);
  await writeAll(made, devices, shape, dataRole, options, random, region);
  const geometry = new StripeGeometry(settings.stripe.dataShards, settings.stripe.parity, chunkBytes, stripes);
  return { uuid: shape.arrayUuid, name: shape.name, volumeBytes: geometry.volumeBlocks * BLOCK_BYTES, members: devices.length };
}

function checkJournalSize(settings: Settings, device: Device, needed: Bytes): void {
  if (device.sizeBytes >= needed) return;
  throw new KeelsonError('MEMBER_SIZE', `${device.path} is too small for the journal`, {
    found: `${device.sizeBytes} bytes`,
    expected: `at least ${needed} bytes for journal.size = ${settings.journal.ringBytes} bytes`,
    action: 'use a larger device or lower journal.size',
    exit: EXIT.usage,
  });
}

/** An array that could not be served on this configuration is not made. */
function checkSlab(settings: Settings, threads: number): void {
  requireSlab(
    settings.memory.slabBytes,
    settings.journal.segmentBytes,
    settings.stripe.members.length * settings.stripe.chunkBytes,
    threads,
  );
}

function commonSize(settings: Settings, devices: readonly Device[]): Bytes {
  const sizes = new Set(devices.map((device) => device.sizeBytes));
  if (sizes.size === 1) return (devices[0] as Device).sizeBytes;
  throw new KeelsonError('MEMBER_SIZE', `${settings.file}: stripe.members: the members have different sizes`, {
    found: devices.map((device) => `${device.path} ${device.sizeBytes} bytes`).join(', '),
    expected: 'stripe members of one size',
    action: 'use partitions or files of the same size',
    exit: EXIT.usage,
  });
}

function stripesOf(settings: Settings, memberBytes: Bytes, journalBytes: Bytes, volumeBytes: Bytes | undefined): number {
  const fits = stripesFor(memberBytes, settings.stripe.chunkBytes, journalBytes);
  const wanted = volumeBytes === undefined ? fits : volumeBytes / (settings.stripe.dataShards * settings.stripe.chunkBytes);
  if (fits >= 1 && fits >= wanted && Number.isInteger(wanted)) return wanted;
  throw new KeelsonError('MEMBER_SIZE', `${settings.file}: stripe.members: the members are too small`, {
    found: `${memberBytes} bytes each`,
    expected:
      volumeBytes === undefined
        ? `room for superblocks, checkpoints, ${journalBytes} bytes of journal and at least one chunk of ${settings.stripe.chunkBytes} bytes`
        : `room for a volume of ${volumeBytes} bytes in whole stripes`,
    action: 'use larger members',
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

function shapeOf(settings: Settings, options: CreateOptions, stripes: number, random: Random): ArrayShape {
  return {
    arrayUuid: options.identity?.uuid ?? newUuid(random),
    name: settings.name,
    createdAt: options.clock.wall(),
    dataMembers: settings.stripe.members.length,
    journalMembers: settings.journal.members.length,
    parity: settings.stripe.parity,
    chunkBytes: settings.stripe.chunkBytes,
    stripes,
    ringBytes: settings.journal.ringBytes,
    segmentBytes: settings.journal.segmentBytes,
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
    (made[index] as NewDevice).take(device, superblock.layout);
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
