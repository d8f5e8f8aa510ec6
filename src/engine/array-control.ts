import type { Bytes } from '../base/units.js';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { ArrayEngine } from './array-engine.js';
import { arrayStatus } from './array-status.js';
import { drainedLsn } from './backup-attach.js';
import { failByHand, replaceMember } from './membership-change.js';
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
      const done = wait ? loop.drainAndConfirm() : loop.drainNow();
      if (!wait) {
        done.catch(() => undefined);
        // What was asked for is done once the host is there. That it goes on now would not be true.
        if (engine.link?.reach === 'unreachable' && engine.link.lastError !== null) throw engine.link.lastError;
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

    rebuild: (onProgress: OnProgress) => {
      engine.rebuild.start();
      return rebuild(engine, onProgress);
    },
  };
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
