import type { Clock } from '../base/clock.js';
import { KeelsonError } from '../base/errors.js';
import { verifyEpoch } from '../member/member.js';
import type { Member } from '../member/member-api.js';
import { SUPERBLOCK_REGION_BYTES } from '../member/superblock-io.js';
import { type SlabRegion, slabRegion } from '../memory/slab-region.js';

/** How long a look at the members' superblocks holds: nothing new is written on an older one. */
const HOLDS_MS = 1000;
/** The next look is begun this early, so that a busy array does not wait for it. */
const EARLY_MS = 500;

/** Memory of a look: four members at a time. */
export const FENCE_REGION_BYTES = 4 * SUPERBLOCK_REGION_BYTES;

/**
 * A stale writer stops (P10): another process that takes the array raises the epoch on every member before it writes anything, and this one looks for that before it begins
 * anything new, unless it has looked within the last second. Where the exclusive lock holds no other process comes that far; this is for members that two hosts share, and
 * for locks that are gone. Between a look and the writes that rest on it another process may still come: no promise covers two that write at the same time.
 */
export class Fence {
  readonly #members: () => Member[];
  readonly #clock: Clock;
  readonly #lanes: readonly SlabRegion[];
  readonly #onTaken: (error: KeelsonError) => void;
  /** Of the last look: monotonic time, which may have stood still with the machine, and wall clock. */
  #lookedAt: number;
  #lookedAtWall: number;
  #looking: Promise<void> | null = null;
  #taken: KeelsonError | null = null;

  /** members: those that are looked at. onTaken: called once. */
  constructor(members: () => Member[], clock: Clock, region: SlabRegion, onTaken: (error: KeelsonError) => void) {
    this.#members = members;
    this.#clock = clock;
    this.#onTaken = onTaken;
    this.#lookedAt = clock.now();
    this.#lookedAtWall = clock.wall();
    const lanes = Math.floor(region.bytes / SUPERBLOCK_REGION_BYTES);
    this.#lanes = Array.from({ length: lanes }, (_, i) =>
      slabRegion(region.slab, region.offset + i * SUPERBLOCK_REGION_BYTES, SUPERBLOCK_REGION_BYTES),
    );
  }

  /** null: go on. Else this has to be awaited first; it rejects with EPOCH_FENCED when the array is another process's. */
  pass(): Promise<void> | null {
    if (this.#taken !== null) return Promise.reject(this.#taken);
    const age = Math.max(this.#clock.now() - this.#lookedAt, this.#clock.wall() - this.#lookedAtWall);
    if (age < EARLY_MS) return null;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    // Whoever does not wait for it hears of it at the next pass.
    this.#looking.catch(() => {});
    return age < HOLDS_MS ? null : this.#looking;
  }

  /** Found out elsewhere, or here. */
  taken(error: KeelsonError): void {
    if (this.#taken !== null) return;
    this.#taken = error;
    this.#onTaken(error);
  }

  /** Resolves when no look is under way. */
  async settled(): Promise<void> {
    await this.#looking?.catch(() => {});
  }

  async #look(): Promise<void> {
    const now = this.#clock.now();
    const wall = this.#clock.wall();
    const queue = this.#members();
    let ours = 0;
    let strange: KeelsonError | null = null;
    const lane = async (region: SlabRegion): Promise<void> => {
      for (let member = queue.shift(); member !== undefined; member = queue.shift()) {
        if (member.state === 'failed') continue;
        try {
          await verifyEpoch(member, region);
          ours++;
        } catch (error) {
          const failure = KeelsonError.from(error);
          // A member that cannot be read shows it to whoever needs it.
          if (failure.code === 'EPOCH_FENCED') this.taken(failure);
          else if (failure.code === 'SUPERBLOCK_LOST') ours++;
          else if (failure.code.startsWith('SUPERBLOCK_')) strange = failure;
        }
      }
    };
    await Promise.all(this.#lanes.map(lane));
    // They can be read, and none is a member of this array any more: somebody makes something else of them.
    if (ours === 0 && strange !== null) this.taken(gone(strange));
    if (this.#taken !== null) throw this.#taken;
    this.#lookedAt = now;
    this.#lookedAtWall = wall;
  }
}

function gone({ message }: KeelsonError): KeelsonError {
  return new KeelsonError('EPOCH_FENCED', 'the members were taken over by another process', {
    found: message,
    expected: "this array's superblock on one of them",
    action: 'stop this process; nothing more is written by it',
  });
}
