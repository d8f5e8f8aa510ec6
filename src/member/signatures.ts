import { BLOCK_BYTES, type Bytes, KIB, roundDown } from '../base/units.js';
import type { Device } from '../device/device.js';
import { readDevice } from '../device/promise-io.js';
import { regionView, type SlabRegion } from '../memory/slab-region.js';
import { superblockOffsets } from './layout.js';
import { SUPERBLOCK_MAGIC } from './superblock.js';

/** Reaches the last uberblock of a ZFS label, which lies farthest in of all that is looked for. */
export const SIGNATURE_HEAD_BYTES = 256 * KIB;
/** Reaches the uberblocks of the last ZFS label wherever the size puts it. */
export const SIGNATURE_TAIL_BYTES = 512 * KIB;

/** What a device of ours is called here. */
export const KEELSON_MEMBER = 'Keelson member';

/** The first and last bytes of a device. */
export interface DeviceEnds {
  readonly sizeBytes: Bytes;
  readonly head: Uint8Array;
  /** The last bytes; they end at sizeBytes. */
  readonly tail: Uint8Array;
}

/**
 * What the device holds, in words ("ext2, ext3 or ext4 file system"), or null when nothing is recognised there. Magic numbers only, as blkid does: a
 * damaged file system is still somebody's. Needs SIGNATURE_TAIL_BYTES of memory. Rejects with DEVICE_READ.
 * Sources: libblkid's superblock probes; the formats' own documents.
 */
export async function recognise(device: Device, region: SlabRegion): Promise<string | null> {
  return recogniseEnds(await readEnds(device, region));
}

/**
 * recognise, but for anything that is not ours. startOnly: the end is not looked at, for it is known to be part of a member, and may hold what
 * the volume's users wrote. Nothing of theirs lies at the start of one.
 */
export async function recogniseForeign(device: Device, region: SlabRegion, startOnly: boolean): Promise<string | null> {
  const ends = await readEnds(device, region);
  return firstOf(PROBES.slice(1), startOnly ? { ...ends, tail: new Uint8Array() } : ends);
}

async function readEnds(device: Device, region: SlabRegion): Promise<DeviceEnds> {
  const readable = roundDown(device.sizeBytes, BLOCK_BYTES);
  const read = async (offset: Bytes, length: Bytes): Promise<Uint8Array> => {
    if (length === 0) return new Uint8Array();
    await readDevice(device, region.offset, offset, length);
    return Uint8Array.from(regionView(region, 0, length));
  };
  const head = await read(0, Math.min(SIGNATURE_HEAD_BYTES, readable));
  const tailBytes = Math.min(SIGNATURE_TAIL_BYTES, readable);
  const tail = await read(readable - tailBytes, tailBytes);
  return { sizeBytes: readable, head, tail };
}

/** recognise, over bytes. */
export function recogniseEnds(ends: DeviceEnds): string | null {
  return firstOf(PROBES, ends);
}

function firstOf(probes: readonly Probe[], ends: DeviceEnds): string | null {
  for (const probe of probes) {
    const name = probe(ends);
    if (name !== null) return name;
  }
  return null;
}

type Probe = (ends: DeviceEnds) => string | null;

/** Bytes [offset, offset + length) where head or tail covers them. */
function bytesAt({ sizeBytes, head, tail }: DeviceEnds, offset: Bytes, length: number): Uint8Array | null {
  if (offset < 0 || offset + length > sizeBytes) return null;
  if (offset + length <= head.length) return head.subarray(offset, offset + length);
  const at = offset - (sizeBytes - tail.length);
  return at >= 0 ? tail.subarray(at, at + length) : null;
}

function holds(ends: DeviceEnds, offset: Bytes, magic: Uint8Array): boolean {
  const found = bytesAt(ends, offset, magic.length);
  return found !== null && Buffer.compare(found, magic) === 0;
}

const text = (magic: string): Uint8Array => Buffer.from(magic, 'latin1');
const hex = (magic: string): Uint8Array => Buffer.from(magic, 'hex');

/** One of these magics at one of these offsets from the start. */
function magicAt(name: string, offsets: readonly Bytes[], magics: readonly Uint8Array[]): Probe {
  return (ends) => (offsets.some((offset) => magics.some((magic) => holds(ends, offset, magic))) ? name : null);
}

/** The same, offsets counted back from the end. */
function magicBeforeEnd(name: string, distances: readonly Bytes[], magics: readonly Uint8Array[]): Probe {
  return (ends) => (distances.some((distance) => magics.some((magic) => holds(ends, ends.sizeBytes - distance, magic))) ? name : null);
}

const keelson: Probe = (ends) => {
  const places = [0, 1].flatMap((slot) => superblockOffsets(ends.sizeBytes, slot));
  return places.some((offset) => holds(ends, offset, text(SUPERBLOCK_MAGIC))) ? KEELSON_MEMBER : null;
};

/** Source: md(4) and md_p.h: 1.1 at the start, 1.2 at 4 KiB, 1.0 in the last 8 to 12 KiB, 0.90 in the last 64 to 128 KiB; 0.90 is in the host's byte order. */
const linuxRaid: Probe = (ends) => {
  const magic = hex('fc4e2ba9');
  const last = (Math.floor(ends.sizeBytes / 512) - 16) * 512;
  const places: readonly (readonly [string, Bytes])[] = [
    ['1.1', 0],
    ['1.2', 4096],
    ['1.0', roundDown(last, 4096)],
    ['0.90', roundDown(ends.sizeBytes, 64 * KIB) - 64 * KIB],
  ];
  for (const [version, offset] of places) {
    if (holds(ends, offset, magic) || (version === '0.90' && holds(ends, offset, hex('a92b4efc'))))
      return `md RAID member (superblock ${version})`;
  }
  return null;
};

/** Source: ZFS On-Disk Specification, 1.3.4: the second half of each 256 KiB label holds uberblocks, 1 KiB or more apart, in the writer's byte order. */
const zfs: Probe = (ends) => {
  const labels = [0, roundDown(ends.sizeBytes, 256 * KIB) - 256 * KIB];
  for (const label of labels) {
    for (let at = label + 128 * KIB; at < label + 256 * KIB; at += KIB) {
      if (holds(ends, at, hex('0cb1ba0000000000')) || holds(ends, at, hex('0000000000bab10c'))) return 'ZFS pool member';
    }
  }
  return null;
};

/** Boot sectors all end in 55 AA: file systems name themselves, a partition table has plausible entries, anything else may boot. */
const bootSector: Probe = (ends) => {
  if (!holds(ends, 510, hex('55aa'))) return null;
  const named: readonly (readonly [string, Bytes, string])[] = [
    ['NTFS file system', 3, 'NTFS    '],
    ['exFAT file system', 3, 'EXFAT   '],
    ['ReFS file system', 3, 'ReFS'],
    ['BitLocker volume', 3, '-FVE-FS-'],
    ['FAT file system', 54, 'FAT'],
    ['FAT file system', 82, 'FAT32   '],
    ['FAT file system', 3, 'MSDOS'],
    ['FAT file system', 3, 'mkfs.fat'],
  ];
  for (const [name, offset, magic] of named) if (holds(ends, offset, text(magic))) return name;
  for (let entry = 446; entry < 510; entry += 16) {
    const partition = bytesAt(ends, entry, 16);
    if (partition !== null && partition[4] !== 0 && ((partition[0] as number) & 0x7f) === 0) return 'MBR partition table';
  }
  return 'boot sector';
};

const EVERY_PAGE_SIZE = [4096, 8192, 16_384, 32_768, 65_536];

/** Ours first, then the most telling: a partition table may lie over what was there before it. */
const PROBES: readonly Probe[] = [
  keelson,
  magicAt('LUKS encrypted volume', [0], [hex('4c554b53babe')]),
  magicAt('LUKS encrypted volume (second header)', [0x4000, 0x8000, 0x1_0000, 0x2_0000], [hex('534b554cbabe')]),
  magicAt('LVM physical volume', [0, 512, 1024, 1536], [text('LABELONE')]),
  magicAt('GPT partition table', [512, 4096], [text('EFI PART')]),
  linuxRaid,
  magicAt('bcache device', [4096 + 24], [hex('c68573f64e1a45ca8265f57f48ba6d81')]),
  magicAt('bcachefs file system', [4096 + 24], [hex('c68573f666ce90a9d96a60cf803df7ef')]),
  magicAt('XFS file system', [0], [text('XFSB')]),
  magicAt('Btrfs file system', [64 * KIB + 64], [text('_BHRfS_M')]),
  magicAt('F2FS file system', [1024], [hex('1020f5f2')]),
  magicAt('EROFS file system', [1024], [hex('e2e1f5e0')]),
  magicAt(
    'swap space',
    EVERY_PAGE_SIZE.map((page) => page - 10),
    [text('SWAPSPACE2'), text('SWAP-SPACE'), text('S1SUSPEND\0'), text('S2SUSPEND\0')],
  ),
  magicAt('SquashFS file system', [0], [text('hsqs'), text('sqsh')]),
  magicAt('cramfs file system', [0], [hex('453dcd28'), hex('28cd3d45')]),
  magicAt('romfs file system', [0], [text('-rom1fs-')]),
  magicAt('JFS file system', [32 * KIB], [text('JFS1')]),
  magicAt('ReiserFS file system', [8 * KIB + 52, 64 * KIB + 52], [text('ReIsErFs'), text('ReIsEr2Fs'), text('ReIsEr3Fs')]),
  magicAt('Reiser4 file system', [64 * KIB], [text('ReIsEr4')]),
  magicAt('APFS container', [32], [text('NXSB')]),
  magicAt('HFS+ file system', [1024], [hex('482b0004'), hex('48580005')]),
  magicAt('Ceph BlueStore device', [0], [text('bluestore block device')]),
  magicAt('Oracle ASM disk', [32], [text('ORCLDISK')]),
  magicAt('VDO volume', [0], [text('dmvdo001')]),
  magicAt('Stratis pool member', [516], [hex('21537472613074697386ff025e417268')]),
  magicAt('dm-integrity volume', [0], [text('integrt\0')]),
  magicAt('dm-verity volume', [0], [text('verity\0\0')]),
  magicAt('device-mapper snapshot', [0], [text('SnAp')]),
  magicAt('ISO 9660 file system', [32 * KIB + 1], [text('CD001')]),
  magicAt('UDF file system', [32 * KIB + 1], [text('BEA01'), text('NSR02'), text('NSR03')]),
  zfs,
  magicAt('ext2, ext3 or ext4 file system', [1024 + 56], [hex('53ef')]),
  magicAt('NILFS2 file system', [1024 + 6], [hex('3434')]),
  magicBeforeEnd('GPT partition table (second header)', [512, 4096], [text('EFI PART')]),
  magicBeforeEnd('DRBD device', [4096 - 60], [hex('8374026b'), hex('8374026c'), hex('8374026d')]),
  magicBeforeEnd('DDF RAID member', [512], [hex('de11de11'), hex('11de11de')]),
  magicBeforeEnd('Intel RAID member', [1024], [text('Intel Raid ISM Cfg Sig. ')]),
  bootSector,
];
