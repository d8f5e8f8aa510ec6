import type { Journal } from '../journal/journal.js';
import type { Member } from '../member/member-api.js';
import type { ArrayState } from './array-state.js';
import type { BackupLink } from './backup-link.js';
import type { MemberErrors } from './member-errors.js';

export interface Tolerance {
  /** Devices that may die now, any of them, with no acknowledged write lost. */
  readonly devices: number;
  readonly because: string;
}

/** Of the engine, what the figure rests on. */
interface ToleranceParts {
  readonly state: ArrayState;
  readonly journal: Journal;
  readonly link: BackupLink | null;
  readonly errors: MemberErrors;
}

/** Whether the backup stands in for lost stripes, or why not. */
export type BackupCover = 'serves' | 'none' | 'seeding' | 'connecting' | 'unreachable';

const WHY_NOT = {
  none: 'no backup target',
  seeding: 'the backup does not hold the whole volume yet',
  connecting: 'the backup host has not answered yet since the server started',
  unreachable: 'the backup is out of reach',
} as const satisfies Record<Exclude<BackupCover, 'serves'>, string>;

/** What the backup is worth at this moment. Asks nobody: a status must not knock at the host's door each time it is printed. */
export function backupCover({ link, state }: Pick<ToleranceParts, 'link' | 'state'>): BackupCover {
  if (link === null) return 'none';
  if (state.protection !== 'full') return state.protection === 'seeding' ? 'seeding' : 'none';
  return link.reach === 'open' ? 'serves' : link.reach;
}

/**
 * How many more devices may die (DESIGN 5). Data not yet drained are lost only when more than m stripe members and every copy of their segment are gone;
 * drained data are always had from the backup. Computed from the copy sets that the ring really has, and those the next segments would get.
 */
export function computeTolerance(engine: ToleranceParts, uncounted: ReadonlySet<number> = engine.errors.doubted()): Tolerance {
  const { state, journal } = engine;
  const backup = backupCover(engine);
  const parityLeft = state.geometry.m - lostOrUncounted(state, uncounted);
  const left = `${Math.max(0, parityLeft)} of ${state.geometry.m} parity shards`;
  const doubts = [...uncounted].map((index) => `; member ${index} is not counted on: ${doubtOf(engine, index)}`).join('');
  if (backup !== 'serves') return { devices: Math.max(0, parityLeft), because: `${left} are left, and ${WHY_NOT[backup]}${doubts}` };
  const positions = state.journalPositions();
  let least = Number.POSITIVE_INFINITY;
  let which = 0;
  for (const mask of copySets(journal, positions, uncounted)) {
    const cost = lossCost(mask, positions, state, parityLeft, uncounted);
    if (cost < least) {
      least = cost;
      which = mask;
    }
  }
  const where = state.shape.journalMembers === 0 ? 'on the stripe members' : 'on members of their own';
  return {
    devices: Math.max(0, least - 1),
    because: `undrained data are in stripes with ${left} left and in ${bits(which)} journal copies ${where}; drained data are on the backup${doubts}`,
  };
}

/** All that the array has stays, and one more device may be lost, without this member and without those that are not counted on: so it may be failed for its errors. */
export function maySpare(engine: ToleranceParts, member: Member): boolean {
  const { state, journal } = engine;
  // Rows that a crash tore may need each block that is left.
  if (state.untrustedStripes > 0) return false;
  const position = state.journalPositions().indexOf(member.index);
  if (position >= 0 && !ringIsElsewhere(journal, position)) return false;
  return computeTolerance(engine, engine.errors.doubted().add(member.index)).devices >= 1;
}

function ringIsElsewhere(journal: Journal, position: number): boolean {
  const others = journal.onlineMask() & ~(1 << position);
  if (others === 0) return false;
  for (let seq = journal.tailSeq; seq <= journal.headSeq; seq++) {
    const slot = journal.table.slotOf(seq);
    const used = journal.table.seq[slot] === seq && (journal.table.used[slot] as number) > 0;
    if (used && ((journal.table.copies[slot] as number) & others) === 0) return false;
  }
  return true;
}

function lostOrUncounted(state: ArrayState, uncounted: ReadonlySet<number>): number {
  let lost = 0;
  for (let i = 0; i < state.shape.dataMembers; i++) if (state.members[i]?.state !== 'online' || uncounted.has(i)) lost++;
  return lost;
}

function doubtOf({ state, errors }: ToleranceParts, index: number): string {
  const member = state.members[index];
  return (member && errors.whyDoubted(member)) ?? 'it is to be failed';
}

/** Every distinct set of healthy copies: of the undrained segments, and of what would be written next. */
function copySets(journal: Journal, positions: readonly number[], uncounted: ReadonlySet<number>): Set<number> {
  let counted = -1;
  positions.forEach((index, position) => {
    if (uncounted.has(index)) counted &= ~(1 << position);
  });
  const sets = new Set<number>();
  for (let seq = journal.drainedSeq; seq <= journal.headSeq; seq++) {
    const slot = journal.table.slotOf(seq);
    if (journal.table.seq[slot] === seq && (journal.table.used[slot] as number) > 0)
      sets.add((journal.table.copies[slot] as number) & counted);
  }
  for (let i = 0; i < journal.members.length; i++) sets.add(journal.chooseCopies(journal.headSeq + i) & counted);
  return sets;
}

/** The fewest further losses that lose data whose journal copies are `mask`: all of those, and as many stripe members as it takes to be beyond parity. */
function lossCost(
  mask: number,
  positions: readonly number[],
  state: ArrayState,
  parityLeft: number,
  uncounted: ReadonlySet<number>,
): number {
  let onStripes = 0;
  positions.forEach((index, position) => {
    if (
      (mask & (1 << position)) !== 0 &&
      index < state.shape.dataMembers &&
      state.members[index]?.state === 'online' &&
      !uncounted.has(index)
    )
      onStripes++;
  });
  return bits(mask) + Math.max(0, parityLeft + 1 - onStripes);
}

function bits(mask: number): number {
  let n = 0;
  for (let m = mask >>> 0; m !== 0; m &= m - 1) n++;
  return n;
}
