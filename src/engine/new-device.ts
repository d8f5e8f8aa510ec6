import { EXIT, KeelsonError } from '../base/errors.js';
import type { Bytes } from '../base/units.js';
import type { Device, DeviceProvider } from '../device/device.js';
import { firstData } from '../member/blank.js';
import type { Member, MemberLayout, Superblock } from '../member/member-api.js';
import { KEELSON_MEMBER, recognise } from '../member/signatures.js';
import { readSuperblock } from '../member/superblock-io.js';
import { clearSignatures, wipeMember } from '../member/wipe.js';
import type { SlabRegion } from '../memory/slab-region.js';
import { makePrivate, type MemberFile, memberFile, pathWords, takeFileBack } from './member-file.js';

/** What a device holds that is to become a member. */
export interface Holding {
  /** `/dev/sdb: XFS file system` */
  readonly words: string;
  /** It has a signature of ours. */
  readonly ours: boolean;
}

/**
 * A device or file that is to become a member, from when it is looked for until it is one: what was made for that is taken back when it
 * does not become one. What it held before and --force gave up is not touched again.
 */
export class NewDevice {
  readonly path: string;
  readonly #simulated: boolean;
  readonly #file: MemberFile | null;
  #device: Device | null = null;
  /** It held nothing when it was looked at. */
  #blank = false;
  #layout: MemberLayout | null = null;

  /** Makes the file, with so many bytes, where nothing is yet; null: none is made. Throws DEVICE_MISSING, MEMBER_FILE. */
  constructor({ kind }: DeviceProvider, path: string, fileBytes: Bytes | null, configuration: string) {
    this.path = path;
    this.#simulated = kind === 'simulated';
    // Simulated members are no files.
    this.#file = this.#simulated ? null : memberFile(path, fileBytes, configuration);
    this.#blank = this.#file !== null && this.#file.made !== null;
  }

  /** Throws as DeviceProvider.open. */
  async open(provider: DeviceProvider): Promise<Device> {
    this.#device = await provider.open(this.path);
    return this.#device;
  }

  /** `/dev/disk/by-id/x (/dev/sdb)` */
  get words(): string {
    return pathWords(this.path);
  }

  /** null: it is blank. Needs SIGNATURE_TAIL_BYTES of memory. Rejects with DEVICE_READ. */
  async holds(device: Device, region: SlabRegion): Promise<Holding | null> {
    const what = await recognise(device, region);
    if (what !== null) return { words: `${this.words}: ${what}`, ours: what === KEELSON_MEMBER };
    // What was made a moment ago needs no reading.
    const at = this.#blank ? null : await firstData(device, region);
    if (at !== null) return { words: `${this.words}: unknown data, the first found at byte ${at}`, ours: false };
    this.#blank = true;
    return null;
  }

  /** It is taken: from now on it gets what makes it a member with these zones, and a file is nobody else's. Throws MEMBER_MODE. */
  async take(device: Device, layout: MemberLayout, region: SlabRegion): Promise<void> {
    if (this.#file !== null) makePrivate(this.#file, device.handle);
    this.#layout = layout;
    // A simulated device never held anything else.
    if (!this.#blank && !this.#simulated) await clearSignatures(device, region);
  }

  isDeviceOf(member: Member | null | undefined): boolean {
    return this.#device !== null && member?.device === this.#device;
  }

  /** Closes the device. */
  async close(): Promise<void> {
    const device = this.#device;
    this.#device = null;
    await device?.close();
  }

  /**
   * It becomes no member: a file that was made is removed, one that got its size is empty again, and what was blank is blank again. Closes
   * the device. Never rejects: on a device that fails something may stay, and the next look at it says so.
   */
  async takeBack(provider: DeviceProvider, region: SlabRegion): Promise<void> {
    try {
      await this.close();
      if (this.#blank && this.#layout !== null && (this.#file?.made ?? null) === null)
        await wipeMember(await this.open(provider), [this.#layout], region);
    } catch {
      // What cannot be opened or written keeps what it has.
    }
    await this.close().catch(() => undefined);
    try {
      if (this.#file !== null) takeFileBack(this.#file);
    } catch {
      // A directory that may not be written to any more.
    }
  }
}

/** What replaces a member. */
export interface ReplacementNeeds {
  readonly bytes: Bytes;
  readonly arrayUuid: string;
  /** What the device holds is given up. */
  readonly force: boolean;
}

/**
 * Refuses a device that is too small for a member, or that holds anything other than a member of the array. Resolves to the superblock of
 * that, which may be a member's only copy (held-content.ts), also when what it holds is given up. Throws MEMBER_SIZE, MEMBER_HOLDS_DATA (exit 3).
 */
export async function checkNewDevice(
  fresh: NewDevice,
  device: Device,
  needs: ReplacementNeeds,
  region: SlabRegion,
): Promise<Superblock | null> {
  if (device.sizeBytes < needs.bytes) {
    throw new KeelsonError('MEMBER_SIZE', `${fresh.words} is too small`, {
      found: `${device.sizeBytes} bytes`,
      expected: `at least ${needs.bytes} bytes`,
      action: 'use a larger device',
      exit: EXIT.usage,
    });
  }
  if (needs.force) return superblockOf(device, needs.arrayUuid, region);
  const held = await fresh.holds(device, region);
  if (held === null) return null;
  const superblock = held.ours ? await superblockOf(device, needs.arrayUuid, region) : null;
  if (superblock !== null) return superblock;
  throw holdsData([held], 'use another device');
}

/** Refused: some devices hold something already. otherwise: what else than insisting helps. */
export function holdsData(held: readonly Holding[], otherwise: string): KeelsonError {
  const [only] = held;
  const wipe = held.some(({ ours }) => ours) ? "; or take an old array's signature off (keelson wipe DEV)" : '';
  return new KeelsonError('MEMBER_HOLDS_DATA', `${held.length === 1 ? 'a device holds' : 'devices hold'} something already`, {
    found: held.length === 1 ? (only as Holding).words : held.map(({ words }) => words).join('; '),
    expected: 'empty devices',
    action: `${otherwise}${wipe}; or insist with --force, which overwrites what they hold`,
    exit: EXIT.refused,
  });
}

/** null: the device bears no member of this array. */
async function superblockOf(device: Device, arrayUuid: string, region: SlabRegion): Promise<Superblock | null> {
  try {
    const superblock = await readSuperblock(device, region);
    return superblock.shape.arrayUuid === arrayUuid ? superblock : null;
  } catch {
    return null;
  }
}
