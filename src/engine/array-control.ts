import type { Bytes } from '../base/units.js';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { ArrayEngine } from './array-engine.js';
import { arrayStatus } from './array-status.js';
import { drainedLsn } from './backup-attach.js';
import { failByHand, replaceMember } from './membership-change.js';
import { absentMembers, lostMembersAdvice } from './lost-member-advice.js';
import { estimateRebuild } from './rebuild-estimate.js';
import type { RebuildProgress } from './rebuild-runner.js';

type OnProgress = (progress: { readonly task: string; readonly doneBytes: Bytes; readonly totalBytes: Bytes }) => void;

const PROGRESS_MS = 250;

/** What the control socket asks of a running array. */
export function arrayControl(engine: ArrayEngine) {
  return {
    status: () => arrayStatus(engine),

    flush: () => new Promise<void>((resolve, reject) => engine.volume.flush((error) => (error === null ? resolve() : reject(error)))),

    async drain(wait: boolean, onProgress: OnProgress): Promise<{ readonly drainedLsn: number }> {
      const loop = engine.drainLoop;
      if (loop === null) {
        throw new KeelsonError('DRAIN_NO_TARGET', 'there is nowhere to drain to', {
          found: 'no [backup] in the configuration',
          action: 'set backup.url',
          exit: EXIT.usage,
        });
      }
      const total = loop.undrainedBytes();
      const done = loop.drainNow();
      if (!wait) {
        done.catch(() => undefined);
        return { drainedLsn: drainedLsn(engine) };
      }
      await reporting(engine, done, () =>
        onProgress({ task: 'drain', doneBytes: Math.max(0, total - loop.undrainedBytes()), totalBytes: total }),
      );
      return { drainedLsn: drainedLsn(engine) };
    },

    fail: (member: string, options: { readonly force: boolean }) => failByHand(engine, member, options.force),

    async replace(
      member: string,
      device: string,
      { force }: { readonly force: boolean },
      onProgress: OnProgress,
    ): Promise<RebuildProgress> {
      await replaceMember(engine, member, device, force);
      return (await rebuild(engine, onProgress)) ?? nothingRebuilt(engine.rebuild.waitsFor);
    },

    async rebuildPlan() {
      const outline = await engine.rebuild.plan();
      const { seconds, ...rates } = await estimateRebuild(engine, outline);
      return { ...outline, secondsEstimated: seconds, rates };
    },

    rebuild: async (onProgress: OnProgress) => {
      refuseWithoutDevice(engine);
      engine.rebuild.start();
      return rebuild(engine, onProgress);
    },
  };
}

/** That there is nothing to rebuild is true only of an array that has all its members. */
function refuseWithoutDevice(engine: ArrayEngine): void {
  const absent = absentMembers(engine);
  if (absent.length === 0 || engine.rebuild.active) return;
  throw new KeelsonError('REBUILD_NO_DEVICE', 'nothing can be rebuilt: the members that are lost have no device', {
    found: absent.map((index) => `member ${index} (${engine.state.paths[index]})`).join(', '),
    expected: 'a device to rebuild on',
    action: lostMembersAdvice(engine),
  });
}

async function rebuild(engine: ArrayEngine, onProgress: OnProgress): Promise<RebuildProgress | null> {
  if (engine.isDegraded() || engine.rebuild.active) engine.rebuild.finished = null;
  engine.rebuild.kick();
  await reporting(engine, engine.rebuild.wait(), () => {
    const progress = engine.rebuild.progress();
    if (progress !== null) onProgress({ task: 'rebuild', doneBytes: progress.doneBytes, totalBytes: progress.totalBytes });
  });
  return engine.rebuild.finished;
}

/** Reports now and then until the work ends. */
async function reporting(engine: ArrayEngine, work: Promise<unknown>, report: () => void): Promise<void> {
  let over = false;
  const again = (): void => {
    if (over) return;
    report();
    engine.parts.clock.after(PROGRESS_MS, again);
  };
  again();
  try {
    await work;
  } finally {
    over = true;
  }
}

function nothingRebuilt(waitsFor: number): RebuildProgress {
  return { doneBytes: 0, totalBytes: 0, fromSurvivors: 0, fromParity: 0, fromJournal: 0, fromBackup: 0, secondsLeft: 0, waitsFor };
}
