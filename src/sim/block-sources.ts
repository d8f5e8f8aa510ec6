import { KeelsonError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { BLOCK_BYTES, type BlockIndex, type StripeIndex } from '../base/units.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import { ErasureCodec } from '../erasure/codec.js';
import { loadAddon } from '../native/load.js';
import { CRC_UNWRITTEN, fitsEntry } from '../stripe/geometry.js';
import { simulatedRepository } from './backup-checks.js';
import { CELLS_A_BLOCK } from './cell-content.js';
import type { SimulatedDisk } from './simulated-disk.js';
import { SimulatedProcess } from './simulated-process.js';
import type { SimulatedHost } from './simulated-target.js';
import type { Finding, VolumeHistory } from './volume-history.js';
import { World } from './world.js';
import { ZERO_PAGE } from './zero-page.js';

const EVENTS_MAX = 10_000;

/** Of what shards, ring and backup are taken into account. */
export interface SourcedRun {
  readonly members: readonly SimulatedDisk[];
  /** Whoever writes to it, and whether or not it can be reached: what it has is there. */
  readonly host: SimulatedHost | null;
  readonly count: (promise: string, times?: number) => void;
  /** A stripe task stands still in the middle of it, and nothing may stop the process now. */
  readonly inSafeTask: (stripe: StripeIndex) => boolean;
}

/**
 * P4 to the letter, while the array runs: what a block has to show can be had from k consistent shards, or from a journal copy, or from the backup. Looked for in the bytes of the
 * simulated devices and of the backup host, with the tables of the engine only saying where: which shards are consistent (their checksums), and which places of the ring
 * were given to the block. What comes of them is held against the history.
 *
 * A member that dies after a stripe task was given it as whole leaves rows that are half old and half new, with what it had of them in the memory of that task alone. Until the
 * task has ended, and what it wrote is flushed, the engine calls nobody failed in a checkpoint (engine/checkpointer.ts), and the atlas lets nothing stop the process: there a
 * crash would be a second loss of the same rows. What such a stripe lacks has to be there as soon as its task has ended, or may be stopped.
 */
export class BlockSources {
  readonly #run: SourcedRun;
  readonly #codec: ErasureCodec;
  /** A row: n blocks. */
  readonly #row: Uint8Array;
  readonly #offsets: Float64Array;
  readonly #crc = new Uint32Array(1);
  /** Stripes to be looked at again when their tasks have ended, and whose they are. */
  readonly #owed = new Set<StripeIndex>();
  #owing: ArrayEngine | null = null;

  constructor(run: SourcedRun, dataShards: number, parity: number) {
    this.#run = run;
    this.#codec = new ErasureCodec({ k: dataShards, m: parity });
    this.#row = new Uint8Array(this.#codec.n * BLOCK_BYTES);
    this.#offsets = Float64Array.from({ length: this.#codec.n }, (_, shard) => shard * BLOCK_BYTES);
  }

  /** Looks at the blocks of a stripe. ringLost: all journal members are, whether or not the engine knows. null, or a promise of what is wrong when the backup has to be asked. */
  look(engine: ArrayEngine, history: VolumeHistory, random: Random, ringLost: boolean): Promise<Finding | null> | null {
    return this.#lookAt(random.below(engine.state.geometry.stripes), engine, history, random, ringLost);
  }

  /** Looks at the stripes of which something was in the memory of a task, and is not any more. */
  lookAgain(engine: ArrayEngine, history: VolumeHistory, random: Random, ringLost: boolean): Promise<Finding | null> | null {
    if (engine !== this.#owing) this.#owed.clear();
    for (const stripe of this.#owed) {
      if (this.#run.inSafeTask(stripe)) continue;
      this.#owed.delete(stripe);
      const looked = this.#lookAt(stripe, engine, history, random, ringLost);
      if (looked !== null) return looked;
    }
    return null;
  }

  #lookAt(
    stripe: StripeIndex,
    engine: ArrayEngine,
    history: VolumeHistory,
    random: Random,
    ringLost: boolean,
  ): Promise<Finding | null> | null {
    const { geometry } = engine.state;
    const first = stripe * geometry.stripeBlocks;
    const inRing = this.#places(engine, first, geometry.stripeBlocks);
    const missing: BlockIndex[] = [];
    for (let block = first; block < first + geometry.stripeBlocks; block++) {
      const shows = (bytes: Uint8Array): boolean => history.check(bytes, block * CELLS_A_BLOCK, Number.POSITIVE_INFINITY) === null;
      if (!this.#inRing(engine, block, inRing, shows, ringLost) && !this.#inShards(engine, block, shows)) missing.push(block);
    }
    this.#run.count('P4', geometry.stripeBlocks);
    if (missing.length === 0) return null;
    if (!this.#run.inSafeTask(stripe)) return this.#inBackup(engine, missing, history, random);
    this.#owing = engine;
    this.#owed.add(stripe);
    return null;
  }

  /** Places of the ring that hold something of these blocks. */
  #places({ journal }: ArrayEngine, first: BlockIndex, count: number): number[] {
    const places: number[] = [];
    const { blockAt } = journal.index;
    for (let place = 0; place < blockAt.length; place++) {
      const block = blockAt[place] as number;
      if (block >= first && block < first + count) places.push(place);
    }
    return places;
  }

  #inRing(
    { journal }: ArrayEngine,
    block: BlockIndex,
    places: readonly number[],
    shows: (bytes: Uint8Array) => boolean,
    ringLost: boolean,
  ): boolean {
    const { table, index } = journal;
    // Zeroes are an entry in a header, and none of these is looked at: every member that has the segment has it.
    const zeroed = table.zeroes.some(
      (list, slot) =>
        list !== null &&
        (table.copies[slot] !== 0 || (table.memory[slot] as number) >= 0) &&
        list.first.some((first, i) => block >= first && block < first + (list.count[i] as number)),
    );
    if (zeroed && shows(ZERO_PAGE)) return true;
    return places.some((place) => {
      if (index.blockAt[place] !== block) return false;
      const slot = table.slotOfPlace(place);
      // Of a ring that was lost as a whole its memory is left (fault-atlas.ts).
      const memory = ringLost || table.copies[slot] === 0 ? table.memoryOf(place) : -1;
      if (memory >= 0 && shows(journal.slab.view.subarray(memory, memory + BLOCK_BYTES))) return true;
      return journal.members.some((member, position) => {
        if (((table.copies[slot] as number) & (1 << position)) === 0 || !journal.isOnline(position)) return false;
        const page = this.#page(member.index, journal.deviceOffset(position, slot, place - slot * table.segmentBlocks));
        return page !== null && shows(page);
      });
    });
  }

  #page(member: number, offset: number): Uint8Array | null {
    return (this.#run.members[member] as SimulatedDisk).look(offset / BLOCK_BYTES);
  }

  /** From its own shard, or from k others. */
  #inShards({ state }: ArrayEngine, block: BlockIndex, shows: (bytes: Uint8Array) => boolean): boolean {
    const { geometry } = state;
    const { k, n, rows } = geometry;
    const stripe = geometry.stripeOf(block);
    const at = geometry.slotOf(block);
    const [own, row] = [Math.floor(at / rows), at % rows];
    const present = new Uint8Array(n);
    for (let shard = 0; shard < n; shard++) present[shard] = this.#bring(state, stripe, shard, row) ? 1 : 0;
    const content = this.#row.subarray(own * BLOCK_BYTES, (own + 1) * BLOCK_BYTES);
    if (present[own] === 1) return shows(content);
    if (present.reduce((sum, one) => sum + one, 0) < k) return false;
    this.#codec.reconstruct(this.#row, this.#offsets, BLOCK_BYTES, present, [own]);
    return shows(content);
  }

  /** Brings a shard's block to its place in the row, when it is there and consistent. */
  #bring(state: ArrayEngine['state'], stripe: number, shard: number, row: number): boolean {
    const { geometry } = state;
    const member = geometry.memberOf(stripe, shard);
    const there = state.readable(member, stripe);
    const place = geometry.memberBlock(stripe, row);
    const entry = state.integrity[member]?.entries[place] as number;
    const into = this.#row.subarray(shard * BLOCK_BYTES, (shard + 1) * BLOCK_BYTES);
    // That nothing was ever written there needs no device.
    if (entry === CRC_UNWRITTEN && (there || state.integrityKnown[member] === 1)) {
      into.fill(0);
      return true;
    }
    if (!there) return false;
    const page = this.#page(member, (state.members[member]?.superblock.layout.dataOffset ?? 0) + place * BLOCK_BYTES);
    if (page === null) return false;
    into.set(page);
    const address = geometry.crcAddress(stripe, shard, row);
    loadAddon().crcBlocks(this.#row, Float64Array.of(shard * BLOCK_BYTES), Float64Array.of(address), 1, this.#crc, 0);
    return fitsEntry(this.#crc[0] as number, entry);
  }

  async #inBackup(engine: ArrayEngine, blocks: readonly BlockIndex[], history: VolumeHistory, random: Random): Promise<Finding | null> {
    const { host } = this.#run;
    let left = 'neither k consistent shards nor a journal copy';
    if (host !== null && engine.state.protection === 'full') {
      left = 'neither k consistent shards, nor a journal copy, nor the backup';
      const memory = new Uint8Array(blocks.length * BLOCK_BYTES);
      const world = new World(random, 0);
      const reader = new SimulatedProcess(world.scheduler, random, new Map(), new Map());
      const copy = host.copy();
      copy.heal();
      const repository = simulatedRepository(copy, reader, memory);
      const read = async (): Promise<boolean> => {
        await repository.open({ arrayUuid: '', epoch: 0, volumeBytes: 0, create: false, readOnly: true });
        await repository.read(Float64Array.from(blocks), 0, new Uint32Array(blocks.length));
        return true;
      };
      // One that was never published to has zeroes.
      const had = await world.until(
        read().catch((error: unknown) => KeelsonError.from(error).code === 'BACKUP_MISSING'),
        EVENTS_MAX,
      );
      if (had === true)
        blocks = blocks.filter((block, i) => history.check(pageOf(memory, i), block * CELLS_A_BLOCK, Number.POSITIVE_INFINITY) !== null);
    }
    if (blocks.length === 0) return null;
    return { promise: 'P4', message: `block ${blocks.join(', ')} can be had from ${left}` };
  }
}

function pageOf(memory: Uint8Array, index: number): Uint8Array {
  return memory.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
}
