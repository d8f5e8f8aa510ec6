import test from 'ava';
import { seededRandom } from '../../src/base/random.js';
import { KIB, MIB } from '../../src/base/units.js';
import { type DeviceEnds, recognise, recogniseEnds, SIGNATURE_HEAD_BYTES, SIGNATURE_TAIL_BYTES } from '../../src/member/signatures.js';
import { memberBench } from './array-fixture.js';

const SIZE = 300 * MIB + 4096;

/** Ends of a device of SIZE bytes that holds `bytes` at `offset`. */
function endsWith(offset: number, bytes: Uint8Array): DeviceEnds {
  const head = new Uint8Array(SIGNATURE_HEAD_BYTES);
  const tail = new Uint8Array(SIGNATURE_TAIL_BYTES);
  if (offset < head.length) head.set(bytes, offset);
  else tail.set(bytes, offset - (SIZE - tail.length));
  return { sizeBytes: SIZE, head, tail };
}

const text = (value: string): Uint8Array => Buffer.from(value, 'latin1');
const hex = (value: string): Uint8Array => Buffer.from(value, 'hex');
function bootSector(at: number, bytes: Uint8Array): Uint8Array {
  const sector = new Uint8Array(512);
  sector.set(hex('55aa'), 510);
  sector.set(bytes, at);
  return sector;
}

const CASES: readonly (readonly [string, number, Uint8Array])[] = [
  ['Keelson member', 0, text('KEELSON\0')],
  ['Keelson member', 4096, text('KEELSON\0')],
  ['Keelson member', SIZE - 8192, text('KEELSON\0')],
  ['Keelson member', SIZE - 4096, text('KEELSON\0')],
  ['LUKS encrypted volume', 0, hex('4c554b53babe0002')],
  ['LUKS encrypted volume (second header)', 0x4000, hex('534b554cbabe0002')],
  ['LVM physical volume', 512, text('LABELONE')],
  ['GPT partition table', 512, text('EFI PART')],
  ['GPT partition table (second header)', SIZE - 512, text('EFI PART')],
  ['md RAID member (superblock 1.1)', 0, hex('fc4e2ba901000000')],
  ['md RAID member (superblock 1.2)', 4096, hex('fc4e2ba901000000')],
  ['md RAID member (superblock 1.0)', SIZE - 8192, hex('fc4e2ba901000000')],
  ['md RAID member (superblock 0.90)', 300 * MIB - 64 * KIB, hex('fc4e2ba900000000')],
  ['bcache device', 4096 + 24, hex('c68573f64e1a45ca8265f57f48ba6d81')],
  ['bcachefs file system', 4096 + 24, hex('c68573f666ce90a9d96a60cf803df7ef')],
  ['XFS file system', 0, text('XFSB')],
  ['Btrfs file system', 64 * KIB + 64, text('_BHRfS_M')],
  ['F2FS file system', 1024, hex('1020f5f2')],
  ['swap space', 4086, text('SWAPSPACE2')],
  ['swap space', 65_526, text('SWAPSPACE2')],
  ['SquashFS file system', 0, text('hsqs')],
  ['ISO 9660 file system', 32_769, text('CD001')],
  ['UDF file system', 32_769, text('BEA01')],
  ['ZFS pool member', 128 * KIB + 7 * KIB, hex('0cb1ba0000000000')],
  ['ZFS pool member', 300 * MIB - 128 * KIB, hex('0000000000bab10c')],
  ['ext2, ext3 or ext4 file system', 1080, hex('53ef')],
  ['JFS file system', 32 * KIB, text('JFS1')],
  ['ReiserFS file system', 64 * KIB + 52, text('ReIsEr2Fs')],
  ['Ceph BlueStore device', 0, text('bluestore block device')],
  ['Stratis pool member', 516, hex('21537472613074697386ff025e417268')],
  ['DRBD device', SIZE - 4096 + 60, hex('8374026d')],
  ['DDF RAID member', SIZE - 512, hex('de11de11')],
  ['Intel RAID member', SIZE - 1024, text('Intel Raid ISM Cfg Sig. ')],
  ['NTFS file system', 0, bootSector(3, text('NTFS    '))],
  ['exFAT file system', 0, bootSector(3, text('EXFAT   '))],
  ['FAT file system', 0, bootSector(82, text('FAT32   '))],
  ['FAT file system', 0, bootSector(54, text('FAT16   '))],
  ['MBR partition table', 0, bootSector(446, hex('80010100830f3f003f00000000100000'))],
  ['boot sector', 0, bootSector(0, hex('eb3c90'))],
];

for (const [i, [name, offset, bytes]] of CASES.entries()) {
  test(`recognises (${i + 1}): ${name}, by ${bytes.length} bytes at ${offset}`, (t) => t.is(recogniseEnds(endsWith(offset, bytes)), name));
}

test('zeroes, and random bytes without a magic number, are nothing', (t) => {
  t.is(recogniseEnds(endsWith(0, new Uint8Array())), null);
  t.is(recogniseEnds({ sizeBytes: 0, head: new Uint8Array(), tail: new Uint8Array() }), null);
  const seed = 6;
  t.log(`seed ${seed}`);
  const random = seededRandom(seed);
  const bytes = new Uint8Array(64 * KIB);
  for (let round = 0; round < 20; round++) {
    random.fill(bytes);
    t.is(recogniseEnds(endsWith(0, bytes)), null);
  }
});

test('a device is recognised through its own ends, and a tiny one does not trouble it', async (t) => {
  const { device, slab, region } = memberBench(t);
  const large = await device('large', 5 * MIB);
  t.is(await recognise(large, region), null);
  slab.view.write('EFI PART', 4096 - 512, 'latin1');
  await new Promise((resolve) => large.write(0, 5 * MIB - 4096, 4096, resolve, 0));
  t.is(await recognise(large, region), 'GPT partition table (second header)');
  for (const bytes of [0, 512, 4096, 8192]) t.is(await recognise(await device(`tiny${bytes}`, bytes), region), null);
});
