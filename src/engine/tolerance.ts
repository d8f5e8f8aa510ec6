import type { Journal } from '../journal/journal.js';
import type { ArrayState } from './array-state.js';
import type { BackupLink } from './backup-link.js';

export interface Tolerance {
  /** Devices that may die now, any of them, with no acknowledged write lost. */
  readonly devices: number;
  readonly because: string;
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
export function backupCover({ link, state }: { readonly link: BackupLink | null; readonly state: ArrayState }): BackupCover {
  if (link === null) return 'none';
  if (state.protection !== 'full') return state.protection === 'seeding' ? 'seeding' : 'none';
  return link.reach === 'open' ? 'serves' : link.reach;
}

/**
 * How many more devices may die (DESIGN 5). Data not yet drained are lost only when more than m stripe members and every copy of their segment are gone;
 * drained data are always had from the backup. Computed from the copy sets that the ring really has, and those the next segments would get.
 */
export function computeTolerance(state: ArrayState, journal: Journal, backup: BackupCover): Tolerance {
  const lostStripes = state.lostDataMembers().length;
  const parityLeft = state.geometry.m - lostStripes;
  if (backup !== 'serves') {
    const devices = Math.max(0, parityLeft);
    return { devices, because: `${devices} of ${state.geometry.m} parity shards are left, and ${WHY_NOT[backup]}` };
  }
  const positions = state.journalPositions();
  const sets = copySets(journal);
  let least = Number.POSITIVE_INFINITY;
  let which = 0;
  for (const mask of sets) {
    const cost = lossCost(mask, positions, state, parityLeft);
    if (cost < least) {
      least = cost;
      which = mask;
    }
  }
  const devices = Math.max(0, least - 1);
  const copies = bits(which);
  const where = state.shape.journalMembers === 0 ? 'on the stripe members' : 'on members of their own';
  return {
    devices,
    because: `undrained data are in stripes with ${Math.max(0, parityLeft)} of ${state.geometry.m} parity shards left and in ${copies} journal copies ${where}; drained data are on the backup`,
  };
}

/** Every distinct set of healthy copies: of the undrained segments, and of what would be written next. */
function copySets(journal: Journal): Set<number> {
  const sets = new Set<number>();
  for (let seq = journal.drainedSeq; seq <= journal.headSeq; seq++) {
    const slot = journal.table.slotOf(seq);
    if (journal.table.seq[slot] === seq && (journal.table.used[slot] as number) > 0) sets.add(journal.table.copies[slot] as number);
  }
  for (let i = 0; i < journal.members.length; i++) sets.add(journal.chooseCopies(journal.headSeq + i));
  return sets;
}

/** The fewest further losses that lose data whose journal copies are `mask`: all of those, and as many stripe members as it takes to be beyond parity. */
function lossCost(mask: number, positions: number[], state: ArrayState, parityLeft: number): number {
  let onStripes = 0;
  positions.forEach((index, position) => {
    if ((mask & (1 << position)) !== 0 && index < state.shape.dataMembers && state.members[index]?.state === 'online') onStripes++;
  });
  return bits(mask) + Math.max(0, parityLeft + 1 - onStripes);
}

function bits(mask: number): number {
  let n = 0;
  for (let m = mask >>> 0; m !== 0; m &= m - 1) n++;
  return n;
}
