/**
 * Units of the engine. Each is a flavoured number: plain numbers are accepted, two different flavours are not mixed by accident.
 * All are integers below 2^53.
 */
type Flavour<Name extends string> = number & { readonly __unit?: Name };

/** Log sequence number of a write. The first write of an array is LSN 1; 0 means "before everything". */
export type Lsn = Flavour<'Lsn'>;
/** Index of a 4096-byte block of the volume. */
export type BlockIndex = Flavour<'BlockIndex'>;
/** A number of bytes. */
export type Bytes = Flavour<'Bytes'>;
/** Byte offset from the page-aligned start of the slab. */
export type SlabOffset = Flavour<'SlabOffset'>;
/** Position of a member in the array's member table. */
export type MemberIndex = Flavour<'MemberIndex'>;
/** Index of a stripe. */
export type StripeIndex = Flavour<'StripeIndex'>;
/** Running number of a ring segment, from 1; its slot is seq % slots. */
export type SegmentSeq = Flavour<'SegmentSeq'>;

/** The unit of addressing, checksums and the index. */
export const BLOCK_BYTES = 4096;
export const BLOCK_SHIFT = 12;
export const KIB = 1024;
export const MIB = 1024 * 1024;
export const GIB = 1024 * 1024 * 1024;

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

export function roundDown(value: number, multiple: number): number {
  return Math.floor(value / multiple) * multiple;
}
