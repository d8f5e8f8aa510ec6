import type { Random } from '../base/random.js';
import type { FaultAtlas } from './fault-atlas.js';
import { EVENT, type Scheduler, WORLD } from './scheduler.js';
import type { SimulatedDisk } from './simulated-disk.js';

/** Another device is there for a lost member within this. */
const SUPPLY_US = 1_500_000;
/** Time from the first loss to the last one. */
const SPREAD_US = [0, 0, 2000, 300_000] as const;

/**
 * More members die than the parity covers (P8), at once or one soon after the other: often all that the backup and the ring stand in for, each of them asked of the
 * atlas in its moment. Empty devices come for some of them while the run goes on. ended: nothing is done to the array any more. died: a member died, `beyond`: with it more than the parity covers. False when there is nothing that may die.
 */
export function loseBeyondParity(
  random: Random,
  disks: readonly SimulatedDisk[],
  atlas: FaultAtlas,
  scheduler: Scheduler,
  ended: () => boolean,
  died: (beyond: boolean) => void,
): boolean {
  const order = shuffled(disks.length, random);
  const most = random.below(2) === 0 ? disks.length : 1 + random.below(disks.length);
  const spread_us = SPREAD_US[random.below(SPREAD_US.length)] as number;
  let lost = 0;
  const lose = (index: number): void => {
    const disk = disks[index] as SimulatedDisk;
    if (ended() || !disk.connected || !atlas.mayHarm(index)) return;
    lost++;
    disk.touched = true;
    atlas.unplugged.add(index);
    disk.disconnect(random);
    died(atlas.beyondParity);
    if (random.below(4) > 0) scheduler.after(random.below(SUPPLY_US), WORLD, EVENT.fault, () => supply(disk));
  };
  for (const index of order.slice(0, most)) {
    if (spread_us === 0) lose(index);
    else scheduler.after(random.below(spread_us), WORLD, EVENT.fault, () => lose(index));
  }
  return spread_us > 0 || lost > 0;
}

/** An empty device in its place. */
function supply(disk: SimulatedDisk): void {
  if (disk.connected) return;
  disk.wipe();
  disk.connected = true;
}

function shuffled(count: number, random: Random): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const other = random.below(i + 1);
    [order[i], order[other]] = [order[other] as number, order[i] as number];
  }
  return order;
}
