import { crc32 } from 'node:zlib';

const SECTOR = 512;
const ENTRIES = 128;
const ENTRY_BYTES = 128;
const LINUX_DATA = Buffer.from('af3dc60f838472478e793d69d8477de4', 'hex');

/**
 * A GUID partition table with one Linux partition for a disk of diskBytes: protective MBR, primary and backup table, as pieces with
 * their offsets. Source: UEFI specification 2.10, section 5.3. Written here so that the tests need no partitioning program.
 */
export function partitionTable(diskBytes: number): { at: number; bytes: Buffer }[] {
  const sectors = diskBytes / SECTOR;
  const mbr = Buffer.alloc(SECTOR);
  mbr.writeUInt8(0xee, 446 + 4);
  mbr.writeUInt32LE(1, 446 + 8);
  mbr.writeUInt32LE(sectors - 1, 446 + 12);
  mbr.writeUInt16LE(0xaa55, 510);

  const entries = Buffer.alloc(ENTRIES * ENTRY_BYTES);
  LINUX_DATA.copy(entries, 0);
  entries.fill(0x42, 16, 32);
  entries.writeBigUInt64LE(2048n, 32);
  entries.writeBigUInt64LE(BigInt(sectors - 2048), 40);
  entries.write('data', 56, 'utf16le');

  const header = (own: number, other: number, table: number): Buffer => {
    const bytes = Buffer.alloc(SECTOR);
    bytes.write('EFI PART', 0, 'latin1');
    bytes.writeUInt32LE(0x00010000, 8);
    bytes.writeUInt32LE(92, 12);
    bytes.writeBigUInt64LE(BigInt(own), 24);
    bytes.writeBigUInt64LE(BigInt(other), 32);
    bytes.writeBigUInt64LE(34n, 40);
    bytes.writeBigUInt64LE(BigInt(sectors - 34), 48);
    bytes.fill(0x17, 56, 72);
    bytes.writeBigUInt64LE(BigInt(table), 72);
    bytes.writeUInt32LE(ENTRIES, 80);
    bytes.writeUInt32LE(ENTRY_BYTES, 84);
    bytes.writeUInt32LE(crc32(entries), 88);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 92)), 16);
    return bytes;
  };
  return [
    { at: 0, bytes: mbr },
    { at: SECTOR, bytes: header(1, sectors - 1, 2) },
    { at: 2 * SECTOR, bytes: entries },
    { at: (sectors - 33) * SECTOR, bytes: entries },
    { at: (sectors - 1) * SECTOR, bytes: header(sectors - 1, 1, sectors - 33) },
  ];
}
