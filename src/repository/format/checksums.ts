/**
 * The block checksums, handed in (native/addon-api.ts has the fast ones). memory is the view that publish and read work on.
 * Block i's checksum is crc32c(le64(address) ++ block).
 */
export interface Checksums {
  crcBlocks(memory: Uint8Array, offsets: Float64Array, addresses: Float64Array, count: number, out: Uint32Array, outIndex: number): void;
  crcRun(memory: Uint8Array, offset: number, firstAddress: number, count: number, out: Uint32Array, outIndex: number): void;
}
