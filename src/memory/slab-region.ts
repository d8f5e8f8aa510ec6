import { assert } from '../base/assert.js';
import { BLOCK_BYTES, type Bytes, type SlabOffset } from '../base/units.js';
import type { Slab } from './slab.js';

/** A page-aligned range of the slab that its holder may use as it likes, for as long as it holds it. */
export interface SlabRegion {
  readonly slab: Slab;
  readonly offset: SlabOffset;
  readonly bytes: Bytes;
}

export function slabRegion(slab: Slab, offset: SlabOffset, bytes: Bytes): SlabRegion {
  assert(offset >= 0 && offset % BLOCK_BYTES === 0, 'a slab region starts on a page');
  assert(bytes > 0 && bytes % BLOCK_BYTES === 0 && offset + bytes <= slab.bytes, 'a slab region is whole pages inside the slab');
  return { slab, offset, bytes };
}

/** Bytes [at, at + length) of the region, as they lie in the slab. */
export function regionView(region: SlabRegion, at: Bytes, length: Bytes): Buffer {
  assert(at >= 0 && at + length <= region.bytes, 'view inside its slab region');
  return region.slab.view.subarray(region.offset + at, region.offset + at + length);
}
