import type { KeelsonError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import type { FaultAtlas } from './fault-atlas.js';
import { EVENT, type Scheduler, WORLD } from './scheduler.js';
import type { SimulatedDisk } from './simulated-disk.js';
import type { Finding } from './volume-history.js';

/** Another device, or the same one, is there within this. */
const SUPPLY_US = 1_500_000;
const AWAY_US = 400_000;
/** So long after the last look at which the ring was out of order it may still be missed: looks are a millisecond apart. */
const LOOKS_US = 2000;

/**
 * All journal members at once. Lost while the process lives: nothing acknowledged is lost, since what is not in the stripes is in its memory; writes and flushes are errors
 * until one is replaced. Out of reach together with a crash: the next start refuses rather than serve something older, and when they are back everything is there.
 */
export class JournalLoss {
  readonly #atlas: FaultAtlas;
  readonly #scheduler: Scheduler;
  readonly #ring: readonly SimulatedDisk[];
  /** Since when no journal member can be reached, and how often they had been plugged in then; Infinity: one can. */
  #goneSince_us = Number.POSITIVE_INFINITY;
  #plugged = 0;
  #lastGone_us = Number.NEGATIVE_INFINITY;
  /** Members that will be back, with what is on them; whether something had been done to them before. */
  readonly #away = new Map<SimulatedDisk, boolean>();
  /** Every process since has been refused. */
  #refused = true;

  constructor(atlas: FaultAtlas, scheduler: Scheduler, disks: readonly SimulatedDisk[]) {
    this.#atlas = atlas;
    this.#scheduler = scheduler;
    this.#ring = disks.filter((_, index) => atlas.holdsRing(index));
  }

  /** They die. ended: nothing is done to the array any more. False when the promises do not cover it now. */
  lose(random: Random, ended: () => boolean): boolean {
    if (!this.#atlas.mayLoseJournal()) return false;
    for (const disk of this.#ring) {
      disk.touched = true;
      this.#atlas.unplugged.add(disk.handle);
      disk.disconnect(random);
      const empty = random.below(4) > 0;
      this.#scheduler.after(random.below(SUPPLY_US), WORLD, EVENT.fault, () => {
        if (ended() || disk.connected) return;
        if (empty) disk.wipe();
        disk.connected = true;
      });
    }
    this.#goneSince_us = this.#scheduler.now_us;
    this.#plugged = this.#timesPlugged();
    this.look();
    return true;
  }

  /** They cannot be reached while the process dies, and for a while afterwards. False when the promises do not cover the crash. */
  outOfReach(random: Random, crash: () => void): boolean {
    if (!this.#atlas.mayLoseJournal() || !this.#atlas.mayCrash()) return false;
    crash();
    this.#refused = true;
    for (const disk of this.#ring) {
      this.#away.set(disk, disk.touched);
      disk.touched = true;
      disk.unplug();
      this.#scheduler.after(1 + random.below(AWAY_US), WORLD, EVENT.fault, () => {
        disk.connected = true;
      });
    }
    return true;
  }

  #timesPlugged(): number {
    return this.#ring.reduce((sum, { plugged }) => sum + plugged, 0);
  }

  /** A process opens the members. Refused until now, the array has not gone on without those that are back; one that died in its start may have. */
  starts(): void {
    for (const [disk, touched] of this.#away) {
      if (!this.#refused) this.#away.set(disk, true);
      if (!disk.connected) {
        // The process may go on without it, and die before anybody knows.
        this.#atlas.unplugged.add(disk.handle);
        continue;
      }
      if (this.#refused) {
        disk.touched = touched;
        this.#atlas.unplugged.delete(disk.handle);
      }
      this.#away.delete(disk);
    }
    this.#refused = false;
  }

  /** The start may be refused, since the journal was out of reach. */
  refuses({ code }: KeelsonError): boolean {
    if (this.#away.size === 0 || (code !== 'JOURNAL_LOST' && code !== 'JOURNAL_DAMAGED')) return false;
    this.#refused = true;
    return true;
  }

  /** Some of it cannot be reached, and will be there again: a start may be refused until then. */
  get isAway(): boolean {
    return this.#away.size > 0;
  }

  /** The array has started: whoever is not there has missed it. */
  started(): void {
    this.#away.clear();
  }

  /** Asked every millisecond: some journal write may be answered with an error now. */
  look(): boolean {
    if (this.#ring.some((disk) => disk.connected) || this.#plugged !== this.#timesPlugged()) this.#goneSince_us = Number.POSITIVE_INFINITY;
    const { engine } = this.#atlas;
    const broken = this.#goneSince_us < Number.POSITIVE_INFINITY || (engine !== null && isBroken(engine));
    if (broken) this.#lastGone_us = this.#scheduler.now_us;
    return broken;
  }

  /** An error reply to what was asked for at began_us may be so. */
  excuses(what: string, error: KeelsonError | null, began_us: number): boolean {
    return what !== 'read' && error?.code === 'JOURNAL_GONE' && (this.look() || began_us <= this.#lastGone_us + LOOKS_US);
  }

  /** P1: what was asked for when no journal member could be reached any more is on none. */
  acknowledged(began_us: number): Finding | null {
    this.look();
    if (began_us <= this.#goneSince_us) return null;
    return { promise: 'P1', message: 'a write was acknowledged that cannot be on any journal member: none can be reached' };
  }
}

function isBroken({ journal }: ArrayEngine): boolean {
  return journal.deadReason !== null || journal.segmentsWithoutCopy() > 0;
}
