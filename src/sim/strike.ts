import { type Random, seededRandom } from '../base/random.js';
import { loseBeyondParity } from './beyond-parity.js';
import type { BackupWatch } from './backup-watch.js';
import type { FaultAtlas } from './fault-atlas.js';
import type { FormerDevices } from './former-devices.js';
import type { JournalLoss } from './journal-loss.js';
import type { LostLock } from './lost-lock.js';
import { strikeMember } from './member-faults.js';
import { isTargetKind, type ScenarioEvent } from './scenario.js';
import type { Scheduler } from './scheduler.js';
import type { SimulatedDisk } from './simulated-disk.js';
import type { SimulatedProcess } from './simulated-process.js';
import { strikeTarget } from './target-faults.js';
import type { Settings } from '../config/settings.js';
import { startSecond } from './second-process.js';
import type { Finding, VolumeHistory } from './volume-history.js';

/** A run, as far as something can be done to it. */
export interface StruckRun {
  readonly members: readonly SimulatedDisk[];
  readonly atlas: FaultAtlas;
  readonly scheduler: Scheduler;
  readonly backup: BackupWatch | null;
  readonly process: SimulatedProcess;
  readonly history: VolumeHistory;
  /** Nothing more is done to the array. */
  healed(): boolean;
  crash(how: 'power-failure' | 'process-crash', kind: string): void;
  /** All members are gone, with the process: what is left is the backup. empty: they become empty devices, or they are written over. */
  loseEverything(empty: boolean): void;
  readonly lostLock: LostLock;
  readonly journal: JournalLoss;
  readonly former: FormerDevices;
  /** A process on another host. */
  stranger(random: Random): SimulatedProcess;
  /** A second process on the host of the one that runs: a power failure takes it as well. */
  neighbour(random: Random): SimulatedProcess;
  readonly settings: Settings;
  report(finding: Finding | null): void;
  fired(kind: string): void;
  /** The promises do not cover it now. */
  spared(): void;
  broke(error: unknown): void;
}

const SUSPENDED_US = 20_000_000;
const JUMP_MS = 1_000_000_000;

/** Does what the event says, if the promises cover it now. */
export function strike(event: ScenarioEvent, run: StruckRun): void {
  const random = seededRandom(event.lot);
  const { atlas, backup, scheduler } = run;
  switch (event.kind) {
    case 'power-failure':
    case 'process-crash':
      if (!atlas.mayCrash()) run.spared();
      else if (run.process.alive) run.crash(event.kind, event.kind);
      return;
    case 'crash-in-stripe-task':
      run.process.dieAfterOps = random.below(40);
      return;
    case 'clock-jump':
      run.fired('clock-jump');
      if (random.below(4) === 0) scheduler.suspend(random.below(SUSPENDED_US));
      else scheduler.wallOffset_ms += (random.below(2) === 0 ? 1 : -1) * random.below(JUMP_MS);
      return;
    case 'loss-beyond-parity':
      if (!lose(random, run)) run.spared();
      return;
    case 'loss-of-everything':
      if (run.process.alive && atlas.mayLoseEverything()) run.loseEverything(random.below(3) > 0);
      else run.spared();
      return;
    case 'second-process':
      if (atlas.engine === null) run.spared();
      else second(random, run);
      return;
    case 'target-put-back':
      if (atlas.engine !== null && atlas.mayDoWithoutBackup() && backup?.putBack(random) === true) run.fired(event.kind);
      else run.spared();
      return;
    case 'newer-writer':
      if (atlas.engine === null || backup === null || !atlas.mayDoWithoutBackup()) run.spared();
      else
        void backup.takeOver(atlas.engine, run.stranger(random), random).then((taken) => {
          if (taken) run.fired(event.kind);
        });
      return;
    case 'lost-lock':
      if (atlas.engine === null || run.healed()) run.spared();
      else run.lostLock.lose(run.process, random, run.healed);
      return;
    case 'loss-of-journal':
      // A server that is being stopped ends without them: the next start waits for one that was there.
      if (!run.healed() && run.journal.lose(random, run.healed)) run.fired(event.kind);
      else run.spared();
      return;
    case 'journal-out-of-reach': {
      const how = random.below(2) === 0 ? 'power-failure' : 'process-crash';
      if (run.healed() || !run.journal.outOfReach(random, () => run.crash(how, event.kind))) run.spared();
      return;
    }
    case 'former-device':
      plugFormer(random, run);
      return;
    case 'drain':
      if (!run.healed()) backup?.drain(atlas.engine, run.history);
      return;
    case 'look-at-backup':
      void backup?.look(run.history, false).catch((error: unknown) => run.broke(error));
      return;
    default:
      if (isTargetKind(event.kind)) {
        if (backup !== null) strikeTarget(event.kind, random, backup.host, scheduler);
      } else if (!strikeMember(event.kind, random, run.members, atlas, scheduler)) run.spared();
      else if (event.kind === 'disconnect' || event.kind === 'reconnect' || event.kind === 'new-device' || event.kind === 'slow-member')
        run.fired(event.kind);
  }
}

function plugFormer(random: Random, run: StruckRun): void {
  run.former.plugSoon(random, run.scheduler, {
    lose: () => run.loseEverything(true),
    ended: run.healed,
    spared: run.spared,
    plugged: () => {
      run.fired('former-device');
      // Who may take part is found out by the next process.
      if (random.below(4) > 0 && run.atlas.mayCrash()) run.crash('process-crash', 'process-crash');
    },
  });
}

function second(random: Random, run: StruckRun): void {
  const { process } = run;
  run.fired('second-process');
  const other = run.neighbour(random);
  void startSecond(run.settings, other, random).then((finding) => {
    other.alive = false;
    // One that got the members is killed.
    for (const disk of run.members) disk.processCrash(random, other);
    // One that was not there any more may be replaced.
    if (process.alive) run.report(finding);
  });
}

function lose(random: Random, run: StruckRun): boolean {
  const died = (beyond: boolean): void => run.fired(beyond ? 'loss-beyond-parity' : 'loss');
  return loseBeyondParity(random, run.members, run.atlas, run.scheduler, run.healed, died);
}
