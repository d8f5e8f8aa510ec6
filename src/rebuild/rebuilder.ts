import { assert } from '../base/assert.js';
import { KeelsonError } from '../base/errors.js';
import type { StripeIndex } from '../base/units.js';
import { type SlabRegion, slabRegion } from '../memory/slab-region.js';
import { type RebuildTask, STRIPE_BEYOND, STRIPE_DONE, type StripeOutcome } from '../stripe/stripe-pool.js';
import type { RebuildCounters, RebuildHost, RebuildTarget } from './rebuild-host.js';
import { blueprintBytes, cannotRebuild, StripeBlueprint } from './stripe-blueprint.js';

/** Stripes of one task when parity suffices: a few MiB of each member, so that a task's I/O is long and a waiting write is not. */
const STRIPES_PER_TASK = 32;
/** Tasks of one round for each thread: one waits for its I/O while another computes, and no thread is left over. */
const LANES_PER_THREAD = 4;
/** Bytes of a member between two checkpoints of the progress. */
const CHECKPOINT_EVERY_BYTES = 256 * 1024 * 1024;

/** Runs in which a stripe has to fail before its blocks that are bad and to be had from nowhere are given up: an error that passes must not cost data. */
const GIVE_UP_AFTER = 3;

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
  readonly #workplaces: StripeBlueprint[] = [];
  readonly #waiting: ((place: StripeBlueprint) => void)[] = [];
  /** Whom the stripes under way are written to: those that have all stripes before them. */
  #active: readonly RebuildTarget[] = [];
  readonly #failures: Map<StripeIndex, number>;

  /** region: pages for fetched blocks, at least two stripes' data: so many stripes are rebuilt along the blueprint at a time. failures: of each stripe that could not be rebuilt how often; kept from run to run. */
  constructor(host: RebuildHost, region: SlabRegion, failures: Map<StripeIndex, number>) {
    this.#host = host;
    this.#failures = failures;
    const bytes = blueprintBytes(host.geometry);
    for (let at = 0; at + bytes <= region.bytes; at += bytes)
      this.#workplaces.push(new StripeBlueprint(host, slabRegion(region.slab, region.offset + at, bytes), this.counters));
    assert(this.#workplaces.length > 0, 'rebuild memory holds the data of two stripes');
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
    const { stripes: all } = geometry;
    for (let at = this.#host.nextWritten(from, all); at < all; at = this.#host.nextWritten(at + 1, all)) this.counters.totalStripes++;
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
    let stripe = this.#host.nextWritten(at, limit);
    while (lanes.length < pool.threads * LANES_PER_THREAD && stripe < limit) {
      const lane: number[] = [];
      for (; stripe < limit && lane.length < perLane; stripe = this.#host.nextWritten(stripe + 1, limit)) lane.push(stripe);
      lanes.push(Float64Array.from(lane));
    }
    return stripe;
  }

  async #stripes(stripes: Float64Array): Promise<void> {
    const hold = await this.#host.lock(stripes);
    const lostBefore = this.#lostIn(stripes);
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
      this.counters.lostBlocks += Math.max(0, this.#lostIn(stripes) - lostBefore);
      // Also after a failure: some stripes, or rows of one, may have been written before it.
      for (const stripe of stripes) this.#host.changed(stripe);
      this.#host.unlock(hold);
    }
  }

  #lostIn(stripes: Float64Array): number {
    return stripes.reduce((sum, stripe) => sum + this.#host.lostIn(stripe), 0);
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
    // Destaging writes them again, and knows better than to give up what a torn row has lost. It waits in its turn while too many members are not whole: then journal and
    // backup have what the torn rows need.
    if (covers && (this.#host.destages() || this.#host.backup() === null))
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

  /** One stripe along the blueprint, as soon as a workplace is free. */
  async #provided(stripe: StripeIndex): Promise<void> {
    const place = this.#workplaces.pop() ?? (await new Promise<StripeBlueprint>((resolve) => this.#waiting.push(resolve)));
    try {
      await this.#blueprint(stripe, place);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#workplaces.push(place);
      else next(place);
    }
  }

  async #blueprint(stripe: StripeIndex, place: StripeBlueprint): Promise<void> {
    const failures = this.#failures.get(stripe) ?? 0;
    const targets = this.#targetIndexes();
    let status = await place.attempt(stripe, targets, { wide: false, giveUp: false });
    if (status === STRIPE_BEYOND) status = await place.attempt(stripe, targets, { wide: true, giveUp: failures + 1 >= GIVE_UP_AFTER });
    if (status !== STRIPE_DONE) {
      this.#failures.set(stripe, failures + 1);
      throw cannotRebuild(stripe, status);
    }
    this.#failures.delete(stripe);
    this.counters.fromSurvivors += this.#survivingShards(stripe) * this.#host.geometry.chunkBytes;
  }

  #survivingShards(stripe: StripeIndex): number {
    const { geometry } = this.#host;
    let n = 0;
    for (let member = 0; member < geometry.n; member++) if (this.#host.readable(member, stripe)) n++;
    return n;
  }
}
