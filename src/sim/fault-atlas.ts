import { BLOCK_BYTES } from '../base/units.js';
import type { ArrayEngine } from '../engine/array-engine.js';
import { computeLayout } from '../member/layout.js';
import type { MemberLayout } from '../member/member-api.js';
import type { ScenarioShape } from './scenario.js';
import type { SimulatedDisk } from './simulated-disk.js';

/** So soon after a failed request the engine has failed the member, or never will. */
const CONCLUSION_US = 200_000;
/** A failed write or fdatasync always fails its member, but first whoever stalls in the same round is waited for. */
export const FAILURE_US = 10_000_000;

export const ZONES = ['superblock', 'checkpoint', 'integrity', 'journal', 'data'] as const;
export type Zone = (typeof ZONES)[number];

/**
 * What the promises cover, so that never more is done to the array than must be survived, and often exactly that much. A member is in harm's way from the moment something is
 * done to it until nothing of it is left: it is whole on its device and online in the engine.
 *
 *   stripe members    at most m in harm's way at a time, while everything that a crash tore is whole again
 *   journal copies    at most R - 1 members of the ring, while each segment has a copy beside them; also during assembly
 *   a crash           may come while stripe members are away, if the members' tables say so; not while they hold damage that nobody has found, since a row that is torn
 *                     and damaged at a time is two losses of one row: without a backup only parity beyond that covers it
 *   the whole ring    while the process lives, no stripe member is in harm's way and it holds in memory what is not in the stripes; then no crash before each segment has a copy
 *                     again; or out of reach together with a crash, to come back as it was
 *   beyond parity     any stripe members, up to all, while the backup has what was drained and each segment that was not has a copy on a member of the ring that is out of
 *                     harm's way: such a loss rests on nothing that a crash takes
 *   everything        but the backup, once that has an image: then what was not drained is gone (P9)
 */
export class FaultAtlas {
  readonly #shape: ScenarioShape;
  readonly #disks: readonly SimulatedDisk[];
  readonly #layouts: readonly MemberLayout[];
  /** The engine while it runs. */
  engine: ArrayEngine | null = null;
  /** What was drained can be had from the backup. */
  backupWhole: (engine: ArrayEngine) => boolean = () => true;
  /** Members that the engine has recorded as failed: every other member's table says so. */
  readonly recorded = new Set<number>();
  /** Members whose device went away, perhaps to come back as another one, and of which the engine may not know yet. */
  readonly unplugged = new Set<number>();

  /** The members that held each undestaged segment when the last engine died. */
  #undestaged: number[][] = [];
  /** The same of each segment that was still in the ring. */
  #inRing: number[][] = [];
  /** A request to the member failed: until then the engine may not have drawn its conclusions. */
  readonly #suspectUntil_us = new Map<number, number>();
  /** The members are made anew: devices that fail are not taken for it. */
  #restoring = false;
  /** The same of each undrained segment; null: there is no backup that has the others. */
  #undrained: number[][] | null = null;
  readonly #now_us: () => number;

  constructor(shape: ScenarioShape, disks: readonly SimulatedDisk[], now_us: () => number) {
    this.#now_us = now_us;
    this.#shape = shape;
    this.#disks = disks;
    const ringBytes = shape.segmentBytes * shape.segments;
    this.#layouts = disks.map((disk, index) => {
      const role = index >= shape.dataMembers ? 'journal' : shape.journalMembers === 0 ? 'both' : 'data';
      return computeLayout({
        role,
        chunkBytes: shape.chunkBytes,
        stripes: shape.stripes,
        journalBytes: role === 'data' ? 0 : ringBytes,
        memberBytes: disk.sizeBytes,
      });
    });
  }

  /** Pages [from, to) of a zone of a member. */
  zone(index: number, zone: Zone): readonly [number, number] {
    const layout = this.#layouts[index] as MemberLayout;
    const pages = (from: number, to: number): readonly [number, number] => [from / BLOCK_BYTES, to / BLOCK_BYTES];
    switch (zone) {
      case 'superblock':
        return pages(0, 2 * BLOCK_BYTES);
      case 'checkpoint':
        return pages(layout.checkpointOffset[0], layout.integrityOffset);
      case 'integrity':
        return pages(layout.integrityOffset, layout.journalOffset);
      case 'journal':
        return pages(layout.journalOffset, layout.dataOffset);
      case 'data':
        return pages(layout.dataOffset, layout.dataOffset + layout.dataBytes);
    }
  }

  holdsData(index: number): boolean {
    return index < this.#shape.dataMembers;
  }

  holdsRing(index: number): boolean {
    return this.#shape.journalMembers === 0 || index >= this.#shape.dataMembers;
  }

  #damagedIn(index: number, zones: readonly Zone[]): boolean {
    const { damaged, unreadable } = this.#disks[index] as SimulatedDisk;
    if (damaged.size === 0 && unreadable.size === 0) return false;
    for (const zone of zones) {
      const [from, to] = this.zone(index, zone);
      for (const page of damaged.keys()) if (page >= from && page < to) return true;
      for (const page of unreadable) if (page >= from && page < to) return true;
    }
    return false;
  }

  #pending(index: number): boolean {
    const { failReads, failWrites, failSyncs, loseWrites, misdirectWrites } = (this.#disks[index] as SimulatedDisk).faults;
    return failReads + failWrites + failSyncs + loseWrites + misdirectWrites > 0;
  }

  /** The process is gone. What it had not destaged is what the next one has to find. */
  crashed(): void {
    if (this.engine !== null) {
      const { journal } = this.engine;
      this.#undrained = this.backupServes(this.engine) ? this.#copiesOf(this.engine, journal.drainedSeq) : null;
      this.#undestaged = this.#copiesOf(this.engine, this.engine.journal.destagedSeq);
      this.#inRing = this.#copiesOf(this.engine, this.engine.journal.tailSeq);
    }
    this.engine = null;
  }

  /** All that is left is the backup: a crash takes nothing more. */
  everythingLost(): void {
    this.engine = null;
    this.#restoring = true;
    this.#undestaged = [];
    this.#inRing = [];
    this.#undrained = [];
  }

  /** The backup has an image. */
  mayLoseEverything(): boolean {
    return this.engine !== null && this.backupServes(this.engine) && this.engine.journal.drainedSeq > 1;
  }

  requestFailed(index: number, kind: string): void {
    const until = this.#now_us() + (kind === 'read-error' ? CONCLUSION_US : FAILURE_US);
    this.#suspectUntil_us.set(index, Math.max(until, this.#suspectUntil_us.get(index) ?? 0));
  }

  /** Another device is the member now. */
  replaced(index: number): void {
    this.recorded.delete(index);
    this.unplugged.delete(index);
    this.#suspectUntil_us.delete(index);
  }

  /** A new process has judged all members. */
  judged(): void {
    this.#restoring = false;
    this.recorded.clear();
    this.unplugged.clear();
    this.#suspectUntil_us.clear();
  }

  #suspect(index: number): boolean {
    if (this.unplugged.has(index)) return true;
    const until = this.#suspectUntil_us.get(index);
    return until !== undefined && (this.engine === null || this.#now_us() < until);
  }

  /** Something is wrong with the member, or may be. */
  inHarm(index: number): boolean {
    const disk = this.#disks[index] as SimulatedDisk;
    return (
      !disk.connected ||
      disk.damaged.size > 0 ||
      disk.unreadable.size > 0 ||
      this.#pending(index) ||
      !this.#online(index) ||
      this.#suspect(index)
    );
  }

  #online(index: number): boolean {
    if (this.engine === null) return !this.recorded.has(index);
    const { state, journal } = this.engine;
    const member = state.members[index];
    // A new journal member takes its place in the ring when all tables have it.
    return member?.state === 'online' && (!state.journalPositions().includes(index) || journal.members.includes(member));
  }

  /** The array must survive that something is done to this member now. */
  mayHarm(index: number): boolean {
    if (this.#restoring) return false;
    const harmed = this.#harmed(index);
    if (this.holdsRing(index) && harmed.filter((i) => this.holdsRing(i)).length > this.#shape.copies - 1) return false;
    if (this.holdsRing(index) && !this.#ringSurvives(harmed)) return false;
    if (this.engine === null) return !this.holdsData(index);
    const inStripes = harmed.filter((i) => this.holdsData(i)).length;
    const parityCovers = inStripes <= this.#shape.parity && (!this.holdsData(index) || this.engine.state.untrustedStripes === 0);
    return parityCovers || this.coveredBeyondParity(index);
  }

  /** All members of a ring of its own may be lost, while nothing else is. */
  mayLoseJournal(): boolean {
    if (this.engine === null || this.#restoring || this.#shape.journalMembers === 0 || this.engine.state.untrustedStripes > 0) return false;
    const { table, destagedSeq, headSeq } = this.engine.journal;
    for (let seq = destagedSeq; seq < headSeq; seq++) if ((table.memory[table.slotOf(seq)] as number) < 0) return false;
    return this.#harmed(-1).length === 0;
  }

  #harmed(index: number): number[] {
    return this.#disks.map((_, i) => i).filter((i) => i === index || this.inHarm(i));
  }

  /** More stripe members are in harm's way than the parity covers. */
  get beyondParity(): boolean {
    return this.#harmed(-1).filter((i) => this.holdsData(i)).length > this.#shape.parity;
  }

  backupServes(engine: ArrayEngine): boolean {
    return this.#shape.backup && engine.state.protection === 'full' && this.backupWhole(engine);
  }

  /** The host of the backup may lose what it has: the stripes and the ring do without. */
  mayDoWithoutBackup(): boolean {
    if (this.engine === null || !this.backupServes(this.engine) || !this.mayStop()) return false;
    return !this.needsBackup && !this.#harmed(-1).some((i) => this.holdsData(i));
  }

  /** Some blocks may be in the backup alone: of rows that lost more than parity covers, or lost something and were torn. */
  get needsBackup(): boolean {
    const torn = this.engine === null || this.engine.state.untrustedStripes > 0;
    return this.beyondParity || (torn && this.#harmed(-1).some((i) => this.holdsData(i)));
  }

  /** Without anything that is in the stripes nothing would be lost, should this member be harmed as well. */
  coveredBeyondParity(index = -1): boolean {
    return this.#coveredWithout(this.#harmed(index));
  }

  #coveredWithout(harmed: readonly number[]): boolean {
    if (this.engine !== null && !this.backupServes(this.engine)) return false;
    const segments = this.engine === null ? this.#undrained : this.#copiesOf(this.engine, this.engine.journal.drainedSeq);
    if (segments === null) return false;
    // New writes have to go somewhere.
    return this.#disks.some((_, i) => this.holdsRing(i) && !harmed.includes(i)) && everyOneBeside(segments, harmed);
  }

  /** The array must survive that everything stops now, and that these members are not there when it goes on. */
  mayCrashWithout(gone: readonly number[]): boolean {
    if (this.#restoring || !this.mayCrash()) return false;
    const harmed = [...new Set([...this.#harmed(-1), ...gone])];
    const rings = harmed.filter((i) => this.holdsRing(i)).length;
    if (gone.some((i) => this.holdsRing(i)) && (rings > this.#shape.copies - 1 || !everyOneBeside(this.#kept(), harmed))) return false;
    // Rows that the crash tears have nothing to lose, unless ring and backup stand in for all of it.
    return !gone.some((i) => this.holdsData(i)) || this.#coveredWithout(harmed);
  }

  /** Every segment that is not in the stripes has a copy beside these members: new copies on a replacement take their time. */
  #ringSurvives(harmed: readonly number[]): boolean {
    // Without an engine: where the last one had them, whatever the next one has made of it so far.
    return everyOneBeside(this.engine === null ? this.#undestaged : this.#copiesOf(this.engine, this.engine.journal.destagedSeq), harmed);
  }

  /** The members that hold each segment which the next process has to find: also what is in the stripes already and not drained, since only the process that runs can make that again from there (decision 0096). */
  #kept(): number[][] {
    return this.engine === null ? this.#inRing : this.#copiesOf(this.engine, this.engine.journal.tailSeq);
  }

  /** Of a ring of its own some member is left, and what is in the ring is on it. */
  get journalSurvives(): boolean {
    if (this.engine === null || this.#shape.journalMembers === 0) return true;
    const harmed = this.#harmed(-1);
    const someIsLeft = this.#disks.some((_, index) => this.holdsRing(index) && !harmed.includes(index));
    return someIsLeft && everyOneBeside(this.#copiesOf(this.engine, this.engine.journal.tailSeq), harmed);
  }

  /** Of each segment that is still in the ring some member has a copy: without, the process may not end, in whatever order, before it has one again, or is drained. */
  mayStop(): boolean {
    return this.engine !== null && this.journalSurvives && this.engine.journal.segmentsWithoutCopy(this.engine.journal.tailSeq) === 0;
  }

  /** The members that hold each segment from this one on. */
  #copiesOf({ journal, state }: ArrayEngine, from: number): number[][] {
    const positions = state.journalPositions();
    const segments: number[][] = [];
    for (let seq = from; seq <= journal.headSeq; seq++) {
      const slot = journal.table.slotOf(seq);
      if (journal.table.seq[slot] !== seq || journal.table.used[slot] === 0) continue;
      const mask = journal.table.copies[slot] as number;
      segments.push(positions.filter((_, position) => (mask & (1 << position)) !== 0));
    }
    return segments;
  }

  /** The array must survive that everything stops now. */
  mayCrash(): boolean {
    if (this.coveredBeyondParity()) return true;
    if (!this.journalSurvives) return false;
    return this.#disks.every((disk, index) => {
      if (!this.holdsData(index)) return true;
      if (this.#suspect(index) && (this.engine === null || this.engine.state.members[index]?.state === 'online')) return false;
      const state = this.engine?.state.members[index]?.state;
      if (this.engine !== null && state !== 'online' && state !== 'rebuilding') return this.recorded.has(index) || state === undefined;
      if (this.engine === null && this.recorded.has(index)) return true;
      // What is below the mark of a rebuild counts as whole, and has to be found again.
      if (state === 'rebuilding') return disk.connected && !this.#pending(index) && disk.damaged.size === 0 && disk.unreadable.size === 0;
      return disk.connected && !this.#pending(index) && !this.#damagedIn(index, ['integrity', 'data']);
    });
  }

  /** Something of the redundancy is missing. */
  get inDanger(): boolean {
    return this.#disks.some((_, index) => !this.#online(index));
  }

  /** Data and checksums on stripe members that a scrub would mend. */
  wantsScrub(): boolean {
    return this.#disks.some((_, index) => this.holdsData(index) && this.#online(index) && this.#damagedIn(index, ['data']));
  }
}

/** Each segment has a copy on another member than these. */
function everyOneBeside(segments: readonly (readonly number[])[], harmed: readonly number[]): boolean {
  return segments.every((members) => members.some((index) => !harmed.includes(index)));
}
