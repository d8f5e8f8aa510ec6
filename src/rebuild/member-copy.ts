import { assert } from '../base/assert.js';
import { BLOCK_BYTES, type Bytes, type StripeIndex } from '../base/units.js';
import type { Device } from '../device/device.js';
import { readOutcome } from '../device/outcome-io.js';
import { writeDevice } from '../device/promise-io.js';
import type { SlabRegion } from '../memory/slab-region.js';
import { CRC_LOST, CRC_UNWRITTEN, fitsEntry, type StripeGeometry } from '../stripe/geometry.js';
import type { StripeHold } from '../stripe/stripe-lock.js';
import type { StripeKernels } from '../stripe/workspace.js';

export interface CopyHost {
  readonly geometry: StripeGeometry;
  /** The member that is copied. */
  readonly member: number;
  readonly kernels: Pick<StripeKernels, 'crcBlocks'>;
  /** Integrity entries of the member that is copied. */
  readonly entries: Uint32Array;
  readonly dataOffset: Bytes;
  lock(stripes: Float64Array): Promise<StripeHold>;
  unlock(hold: StripeHold): void;
  /** Puts volume blocks at slab pages, from the others where the member's own are bad; nothing is written. What could not be had is left as it is. */
  recover(blocks: Float64Array, pages: Uint32Array): Promise<void>;
  /** Throws when the copy cannot go on; lets foreground work go first. */
  pace(): Promise<void>;
}

/**
 * Copies what one member holds of the stripes to another device while the member stays in use: stripe by stripe under the stripe's lock. A stripe that changes after it was copied is
 * copied again (changed), so each pass is as long as what the one before it missed. What the member itself cannot give comes from the others; what they cannot give either arrives
 * as it is, an erasure as it was, and is listed.
 */
export class MemberCopy {
  copiedBytes: Bytes = 0;
  totalBytes: Bytes = 0;
  /** Stripes of which some block did not fit its checksum: to be scrubbed when the new device is the member. */
  readonly bad = new Set<StripeIndex>();
  readonly #host: CopyHost;
  readonly #from: Device;
  readonly #to: Device;
  readonly #region: SlabRegion;
  readonly #wanted: Uint8Array;
  #count = 0;

  /** written: a bit a stripe; the others hold nothing. region: memory of at least one chunk. */
  constructor(host: CopyHost, from: Device, to: Device, region: SlabRegion, written: Uint8Array) {
    assert(region.bytes >= host.geometry.chunkBytes, 'memory for a chunk');
    this.#host = host;
    this.#from = from;
    this.#to = to;
    this.#region = region;
    this.#wanted = new Uint8Array(written.length);
    for (let stripe = 0; stripe < host.geometry.stripes; stripe++)
      if (((written[stripe >>> 3] as number) & (1 << (stripe & 7))) !== 0) this.changed(stripe);
  }

  /** Stripes that are not copied, or changed since. */
  get left(): number {
    return this.#count;
  }

  /** The stripe has other content than when it was copied. Called before its lock is given back. */
  changed(stripe: StripeIndex): void {
    if (this.#wants(stripe)) return;
    this.#wanted[stripe >>> 3] = (this.#wanted[stripe >>> 3] as number) | (1 << (stripe & 7));
    this.#count++;
    this.totalBytes += this.#host.geometry.chunkBytes;
  }

  #wants(stripe: StripeIndex): boolean {
    return ((this.#wanted[stripe >>> 3] as number) & (1 << (stripe & 7))) !== 0;
  }

  /** One way through what is left. locked: nobody else works on stripes, so that none is locked. Throws what writing to the new device throws, and what pace throws. */
  async pass(locked: boolean): Promise<void> {
    const { geometry } = this.#host;
    const most = Math.floor(this.#region.bytes / geometry.chunkBytes);
    for (let stripe = 0; stripe < geometry.stripes; ) {
      if (!this.#wants(stripe)) {
        stripe++;
        continue;
      }
      let end = stripe + 1;
      while (end < geometry.stripes && end - stripe < most && this.#wants(end)) end++;
      await this.#run(stripe, end, locked);
      stripe = end;
      if (!locked) await this.#host.pace();
    }
  }

  async #run(first: StripeIndex, end: StripeIndex, locked: boolean): Promise<void> {
    const stripes = Float64Array.from({ length: end - first }, (_, i) => first + i);
    const hold = locked ? null : await this.#host.lock(stripes);
    try {
      // From here to the end of the hold nothing changes: what changes later is said again.
      for (const stripe of stripes) {
        this.#wanted[stripe >>> 3] = (this.#wanted[stripe >>> 3] as number) & ~(1 << (stripe & 7));
        this.#count--;
        this.bad.delete(stripe);
      }
      await this.#copy(first, end - first);
      this.copiedBytes += stripes.length * this.#host.geometry.chunkBytes;
    } catch (error) {
      for (const stripe of stripes) this.changed(stripe);
      throw error;
    } finally {
      if (hold !== null) this.#host.unlock(hold);
    }
  }

  async #copy(first: StripeIndex, count: number): Promise<void> {
    const { geometry, dataOffset } = this.#host;
    const at = dataOffset + first * geometry.chunkBytes;
    const bytes = count * geometry.chunkBytes;
    if ((await readOutcome(this.#from, this.#region.offset, at, bytes)) < 0) await this.#readEach(at, bytes);
    await this.#mend(first, this.#misfits(first, count * geometry.rows));
    await writeDevice(this.#to, this.#region.offset, at, bytes);
  }

  /** A bad sector must not take its neighbours with it. */
  async #readEach(at: Bytes, bytes: Bytes): Promise<void> {
    const { slab, offset } = this.#region;
    for (let block = 0; block < bytes; block += BLOCK_BYTES)
      if ((await readOutcome(this.#from, offset + block, at + block, BLOCK_BYTES)) < 0)
        slab.view.fill(0, offset + block, offset + block + BLOCK_BYTES);
  }

  /** Blocks of the run, counted from its first, that are not what their entries say. */
  #misfits(first: StripeIndex, blocks: number): number[] {
    const { geometry, entries, kernels, member } = this.#host;
    const offsets = new Float64Array(blocks);
    const addresses = new Float64Array(blocks);
    for (let i = 0; i < blocks; i++) {
      const stripe = first + Math.floor(i / geometry.rows);
      offsets[i] = this.#region.offset + i * BLOCK_BYTES;
      addresses[i] = geometry.crcAddress(stripe, geometry.shardOf(stripe, member), i % geometry.rows);
    }
    const crcs = new Uint32Array(blocks);
    kernels.crcBlocks(this.#region.slab.view, offsets, addresses, blocks, crcs, 0);
    const misfits: number[] = [];
    for (let i = 0; i < blocks; i++) {
      const entry = entries[first * geometry.rows + i] as number;
      if (entry !== CRC_UNWRITTEN && entry !== CRC_LOST && !fitsEntry(crcs[i] as number, entry)) misfits.push(i);
    }
    return misfits;
  }

  async #mend(first: StripeIndex, misfits: readonly number[]): Promise<void> {
    const { geometry, member } = this.#host;
    const page = this.#region.offset / BLOCK_BYTES;
    const blocks: number[] = [];
    const pages: number[] = [];
    for (const i of misfits) {
      const stripe = first + Math.floor(i / geometry.rows);
      const shard = geometry.shardOf(stripe, member);
      this.bad.add(stripe);
      // Parity is made again by the scrub of what is bad, when the new device is the member.
      if (shard >= geometry.k) continue;
      blocks.push(stripe * geometry.stripeBlocks + shard * geometry.rows + (i % geometry.rows));
      pages.push(page + i);
    }
    if (blocks.length > 0) await this.#host.recover(Float64Array.from(blocks), Uint32Array.from(pages));
  }
}
