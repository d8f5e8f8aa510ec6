import { BLOCK_BYTES } from '../base/units.js';
import { exposures } from '../config/exposure.js';
import type { ArrayEngine } from './array-engine.js';
import { alarmsOf } from './alarms.js';
import { destagedLsn, drainedLsn } from './backup-attach.js';
import { lostBlocksOf } from './lost-blocks.js';
import { copyProgress } from './online-replacement.js';
import type { RebuildProgress } from './rebuild-runner.js';
import { backupCover, computeTolerance } from './tolerance.js';

/** connecting: the backup host has not answered yet in this run, nor refused. */
type DrainState = 'idle' | 'draining' | 'connecting' | 'unreachable' | 'none';

/** status --json, as INTERFACE has it. */
export function arrayStatus(engine: ArrayEngine) {
  const { state, journal, link, drainLoop } = engine;
  engine.errors.look();
  const { shape } = state;
  const tolerance = computeTolerance(engine);
  const lost = state.lost.list;
  const undrainedBytes = drainLoop === null ? 0 : drainLoop.undrainedBytes();
  return {
    name: shape.name,
    uuid: shape.arrayUuid,
    state: arrayCondition(engine),
    protection: state.protection,
    tolerance,
    volume: { bytes: engine.volumeBytes, blockBytes: BLOCK_BYTES },
    members: state.records.map((record, index) => {
      const member = state.members[index];
      return {
        index,
        uuid: member?.superblock.memberUuid ?? record.uuid,
        path: state.paths[index] as string,
        role: record.role,
        state: member ? member.state : record.state,
        readErrors: member?.readErrors ?? 0,
        writeErrors: member?.writeErrors ?? 0,
        checksumErrors: member?.checksumErrors ?? 0,
        unrepairedErrors: member?.openErrors ?? 0,
      };
    }),
    journal: {
      copies: shape.journalCopies,
      bytes: shape.ringBytes,
      usedBytes: journal.usedBlocks * BLOCK_BYTES,
      fillRatio: journal.fillRatio,
      headLsn: journal.nextLsn - 1,
      destagedLsn: destagedLsn(engine),
    },
    drain: {
      drainedLsn: drainedLsn(engine),
      undrainedBytes,
      oldestUndrainedSeconds: drainLoop === null ? 0 : drainLoop.oldestUndrained_ms() / 1000,
      lastError: (link?.lastError ?? drainLoop?.lastError)?.describe() ?? null,
      target: link?.backup.target ?? null,
      state: drainState(engine),
      answeredSecondsAgo: link === null || link.answeredAt_ms === null ? null : (engine.parts.clock.now() - link.answeredAt_ms) / 1000,
    },
    rebuild: engine.rebuild.progress() ?? anyCopy(engine),
    scrub: null,
    lost: {
      ranges: lost.ranges.map(({ first, count }) => ({ offset: first * BLOCK_BYTES, length: count * BLOCK_BYTES })),
      bytes: lostBlocksOf(lost.ranges) * BLOCK_BYTES,
      more: lost.more,
    },
    alarms: alarmsOf(engine),
    hints: exposures(engine.parts.settings),
  };
}

/** What runs is said only while the host answers: an attempt to reach it is no drain. */
function drainState({ link, drainLoop }: ArrayEngine): DrainState {
  if (link === null) return 'none';
  if (link.reach !== 'open') return link.reach;
  return drainLoop?.draining ? 'draining' : 'idle';
}

function arrayCondition(engine: ArrayEngine): 'online' | 'degraded' | 'beyond-parity' | 'failed' {
  const { state } = engine;
  if (state.failure !== null) return 'failed';
  const lost = state.lostDataMembers().length;
  if (lost > state.geometry.m) return backupCover(engine) === 'serves' ? 'beyond-parity' : 'failed';
  return lost > 0 || engine.isDegraded() || engine.errors.doubted().size > 0 ? 'degraded' : 'online';
}

function anyCopy(engine: ArrayEngine): RebuildProgress | null {
  const [index] = engine.replacements.copies.keys();
  return index === undefined ? null : copyProgress(engine, index);
}
