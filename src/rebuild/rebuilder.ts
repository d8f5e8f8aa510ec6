import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import { BLOCK_BYTES, type Bytes, type StripeIndex } from '../base/units.js';
import type { RingReader } from '../journal/ring-reader.js';
import type { SlabRegion } from '../memory/slab-region.js';
import type { Backup } from '../repository/backup.js';
import type { StripeHold } from '../stripe/stripe-lock.js';
import {
  type MemberView,
  type RebuildTask,
  SOURCE_KEEP,
  SOURCE_LOST,
  SOURCE_ZERO,
  STRIPE_BEYOND,
  STRIPE_DONE,
  STRIPE_FAILED,
  STRIPE_NEEDS_LOST,
  type StripeOutcome,
  type StripePool,
} from '../stripe/stripe-pool.js';
import {
  FROM_BACKUP,
  FROM_LOST,
  FROM_PARITY,
  FROM_RING,
  FROM_ZERO,
  newStripeSources,
  planStripe,
  type PlanScope,
  type SourceHost,
  type StripeSources,
} from './stripe-sources.js';

/** Stripes of one task when parity suffices: a few MiB of each member, so that a task's I/O is long and a waiting write is not. */
const STRIPES_PER_TASK = 32;
/** Tasks of one round for each thread: one waits for its I/O while another computes, and no thread is left over. */
const LANES_PER_THREAD = 4;
/** Bytes of a member between two checkpoints of the progress. */
const CHECKPOINT_EVERY_BYTES = 256 * 1024 * 1024;

/** A stripe is planned anew when the ring moves under it; more often than this it waits for a quieter moment. */
const PLANS_MAX = 16;
/** Runs in which a stripe has to fail before its blocks that are bad and to be had from nowhere are given up: an error that passes must not cost data. */
const GIVE_UP_AFTER = 3;

/** A member that is being rebuilt. The object stands for the device: one that takes its place is another object. */
export interface RebuildTarget {
  readonly index: number;
  /** Stripes below this are on it. */
  readonly rebuiltStripes: number;
}

export interface RebuildHost extends SourceHost {
  readonly pool: StripePool;
  readonly reader: RingReader;
  members(): MemberView;
  isWritten(stripe: StripeIndex): boolean;
  changed(stripe: StripeIndex): void;
  /** Blocks of the stripe may have been given up. */
  gaveUp(stripe: StripeIndex): void;
  /** The block counts as zeroes for parity and is an error to its readers until it is written again. */
  markLost(member: number, memberBlock: number): void;
  lock(stripes: Float64Array): Promise<StripeHold>;
  unlock(hold: StripeHold): void;
  account(outcome: StripeOutcome): Promise<void>;
  /** The backup, when it is configured and its image is whole. null: there is none and never was. Throws when it is only out of reach: then rebuild waits. */
  backup(): Backup | null;
  targets(): readonly RebuildTarget[];
  /** Every stripe below `stripes` is on these now. */
  progress(targets: readonly RebuildTarget[], stripes: StripeIndex): void;
  checkpoint(): Promise<void>;
  /** Lets foreground work go first. */
  throttle(): Promise<void>;
}

export interface RebuildCounters {
  doneStripes: number;
  totalStripes: number;
  fromSurvivors: Bytes;
  fromParity: Bytes;
  fromJournal: Bytes;
  fromBackup: Bytes;
  /** Stored bytes fetched from the backup. */
  backupStoredBytes: Bytes;
  lostBlocks: number;
}

/**
 * Rebuild, stripe by stripe along the blueprint, onto members in state rebuilding. Up to m lost shards it is the workers' alone; beyond, what parity cannot give
 * is brought into the slab first.
 */
export class Rebuilder {
  readonly counters: RebuildCounters = {
    doneStripes: 0,
    totalStripes: 0,
    fromSurvivors: 0,
    fromParity: 0,
    fromJournal: 0,
    fromBackup: 0,
    backupStoredBytes: 0,
    lostBlocks: 0,
  };
  readonly #host: RebuildHost;
  readonly #region: SlabRegion;
  readonly #sources: StripeSources;
  /** Whom the stripes under way are written to: those that have all stripes before them. */
  #active: readonly RebuildTarget[] = [];
  #turn: Promise<void> = Promise.resolve();
  readonly #failures: Map<StripeIndex, number>;

  /** region: pages for fetched blocks, at least one stripe's data. failures: of each stripe that could not be rebuilt how often; kept from run to run. */
  constructor(host: RebuildHost, region: SlabRegion, failures: Map<StripeIndex, number>) {
    this.#host = host;
    this.#failures = failures;
    this.#region = region;
    this.#sources = newStripeSources(host.geometry);
    assert(region.bytes >= host.geometry.stripeBlocks * BLOCK_BYTES, 'rebuild memory holds the data of a stripe');
  }

  /** Runs until every target is whole, or until there are none. Throws when it cannot go on now (backup out of reach, a stripe cannot be had). */
  async run(): Promise<void> {
    while (!(await this.#sweep()));
  }

  /** One way through the stripes. False when targets came or went meanwhile: all are then rebuilt together, so that what is fetched is fetched once for all of them. */
  async #sweep(): Promise<boolean> {
    const { geometry } = this.#host;
    const targets = this.#host.targets();
    if (targets.length === 0) return true;
    const from = Math.min(...targets.map((target) => target.rebuiltStripes));
    this.counters.totalStripes = this.counters.doneStripes;
    for (let stripe = from; stripe < geometry.stripes; stripe++) if (this.#host.isWritten(stripe)) this.counters.totalStripes++;
    const every = Math.max(STRIPES_PER_TASK, Math.floor(CHECKPOINT_EVERY_BYTES / geometry.chunkBytes));
    let sinceCheckpoint = 0;
    let at = from;
    while (at < geometry.stripes) {
      const now = this.#host.targets();
      if (now.length !== targets.length || now.some((target, i) => target !== targets[i])) return false;
      this.#active = targets.filter(({ rebuiltStripes }) => rebuiltStripes <= at);
      const limit = Math.min(geometry.stripes, ...targets.map(({ rebuiltStripes }) => rebuiltStripes).filter((mark) => mark > at));
      const lanes: Float64Array[] = [];
      const end = this.#take(at, limit, lanes);
      // A lane that fails must not leave others writing behind the cursor.
      const results = await Promise.allSettled(lanes.map((stripes) => this.#stripes(stripes)));
      const failed = results.findIndex((result) => result.status === 'rejected');
      if (failed >= 0) {
        // What was fetched for the lanes before it is not fetched again.
        this.#host.progress(this.#active, (lanes[failed] as Float64Array)[0] as number);
        throw (results[failed] as PromiseRejectedResult).reason;
      }
      at = end;
      this.#host.progress(this.#active, at);
      sinceCheckpoint += lanes.reduce((sum, lane) => sum + lane.length, 0);
      if (sinceCheckpoint >= every) {
        sinceCheckpoint = 0;
        await this.#host.checkpoint();
      }
      await this.#host.throttle();
    }
    await this.#host.checkpoint();
    return true;
  }

  /** Fills a few lanes a thread with written stripes of [at, limit); returns the first stripe not looked at. */
  #take(at: StripeIndex, limit: StripeIndex, lanes: Float64Array[]): StripeIndex {
    const { pool } = this.#host;
    // Beyond parity a round is a few stripes: what was fetched before a member came or went is not fetched again.
    const perLane = this.#lostShards(at) > this.#host.geometry.m ? 1 : Math.max(1, Math.min(STRIPES_PER_TASK, pool.stripesPerTask));
    let stripe = at;
    while (lanes.length < pool.threads * LANES_PER_THREAD && stripe < limit) {
      const lane: number[] = [];
      for (; stripe < limit && lane.length < perLane; stripe++) if (this.#host.isWritten(stripe)) lane.push(stripe);
      if (lane.length > 0) lanes.push(Float64Array.from(lane));
    }
    return stripe;
  }

  async #stripes(stripes: Float64Array): Promise<void> {
    const hold = await this.#host.lock(stripes);
    try {
      let left = stripes;
      if (this.#parityCovers(stripes)) {
        const outcome = await this.#rebuild({
          members: this.#host.members(),
          stripes,
          targets: this.#targetIndexes(),
          provided: null,
          dataOnly: false,
        });
        left = stripes.filter((_, i) => outcome.status[i] !== STRIPE_DONE);
        if (this.#host.members().zeroesDoubted === true) for (const stripe of stripes) this.#host.gaveUp(stripe);
        this.#count(stripes.length - left.length);
      }
      // Beyond parity, or a survivor's block was bad: stripe by stripe with what journal and backup have.
      for (const stripe of left) await this.#provided(stripe);
      this.counters.doneStripes += stripes.length;
    } finally {
      // Also after a failure: some stripes, or rows of one, may have been written before it.
      for (const stripe of stripes) this.#host.changed(stripe);
      this.#host.unlock(hold);
    }
  }

  #lostShards(stripe: StripeIndex): number {
    return this.#host.geometry.n - this.#survivingShards(stripe);
  }

  #targetIndexes(): number[] {
    return this.#active.map(({ index }) => index);
  }

  #parityCovers(stripes: Float64Array): boolean {
    const covers = this.#lostShards(stripes[0] as number) <= this.#host.geometry.m;
    if (!stripes.some((stripe) => this.#host.isUntrusted(stripe))) return covers;
    // Destaging writes them again, and knows better than to give up what a torn row has lost.
    if (covers)
      throw new KeelsonError('REBUILD_WAITS', 'stripes that a crash may have torn are not written again yet', {
        action: 'rebuild goes on when what was journaled before the crash is destaged',
      });
    return false;
  }

  #count(stripes: number): void {
    const { geometry } = this.#host;
    const targets = this.#active.length;
    this.counters.fromParity += stripes * targets * geometry.chunkBytes;
    this.counters.fromSurvivors += stripes * geometry.k * geometry.chunkBytes;
  }

  async #rebuild(task: RebuildTask): Promise<StripeOutcome> {
    const outcome = await this.#host.pool.rebuild(task);
    await this.#host.account(outcome);
    return outcome;
  }

  /** One stripe along the blueprint. The region serves one stripe at a time. */
  async #provided(stripe: StripeIndex): Promise<void> {
    const before = this.#turn;
    let release = (): void => {};
    this.#turn = new Promise((resolve) => {
      release = resolve;
    });
    await before;
    try {
      await this.#blueprint(stripe);
    } finally {
      release();
    }
  }

  async #blueprint(stripe: StripeIndex): Promise<void> {
    const failures = this.#failures.get(stripe) ?? 0;
    let status = await this.#attempt(stripe, { wide: false, giveUp: false });
    if (status === STRIPE_BEYOND) status = await this.#attempt(stripe, { wide: true, giveUp: failures + 1 >= GIVE_UP_AFTER });
    if (status !== STRIPE_DONE) {
      this.#failures.set(stripe, failures + 1);
      throw cannot(stripe, status);
    }
    this.#failures.delete(stripe);
    this.counters.fromSurvivors += this.#survivingShards(stripe) * this.#host.geometry.chunkBytes;
  }

  /** STRIPE_* of the stripe. */
  async #attempt(stripe: StripeIndex, scope: PlanScope): Promise<number> {
    const { geometry } = this.#host;
    const { from, rewrite } = this.#sources;
    const words = new Uint32Array(geometry.stripeBlocks);
    const crcs = new Uint32Array(geometry.stripeBlocks);
    const backup = this.#host.backup();
    const has = backup === null ? null : new Uint8Array(geometry.stripeBlocks);
    if (backup !== null && has !== null) await backup.lookup(stripe * geometry.stripeBlocks, geometry.stripeBlocks, has);
    for (let plans = 1; ; plans++) {
      planStripe(this.#host, stripe, has, this.#sources, scope);
      words.fill(SOURCE_KEEP);
      if (await this.#fetch(stripe, words, crcs, backup)) break;
      if (plans === PLANS_MAX) throw cannot(stripe, STRIPE_FAILED);
    }
    await this.#derive(stripe, words, crcs);
    if (rewrite.includes(1)) {
      const rewritten = await this.#rewrite(stripe, rewrite, words, crcs);
      if (rewritten !== STRIPE_DONE) return rewritten;
    }
    for (let slot = 0; slot < words.length; slot++) {
      const there = this.#host.readable(geometry.memberOf(stripe, Math.floor(slot / geometry.rows)), stripe);
      if (there && !scope.wide) words[slot] = SOURCE_KEEP;
      if (!there && from[slot] === FROM_LOST) this.counters.lostBlocks++;
      if (from[slot] === FROM_PARITY) this.counters.fromParity += BLOCK_BYTES;
    }
    const outcome = await this.#rebuild({
      members: this.#host.members(),
      stripes: Float64Array.of(stripe),
      targets: this.#targetIndexes(),
      provided: words,
      dataOnly: false,
    });
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

  #survivingShards(stripe: StripeIndex): number {
    const { geometry } = this.#host;
    let n = 0;
    for (let member = 0; member < geometry.n; member++) if (this.#host.readable(member, stripe)) n++;
    return n;
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
          this.counters.fromJournal += BLOCK_BYTES;
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
    assert(this.#region.bytes >= 2 * geometry.stripeBlocks * BLOCK_BYTES, 'rebuild memory holds the data of two stripes');
    const fetched = new Uint32Array(wanted.length);
    const blocks = Float64Array.from(wanted, (slot) => stripe * geometry.stripeBlocks + slot);
    this.counters.backupStoredBytes += await backup.read(blocks, landing * BLOCK_BYTES, fetched);
    for (let i = 0; i < wanted.length; i++) {
      const slot = wanted[i] as number;
      view.copyWithin((page + slot) * BLOCK_BYTES, (landing + i) * BLOCK_BYTES, (landing + i + 1) * BLOCK_BYTES);
      words[slot] = page + slot;
      crcs[slot] = fetched[i] as number;
      this.counters.fromBackup += BLOCK_BYTES;
    }
  }

  /** Rows whose parity does not fit: written again as if destaged, with every parity. STRIPE_BEYOND: a survivor's block in them is bad. */
  async #rewrite(stripe: StripeIndex, rewrite: Uint8Array, words: Uint32Array, crcs: Uint32Array): Promise<number> {
    const { geometry } = this.#host;
    const sources = words.map((word, slot) => (rewrite[slot % geometry.rows] === 0 ? SOURCE_KEEP : word));
    const outcome = await this.#host.pool.apply({
      members: this.#host.members(),
      stripes: Float64Array.of(stripe),
      sources,
      crcs,
      rewrite: true,
    });
    await this.#host.account(outcome);
    // STRIPE_FAILED without a failed write: members still away leave the row short of shards; what could be written was, and ring and backup keep the rest.
    const short = outcome.status[0] === STRIPE_FAILED && !outcome.writeErrors.some((errors) => errors > 0);
    if (short) return STRIPE_DONE;
    return outcome.status[0] === STRIPE_NEEDS_LOST ? STRIPE_BEYOND : (outcome.status[0] as number);
  }
}

function cannot(stripe: StripeIndex, status: number): KeelsonError {
  return new KeelsonError('REBUILD_STRIPE', `stripe ${stripe} cannot be rebuilt now`, {
    found: `status ${status} of its task`,
    action: 'another member may have failed meanwhile: see keelson status, replace it, and run keelson rebuild again',
  });
}
