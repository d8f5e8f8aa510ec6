import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes, type StripeIndex } from '../base/units.js';
import type { SlabRegion } from '../memory/slab-region.js';
import type { Backup } from '../repository/backup.js';
import type { StripeGeometry } from '../stripe/geometry.js';
import {
  SOURCE_KEEP,
  SOURCE_LOST,
  SOURCE_ZERO,
  STRIPE_BEYOND,
  STRIPE_DONE,
  STRIPE_FAILED,
  STRIPE_NEEDS_LOST,
} from '../stripe/stripe-pool.js';
import type { RebuildCounters, RebuildHost } from './rebuild-host.js';
import {
  FROM_BACKUP,
  FROM_LOST,
  FROM_PARITY,
  FROM_RING,
  FROM_ZERO,
  newStripeSources,
  planStripe,
  type PlanScope,
  type StripeSources,
} from './stripe-sources.js';

/** A stripe is planned anew when the ring moves under it; more often than this it waits for a quieter moment. */
const PLANS_MAX = 16;

/** Memory that one stripe takes while it is rebuilt along the blueprint: its data, and what the backup delivers on its way there. */
export function blueprintBytes(geometry: StripeGeometry): Bytes {
  return 2 * geometry.stripeBlocks * BLOCK_BYTES;
}

/** A workplace for stripes beyond parity, or with bad blocks: what survivors and parity cannot give is brought into its memory from ring and backup, then the stripe is rebuilt from all of it. */
export class StripeBlueprint {
  readonly #host: RebuildHost;
  readonly #region: SlabRegion;
  readonly #counters: RebuildCounters;
  readonly #sources: StripeSources;

  /** region: blueprintBytes() of memory. */
  constructor(host: RebuildHost, region: SlabRegion, counters: RebuildCounters) {
    assert(region.bytes >= blueprintBytes(host.geometry), 'memory for a stripe and what is fetched for it');
    this.#host = host;
    this.#region = region;
    this.#counters = counters;
    this.#sources = newStripeSources(host.geometry);
  }

  /** Rebuilds one stripe onto the targets. Resolves to STRIPE_*. One stripe at a time. */
  async attempt(stripe: StripeIndex, targets: readonly number[], scope: PlanScope): Promise<number> {
    const { geometry } = this.#host;
    const { from, rewrite } = this.#sources;
    const words = new Uint32Array(geometry.stripeBlocks);
    const crcs = new Uint32Array(geometry.stripeBlocks);
    const backup = this.#host.backup();
    for (let plans = 1; ; plans++) {
      await this.#plan(stripe, backup, scope);
      words.fill(SOURCE_KEEP);
      if (await this.#fetch(stripe, words, crcs, backup)) break;
      if (plans === PLANS_MAX) throw cannotRebuild(stripe, STRIPE_FAILED);
    }
    await this.#derive(stripe, words, crcs);
    if (rewrite.includes(1)) {
      const rewritten = await this.#rewrite(stripe, rewrite, words, crcs);
      if (rewritten !== STRIPE_DONE) return rewritten;
    }
    for (let slot = 0; slot < words.length; slot++) {
      const there = this.#host.readable(geometry.memberOf(stripe, Math.floor(slot / geometry.rows)), stripe);
      if (there && !scope.wide) words[slot] = SOURCE_KEEP;
      if (from[slot] === FROM_PARITY) this.#counters.fromParity += BLOCK_BYTES;
    }
    const outcome = await this.#host.pool.rebuild({
      members: this.#host.members(),
      stripes: Float64Array.of(stripe),
      targets,
      provided: words,
      dataOnly: false,
    });
    await this.#host.account(outcome, this.#host.isUntrusted(stripe));
    const status = outcome.status[0] as number;
    if (scope.giveUp) this.#host.gaveUp(stripe);
    if (status !== STRIPE_DONE || scope.wide) return status;
    // Said last: what was written for parity's sake was zeroes.
    for (let slot = 0; slot < from.length; slot++) {
      if (from[slot] !== FROM_LOST) continue;
      this.#host.markLost(geometry.memberOf(stripe, Math.floor(slot / geometry.rows)), geometry.memberBlock(stripe, slot % geometry.rows));
    }
    return status;
  }

  /** The backup is asked after the last segment has left the ring: what leaves it later would be missed in both, and taken for zeroes. */
  async #plan(stripe: StripeIndex, backup: Backup | null, scope: PlanScope): Promise<void> {
    const { geometry, journal } = this.#host;
    const has = backup === null ? null : new Uint8Array(geometry.stripeBlocks);
    if (backup !== null && has !== null) {
      for (let tail = -1; tail !== journal.tailSeq; ) {
        tail = journal.tailSeq;
        await backup.lookup(stripe * geometry.stripeBlocks, geometry.stripeBlocks, has);
      }
    }
    planStripe(this.#host, stripe, has, this.#sources, scope);
  }

  /** Brings the planned blocks into the region, the block of slot s to page s of it. False when a place of the ring is not the block's newest any more: then the plan is none. */
  async #fetch(stripe: StripeIndex, words: Uint32Array, crcs: Uint32Array, backup: Backup | null): Promise<boolean> {
    const { journal, reader } = this.#host;
    const { from, place: places } = this.#sources;
    const page = this.#region.offset / BLOCK_BYTES;
    const wanted: number[] = [];
    for (let slot = 0; slot < from.length; slot++) {
      if (from[slot] === FROM_RING) {
        const place = places[slot] as number;
        const block = stripe * this.#host.geometry.stripeBlocks + slot;
        if (journal.index.lookup(block) !== place) return false;
        const crc = journal.table.crc[place] as number;
        const had = await reader.read(place, 1, (page + slot) * BLOCK_BYTES);
        if (journal.index.lookup(block) !== place) return false;
        if (had) {
          words[slot] = page + slot;
          crcs[slot] = crc;
          this.#counters.fromJournal += BLOCK_BYTES;
        } else from[slot] = FROM_LOST;
      } else if (from[slot] === FROM_BACKUP) wanted.push(slot);
      else if (from[slot] === FROM_ZERO) words[slot] = SOURCE_ZERO;
      if (from[slot] === FROM_LOST) words[slot] = SOURCE_LOST;
    }
    if (wanted.length > 0 && backup !== null) await this.#fetchBackup(stripe, wanted, words, crcs, backup);
    return true;
  }

  /** Blocks of a row with newer writes that nobody else has: the row as it lies on the members may still give them. */
  async #derive(stripe: StripeIndex, words: Uint32Array, crcs: Uint32Array): Promise<void> {
    const { geometry, pool } = this.#host;
    const { from } = this.#sources;
    const slots: number[] = [];
    for (let slot = 0; slot < from.length; slot++) if (from[slot] === FROM_LOST) slots.push(slot);
    if (slots.length === 0 || this.#host.isUntrusted(stripe)) return;
    const page = this.#region.offset / BLOCK_BYTES;
    const outcome = await pool.recover({
      members: this.#host.members(),
      blocks: Float64Array.from(slots, (slot) => stripe * geometry.stripeBlocks + slot),
      pages: Uint32Array.from(slots, (slot) => page + slot),
      repair: false,
    });
    await this.#host.account({ ...outcome, status: new Uint8Array(1) });
    slots.forEach((slot, i) => {
      if (outcome.status[i] !== 0) return;
      from[slot] = FROM_PARITY;
      crcs[slot] = outcome.crcs[i] as number;
      words[slot] = crcs[slot] === 0 ? SOURCE_ZERO : page + slot;
    });
  }

  /** The backup delivers to consecutive pages: the end of the region takes them, then each goes to its slot's page. */
  async #fetchBackup(stripe: StripeIndex, wanted: number[], words: Uint32Array, crcs: Uint32Array, backup: Backup): Promise<void> {
    const { geometry } = this.#host;
    const view = this.#region.slab.view;
    const page = this.#region.offset / BLOCK_BYTES;
    const landing = page + geometry.stripeBlocks;
    const fetched = new Uint32Array(wanted.length);
    const blocks = Float64Array.from(wanted, (slot) => stripe * geometry.stripeBlocks + slot);
    this.#counters.backupStoredBytes += await backup.read(blocks, landing * BLOCK_BYTES, fetched);
    for (let i = 0; i < wanted.length; i++) {
      const slot = wanted[i] as number;
      view.copyWithin((page + slot) * BLOCK_BYTES, (landing + i) * BLOCK_BYTES, (landing + i + 1) * BLOCK_BYTES);
      words[slot] = page + slot;
      crcs[slot] = fetched[i] as number;
      this.#counters.fromBackup += BLOCK_BYTES;
    }
  }

  /** Rows whose parity does not fit: written again as if destaged, with every parity. STRIPE_BEYOND: a survivor's block in them is bad. */
  async #rewrite(stripe: StripeIndex, rewrite: Uint8Array, words: Uint32Array, crcs: Uint32Array): Promise<number> {
    const { geometry } = this.#host;
    const sources = words.map((word, slot) => (rewrite[slot % geometry.rows] === 0 ? SOURCE_KEEP : word));
    this.#host.takesFromRing();
    const outcome = await this.#host.pool.apply({
      members: this.#host.members(),
      stripes: Float64Array.of(stripe),
      sources,
      crcs,
      rewrite: true,
    });
    await this.#host.account(outcome, this.#host.isUntrusted(stripe));
    // STRIPE_FAILED without a failed write: members still away leave the row short of shards; what could be written was, and ring and backup keep the rest.
    const short = outcome.status[0] === STRIPE_FAILED && !outcome.writeErrors.some((errors) => errors > 0);
    if (short) return STRIPE_DONE;
    return outcome.status[0] === STRIPE_NEEDS_LOST ? STRIPE_BEYOND : (outcome.status[0] as number);
  }
}

export function cannotRebuild(stripe: StripeIndex, status: number): KeelsonError {
  return new KeelsonError('REBUILD_STRIPE', `stripe ${stripe} cannot be rebuilt now`, {
    found: `status ${status} of its task`,
    action: 'another member may have failed meanwhile: see keelson status, replace it, and run keelson rebuild again',
  });
}
