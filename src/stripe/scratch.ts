import { assert } from '../base/assert.js';
import { BLOCK_BYTES, type Bytes, type SlabOffset } from '../base/units.js';
import type { StripeGeometry } from './geometry.js';
import type { Scratch } from './workspace.js';

/** Slab bytes that belong to one thread of a pool. */
export interface ScratchRange {
  readonly offset: SlabOffset;
  readonly bytes: Bytes;
}

export function scratchPages(geometry: StripeGeometry, range: ScratchRange): Scratch {
  assert(range.offset % BLOCK_BYTES === 0, 'scratch starts on a page of the slab');
  assert(range.bytes >= geometry.n * geometry.chunkBytes, 'scratch of at least one stripe');
  return { firstPage: range.offset / BLOCK_BYTES, pages: Math.floor(range.bytes / BLOCK_BYTES) };
}

/** Stripes whose worst case fits the scratch. */
export function stripesThatFit(geometry: StripeGeometry, range: ScratchRange): number {
  return Math.floor(range.bytes / (geometry.n * geometry.chunkBytes));
}
