import { seededRandom, type Random } from '../base/random.js';
import { BLOCK_BYTES, KIB, type Bytes } from '../base/units.js';
import { type CellCuts, CELL_BYTES_MIN, CELLS_A_BLOCK, SECTOR_CUTS } from './cell-content.js';
import type { ClientMix, ClientRequest } from './client-requests.js';

/** The generated array of one run. */
export interface ScenarioShape {
  readonly dataMembers: number;
  readonly parity: number;
  /** 0: the ring lies on the stripe members. */
  readonly journalMembers: number;
  readonly copies: number;
  readonly chunkBytes: Bytes;
  readonly stripes: number;
  readonly segmentBytes: Bytes;
  readonly segments: number;
  /** Segment buffers in the slab. */
  readonly buffers: number;
  readonly backup: boolean;
  readonly sync: boolean;
}

/** One thing that is done to the array, at a step of the run (of a script: at a moment). Its details follow from `lot` and from what the array is doing then. */
export interface ScenarioEvent {
  readonly at: number;
  readonly kind: FaultKind;
  readonly lot: number;
}

export const PROCESS_FAULT_KINDS = ['power-failure', 'process-crash', 'crash-in-stripe-task', 'clock-jump', 'second-process'] as const;
export const MEMBER_FAULT_KINDS = [
  'read-error',
  'latent-sector-error',
  'write-error',
  'sync-error',
  'lost-write',
  'misdirected-write',
  'bit-rot',
  'stall',
  'slow-member',
  'disconnect',
  'reconnect',
  'new-device',
] as const;
export const TARGET_FAULT_KINDS = [
  'target-disconnect',
  'target-down',
  'target-full',
  'target-denied',
  'target-slow',
  'target-power-failure',
] as const;
export type TargetFaultKind = (typeof TARGET_FAULT_KINDS)[number];
/** Need the backup as well as the members: see fault-atlas.ts. */
export const LOSS_FAULT_KINDS = ['loss-beyond-parity', 'loss-of-everything', 'newer-writer', 'target-put-back'] as const;
/** Of these a run has one at most, with what has to come before it: drawn apart from the others, so that what else a seed stands for does not hang on them. */
export const RARE_FAULT_KINDS = ['lost-lock', 'loss-of-journal', 'journal-out-of-reach', 'former-device'] as const;
/** Not faults: a drain by hand, and a look at what the backup alone would give. */
export const BACKUP_EVENT_KINDS = ['drain', 'look-at-backup'] as const;
export type MemberFaultKind = (typeof MEMBER_FAULT_KINDS)[number];
export const FAULT_KINDS = [
  ...PROCESS_FAULT_KINDS,
  ...MEMBER_FAULT_KINDS,
  ...LOSS_FAULT_KINDS,
  ...TARGET_FAULT_KINDS,
  ...BACKUP_EVENT_KINDS,
  ...RARE_FAULT_KINDS,
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Everything that makes a run: the same scenario goes the same way each time. */
export interface Scenario {
  readonly seed: number;
  readonly shape: ScenarioShape;
  readonly mix: ClientMix;
  /** Where requests of clients may begin and end in a block. */
  readonly cuts: CellCuts;
  /** Of a script; null: they follow from the seed. */
  readonly requests: readonly ClientRequest[] | null;
  /** What `at` of events counts, from the first assembly on: steps, or microseconds. */
  readonly unit: 'steps' | 'microseconds';
  /** Steps during which clients are at work; 0, in a script: until its last request and event. */
  readonly steps: number;
  /** How soon the administrator looks after lost members, milliseconds. */
  readonly repair_ms: number;
  readonly events: readonly ScenarioEvent[];
}

export const SHAPES: readonly (readonly [data: number, parity: number, journal: number, copies: number])[] = [
  [3, 1, 2, 2],
  [4, 1, 2, 2],
  [4, 2, 2, 2],
  [5, 2, 2, 2],
  [6, 2, 3, 2],
  [6, 3, 3, 3],
  [3, 1, 0, 2],
  [4, 2, 0, 3],
  [5, 1, 0, 2],
  [6, 1, 0, 4],
];

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random.below(from.length)] as T;
}

/** The scenario of a seed. kinds: only these faults. */
export function generateScenario(seed: number, kinds: readonly FaultKind[] = FAULT_KINDS): Scenario {
  const random = seededRandom(seed);
  const [dataMembers, parity, journalMembers, copies] = pick(random, SHAPES);
  const chunkBlocks = pick(random, [1, 2, 4]);
  const segmentBytes = pick(random, [64, 128, 256]) * KIB;
  const shape: ScenarioShape = {
    dataMembers,
    parity,
    journalMembers,
    copies,
    chunkBytes: chunkBlocks * 4 * KIB,
    stripes: pick(random, [4, 9, 20]),
    segmentBytes,
    segments: pick(random, [8, 12, 20]),
    // At least 512 KiB of them: the checksums of a member are loaded through that memory.
    buffers: pick(random, segmentBytes === 64 * KIB ? [8, 10] : [4, 5, 8]),
    backup: random.below(2) === 0,
    sync: random.below(12) === 0,
  };
  const mix: ClientMix = {
    lanes: 1 + random.below(8),
    pause_us: pick(random, [0, 100, 1000, 20_000]),
    blocksMax: pick(random, [1, 4, 8]),
    hot: pick(random, [0, 6, 12]),
  };
  const steps = pick(random, [600, 1500, 4000]);
  const repair_ms = pick(random, [5, 100, 2000]);
  // Some runs have crashes alone: they go on while nothing else is wrong.
  const permitted = kinds.filter((kind) => (shape.backup || !isBackupKind(kind)) && !isRareKind(kind));
  const some = random.below(3) === 0 ? permitted.filter((kind) => isBackupKind(kind) || isProcessKind(kind)) : permitted;
  return {
    seed,
    shape,
    mix,
    cuts: generateCuts(seed),
    requests: null,
    unit: 'steps',
    steps,
    repair_ms,
    events: [...generateEvents(random, some, steps), ...rareEvents(seed, kinds, shape, steps)].sort((a, b) => a.at - b.at),
  };
}

/** Sectors, or any bytes. */
function generateCuts(seed: number): CellCuts {
  const random = seededRandom(seed ^ 0xc075);
  if (random.below(3) > 0) return SECTOR_CUTS;
  const cuts = [0];
  for (let left = CELLS_A_BLOCK - 1; left > 0; left--) {
    const from = cuts.at(-1) as number;
    const most = BLOCK_BYTES - from - (left + 1) * CELL_BYTES_MIN;
    // Half of the time one of the two smallest.
    cuts.push(from + CELL_BYTES_MIN + (random.below(2) === 0 ? random.below(2) : random.below(Math.floor((2 * most) / (left + 1)))));
  }
  return [...cuts, BLOCK_BYTES];
}

export function isTargetKind(kind: FaultKind): kind is TargetFaultKind {
  return TARGET_FAULT_KINDS.some((other) => other === kind);
}

function isBackupKind(kind: FaultKind): boolean {
  return [...LOSS_FAULT_KINDS, ...TARGET_FAULT_KINDS, ...BACKUP_EVENT_KINDS].some((other) => other === kind);
}

function isRareKind(kind: FaultKind): boolean {
  return RARE_FAULT_KINDS.some((other) => other === kind);
}

function isProcessKind(kind: FaultKind): boolean {
  return PROCESS_FAULT_KINDS.some((other) => other === kind);
}

function generateEvents(random: Random, kinds: readonly FaultKind[], steps: number): ScenarioEvent[] {
  const events: ScenarioEvent[] = [];
  if (kinds.length === 0) return events;
  let at = random.below(steps >> 1);
  for (let left = 1 + random.below(16); left > 0 && at < steps; left--) {
    events.push({ at, kind: pick(random, kinds), lot: random.u32() });
    // Often soon after the last one: in the recovery from it.
    at += 1 + random.below(random.below(2) === 0 ? 120 : steps >> 2);
  }
  return events;
}

/** One run in so many has one of the rare faults. */
const RARE_ONE_IN = 4;

function rareEvents(seed: number, kinds: readonly FaultKind[], shape: ScenarioShape, steps: number): ScenarioEvent[] {
  const random = seededRandom(seed ^ 0x4a7e);
  const possible = RARE_FAULT_KINDS.filter((kind) => {
    if (!kinds.includes(kind)) return false;
    if (kind === 'former-device') return shape.backup;
    return kind === 'lost-lock' || shape.journalMembers > 0;
  });
  if (possible.length === 0 || random.below(RARE_ONE_IN) > 0) return [];
  const kind = pick(random, possible);
  const events: ScenarioEvent[] = [];
  let at = random.below(steps >> 1);
  const then = (next: FaultKind, within: number): void => {
    at = Math.min(steps - 1, at + random.below(within));
    events.push({ at, kind: next, lot: random.u32() });
  };
  // Segments that are in the stripes and not on the backup.
  if (kind === 'loss-of-journal' && shape.backup && random.below(2) === 0) then('target-down', 1);
  if (kind === 'former-device') then('drain', 1);
  then(kind, steps >> 2);
  return events;
}
