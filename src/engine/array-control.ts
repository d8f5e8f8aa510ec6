import type { Bytes } from '../base/units.js';
import { EXIT, KeelsonError } from '../base/errors.js';
import type { Member } from '../member/member-api.js';
import type { ArrayEngine } from './array-engine.js';
import { protectAdvice } from './alarms.js';
import { arrayStatus } from './array-status.js';
import { drainedLsn } from './backup-attach.js';
import { memberPaths } from './assemble.js';
import { absentMembers, lostMembersAdvice } from './lost-member-advice.js';
import { pathToReplace } from './member-names.js';
import { failByHand, type ReplaceOptions, replaceMember } from './membership-change.js';
import { copyProgress } from './online-replacement.js';
import { estimateRebuild } from './rebuild-estimate.js';
import type { RebuildProgress } from './rebuild-runner.js';

type OnProgress = (progress: { readonly task: string; readonly doneBytes: Bytes; readonly totalBytes: Bytes }) => void;

export interface Replaced extends RebuildProgress {
  /** pathToReplace(). */
  readonly replaces: string | null;
}

const PROGRESS_MS = 250;

/** What the control socket asks of a running array. */
export function arrayControl(engine: ArrayEngine) {
  return {
    status: () => arrayStatus(engine),

    flush: () => new Promise<void>((resolve, reject) => engine.volume.flush((error) => (error === null ? resolve() : reject(error)))),

    async drain(wait: boolean, onProgress: OnProgress): Promise<{ readonly drainedLsn: number; readonly lostBlocks?: number }> {
      const loop = engine.drainLoop;
      if (loop === null) {
        throw new KeelsonError('DRAIN_NO_TARGET', 'there is nowhere to drain to', {
          found: 'no [backup] in the configuration',
          action: protectAdvice(engine),
          exit: EXIT.usage,
        });
      }
      const total = loop.undrainedBytes();
      const lostBefore = engine.drainer?.lostBlocks ?? 0;
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
      return { drainedLsn: drainedLsn(engine), lostBlocks: (engine.drainer?.lostBlocks ?? 0) - lostBefore };
    },

    fail: (member: string, options: { readonly force: boolean }) => failByHand(engine, member, options.force),

    async replace(member: string, device: string, options: ReplaceOptions, onProgress: OnProgress): Promise<Replaced> {
      const taken = await followingCopies(engine, replaceMember(engine, member, device, options), onProgress);
      const progress =
        engine.replacements.copied.get(taken) ?? (await rebuild(engine, onProgress)) ?? nothingRebuilt(engine.rebuild.waitsFor);
      requireInPlace(engine, [taken]);
      return { ...progress, replaces: pathToReplace(engine.state, memberPaths(engine.parts.settings), taken.index) };
    },

    async rebuildPlan() {
      const outline = await engine.rebuild.plan();
      const { seconds, ...rates } = await estimateRebuild(engine, outline);
      return { ...outline, secondsEstimated: seconds, rates };
    },

    async rebuild(onProgress: OnProgress): Promise<RebuildProgress | null> {
      refuseWithoutDevice(engine);
      const targets = engine.rebuild.targets();
      engine.rebuild.start();
      const progress = await rebuild(engine, onProgress);
      requireInPlace(engine, targets);
      return progress;
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
  engine.rebuild.finished = null;
  engine.rebuild.kick();
  await reporting(engine, engine.rebuild.wait(), () => {
    const progress = engine.rebuild.progress();
    if (progress !== null) onProgress({ task: 'rebuild', doneBytes: progress.doneBytes, totalBytes: progress.totalBytes });
  });
  return engine.rebuild.finished;
}

/** A member that is online is copied to the device before that takes its place. */
async function followingCopies<T>(engine: ArrayEngine, work: Promise<T>, onProgress: OnProgress): Promise<T> {
  await reporting(engine, work, () => {
    for (const index of engine.replacements.copies.keys()) {
      const progress = copyProgress(engine, index);
      if (progress !== null)
        onProgress({ task: `copy of member ${index}`, doneBytes: progress.doneBytes, totalBytes: progress.totalBytes });
    }
  });
  return work;
}

/** Throws when one of the members that were to be made whole failed meanwhile, or gave its place to another device: then nothing is "rebuilt". */
function requireInPlace({ state }: ArrayEngine, members: readonly Member[]): void {
  for (const member of members) {
    const { index, device } = member;
    if (state.members[index] === member && member.state !== 'failed') continue;
    const why = state.whyFailed.get(member);
    if (why?.code === 'MEMBER_REPLACED') {
      throw new KeelsonError('MEMBER_REPLACED', `${device.path} is not member ${index} any more: it was replaced before it was whole`, {
        found: why.message,
        action: 'keelson status shows the device that has the place now; keelson rebuild follows its rebuild',
      });
    }
    throw new KeelsonError('MEMBER_FAILED', `member ${index} (${device.path}) failed, or was failed, before it was whole`, {
      found: why?.describe() ?? 'state failed',
      expected: 'a device that stays in its place until it is rebuilt',
      action: `keelson status says what is left; then keelson replace ${index} with another device`,
    });
  }
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
  return {
    doneBytes: 0,
    totalBytes: 0,
    fromSurvivors: 0,
    fromParity: 0,
    fromJournal: 0,
    fromBackup: 0,
    secondsLeft: 0,
    lostBlocks: 0,
    waitsFor,
  };
}
