import { multiply } from '../../src/erasure/field.js';
import { parityMatrix } from '../../src/erasure/matrix.js';
import type { Random } from '../../src/base/random.js';
import { Slab } from '../../src/memory/slab.js';
import { loadAddon } from '../../src/native/load.js';
import { CRC_LOST, CRC_UNWRITTEN, integrityEntry, StripeGeometry } from '../../src/stripe/geometry.js';
import { inlineStripePool } from '../../src/stripe/inline-pool.js';
import {
  type MemberView,
  SOURCE_KEEP,
  SOURCE_LOST,
  SOURCE_ZERO,
  type StripeContext,
  type StripePool,
} from '../../src/stripe/stripe-pool.js';
import { memberAccess, slotState, SLOT_READABLE } from '../../src/stripe/slot-state.js';
import { MemoryIo } from './memory-io.js';

export const BLOCK = 4096;
const ZEROES = new Uint8Array(BLOCK);

export interface Shape {
  readonly k: number;
  readonly m: number;
  readonly rows: number;
  readonly stripes: number;
  /** In stripes. Default 3. */
  readonly scratchStripes?: number;
}

/**
 * A small array in memory with a model beside it: what every volume block has to read as (null: zeroes), which blocks are lost for good, and which
 * device blocks were corrupted on purpose.
 */
export class StripeBench {
  readonly geometry: StripeGeometry;
  readonly slab: Slab;
  readonly io: MemoryIo;
  readonly tables: Uint32Array[];
  readonly context: StripeContext;
  readonly pool: StripePool;
  readonly view: MemberView;
  readonly model: (Uint8Array | null)[];
  readonly lost = new Set<number>();
  /** member * 2^20 + device block of the data zone */
  readonly corrupt = new Set<number>();
  readonly scratchBytes: number;
  readonly #dataOffset = 8 * BLOCK;
  #nextPage = 0;

  constructor(shape: Shape) {
    this.geometry = new StripeGeometry(shape.k, shape.m, shape.rows * BLOCK, shape.stripes);
    const { n, rows, stripes, volumeBlocks } = this.geometry;
    this.scratchBytes = (shape.scratchStripes ?? 3) * n * rows * BLOCK;
    this.slab = Slab.allocate(this.scratchBytes + 2 * volumeBlocks * BLOCK);
    this.io = new MemoryIo(this.slab.view, n, this.#dataOffset + stripes * rows * BLOCK);
    const shared = Array.from({ length: n }, () => new SharedArrayBuffer(stripes * rows * 4));
    this.tables = shared.map((buffer) => new Uint32Array(buffer));
    this.context = {
      geometry: this.geometry,
      slab: this.slab.shared,
      dataOffset: new Float64Array(n).fill(this.#dataOffset),
      integrity: shared,
      io: 'fs',
    };
    this.pool = inlineStripePool(this.context, this.io, { offset: 0, bytes: this.scratchBytes });
    this.view = {
      handle: Int32Array.from({ length: n }, (_, i) => i),
      rebuiltStripes: new Float64Array(n).fill(Number.POSITIVE_INFINITY),
      integrityKnown: new Uint8Array(n).fill(1),
    };
    this.model = new Array<Uint8Array | null>(volumeBlocks).fill(null);
  }

  /** Frees all payload pages: call before making the sources of a task. */
  resetPages(): void {
    this.#nextPage = this.scratchBytes / BLOCK;
  }

  takePage(): number {
    return this.#nextPage++;
  }

  page(page: number): Uint8Array {
    return this.slab.view.subarray(page * BLOCK, (page + 1) * BLOCK);
  }

  crc(page: number, block: number): number {
    const out = new Uint32Array(1);
    loadAddon().crcRun(this.slab.view, page * BLOCK, block, 1, out, 0);
    return out[0] as number;
  }

  crcOf(content: Uint8Array, address: number): number {
    const out = new Uint32Array(1);
    loadAddon().crcRun(content, 0, address, 1, out, 0);
    return out[0] as number;
  }

  /** Device bytes of a shard's block. */
  stored(stripe: number, shard: number, row: number): Uint8Array {
    const member = this.geometry.memberOf(stripe, shard);
    const at = this.#dataOffset + this.geometry.memberBlock(stripe, row) * BLOCK;
    return (this.io.devices[this.view.handle[member] as number] ?? (this.io.devices[member] as Uint8Array)).subarray(at, at + BLOCK);
  }

  blockOf(stripe: number, d: number, row: number): number {
    return stripe * this.geometry.stripeBlocks + d * this.geometry.rows + row;
  }

  /**
   * Sources for `stripes` from writes: block -> content, null for a trim. Pages are taken in the order of the blocks, so that neighbours are contiguous.
   */
  sources(
    stripes: readonly number[],
    writes: ReadonlyMap<number, Uint8Array | null | 'lost'>,
  ): { sources: Uint32Array; crcs: Uint32Array } {
    const { stripeBlocks } = this.geometry;
    const sources = new Uint32Array(stripes.length * stripeBlocks).fill(SOURCE_KEEP);
    const crcs = new Uint32Array(sources.length);
    stripes.forEach((stripe, i) => {
      for (let slot = 0; slot < stripeBlocks; slot++) {
        const block = stripe * stripeBlocks + slot;
        const content = writes.get(block);
        if (content === undefined) continue;
        if (content === null) sources[i * stripeBlocks + slot] = SOURCE_ZERO;
        else if (content === 'lost') sources[i * stripeBlocks + slot] = SOURCE_LOST;
        else {
          const page = this.takePage();
          this.page(page).set(content);
          sources[i * stripeBlocks + slot] = page;
          crcs[i * stripeBlocks + slot] = this.crc(page, block);
        }
      }
    });
    return { sources, crcs };
  }

  async apply(
    writes: ReadonlyMap<number, Uint8Array | null>,
    rewrite = false,
    view = this.view,
  ): Promise<{ stripes: number[]; outcome: Awaited<ReturnType<StripePool['apply']>> }> {
    this.resetPages();
    const stripes = [...new Set([...writes.keys()].map((block) => this.geometry.stripeOf(block)))].sort((a, b) => a - b);
    const { sources, crcs } = this.sources(stripes, writes);
    const outcome = await this.pool.apply({ members: view, stripes: Float64Array.from(stripes), sources, crcs, rewrite });
    stripes.forEach((stripe, i) => {
      if (outcome.status[i] !== 0) return;
      for (const [block, content] of writes) {
        if (this.geometry.stripeOf(block) !== stripe) continue;
        this.model[block] = content;
        this.lost.delete(block);
      }
    });
    return { stripes, outcome };
  }

  /** Recovers blocks; contents null where the status is not 0. */
  async recover(
    blocks: readonly number[],
    view: MemberView,
    repair: boolean,
  ): Promise<{ status: Uint8Array; contents: (Uint8Array | null)[]; repaired: number }> {
    this.resetPages();
    const pages = Uint32Array.from(blocks, () => this.takePage());
    for (const page of pages) this.page(page).fill(0xee);
    const outcome = await this.pool.recover({ members: view, blocks: Float64Array.from(blocks), pages, repair });
    const contents = blocks.map((block, i) => {
      if (outcome.status[i] !== 0) return null;
      const content = Uint8Array.from(this.page(pages[i] as number));
      const crc = outcome.crcs[i] as number;
      if (crc !== 0 && crc !== this.crcOf(content, block))
        throw new Error(`checksum returned for block ${block} is not that of its content`);
      if (crc === 0 && !content.every((byte) => byte === 0)) throw new Error(`block ${block} has no checksum but content`);
      return content;
    });
    return { status: outcome.status, contents, repaired: outcome.repaired };
  }

  /** '' or the first block that does not read as the model says, over all blocks, with `view`. */
  async checkReads(view: MemberView = this.view): Promise<string> {
    const blocks = this.model.map((_, block) => block);
    const { status, contents } = await this.recover(blocks, view, false);
    for (const block of blocks) {
      if (this.lost.has(block)) {
        if (status[block] !== 2) return `block ${block} is lost for good but has status ${status[block]}`;
        continue;
      }
      if (status[block] !== 0) return `block ${block} has status ${status[block]}`;
      if (Buffer.compare(contents[block] as Uint8Array, this.model[block] ?? ZEROES) !== 0)
        return `block ${block} of shard ${Math.floor(this.geometry.slotOf(block) / this.geometry.rows)}, stripe ${this.geometry.stripeOf(block)}, members ${view.handle} reads wrong bytes`;
    }
    return '';
  }

  /** '' or the first shard block of a readable member that is neither right by content and entry nor known to be corrupt. Parity is computed anew, byte by byte. */
  checkStored(): string {
    const { k, n, rows, stripes } = this.geometry;
    for (let stripe = 0; stripe < stripes; stripe++) {
      for (let row = 0; row < rows; row++) {
        const expected = this.codeword(stripe, row);
        for (let shard = 0; shard < n; shard++) {
          const member = this.geometry.memberOf(stripe, shard);
          const entry = (this.tables[member] as Uint32Array)[this.geometry.memberBlock(stripe, row)] as number;
          const access = memberAccess(this.view, member, stripe);
          const name = `stripe ${stripe} row ${row} shard ${shard} (member ${member})`;
          const content = expected[shard] as Uint8Array;
          if ((access & 1) !== 0 && shard < k && this.lost.has(this.blockOf(stripe, shard, row))) {
            if (entry !== CRC_LOST) return `${name}: lost for good, entry ${entry}`;
          } else if ((access & 1) !== 0 && entry === CRC_UNWRITTEN) {
            if (!content.every((byte) => byte === 0)) return `${name}: unwritten, but it has content`;
          } else if (slotState(access, entry) === SLOT_READABLE) {
            if (this.corrupt.has(member * 2 ** 20 + this.geometry.memberBlock(stripe, row))) continue;
            const stored = this.stored(stripe, shard, row);
            if (integrityEntry(this.crcOf(stored, this.geometry.crcAddress(stripe, shard, row))) !== entry)
              return `${name}: content does not fit the entry`;
            if (Buffer.compare(stored, content) !== 0) return `${name}: wrong content with a right checksum`;
          }
        }
      }
    }
    return '';
  }

  /** The n blocks that the row has to have by the model, by schoolbook multiplication. */
  codeword(stripe: number, row: number): Uint8Array[] {
    const { k, m } = this.geometry;
    const matrix = parityMatrix(k, m);
    const shards = Array.from({ length: k }, (_, d) => this.model[this.blockOf(stripe, d, row)] ?? ZEROES);
    for (let p = 0; p < m; p++) {
      const parity = new Uint8Array(BLOCK);
      for (let d = 0; d < k; d++) {
        const data = shards[d] as Uint8Array;
        if (data === ZEROES) continue;
        const factor = matrix.values[p * k + d] as number;
        for (let b = 0; b < BLOCK; b++) parity[b] = (parity[b] as number) ^ multiply(factor, data[b] as number);
      }
      shards.push(parity);
    }
    return shards;
  }

  /** Erasures of a row: members that cannot be read, and corrupt blocks, of shards that are not known to be zero. */
  erasures(stripe: number, row: number): number {
    let count = 0;
    for (let shard = 0; shard < this.geometry.n; shard++) {
      const member = this.geometry.memberOf(stripe, shard);
      const entry = (this.tables[member] as Uint32Array)[this.geometry.memberBlock(stripe, row)] as number;
      const state = slotState(memberAccess(this.view, member, stripe), entry);
      if (state === 0 || (state === SLOT_READABLE && this.corrupt.has(member * 2 ** 20 + this.geometry.memberBlock(stripe, row))))
        count += 1;
    }
    return count;
  }

  /** Flips a byte, or makes the block unreadable, of a readable written block. False when it is none, or already corrupt. */
  spoil(stripe: number, shard: number, row: number, random: Random): boolean {
    const member = this.geometry.memberOf(stripe, shard);
    const block = this.geometry.memberBlock(stripe, row);
    const entry = (this.tables[member] as Uint32Array)[block] as number;
    if (slotState(memberAccess(this.view, member, stripe), entry) !== SLOT_READABLE || this.corrupt.has(member * 2 ** 20 + block))
      return false;
    this.corrupt.add(member * 2 ** 20 + block);
    if (random.below(2) === 0) this.io.unreadable[this.view.handle[member] as number]?.add(this.#dataOffset / BLOCK + block);
    else {
      const stored = this.stored(stripe, shard, row);
      const at = random.below(BLOCK);
      stored[at] = (stored[at] as number) ^ (1 + random.below(255));
    }
    return true;
  }

  /** Forgets which blocks were spoilt where the stored bytes are right again. */
  refreshCorrupt(): void {
    for (const key of [...this.corrupt]) {
      const member = Math.floor(key / 2 ** 20);
      const block = key % 2 ** 20;
      const stripe = Math.floor(block / this.geometry.rows);
      const shard = this.geometry.shardOf(stripe, member);
      const row = block % this.geometry.rows;
      const readable = !this.io.unreadable[this.view.handle[member] as number]?.has(this.#dataOffset / BLOCK + block);
      const entry = (this.tables[member] as Uint32Array)[block];
      const crc = this.crcOf(this.stored(stripe, shard, row), this.geometry.crcAddress(stripe, shard, row));
      if (entry === CRC_UNWRITTEN || (readable && integrityEntry(crc) === entry)) this.corrupt.delete(key);
    }
  }

  /** The member dies; known: its integrity table stays known. */
  kill(member: number, known: boolean): void {
    this.view.handle[member] = -1;
    this.view.integrityKnown[member] = known ? 1 : 0;
    if (!known) (this.tables[member] as Uint32Array).fill(0x77);
    for (const key of [...this.corrupt]) if (Math.floor(key / 2 ** 20) === member) this.corrupt.delete(key);
  }

  /** A new device full of garbage takes the member's place. */
  replace(member: number, random: Random): void {
    random.fill(this.io.devices[member] as Uint8Array);
    this.io.unreadable[member]?.clear();
    this.view.handle[member] = member;
    this.view.rebuiltStripes[member] = 0;
  }

  copyView(): MemberView {
    return {
      handle: this.view.handle.slice(),
      rebuiltStripes: this.view.rebuiltStripes.slice(),
      integrityKnown: this.view.integrityKnown.slice(),
    };
  }
}
