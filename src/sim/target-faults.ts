import type { Random } from '../base/random.js';
import type { TargetFaultKind } from './scenario.js';
import type { Scheduler } from './scheduler.js';
import type { SimulatedHost } from './simulated-target.js';

const OUTAGE_US = 4_000_000;
const CUT_BYTES = 300_000;

/** Does one thing to the backup host. */
export function strikeTarget(kind: TargetFaultKind, random: Random, host: SimulatedHost, scheduler: Scheduler): void {
  const until = scheduler.now_us + random.below(OUTAGE_US);
  switch (kind) {
    case 'target-disconnect':
      host.cutAfterBytes = random.below(2) === 0 ? random.below(CUT_BYTES) : random.below(5000);
      return;
    case 'target-down':
      host.downUntil_us = until;
      host.connection++;
      host.onFault(kind);
      return;
    case 'target-full':
      host.fullUntil_us = until;
      return;
    case 'target-denied':
      host.deniedUntil_us = until;
      return;
    case 'target-slow':
      host.slowness = host.slowness > 1 ? 1 : 2 + random.below(40);
      host.onFault(kind);
      return;
    case 'target-power-failure':
      host.powerFailure(random);
      host.onFault(kind);
  }
}
