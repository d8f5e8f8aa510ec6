import type { Clock } from '../base/clock.js';
import type { BlockVolume } from '../engine/block-volume.js';
import type { NbdCounters } from './gauges.js';
import type { NbdLimits } from './limits.js';
import type { MemoryBudget } from './memory-budget.js';
import type { Staging } from './staging.js';
import type { StatusTurns } from './status-turns.js';

/** What all connections of a server share. */
export interface ServerShare {
  readonly volume: BlockVolume;
  readonly limits: NbdLimits;
  readonly clock: Clock;
  readonly staging: Staging;
  /** Memory of write payloads, from their arrival to their acknowledgement. */
  readonly payloadBudget: MemoryBudget;
  /** Memory of reads, until the socket has their replies. */
  readonly replyBudget: MemoryBudget;
  readonly statusTurns: StatusTurns;
  readonly counters: NbdCounters;
  /** Durability "sync": every change as if its FUA flag were set. */
  readonly everyWriteFua: boolean;
  /** A number for each connection, by which the volume tells them apart. */
  nextClient(): number;
  /** Something threw that must not: an engine or front end bug, never a peer's doing. */
  onBug(error: unknown): void;
}
